"""Folders with models of transformers, and text or tokens to run them on."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise.runs import UsageError, one_line, read_arrays, read_text
from bondwise.runs.text import counted

if TYPE_CHECKING:
    from torch import Tensor

_LENGTH = 256  # tokens of a sequence, or what the model takes


def digest_of(*paths: Path) -> str:
    """Checksum of files; those that do not exist are left out."""
    digest = sha256()
    for path in paths:
        if path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while part := file.read(1 << 24):
                    digest.update(part)
    return digest.hexdigest()[:16]


def model_digest(folder: Path) -> str:
    """Checksum of the configuration and the tensors of a model."""
    return digest_of(folder / "config.json", *sorted(folder.glob("*.safetensors")))


def read_tokens(path: Path, folder: Path, config: Any) -> Tensor:
    """Sequences of token ids, int64 (sequences, length).

    Args:
        path: Text in UTF-8, or an `.npy` file with token ids of shape (tokens,) or (sequences, length).
        folder: Folder of the model, whose tokenizer reads the text.
        config: Configuration of the model.

    Raises:
        UsageError: If the file cannot be read, or holds fewer than two sequences.
    """
    import torch

    most = getattr(config, "max_position_embeddings", None)
    length = min(_LENGTH, int(most or _LENGTH))
    if path.suffix.lower() == ".npy":
        ids = read_arrays(path)["vector"]
        if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
            raise UsageError(
                f"{path} holds {ids.dtype} of shape {ids.shape}; token ids are whole numbers of shape "
                "(tokens,) or (sequences, length)."
            )
        found = torch.from_numpy(ids.astype("int64"))
    else:
        found = torch.tensor(_tokenized(read_text(path), folder), dtype=torch.long)
    if found.ndim == 2 and not 2 <= found.shape[1] <= (most or found.shape[1]):
        raise UsageError(
            f"{path} holds sequences of {counted(found.shape[1], 'token')}; the model takes 2 to {most}."
            if most
            else f"{path} holds sequences of {counted(found.shape[1], 'token')}; give at least 2."
        )
    if found.ndim == 1:
        found = found[: len(found) // length * length].view(-1, length)
    if len(found) < 2:
        raise UsageError(
            f"{path} holds {counted(len(found), 'sequence')} of {found.shape[1]} tokens; give at least 2, of "
            "which one measures what the others are for."
        )
    return found


def _tokenized(text: str, folder: Path) -> list[int]:
    from transformers import AutoTokenizer
    from transformers import logging as said

    said.set_verbosity_error()  # about texts that are longer than the model takes
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            os.fspath(folder), local_files_only=True, trust_remote_code=False
        )
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    except Exception as error:  # transformers raises all kinds
        raise UsageError(
            f"{folder} has no tokenizer that can be read ({one_line(error, 120)}); give token ids as an .npy "
            "file."
        ) from error
    return ids
