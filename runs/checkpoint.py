"""Checkpoints: any nesting of dicts, lists, numbers, arrays and tensors in one file, whole or absent.

Arrays and tensors are stored as safetensors; the nesting around them is JSON in the file's header, with a
checksum and the fingerprint of the run that wrote it. One file means one rename: there is no moment at which
the tensors are of one step and the JSON of another.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bondwise.runs.errors import UsageError
from bondwise.runs.files import write_atomically
from bondwise.runs.limits import require_within
from bondwise.runs.nesting import pack, unpack
from bondwise.runs.reading import one_line

_FORMAT = "bondwise checkpoint 1"


def save_checkpoint(path: str | os.PathLike[str], state: Any, *, run: str) -> Path:
    """Write the state of a run.

    Args:
        path: The file, customarily ending in `.safetensors`.
        state: Nested dicts (keys: strings or integers), lists and tuples of numbers, strings, booleans, None,
            numpy arrays, torch tensors and circuits. Dtypes and bits are kept.
        run: Fingerprint of what is being run; reading it back needs the same.

    Raises:
        UsageError: The state holds something else, such as an object.
        RunError: The disk is full or read-only; the previous checkpoint is untouched.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(pack(state, tensors))
    header = {"format": _FORMAT, "run": run, "state": skeleton, "checksum": _checksum(skeleton, tensors)}
    return write_atomically(path, save(tensors, metadata=header))


def load_checkpoint(path: str | os.PathLike[str], *, run: str) -> Any:
    """Read back what `save_checkpoint` wrote.

    Args:
        path: The file.
        run: The fingerprint given when it was written.

    Returns:
        The state as it was; tensors are on the CPU.

    Raises:
        UsageError: There is no such file, it is cut or damaged, or it belongs to another run.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}; start without resuming.")
    require_within("array_bytes", path.stat().st_size, f"checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    if header.get("format") != _FORMAT:
        raise UsageError(f"{path} is not a checkpoint of bondwise; give the file that a run wrote.")
    try:
        intact = header["checksum"] == _checksum(header["state"], tensors)
    except (KeyError, TypeError, RuntimeError) as error:  # a field is missing; a dtype that numpy lacks
        raise _damaged(path, error) from error
    if not intact:
        raise _damaged(path, "checksum differs")
    if header.get("run") != run:
        raise UsageError(
            f"checkpoint {path} belongs to another run (circuit, Hamiltonian or settings differ); "
            "repeat the settings it was made with, or start without resuming."
        )
    try:
        return unpack(json.loads(header["state"]), tensors)
    except Exception as error:  # whoever wrote it computed a checksum of nonsense
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: BaseException | str) -> UsageError:
    return UsageError(
        f"checkpoint {path} is cut or damaged ({one_line(reason)}); delete it and start without resuming."
    )


def _checksum(skeleton: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(skeleton.encode())
    for key in sorted(tensors):
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()
