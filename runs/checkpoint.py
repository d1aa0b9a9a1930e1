"""Checkpoints: nested data with arrays and tensors in a single file, written whole or not at all.

Arrays and tensors are stored as safetensors; the nesting around them is JSON in the header of the file, with
a checksum and the fingerprint of the run that wrote it. One file means one rename, so the tensors and the
JSON always belong to the same step.
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
    """Write the state of a run to a file.

    Args:
        path: Path of the file, usually ending in `.safetensors`.
        state: Nested dictionaries (with strings or integers as keys), lists and tuples of numbers, strings,
            booleans, None, NumPy arrays, torch tensors and circuits. Values and dtypes are preserved exactly.
        run: Fingerprint of the run, which `load_checkpoint` must be given again.

    Returns:
        Path of the file.

    Raises:
        UsageError: If the state contains anything else.
        RunError: If the disk is full or read-only; the previous checkpoint is untouched.

    Example:
        >>> import numpy as np
        >>> from bondwise.runs import load_checkpoint, save_checkpoint
        >>> path = save_checkpoint("run.safetensors", {"step": 3, "angles": np.zeros(2)}, run="a1")
        >>> load_checkpoint(path, run="a1")
        {'step': 3, 'angles': array([0., 0.])}
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(pack(state, tensors))
    header = {"format": _FORMAT, "run": run, "state": skeleton, "checksum": _checksum(skeleton, tensors)}
    return write_atomically(path, save(tensors, metadata=header))


def load_checkpoint(path: str | os.PathLike[str], *, run: str) -> Any:
    """Read the state that `save_checkpoint` wrote.

    Args:
        path: Path of the file.
        run: Fingerprint of the run, as given to `save_checkpoint`.

    Returns:
        The state, with tensors on the CPU.

    Raises:
        UsageError: If there is no such file, if it is truncated or damaged, or if it belongs to another run.

    Example:
        >>> from bondwise.runs import load_checkpoint, save_checkpoint
        >>> path = save_checkpoint("run.safetensors", {"step": 3}, run="a1")
        >>> load_checkpoint(path, run="another run")
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: checkpoint run.safetensors belongs to another run ...
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}; start without resuming.")
    require_within("array_bytes", path.stat().st_size, f"checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is not a dict)
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    if header.get("format") != _FORMAT:
        raise UsageError(f"{path} is not a bondwise checkpoint; give a file that a run wrote.")
    try:
        intact = header["checksum"] == _checksum(header["state"], tensors)
    except (KeyError, TypeError, RuntimeError) as error:  # a missing field
        raise _damaged(path, error) from error
    if not intact:
        raise _damaged(path, "checksum differs")
    if header.get("run") != run:
        raise UsageError(
            f"checkpoint {path} belongs to another run (circuit, Hamiltonian or settings differ); "
            "use the same settings again, or start without resuming."
        )
    try:
        return unpack(json.loads(header["state"]), tensors)
    except Exception as error:  # the checksum is valid, the content is not
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: BaseException | str) -> UsageError:
    return UsageError(
        f"checkpoint {path} is truncated or damaged ({one_line(reason)}); "
        "delete it and start without resuming."
    )


def _checksum(skeleton: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(skeleton.encode())
    for key in sorted(key for key, tensor in tensors.items() if tensor.numel()):
        digest.update(tensors[key].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
