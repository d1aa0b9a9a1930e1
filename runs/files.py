"""Files that are whole or absent: written beside their place, synced to the disk, then renamed onto it."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bondwise.runs.errors import RunError
from bondwise.runs.locks import try_lock

_PROBE = 1 << 16  # bytes that must find room before the work begins


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file so that a reader, or a crash, finds the old content or the new one, never a part.

    What a killed process left of an earlier try is removed.

    Args:
        path: The file to write; its folder must exist.
        content: Bytes, or text that is stored as UTF-8.

    Returns:
        The path written.

    Raises:
        RunError: The disk is full, the folder cannot be written, or there is something else than a file;
            what was there before is untouched.
    """
    path = Path(path)
    _require_file(path)
    data = content.encode() if isinstance(content, str) else content
    scratch = None
    try:
        name = os.fsencode(path.name)[:200].decode(errors="ignore")  # with what is added, 255 at most
        remove_leftovers(path.parent, name)
        handle, scratch = _scratch_file(path.parent, name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(scratch, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
            os.replace(scratch, path)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}. Free the disk or choose another folder."
        ) from error
    finally:
        if scratch is not None and os.path.exists(scratch):
            os.unlink(scratch)
    return path


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes were about to write; what a running one writes is locked and stays.

    Args:
        folder: Where.
        name: Of the file that was to be written; None for any.
    """
    pattern = "*" if name is None else glob.escape(name)
    for scrap in glob.glob(f".{pattern}.????????.part", root_dir=folder, include_hidden=True):
        with suppress(OSError):
            handle = os.open(folder / scrap, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / scrap)
            finally:
                os.close(handle)


def require_room(folder: Path) -> None:
    """Fail now, not after the work, if a folder cannot be written or its disk is full.

    Raises:
        RunError: It is so.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(_refusal(folder, error)) from error


class FileSet:
    """Files of one folder that belong together: a reader, or a crash, never finds some old and some new.

    The new files are written in full beside their places. Then the old ones go, the last of the list first,
    and the new ones come, the last of the list last: where that one is, the set is whole. A process that is
    killed in between leaves a part of one set, and the next `FileSet` of these files makes it whole.

    Args:
        paths: The files, all in one folder, which is made when they are written.

    Raises:
        RunError: The folder cannot be written, or its disk is full; of it nothing new stays.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._folder = paths[0].parent
        self._scratch = self._folder / f".{paths[0].name}.set"
        with self._place():
            require_room(self._folder)
            for path in paths:
                with suppress(FileNotFoundError):
                    os.lstat(path)  # a name may be too long
                _require_file(path)

    def write(self, contents: Mapping[Path, bytes | str]) -> None:
        """Write all files, or none.

        Args:
            contents: What is to be in each.

        Raises:
            RunError: The disk is full or read-only; what was there before is untouched.
        """
        with self._place():
            fresh = self._scratch / "fresh"
            fresh.mkdir()
            for path, content in contents.items():
                write_atomically(fresh / path.name, content)
            os.rename(fresh, self._scratch / "whole")
            self._settle()

    def _settle(self) -> None:
        """Put a set that is whole in the place of the old one."""
        whole = self._scratch / "whole"
        if whole.is_dir():
            waiting = [path for path in self._paths if (whole / path.name).exists()]
            for path in reversed(waiting):
                path.unlink(missing_ok=True)
            for path in waiting:
                os.rename(whole / path.name, path)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Make and lock the scratch folder; settle what a killed process left there; remove it at the end."""
        missing = [parent for parent in (self._folder, *self._folder.parents) if not parent.exists()]
        lock = None
        try:
            while lock is None:
                self._scratch.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # another process removed the folder just now
                    lock = try_lock(self._scratch / "lock", wait=True)
            self._settle()
            shutil.rmtree(self._scratch / "fresh", ignore_errors=True)
            shutil.rmtree(self._scratch / "whole", ignore_errors=True)
            yield
        except OSError as error:
            raise RunError(_refusal(self._folder, error)) from error
        except RunError as error:
            if error.__cause__ is None:
                raise
            raise RunError(_refusal(self._folder, error)) from error
        finally:
            if lock is not None:
                if not any((self._scratch / "whole").glob("*")):  # else the next process settles it
                    shutil.rmtree(self._scratch, ignore_errors=True)
                os.close(lock)
            for parent in missing:
                with suppress(OSError):  # it holds the results
                    parent.rmdir()


def _require_file(path: Path) -> None:
    """Refuse to replace a folder, or a device such as /dev/null."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise RunError(f"cannot write {path}: it is no regular file. Give another name.")


def _refusal(folder: Path, error: OSError | RunError) -> str:
    reason = getattr(error.__cause__ or error, "strerror", None) or error
    return f"cannot write in {folder}: {reason}. Free the disk or choose another folder."


def _scratch_file(folder: Path, name: str) -> tuple[int, str]:
    """A file to write in, locked."""
    while True:
        handle, scratch = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".part")
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else it was taken for a leftover before it was locked
            return handle, scratch
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
