"""The folder of one run: locked while in use, free of half-written files, and never shared by two runs.

A run that overwrites first moves the earlier folder aside, in one rename, to `.NAME.bondwise-replaced` next
to it, and removes it after the new run has succeeded. The lock of the earlier folder moves with it. Whenever
a process is killed, the folder therefore holds the files of one run only, and the earlier run is still
complete, in its place or aside:

- If the folder is missing or empty, the next process restores the earlier one.
- If the new run has begun, it can be resumed, and the earlier one stays aside until it ends.
- If the new run has written `result.json`, its last file, the next process removes the earlier one.

Files that others put there after a run had ended are not overwritten.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bondwise.runs.errors import RunError, Stopped, UsageError
from bondwise.runs.files import is_at, kept_id, remove_leftovers, require_room, try_lock, write_atomically
from bondwise.runs.text import json_text

_MARK = ".bondwise"  # also the lock file, with the names of the run's files; a run made a folder that has it
_SETTINGS = "settings.json"  # the first file of a run that can be resumed
_RESULT = "result.json"  # the last file of any run
_PATIENCE = 5.0  # seconds for another process to notice that the folder is in use and to leave


class RunFolder:
    """The folder of a run, used as a context manager.

    Nothing half-written is left behind: if the run fails before its first file, or with `UsageError` or
    `Stopped` before `keep`, a new folder is removed, and an overwritten one is restored.

    Args:
        path: Path of the folder; parents are created.
        overwrite: Whether to replace an earlier run in the folder, which is removed after this one succeeds.
        resume: Whether to continue in the folder of an earlier run and keep its files; None if runs of this
            kind cannot be resumed.

    Raises:
        UsageError: If the folder is not empty and neither flag is set; if it is not the folder of a run; if
            both flags are set; if another run is using it; or if it is to be replaced and holds files that
            no run wrote.
        RunError: If the folder cannot be created, written or moved, or its disk is full.

    Example:
        >>> from bondwise.runs import RunFolder, read_json
        >>> with RunFolder("runs/demo") as folder:
        ...     path = folder.write_json("result.json", {"energy": -1.5})
        >>> read_json(path)
        {'energy': -1.5}
    """

    def __init__(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, resume: bool | None = None
    ) -> None:
        self.path = Path(path)
        if overwrite and resume:
            raise UsageError("overwrite=True and resume=True are mutually exclusive; give only one of them.")
        self._overwrite, self._resume = overwrite, resume
        self._lock: int | None = None
        self._aside_lock: int | None = None
        self._kept = self._new = self._tentative = False
        self._made: list[Path] = []
        self._others: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self.check()
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
                raise RunError(f"cannot write to {self.path}: {reason}. Choose another folder.") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._aside_lock is not None:
                self._remove(self._aside)
        elif not self._resume:
            wrong_use = (self._tentative or issubclass(kind, UsageError | Stopped)) and not self._kept
            if not self._entries() or wrong_use or (self._aside_lock is not None and self._useless()):
                if self._aside_lock is not None:
                    self._put_back()
                elif self._made or self._new:
                    for entry in self._entries():
                        _delete(entry)
                    self._remove_made()
        self._note_files()
        self._release()

    @property
    def run_id(self) -> str:
        """Identifier of the run, made once per folder: jobs are recorded under it.

        Raises:
            RunError: If it cannot be written.
        """
        return kept_id(self.path / "run-id.txt")

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """A context of what comes before the run itself: if it fails, whatever the error, nothing is left."""
        self._tentative = True
        yield
        self._tentative = False

    def keep(self) -> None:
        """Keep the files written so far even if the run fails."""
        self._kept = True

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file of the run, whole or not at all.

        Args:
            name: Name of the file.
            content: Bytes, or text to be stored as UTF-8.

        Returns:
            Path of the file.

        Raises:
            RunError: If the disk is full or read-only.
        """
        return write_atomically(self.path / name, content)

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file of the run, with null for NaN and infinity, which JSON does not have.

        Args:
            name: Name of the file.
            content: Nested dictionaries and lists of None, booleans, numbers and strings.

        Returns:
            Path of the file.

        Raises:
            RunError: If the disk is full or read-only, or the content is not JSON.
        """
        try:
            text = json_text(content)
        except TypeError as error:
            raise RunError(f"{name} cannot be written as JSON: {error}.") from error
        return self.write(name, text + "\n")

    def check(self) -> None:
        """Refuse anything that is not the folder of a run, and resuming without an earlier run.

        Entering the folder does this first.

        Raises:
            UsageError: If there is something else at the path, or no run to resume.
        """
        self._real = Path(os.path.realpath(self.path))
        self._aside = self._beside("replaced")
        if self._real.exists() and not self._real.is_dir():
            raise UsageError(f"{self.path} is a file; give a folder.")
        held = _listed(self._real)
        if held and _MARK not in held:
            raise UsageError(f"{self.path} is not empty and was not made by a run; give a new folder.")
        if not held and self._resume and not self._aside.exists():
            raise UsageError(f"there is no run to resume in {self.path}; leave out resume=True.")

    def _take(self) -> None:
        """Lock the folder, and the earlier one that a killed run has moved aside, if any."""
        while True:
            if (self._aside / _MARK).exists():
                with suppress(FileNotFoundError):  # another process has just put it back
                    self._aside_lock = self._locked(self._aside)
                if self._aside_lock is not None and (not self._entries() or self._useless()):
                    self._put_back()
            if self._lock is None:
                missing = [folder for folder in (self._real, *self._real.parents) if not folder.exists()]
                self._made = self._made or missing
                self._make()
                self._new = not _listed(self._real)
                with suppress(FileNotFoundError):  # another process has just moved the folder
                    self._lock = self._locked(self._real)
            if self._lock is not None:
                # another process may have moved the folder aside, or another folder here, in the meantime
                alone = self._aside_lock is not None or not (self._aside / _MARK).exists()
                if alone and is_at(self._lock, self._real / _MARK):
                    break
                os.close(self._lock)
                self._lock = None
        for leftover in ("trash", "next"):
            shutil.rmtree(self._beside(leftover), ignore_errors=True)
        remove_leftovers(self._real)
        if self._aside_lock is not None and (self._real / _RESULT).exists():
            self._remove(self._aside)
            os.close(self._aside_lock)
            self._aside_lock = None

    def _make(self) -> None:
        try:
            self._real.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # also if another process moves a folder that is there
            if self._real.exists() and not self._real.is_dir():
                raise

    def _locked(self, folder: Path) -> int:
        handle = try_lock(folder / _MARK)
        if handle is None:
            raise UsageError(f"{self.path} is in use by another run; wait for it or give another folder.")
        return handle

    def _begin(self) -> None:
        """Make room for this run: refuse an earlier one, or move it aside."""
        if not self._entries():
            return
        self._others = self._not_of_runs()
        if self._resume:
            return
        if not self._overwrite:
            ways = "overwrite=True to replace it, " + (
                "" if self._resume is None else "resume=True to continue it, "
            )
            raise UsageError(f"{self.path} holds an earlier run; give {ways}or another folder.")
        if self._others:
            raise UsageError(
                f"{self.path} holds {min(self._others)}, which is of no run; move it elsewhere, or give "
                "another folder."
            )
        here = Path.cwd()
        if self._real in (here, *here.parents):
            raise UsageError(
                f"{self.path} cannot be replaced while it is the working directory; leave it with cd first."
            )
        fresh = self._beside("next")
        fresh.mkdir()
        shutil.copymode(self._real, fresh)
        lock = self._locked(fresh)  # before other processes can see it
        try:
            if self._aside_lock is None:
                os.rename(self._real, self._aside)
                self._aside_lock, self._lock = self._lock, None
            else:  # the run in place has no result, and the one aside is older
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
        """Restore the earlier folder and remove the new one."""
        if self._real.exists():
            self._remove(self._real)
        _rename(self._aside, self._real)
        if self._lock is not None:
            os.close(self._lock)
        self._lock, self._aside_lock = self._aside_lock, None
        self._made, self._new = [], False

    def _remove(self, folder: Path) -> None:
        """Remove a folder so that it is complete or gone, even if this process is killed."""
        trash = self._beside("trash")
        shutil.rmtree(trash, ignore_errors=True)
        os.rename(folder, trash)
        shutil.rmtree(trash, ignore_errors=True)

    def _remove_made(self) -> None:
        """Remove folders that were created but are not needed."""
        if self._lock is not None and (self._made or self._new) and not self._entries():
            with suppress(OSError):
                (self._real / _MARK).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):  # a folder that is not empty stays
                folder.rmdir()

    def _release(self) -> None:
        for lock in (self._lock, self._aside_lock):
            if lock is not None:
                os.close(lock)
        self._lock = self._aside_lock = None

    def _entries(self) -> list[Path]:
        """The files of the run, without temporary files of killed processes."""
        return [
            self._real / name
            for name in _listed(self._real)
            if name != _MARK and not (name.startswith(".") and name.endswith(".part"))
        ]

    def _files(self) -> set[str]:
        """Paths of all files in the folder, relative to it."""
        entries = self._entries()
        deeper = [path for one in entries if one.is_dir() and not one.is_symlink() for path in one.rglob("*")]
        files = {path for path in (*entries, *deeper) if path.is_symlink() or not path.is_dir()}
        return {path.relative_to(self._real).as_posix() for path in files}

    def _note_files(self) -> None:
        """Write down which files are of a run, to tell those apart that are put there later."""
        with suppress(OSError):  # nothing is lost but the list
            if self._lock is not None and (files := self._files()):
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, json.dumps(sorted(files - self._others)).encode(), 0)

    def _not_of_runs(self) -> set[str]:
        """Files that were put in the folder after its run; of a killed one nobody knows."""
        try:
            known = json.loads((self._real / _MARK).read_text("utf-8"))
        except (OSError, ValueError):
            return set()
        return self._files() - set(known) if isinstance(known, list) else set()

    def _useless(self) -> bool:
        """Whether the run cannot be resumed and has no result."""
        written = (self._real / _SETTINGS, self._real / _RESULT)
        return self._resume is None and not any(path.exists() for path in written)

    def _beside(self, what: str) -> Path:
        return self._real.parent / f".{self._real.name}.bondwise-{what}"


def _rename(folder: Path, place: Path) -> None:
    """Rename a folder, waiting while another process occupies the new name."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.rename(folder, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or time.monotonic() > deadline:
                raise
            _clear(place)
            time.sleep(0.01)


def _clear(folder: Path) -> None:
    """Remove the mark of a process that has left a folder, or was killed, before its run began."""
    with suppress(OSError):
        if os.listdir(folder) == [_MARK] and (lock := try_lock(folder / _MARK)) is not None:
            if os.listdir(folder) == [_MARK]:
                (folder / _MARK).unlink()
            os.close(lock)


def _listed(folder: Path) -> list[str]:
    """Names of the entries; none if there is no such folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
