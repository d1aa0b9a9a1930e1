"""The file of a sweep: a SQLite database with one row for each point, in JSON."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bondwise.qml.sweeps.points import Point, key_of
from bondwise.qml.sweeps.work import Outcome
from bondwise.runs import RunError, UsageError
from bondwise.runs.files import try_lock

_OURS = 0x626F6E64  # the application that SQLite's header names
_SCHEMA = f"""
CREATE TABLE points (
    function TEXT NOT NULL, version TEXT NOT NULL, point TEXT NOT NULL,
    state TEXT NOT NULL, content TEXT NOT NULL,
    tries INTEGER NOT NULL, seconds REAL NOT NULL, ended REAL NOT NULL,
    PRIMARY KEY (function, version, point)
);
PRAGMA application_id={_OURS};
PRAGMA user_version=1;
"""

_held: set[int] = set()  # handles of locks


def _let_go() -> None:
    """Close the locks in a process that is forked off, such as a worker; it may outlive this one."""
    while _held:
        os.close(_held.pop())


class Store:
    """The stored points of one function, which no other sweep may write at the same time.

    Every point is a transaction of its own, on the disk when `keep` returns: a process that is killed loses
    no point that it has kept, and a point has one row.

    Args:
        path: Path of the database, which is created if needed; its folder must exist.
        function: Name of the function.
        version: Version of the function.
    """

    def __init__(self, path: str | os.PathLike[str], function: str, version: str) -> None:
        self.path = Path(path)
        self._of = function, version
        self._lock: int | None = None

    def __enter__(self) -> Self:
        with self._reported():
            # not on the database itself, whose locks are SQLite's
            self._lock = try_lock(self._lock_path)
            if self._lock is None:
                raise UsageError(
                    f"{self.path} is in use by another sweep; wait until it ends, or give another store."
                )
        _held.add(self._lock)
        try:
            with self._reported():
                self._database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
                self._prepare()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._unlock()

    def done(self) -> dict[str, dict[str, Any]]:
        """The results of all points that are done, by the key of the point."""
        query = "SELECT point, content FROM points WHERE function=? AND version=? AND state='done'"
        with self._reported():
            return {key: json.loads(content) for key, content in self._database.execute(query, self._of)}

    def keep(self, point: Point, outcome: Outcome, tries: int) -> None:
        """Store what became of a point."""
        state = "done" if outcome.done else "failed"
        row = (*self._of, key_of(point), state, outcome.text, tries, outcome.seconds, time.time())
        with self._reported():
            self._database.execute("INSERT OR REPLACE INTO points VALUES (?,?,?,?,?,?,?,?)", row)

    @property
    def _lock_path(self) -> Path:
        return Path(f"{self.path}.lock")

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            _held.discard(self._lock)
            os.close(self._lock)
            self._lock = None

    def _prepare(self) -> None:
        database = self._database
        database.execute("PRAGMA synchronous=FULL")
        (ours,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        elif ours != _OURS:
            raise UsageError(f"{self.path} is a database of something else; give another store.")
        elif database.execute("PRAGMA user_version").fetchone()[0] > 1:
            raise UsageError(
                f"{self.path} was written by a newer release of bondwise; install that one, or give "
                "another store."
            )
        database.executescript("BEGIN IMMEDIATE;ROLLBACK;")  # fails now, not after the first point

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise RunError(f"the store {self.path} cannot be used: {error}; give another store.") from None
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{self.path} is not a store of sweeps, or it is damaged ({error}); give another store."
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"the store {self.path} cannot be used: {reason}; give another store.") from None


os.register_at_fork(after_in_child=_let_go)
