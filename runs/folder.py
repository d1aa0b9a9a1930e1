"""The folder of one run: refused when it holds another run, locked while in use, every file in it whole.

A run that overwrites moves the earlier folder aside, in one rename, to `.NAME.bondwise-replaced` beside it,
and removes it once the new run has ended well. The lock of the earlier folder moves with it. So whatever
moment a process is killed at, the folder holds the files of one run, and the earlier one is whole somewhere:

- the folder is absent or holds nothing: the next process puts the earlier one back;
- the new run has begun: it can be resumed, and the earlier one stays aside until it ends;
- the new run has its `result.json`, which runs write last: the next process removes the earlier one.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bondwise.runs.errors import RunError, UsageError
from bondwise.runs.files import remove_leftovers, require_room, write_atomically
from bondwise.runs.locks import try_lock
from bondwise.runs.text import json_text

_MARK = ".bondwise"  # also the lock file: a folder that has it was made by a run
_SETTINGS = "settings.json"  # the first file of a run that can be resumed
_RESULT = "result.json"  # the last file of any
_PATIENCE = 5.0  # seconds that another process has to see that the folder is in use and to go


class RunFolder:
    """A folder for what a run writes, to be used as `with RunFolder("runs/demo") as folder:`.

    Nothing half-written stays behind: when the run fails before its first file, or by wrong use
    (`UsageError`) before `keep`, a new folder is removed, and one to be overwritten is as it was.

    Args:
        path: The folder; parents are made.
        overwrite: Replace the earlier run in the folder; it is removed once this one has ended well.
        resume: Go on in the folder of an earlier run, whose files are kept; None if runs of this kind cannot.

    Raises:
        UsageError: The folder has content and neither flag is given; it is not the folder of a run; both
            flags are given; or another run is using it.
        RunError: The folder cannot be made, written or moved, or its disk is full.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, resume: bool | None = None
    ) -> None:
        self.path = Path(path)
        if overwrite and resume:
            raise UsageError("overwrite and resume exclude each other; give one of them.")
        self._overwrite, self._resume = overwrite, resume
        self._lock: int | None = None
        self._aside_lock: int | None = None
        self._kept = self._new = False
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            self._real = Path(os.path.realpath(self.path))
            self._aside = self._beside("replaced")
            self._require_run()
            self._take()
            self._begin()
            require_room(self.path)
        except BaseException as error:
            if self._aside_lock is not None and not self._entries():
                self._put_back()
            self._remove_made()
            self._release()
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise RunError(f"cannot write in {self.path}: {reason}. Choose another folder.") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._aside_lock is not None:
                self._remove(self._aside)
        elif not self._resume:
            wrong_use = issubclass(kind, UsageError) and not self._kept
            if not self._entries() or wrong_use or (self._aside_lock is not None and self._useless()):
                if self._aside_lock is not None:
                    self._put_back()
                elif self._made or self._new:
                    for entry in self._entries():
                        _delete(entry)
                    self._remove_made()
        self._release()

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

    def _require_run(self) -> None:
        """Refuse what is no folder of a run, and a resumption where there is nothing."""
        if self._real.exists() and not self._real.is_dir():
            raise UsageError(f"{self.path} is a file; give a folder.")
        held = os.listdir(self._real) if self._real.is_dir() else []
        if held and _MARK not in held:
            raise UsageError(f"{self.path} is not empty and was not made by a run; give a new folder.")
        if not held and self._resume and not self._aside.exists():
            raise UsageError(f"there is no run to resume in {self.path}; leave out --resume.")

    def _take(self) -> None:
        """Lock the folder, and the earlier one that a killed run set aside if there is one."""
        while True:
            if (self._aside / _MARK).exists():
                self._aside_lock = self._locked(self._aside)
                if not self._entries() or self._useless():
                    self._put_back()
            if self._lock is None:
                missing = [folder for folder in (self._real, *self._real.parents) if not folder.exists()]
                self._made = self._made or missing
                self._real.mkdir(parents=True, exist_ok=True)
                self._new = not os.listdir(self._real)
                with suppress(FileNotFoundError):  # another process moved the folder just now
                    self._lock = self._locked(self._real)
            if self._lock is not None:
                if self._aside_lock is not None or not (self._aside / _MARK).exists():
                    break
                os.close(self._lock)  # another process moved the folder aside since we looked
                self._lock = None
        for leftover in ("trash", "next"):
            shutil.rmtree(self._beside(leftover), ignore_errors=True)
        remove_leftovers(self._real)
        if self._aside_lock is not None and (self._real / _RESULT).exists():
            self._remove(self._aside)
            os.close(self._aside_lock)
            self._aside_lock = None

    def _locked(self, folder: Path) -> int:
        handle = try_lock(folder / _MARK)
        if handle is None:
            raise UsageError(f"{self.path} is in use by another run; wait for it or give another folder.")
        return handle

    def _begin(self) -> None:
        """Make the place for this run: refuse an earlier one, or move it aside."""
        if not self._entries() or self._resume:
            return
        if not self._overwrite:
            ways = "--overwrite to replace it, " + ("" if self._resume is None else "--resume to go on, ")
            raise UsageError(f"{self.path} holds an earlier run; give {ways}or another folder.")
        here = Path.cwd()
        if self._real in (here, *here.parents):
            raise UsageError(f"{self.path} cannot be replaced while you are in it; leave it with cd first.")
        fresh = self._beside("next")
        fresh.mkdir()
        shutil.copymode(self._real, fresh)
        lock = self._locked(fresh)  # before it can be seen in its place
        try:
            if self._aside_lock is None:
                os.rename(self._real, self._aside)
                self._aside_lock, self._lock = self._lock, None
            else:  # what is there was itself to replace that which is aside, and has no result
                self._remove(self._real)
            _rename(fresh, self._real)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            os.close(lock)
            raise
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _put_back(self) -> None:
        """Put the earlier folder in its place again, and remove what is there."""
        if self._real.exists():
            self._remove(self._real)
        _rename(self._aside, self._real)
        if self._lock is not None:
            os.close(self._lock)
        self._lock, self._aside_lock = self._aside_lock, None
        self._made, self._new = [], False

    def _remove(self, folder: Path) -> None:
        """Remove a folder; to a process that is killed meanwhile it is there in full or not at all."""
        trash = self._beside("trash")
        shutil.rmtree(trash, ignore_errors=True)
        os.rename(folder, trash)
        shutil.rmtree(trash, ignore_errors=True)

    def _remove_made(self) -> None:
        """Remove folders that were made for nothing."""
        if self._lock is not None and (self._made or self._new) and not self._entries():
            with suppress(OSError):
                (self._real / _MARK).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):  # something is in it
                folder.rmdir()

    def _release(self) -> None:
        for lock in (self._lock, self._aside_lock):
            if lock is not None:
                os.close(lock)
        self._lock = self._aside_lock = None

    def _entries(self) -> list[Path]:
        """What a run wrote, without what a killed one was about to write."""
        if not self._real.is_dir():
            return []
        return [
            entry
            for entry in self._real.iterdir()
            if entry.name != _MARK and not (entry.name.startswith(".") and entry.name.endswith(".part"))
        ]

    def _useless(self) -> bool:
        """Whether the run cannot be resumed and has no result either."""
        written = (self._real / _SETTINGS, self._real / _RESULT)
        return self._resume is None and not any(path.exists() for path in written)

    def _beside(self, what: str) -> Path:
        return self._real.parent / f".{self._real.name}.bondwise-{what}"


def _rename(folder: Path, place: Path) -> None:
    """Rename a folder to a place where another process may just be looking for one."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.rename(folder, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
