"""The folder of one run: refused when it holds another run, locked while in use, every file in it whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bondwise.runs.errors import RunError, UsageError
from bondwise.runs.files import write_atomically
from bondwise.runs.text import json_text

_MARK = ".bondwise"  # also the lock file: a folder that has it was made by a run
_ASIDE = ".replaced"  # what a run that overwrites found, until it is clear that the run stands


class RunFolder:
    """A folder for what a run writes, to be used as `with RunFolder("runs/demo") as folder:`.

    Nothing half-written stays behind: when the run fails before its first file, or by wrong use
    (`UsageError`) before `keep`, a new folder is removed, and one to be overwritten is as it was.

    Args:
        path: The folder; parents are made.
        overwrite: Empty the folder if an earlier run made it.
        resume: Go on in the folder of an earlier run, whose files are kept; None if runs of this kind cannot.

    Raises:
        UsageError: The folder has content and neither flag is given; it is not the folder of a run; both
            flags are given; or another run is using it.
        RunError: The folder cannot be made or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, resume: bool | None = None
    ) -> None:
        self.path = Path(path)
        if overwrite and resume:
            raise UsageError("overwrite and resume exclude each other; give one of them.")
        self._overwrite, self._resume = overwrite, resume
        self._lock: int | None = None
        self._new = self._kept = False
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; give a folder.")
        mark = self.path / _MARK
        entries = list(self.path.iterdir()) if self.path.is_dir() else []
        if entries and mark not in entries:
            raise UsageError(f"{self.path} is not empty and was not made by a run; give a new folder.")
        if not entries and self._resume:
            raise UsageError(f"there is no run to resume in {self.path}; leave out --resume.")
        try:
            self._new = not entries
            missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._made = missing
            self._lock = os.open(mark, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            self._forget()
            raise RunError(
                f"cannot write in {self.path}: {error.strerror}. Choose another folder."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = None
            raise UsageError(
                f"{self.path} is in use by another run; wait for it or give another folder."
            ) from error
        for scrap in self.path.glob(".*.part"):  # what a killed run was about to write
            scrap.unlink()
        if self._entries() and not (self._overwrite or self._resume):
            os.close(self._lock)
            self._lock = None
            ways = "--overwrite to replace it, " + ("" if self._resume is None else "--resume to go on, ")
            raise UsageError(f"{self.path} holds an earlier run; give {ways}or another folder.")
        aside = self.path / _ASIDE
        if aside.exists():  # a run that was to replace it was killed
            shutil.rmtree(aside)
        if self._overwrite and self._entries():
            aside.mkdir()
            for entry in self._entries():
                entry.rename(aside / entry.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._forget(everything=issubclass(kind, UsageError) and not self._kept)
        if (self.path / _ASIDE).exists():
            shutil.rmtree(self.path / _ASIDE)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _forget(self, everything: bool = False) -> None:
        """Remove what this run made if nothing of worth is in it, and put back what it was to replace."""
        if not self.path.is_dir() or self._resume or (self._entries() and not everything):
            return
        for entry in self._entries():
            _remove(entry)
        if (self.path / _ASIDE).exists():
            for entry in (self.path / _ASIDE).iterdir():
                entry.rename(self.path / entry.name)
        elif self._new:
            (self.path / _MARK).unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()

    def _entries(self) -> list[Path]:
        return [entry for entry in self.path.iterdir() if entry.name not in (_MARK, _ASIDE)]

    def keep(self) -> None:
        """From here on what is in the folder is worth keeping, whatever happens."""
        self._kept = True

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file of the run, whole or not at all.

        Raises:
            RunError: The disk is full or read-only.
        """
        return write_atomically(self.path / name, content)

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file of the run; NaN and infinity, which JSON has not, are written as null.

        Raises:
            RunError: The disk is full or read-only, or the content is not JSON.
        """
        try:
            text = json_text(content)
        except TypeError as error:
            raise RunError(f"{name} cannot be written as JSON: {error}.") from error
        return self.write(name, text + "\n")


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
