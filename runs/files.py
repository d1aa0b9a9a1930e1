"""Files that are whole or absent: written beside their place, synced to the disk, then renamed onto it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bondwise.runs.errors import RunError


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file so that a reader, or a crash, finds the old content or the new one, never a part.

    Args:
        path: The file to write; its folder must exist.
        content: Bytes, or text that is stored as UTF-8.

    Returns:
        The path written.

    Raises:
        RunError: The disk is full or the folder cannot be written; what was there before is untouched.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    scratch = None
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
