"""The journal of jobs: an SQLite file that knows every job before it is submitted.

A job is entered under its tag and committed before it is submitted, and its identifier is added afterwards.
Whenever the process is killed, the next one therefore finds either nothing, so that nothing was submitted;
an entry without identifier, so that the service has to be asked for the tag; or the identifier. Results are
stored as they came from the service.

The file is written ahead (WAL), and synchronized to the disk with each intent; file systems without shared
memory, such as most network ones, get a rollback journal. It holds no tokens.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from bondwise.backends.jobs import locks
from bondwise.runs import RunError, UsageError
from bondwise.runs.result import brief_repr

VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    tag TEXT PRIMARY KEY, run TEXT NOT NULL, backend TEXT NOT NULL, state TEXT NOT NULL,
    job_ids TEXT NOT NULL, about TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL,
    message TEXT NOT NULL, qpu_seconds REAL
);
CREATE INDEX IF NOT EXISTS by_run ON jobs (run);
CREATE INDEX IF NOT EXISTS by_time ON jobs (created);
CREATE TABLE IF NOT EXISTS results (tag TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS circuits (
    run TEXT, backend TEXT, fingerprint TEXT, qpy BLOB NOT NULL, PRIMARY KEY (run, backend, fingerprint)
);
CREATE TABLE IF NOT EXISTS names (run TEXT, asked TEXT, found TEXT NOT NULL, PRIMARY KEY (run, asked));
"""
_COLUMNS = "tag, run, backend, state, job_ids, about, created, changed, message, qpu_seconds"
STATES = ("intended", "submitted", "done", "failed", "cancelled")

_JOURNALS: WeakSet[Journal] = WeakSet()


@dataclass(frozen=True)
class JobRecord:
    """A job in the journal.

    Attributes:
        tag: Name of the job, also its tag at the service.
        run: Name of the run that it belongs to.
        backend: Name of the backend.
        state: `intended` (about to be submitted), `submitted`, `done`, `failed` or `cancelled`.
        job_ids: Identifiers at the service; empty for a simulation in this process.
        about: Numbers of PUBs, circuits and shots, the seed, and the like.
        created: When it was entered, in seconds since 1970.
        changed: When its state changed, in seconds since 1970.
        message: Why it failed.
        qpu_seconds: Seconds that the service charges for it, if known.

    Example:
        >>> from bondwise.backends import Journal
        >>> journal = Journal("one.sqlite")
        >>> journal.intend("tag-1", run="demo", backend="aer", about={"shots": 100})
        >>> journal.record("tag-1").state
        'intended'
    """

    tag: str
    run: str
    backend: str
    state: str
    job_ids: tuple[str, ...]
    about: dict[str, Any]
    created: float
    changed: float
    message: str
    qpu_seconds: float | None

    __repr__ = brief_repr


