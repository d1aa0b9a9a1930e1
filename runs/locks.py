"""Locks that end with their process, so that leftovers of killed processes can be recognized."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


def try_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file, and create it if needed.

    Args:
        path: Path of the file.
        wait: Whether to wait until it is free.

    Returns:
        A handle, which releases the lock when it is closed; None if another process holds the lock.

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
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # the file was moved or removed before the lock was taken
