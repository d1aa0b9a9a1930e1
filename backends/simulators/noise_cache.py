"""Arrays that are slow to compute, cached on disk in $BONDWISE_CACHE or the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bondwise.runs import RunError, write_atomically


def cache_folder() -> Path:
    """The folder of cached arrays, which may not exist yet."""
    chosen = os.environ.get("BONDWISE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bondwise"


def cached_arrays(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays stored under a name, or those that `make()` returns, which are then stored.

    A missing, truncated or altered file is replaced. Without a writable folder, nothing is stored.

    Args:
        name: File name without suffix; must change whenever the content would.
        make: Function that computes the arrays, complex128.
    """
    try:
        path = cache_folder() / f"{name}.safetensors"
    except RuntimeError:  # the user has no home folder, as in many containers
        return make()
    arrays = _read(path)
    if arrays is None:
        arrays = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _pack(arrays))
        except (OSError, RunError):
            pass
    return arrays


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    # safetensors has no complex128; real and imaginary parts alternate
    plain = {key: np.ascontiguousarray(array).view(float) for key, array in arrays.items()}
    return save(plain, metadata={"checksum": _checksum(plain)})


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with safe_open(path, framework="numpy") as file:
            plain = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    if metadata.get("checksum") != _checksum(plain):
        return None
    return {key: array.view(complex) for key, array in plain.items()}


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key}{arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()
