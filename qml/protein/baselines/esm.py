"""The language-model baseline: logistic regression on ESM-2 (Lin et al., Science 379, 1123, 2023).

The features of a protein are the mean of the model's last hidden states over its residues, without the tokens
at its beginning and its end. The language model itself is not trained. Its weights must be on the local disk,
as safetensors: nothing is downloaded, and no pickle is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download

from bondwise.qml.protein.baselines.linear_baselines import FeatureRegression
from bondwise.qml.protein.classifiers.training import batches
from bondwise.runs import UsageError, progress_bar, unchanged_process, whole_number

with unchanged_process():
    from transformers import EsmModel, EsmTokenizer
    from transformers.utils import logging

_LONGEST = 1022  # residues; ESM-2 was trained on these and two special tokens
_CONFIG, _VOCABULARY, _WEIGHTS = "config.json", "vocab.txt", "model.safetensors"


class EsmLR(FeatureRegression):
    """Logistic regression on mean-pooled ESM-2 states: 321 parameters on top of at least 8 million.

    Only the first 1,022 residues of a protein are read.

    Args:
        model: Folder with `config.json`, `vocab.txt` and `model.safetensors`, or a name on the Hugging Face
            hub whose files are in the local cache.
        batch_size: Number of proteins that the language model reads at once.

    Example:
        >>> from bondwise.qml.protein import EsmLR
        >>> EsmLR(model="esm2_t6_8M_UR50D")  # fit and predict read this folder
        EsmLR(model='esm2_t6_8M_UR50D')
    """

    def __init__(self, *, model: str = "facebook/esm2_t6_8M_UR50D", batch_size: int = 16) -> None:
        self.model = model
        self.batch_size = batch_size

    def embed(self, sequences: list[str], *, progress: bool = False) -> np.ndarray:
        """Mean last hidden states, float32 (N, width of the model).

        Args:
            sequences: Standardized proteins.
            progress: Whether to show a progress bar.

        Raises:
            UsageError: If the weights are not on the local disk or not of an ESM-2 model, or `batch_size` is
                not a positive whole number.
        """
        size = whole_number("batch_size", self.batch_size)
        if getattr(self, "_loaded", None) != self.model:
            self._encoder, self._tokenizer = _load(self.model)
            self._loaded = self.model
        cut = [sequence[:_LONGEST] for sequence in sequences]
        found = np.empty((len(cut), self._encoder.config.hidden_size), dtype=np.float32)
        with torch.no_grad(), progress_bar(len(cut), "ESM-2", progress) as bar:
            for numbers in batches([len(s) for s in cut], size, shuffle=False):
                texts = [cut[number] for number in numbers]
                batch = self._tokenizer(texts, padding=True, return_tensors="pt")
                states = self._encoder(**batch).last_hidden_state
                for number, text, row in zip(numbers, texts, states, strict=True):
                    found[number] = row[1 : len(text) + 1].mean(0).numpy()
                bar.update(len(numbers))
        return found

    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> np.ndarray:
        return self.embed(sequences, progress=progress)


def _load(model: str) -> tuple[EsmModel, EsmTokenizer]:
    folder = _folder(model)
    try:
        with _quiet():
            loaded: Any = EsmModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                add_pooling_layer=False,
                output_loading_info=True,
            )
        encoder, report = loaded
        tokenizer = EsmTokenizer(str(folder / _VOCABULARY))
    except Exception as error:  # JSON, safetensors and sizes that do not fit all raise their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"{folder} cannot be read as an ESM-2 model ({reason}); download it again."
        ) from error
    # these two do not affect the hidden states
    missing = [key for key in report["missing_keys"] if "contact_head" not in key and "inv_freq" not in key]
    if missing:
        raise UsageError(
            f"the weights in {folder} are not those of an ESM-2 model: {sorted(missing)[0]} is missing; "
            "pass the folder of one, such as facebook/esm2_t6_8M_UR50D."
        )
    return encoder.float().eval(), tokenizer


def _folder(model: str) -> Path:
    """The folder of a model's files, without a request to the hub."""
    folder = Path(model)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(model, local_files_only=True))
        except (OSError, ValueError):  # not in the cache, or not a name
            raise UsageError(
                f"{model} is neither a folder nor in the local Hugging Face cache; run "
                "`hf download facebook/esm2_t6_8M_UR50D` with a network connection, or set model= to a "
                f"folder with {_CONFIG}, {_VOCABULARY} and {_WEIGHTS}."
            ) from None
    lacking = [name for name in (_CONFIG, _VOCABULARY, _WEIGHTS) if not (folder / name).is_file()]
    if lacking:
        raise UsageError(
            f"{folder} has no {' and no '.join(lacking)}; download {'them' if lacking[1:] else 'it'} there "
            "from an ESM-2 model such as facebook/esm2_t6_8M_UR50D."
        )
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the library's own bar and its list of unused weights, those of the masked-residue head."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
