"""What is finished of a long computation, kept in a folder, so that a killed one continues from there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bondwise.runs import limit, load_checkpoint, save_checkpoint
from bondwise.tn.compress.calibration.kept import packed_moments, unpacked_moments
from bondwise.tn.compress.calibration.moments import Moments


class Journal:
    """A folder with a file for every finished part.

    Args:
        folder: The folder, made if needed; None to keep nothing.
        settings: What the computation depends on: modules, tensors, batches, and anything with a `repr`.
            Parts of a computation with others are refused.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *settings: Any) -> None:
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            for one in settings:
                feed(digest, one)
            self._run = digest.hexdigest()

    def get(self, name: str) -> Any:
        """A part, or None if it is not finished.

        Raises:
            UsageError: If it is damaged, or of another computation.
        """
        if self._folder is None or not self._path(name).exists():
            return None
        return load_checkpoint(self._path(name), run=self._run)

    def put(self, name: str, part: Any) -> Any:
        """Keep a part, unless it is too large to be read again, and return it."""
        if self._folder is not None and _size(part) < limit("array_bytes"):
            save_checkpoint(self._path(name), part, run=self._run)
        return part

    def moments(self, measure: Callable[[], Moments]) -> Moments:
        """Those that are kept, or measured ones, which are then kept."""
        kept = self.get("moments")
        if kept is not None:
            return unpacked_moments(kept)
        moments = measure()
        self.put("moments", packed_moments(moments))
        return moments

    def remove(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.safetensors"


def feed(digest: Any, one: Any) -> None:
    """Add a module, a tensor, batches, or anything with a `repr`, to a checksum."""
    if isinstance(one, nn.Module):
        one = one.state_dict()
    if isinstance(one, torch.Tensor):
        digest.update(f"{one.dtype} {tuple(one.shape)}".encode())
        if one.numel():
            digest.update(one.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(one, Mapping):
        for key, value in one.items():
            feed(digest, key)
            feed(digest, value)
    elif isinstance(one, list | tuple):
        for value in one:
            feed(digest, value)
    else:
        digest.update(repr(one).encode())


def _size(part: Any) -> int:
    """Bytes of the tensors in a part."""
    if isinstance(part, torch.Tensor):
        return part.nbytes
    if isinstance(part, Mapping):
        return sum(map(_size, part.values()))
    return sum(map(_size, part)) if isinstance(part, Sequence) and not isinstance(part, str) else 0
