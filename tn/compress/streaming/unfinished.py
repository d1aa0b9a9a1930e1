"""The folder that a streamed compression writes to: a model only when all of it is there.

Tensors of each finished block are in a file of their own, and the configuration, without which nothing takes
the folder for a model, comes last. Until then a folder `.unfinished` holds what a run that goes on needs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bondwise.runs import RunError, UsageError, one_line, read_json, require_room, write_atomically
from bondwise.runs.files import try_lock
from bondwise.tn.compress.checkpoints import CONFIG, tokenizer_files

_INDEX = "model.safetensors.index.json"
_LARGEST = 1 << 30  # bytes in a file, unless one tensor is larger


class Unfinished:
    """A folder that is being written to, by one process at a time.

    Args:
        out: The folder, made if needed.
        run: What is being done; a run that goes on must do the same.
        parts: Number of files that `write` will be called for.

    Raises:
        UsageError: If the folder holds a model, or what another run has not finished.
        RunError: If it cannot be written, or another process writes to it.
    """

    def __init__(self, out: Path, run: str, parts: int) -> None:
        self.out, self._notes, self._parts = out, out / ".unfinished", parts
        if (out / CONFIG).exists() or (any(out.glob("*.safetensors")) and not self._notes.exists()):
            raise UsageError(f"{out} holds a model already; give a new folder")
        try:
            self._notes.mkdir(parents=True, exist_ok=True)
            lock = try_lock(self._notes / "lock")
        except OSError as error:
            raise RunError(f"cannot write to {out}: {error.strerror or error}") from error
        if lock is None:
            raise RunError(f"another process is writing to {out}; wait for it, or give another folder")
        self._lock = lock
        try:
            require_room(self._notes)
            known = self.note("run")
            if known is None:
                self.write_note("run", run)
            elif known != run:
                raise UsageError(
                    f"{out} holds the unfinished work of a run with other arguments; repeat that, or delete "
                    f"{out}"
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other processes write to the folder."""
        os.close(self._lock)

    def note(self, name: str) -> Any:
        """What was noted under a name, None if nothing was."""
        path = self._notes / f"{name}.json"
        return read_json(path) if path.exists() else None

    def write_note(self, name: str, content: Any) -> None:
        """Note something that is made of numbers, texts, lists and dictionaries."""
        write_atomically(self._notes / f"{name}.json", json.dumps(content))

    def read(self, part: int) -> dict[str, Tensor] | None:
        """The tensors of a part, None if it is not written yet."""
        path = self.out / self._name(part)
        if not path.exists():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UsageError(
                f"{path} is damaged ({one_line(error)}); delete it to have it made again"
            ) from error

    def write(self, part: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the tensors of a part, completely or not at all."""
        write_atomically(self.out / self._name(part), save(dict(tensors), metadata={"format": "pt"}))

    def finish(
        self, stored: Mapping[int, Mapping[str, int]], config: Mapping[str, Any], source: Path
    ) -> None:
        """Make the folder a model.

        Args:
            stored: The bytes of each tensor of each part.
            config: Content of its configuration.
            source: Folder of the dense model, whose tokenizer is copied.
        """
        index = {
            "metadata": {"total_size": sum(sum(sizes.values()) for sizes in stored.values())},
            "weight_map": {
                name: self._name(part) for part, sizes in stored.items() for name in sorted(sizes)
            },
        }
        for name, content in tokenizer_files(source).items():
            write_atomically(self.out / name, content)
        write_atomically(self.out / _INDEX, json.dumps(index, indent=1))
        write_atomically(self.out / CONFIG, json.dumps(config, indent=2, default=str))
        shutil.rmtree(self._notes, ignore_errors=True)

    def _name(self, part: int) -> str:
        return f"model-{part + 1:05d}-of-{self._parts:05d}.safetensors"


def files_for(sizes: Mapping[str, int]) -> list[list[str]]:
    """Names of tensors in order, in parts of at most a gigabyte."""
    parts: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room:
            parts.append([])
            room = _LARGEST
        parts[-1].append(name)
        room -= size
    return parts