class Journal:
    """The jobs of all runs, in a file that several processes may use at the same time.

    Args:
        path: Path of the file, which is created with its folder. By default $BONDWISE_JOURNAL, or
            `bondwise/jobs.sqlite` in the user's data folder ($XDG_DATA_HOME or ~/.local/share).
        create: Whether to create the file now, not when it is first used.

    Raises:
        RunError: If the file cannot be created or written, or its disk is full.
        UsageError: If it is not a journal, or one of a newer release.

    Example:
        >>> from bondwise.backends import Journal
        >>> journal = Journal("jobs.sqlite")
        >>> journal.intend("tag-1", run="demo", backend="aer", about={})
        >>> journal.submitted("tag-1", ["d4f2"])
        >>> journal.done("tag-1", b"the result")
        >>> [(record.tag, record.state, record.job_ids) for record in journal.records(run="demo")]
        [('tag-1', 'done', ('d4f2',))]
        >>> journal.result("tag-1")
        b'the result'
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, create: bool = True) -> None:
        self.path = Path(path) if path is not None else journal_path()
        self._mutex = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._file = (0, 0)  # device and inode of the open file
        _JOURNALS.add(self)
        if create:
            with self._writing():
                pass

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def intend(self, tag: str, *, run: str, backend: str, about: dict[str, Any]) -> JobRecord | None:
        """Enter a job that is about to be submitted, unless it is known.

        Args:
            tag: Name of the job, different for each.
            run: Name of the run that it belongs to.
            backend: Name of the backend.
            about: What else is worth knowing, of JSON types.

        Returns:
            None if the job is new; its entry is then on the disk. Otherwise the earlier entry of this tag.
        """
        now = time.time()
        row = (tag, run, backend, "intended", "[]", json.dumps(about), now, now, "", None)
        with self._writing(durable=True) as database:
            known = database.execute(f"SELECT {_COLUMNS} FROM jobs WHERE tag=?", (tag,)).fetchone()
            if known is None:
                database.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        return None if known is None else _record(known)

    def again(self, tag: str) -> None:
        """Enter a job once more that has failed or was cancelled; its earlier entry stays, as `TAG~1`.

        One that never had an identifier is replaced.
        """
        with self._writing(durable=True) as database:
            (earlier,) = database.execute(
                "SELECT count(*) FROM jobs WHERE tag GLOB ?", (f"{tag}~*",)
            ).fetchone()
            database.execute(
                f"INSERT INTO jobs ({_COLUMNS}) SELECT ?, {_COLUMNS.removeprefix('tag, ')} FROM jobs"
                " WHERE tag=? AND job_ids != '[]'",
                (f"{tag}~{earlier + 1}", tag),
            )
            database.execute(
                "UPDATE jobs SET state='intended', job_ids='[]', message='', created=?, changed=?,"
                " qpu_seconds=NULL WHERE tag=?",
                (now := time.time(), now, tag),
            )

    def submitted(self, tag: str, job_ids: Sequence[str], message: str = "") -> None:
        """Add the identifiers of a job at the service."""
        self._change(tag, state="submitted", job_ids=json.dumps(list(job_ids)), message=message)

    def done(self, tag: str, data: bytes, qpu_seconds: float | None = None) -> None:
        """Store the result of a job, unless there is one: another process may have been faster."""
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO results (tag, data) VALUES (?, ?)", (tag, data))
            database.execute(
                "UPDATE jobs SET state='done', message='', changed=?, qpu_seconds=? WHERE tag=?",
                (time.time(), qpu_seconds, tag),
            )

    def charged(self, tag: str, qpu_seconds: float) -> None:
        """Note the seconds that the service charges for a job."""
        with self._writing() as database:
            database.execute("UPDATE jobs SET qpu_seconds=? WHERE tag=?", (qpu_seconds, tag))

    def ended(self, tag: str, state: str, message: str) -> None:
        """Note that a job has failed or was cancelled, and why."""
        self._change(tag, state=state, message=message)

    def result(self, tag: str) -> bytes | None:
        """The stored result of a job, None if there is none yet."""
        with self._reading() as database:
            row = database.execute("SELECT data FROM results WHERE tag=?", (tag,)).fetchone()
        return None if row is None else row[0]

    def record(self, tag: str) -> JobRecord:
        """Look up a job.

        Args:
            tag: Its tag, or one of its identifiers, or the beginning of either.

        Raises:
            UsageError: If no job is called so, or several are.
        """
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE instr(job_ids, ?)"
                " OR substr(tag, 1, ?) = ? AND (instr(tag, '~') = 0 OR instr(?, '~'))"  # the latest of a tag
                " ORDER BY tag = ? DESC LIMIT 2",
                ('"' + tag, len(tag), tag, tag, tag),
            ).fetchall()
        exact = [row for row in rows if row[0] == tag]
        if len(exact or rows) != 1:
            problem = "several jobs begin with" if rows else "the journal knows no job"
            raise UsageError(f"{problem} {tag!r}; `bondwise jobs list` shows what there is.")
        return _record((exact or rows)[0])

    def records(
        self, *, run: str | None = None, state: str | None = None, limit: int | None = None
    ) -> list[JobRecord]:
        """List jobs, the latest first.

        Args:
            run: Only those of this run.
            state: Only those in this state.
            limit: At most this many.
        """
        conditions = [(name, value) for name, value in (("run", run), ("state", state)) if value is not None]
        where = " AND ".join(f"{name}=?" for name, _ in conditions) or "1"
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE {where} ORDER BY created DESC, rowid DESC LIMIT ?",
                (*(value for _, value in conditions), -1 if limit is None else limit),
            ).fetchall()
        return [_record(row) for row in rows]

    def circuit(self, run: str, backend: str, fingerprint: str) -> bytes | None:
        """The compiled circuit, as QPY, that a run has used for a circuit with this fingerprint."""
        with self._reading() as database:
            row = database.execute(
                "SELECT qpy FROM circuits WHERE run=? AND backend=? AND fingerprint=?",
                (run, backend, fingerprint),
            ).fetchone()
        return None if row is None else row[0]

    def keep_circuit(self, run: str, backend: str, fingerprint: str, qpy: bytes) -> None:
        """Keep a compiled circuit for when the run is resumed."""
        with self._writing() as database:
            database.execute(
                "INSERT OR IGNORE INTO circuits (run, backend, fingerprint, qpy) VALUES (?,?,?,?)",
                (run, backend, fingerprint, qpy),
            )

    def name(self, run: str, asked: str, found: str | None = None) -> str | None:
        """The backend that a run got when it asked for one, such as for `ibm:least_busy`.

        Args:
            run: Name of the run.
            asked: Name that it asked for.
            found: What to keep if nothing is known yet.
        """
        if found is not None:
            with self._writing() as database:
                database.execute(
                    "INSERT OR IGNORE INTO names (run, asked, found) VALUES (?,?,?)", (run, asked, found)
                )
        with self._reading() as database:
            row = database.execute("SELECT found FROM names WHERE run=? AND asked=?", (run, asked)).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def alone(self, tag: str) -> Iterator[None]:
        """A context that no other process and no other thread enters for the same tag at the same time."""
        with self._reading():  # also makes the folder
            path = self.path.absolute().with_name(self.path.name + "-lock")
        with locks.alone(path, tag):
            yield

    def _change(self, tag: str, **columns: str) -> None:
        assigned = ", ".join(f"{name}=?" for name in columns)
        with self._writing() as database:
            database.execute(
                f"UPDATE jobs SET {assigned}, changed=? WHERE tag=?", (*columns.values(), time.time(), tag)
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._reported():
            yield self._connection()

    @contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction that survives the process and, if durable, the machine.

        After a loss of power only intents have to be there: whatever followed, the service knows.
        """
        with self._mutex, self._reported():
            database = self._connection()
            database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            try:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:  # SQLite ends some by itself when the disk is full
                    database.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = self._connect()
            self._file = self._found_file()
        elif self._found_file() != self._file:  # what is written to a deleted file is lost
            raise RunError(
                f"the journal {self.path} was deleted or replaced while it was in use; put it back, or start "
                "again."
            )
        return self._open

    def _found_file(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return -1, -1
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close the file; it is opened again when it is used."""
        with self._mutex:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            # not for others to read; to close a file that is in use would release the locks of this process
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        database = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise UsageError(
                f"{self.path} was written by a newer release of bondwise; install that one, or set "
                "BONDWISE_JOURNAL to another file."
            )
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            database.execute("PRAGMA journal_mode=DELETE")  # no shared memory here
        if version < VERSION:
            # one transaction: of two processes that begin at once, the second finds all made
            database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        return database

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error) or "malformed" in str(error) or "no such" in str(error):
                raise UsageError(
                    f"{self.path} is not a journal of jobs, or it is damaged ({error}); move it away, or set "
                    "BONDWISE_JOURNAL to another file."
                ) from None
            raise self._unusable(error) from None
        except OSError as error:
            raise self._unusable(error.strerror or error) from None

    def _unusable(self, why: object) -> RunError:
        instead = "set BONDWISE_JOURNAL to a file that can be written."
        return RunError(f"the journal {self.path} cannot be used: {why}; {instead}")


def journal_path() -> Path:
    """The file of the user's journal, which may not exist yet."""
    chosen = os.environ.get("BONDWISE_JOURNAL")
    if chosen:
        return Path(chosen)
    try:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError:
        raise RunError("there is no home folder for the journal of jobs; set BONDWISE_JOURNAL.") from None
    return Path(data) / "bondwise" / "jobs.sqlite"


def _record(row: Sequence[Any]) -> JobRecord:
    tag, run, backend, state, job_ids, about, *rest = row
    return JobRecord(tag, run, backend, state, tuple(json.loads(job_ids)), json.loads(about), *rest)


class _Fork:
    """Closes all journals for a fork: SQLite's connections must not be in two processes, not even unused."""

    def __init__(self) -> None:
        self._held: list[Journal] = []
        self._mutex = threading.Lock()

    def before(self) -> None:
        """Close them, once no thread uses them."""
        self._mutex.acquire()
        for journal in list(_JOURNALS):
            journal._mutex.acquire()
            self._held.append(journal)
            journal.close()
        locks.GUARD.acquire()

    def after(self) -> None:
        """Let both processes open them again."""
        locks.GUARD.release()
        while self._held:
            self._held.pop()._mutex.release()
        self._mutex.release()


_FORK = _Fork()
os.register_at_fork(before=_FORK.before, after_in_parent=_FORK.after, after_in_child=_FORK.after)
