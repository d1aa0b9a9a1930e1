"""Atomic writes: files go to a temporary file, are synced to disk, and are then renamed."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bondwise.runs.errors import RunError, UsageError

_PROBE = 1 << 16  # bytes that must fit on the disk before the work begins


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file atomically: even after a crash, readers see either the old content or the new.

    Temporary files of killed processes are removed.

    Args:
        path: Path of the file; its folder must exist.
        content: Bytes, or text to be stored as UTF-8.

    Returns:
        Path of the file.

    Raises:
        UsageError: If its folder does not exist.
        RunError: If the disk is full, the folder is not writable, or the path is something other than a file;
            the old content is untouched.

    Example:
        >>> from bondwise.runs import write_atomically
        >>> write_atomically("energy.txt", "-1.5").read_text()
        '-1.5'
    """
    path = Path(path)
    _require_folder(path)
    _require_file(path)
    data = content.encode() if isinstance(content, str) else content
    scratch = None
    try:
        name = os.fsencode(path.name)[:200].decode(
            errors="ignore"
        )  # at most 255 with the affixes of the temporary file
        remove_leftovers(path.parent, name)
        handle, scratch = _scratch_file(path.parent, name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(scratch, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            os.replace(scratch, path)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}. Free disk space or choose another folder."
        ) from error
    finally:
        if scratch is not None and os.path.exists(scratch):
            os.unlink(scratch)
    return path


def kept_id(path: str | os.PathLike[str]) -> str:
    """The identifier that a file holds; a new random one is written if there is no file.

    Args:
        path: Path of the file; its folder must exist.

    Returns:
        16 hexadecimal digits.

    Raises:
        RunError: If the file cannot be written.
    """
    path = Path(path)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = secrets.token_hex(8)
        write_atomically(path, made + "\n")
        return made


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove temporary files of killed processes; those of running ones are locked and stay.

    Args:
        folder: Folder to search.
        name: Name of the file that they were written for; None for any.
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
    """Check, before any work is done, that a folder is writable and its disk has space.

    Args:
        folder: Folder, which must exist.

    Raises:
        RunError: If the folder is not writable, or its disk is full.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.runs import require_room
        >>> require_room(Path("."))
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(_refusal(folder, error)) from error


class FileSet:
    """A set of files in one folder, replaced as a whole: old and new never mix, even after a crash.

    The new files are first written in full to a temporary folder. Then the old ones are removed, starting
    with the last, and the new ones are moved in, ending with the last: if the last file exists, the set is
    complete. If a process is killed in between, the next `FileSet` of the same files completes the set.

    Args:
        paths: Paths of the files, all in one folder, which is created if needed.

    Raises:
        RunError: If the folder is not writable, or its disk is full; nothing new is left behind.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.runs import FileSet
        >>> circuit, result = Path("out/circuit.qasm"), Path("out/result.json")
        >>> FileSet(circuit, result).write({circuit: "OPENQASM 3.0;", result: "{}"})
        >>> sorted(path.name for path in Path("out").iterdir())
        ['circuit.qasm', 'result.json']
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
            contents: Content of each file, by path.

        Raises:
            RunError: If the disk is full or read-only; the old files are untouched.
        """
        with self._place():
            fresh = self._scratch / "fresh"
            fresh.mkdir()
            for path, content in contents.items():
                write_atomically(fresh / path.name, content)
            os.rename(fresh, self._scratch / "whole")
            self._settle()

    def _settle(self) -> None:
        """Replace the old set by a complete new one."""
        whole = self._scratch / "whole"
        if whole.is_dir():
            waiting = [path for path in self._paths if (whole / path.name).exists()]
            for path in reversed(waiting):
                path.unlink(missing_ok=True)
            for path in waiting:
                os.rename(whole / path.name, path)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Make and lock the scratch folder, complete what a killed process left in it, and remove it."""
        missing = [parent for parent in (self._folder, *self._folder.parents) if not parent.exists()]
        lock = None
        try:
            while lock is None:
                try:
                    self._scratch.mkdir(parents=True)
                except FileExistsError:
                    if any(map(_in_the_way, (self._scratch, *self._scratch.parents))):
                        raise
                    # otherwise another process has made it, and may just have removed it
                with suppress(FileNotFoundError):  # the same
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
                if not any((self._scratch / "whole").glob("*")):  # else the next process completes the set
                    for part in ("fresh", "whole"):
                        shutil.rmtree(self._scratch / part, ignore_errors=True)
                    with suppress(OSError):  # last, as from here on the folder may be another process's
                        os.unlink(self._scratch / "lock")
                        self._scratch.rmdir()
                os.close(lock)
            for parent in missing:
                with suppress(OSError):  # it contains the results
                    parent.rmdir()


def _require_folder(path: Path) -> None:
    try:
        missing = not path.parent.is_dir()
    except OSError:  # its name may be too long
        return
    if missing:
        raise UsageError(
            f"cannot write {path}: there is no folder {path.parent}; create it, or choose another one."
        )


def _require_file(path: Path) -> None:
    """Refuse to replace a folder, or a device such as /dev/null."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise RunError(f"cannot write {path}: it is not a regular file. Give another name.")


def _in_the_way(folder: Path) -> bool:
    """Whether something else is in the place of a folder, such as a link that leads nowhere."""
    try:
        kind = os.lstat(folder).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(kind) and not folder.is_dir()


def _refusal(folder: Path, error: OSError | RunError) -> str:
    reason = getattr(error.__cause__ or error, "strerror", None) or error
    return f"cannot write to {folder}: {reason}. Free disk space or choose another folder."


def _scratch_file(folder: Path, name: str) -> tuple[int, str]:
    """A locked temporary file."""
    while True:
        handle, scratch = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".part")
        with suppress(OSError):  # some file systems do not support locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another process took it for a leftover before it was locked
            return handle, scratch
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def try_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file, creating it if needed.

    Args:
        path: Path of the file.
        wait: Whether to wait until it is free.

    Returns:
        A handle that releases the lock when it is closed; None if another process holds the lock.

    Raises:
        OSError: If the file cannot be opened.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        if is_at(handle, path):
            return handle
        os.close(handle)  # the file was moved or removed before the lock was taken


def is_at(handle: int, path: Path) -> bool:
    """Whether a path leads to an open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
