"""Locks between processes and threads, by name, on a file beside the journal."""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GUARD = threading.Lock()  # held while the process forks
# one open lock file per journal and process: closing any other handle would release its locks
_LOCKS: dict[Path, tuple[int, int, threading.RLock]] = {}


@contextmanager
def alone(path: Path, name: str) -> Iterator[None]:
    """A context that no other process and no other thread enters for the same name at the same time.

    Args:
        path: The lock file, which is created; its folder must exist.
        name: The name.

    Raises:
        OSError: If the file cannot be created.
    """
    handle, mutex = _opened(path)
    place = 1 + zlib.crc32(name.encode())
    with mutex:
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, place)
        try:
            yield
        finally:
            fcntl.lockf(handle, fcntl.LOCK_UN, 1, place)


def _opened(path: Path) -> tuple[int, threading.RLock]:
    with GUARD:
        owner, handle, mutex = _LOCKS.get(path, (0, -1, threading.RLock()))
        if owner != os.getpid() or not path.exists():
            handle, mutex = os.open(path, os.O_RDWR | os.O_CREAT, 0o600), threading.RLock()
            _LOCKS[path] = os.getpid(), handle, mutex
        return handle, mutex
