"""Locks that end with their process, so that what a killed one left is told from what one uses."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


def try_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file, which is made if need be.

    Args:
        path: The file.
        wait: Until it is free.

    Returns:
        A handle to close when the lock is no longer needed; None if another process has the lock.

    Raises:
        OSError: The file cannot be opened.
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
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # the file was moved or removed before it was locked
