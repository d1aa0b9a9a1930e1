"""What the loopback service remembers: jobs, sessions and calibrations, in a folder that survives restarts.

Each job is three files, all written atomically: `ID.job.json` (the record), `ID.params.json` (what was
submitted) and `ID.result` (what the device answered). A job whose record was never completed runs again.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bondwise.runs import RunError, UsageError, write_atomically
from bondwise.runs.files import try_lock

PENDING = ("Queued", "Running")  # the service's own words, as are "Completed", "Failed" and "Cancelled"
_LOCK = ".loopback"


@dataclass(frozen=True)
class Job:
    """One job as the service sees it.

    Args:
        id: Identifier, as in `service.job(id)`.
        program: `"executor"`, or the older `"sampler"` and `"estimator"`.
        device: Name of the device, such as `"ibm_manila"`.
        tags: Tags by which it is found.
        session: Identifier of its session or batch, if it has one.
        created: When it was accepted (ISO 8601, UTC).
        number: Place in the order of acceptance, from 0.
        status: `"Queued"`, `"Running"`, `"Completed"`, `"Failed"` or `"Cancelled"`.
        reason: Why it failed or was canceled.
        reason_code: The service's number for the reason.
        fate: Status that it ends with instead of running, if that was asked for.
        running: When it began to run.
        finished: When it ended.
        quantum_seconds: Time on the device that it is charged for.
        calibration: Number of the calibration it ran with.
        private: Whether its parameters are hidden.
    """

    id: str
    program: str
    device: str
    tags: tuple[str, ...]
    session: str | None
    created: str
    number: int
    status: str = "Queued"
    reason: str = ""
    reason_code: int = 0
    fate: str = ""
    running: str = ""
    finished: str = ""
    quantum_seconds: float = 0.0
    calibration: int = 0
    private: bool = False


@dataclass(frozen=True)
class Session:
    """A session ("dedicated") or a batch.

    Args:
        id: Identifier.
        device: Name of its device.
        mode: `"dedicated"` or `"batch"`.
        created: When it was opened (ISO 8601, UTC).
        max_ttl: Longest time it may stay open, in seconds.
        accepting: Whether it accepts jobs.
    """

    id: str
    device: str
    mode: str
    created: str
    max_ttl: int | None = None
    accepting: bool = True


@dataclass
class Store:
    """The folder of a loopback service; one process uses it at a time.

    Args:
        folder: Path of the folder, which is created.

    Raises:
        UsageError: If another server is using the folder.
        RunError: If the folder cannot be created, or holds files that cannot be read.
    """

    folder: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    calibrations: dict[str, list[str]] = field(default_factory=dict)  # when each device was calibrated anew
    changed: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = try_lock(self.folder / _LOCK)
        except OSError as error:
            raise RunError(f"cannot use {self.folder}: {error.strerror or error}.") from error
        if self._lock is None:
            raise UsageError(f"another loopback server is using {self.folder}; give another folder.")
        try:
            for path in self.folder.glob("*.job.json"):
                record = json.loads(path.read_text())
                self.jobs[record["id"]] = Job(**{**record, "tags": tuple(record["tags"])})
            for path in self.folder.glob("*.session.json"):
                session = Session(**json.loads(path.read_text()))
                self.sessions[session.id] = session
            if (path := self.folder / "calibrations.json").exists():
                self.calibrations = json.loads(path.read_text())
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            raise RunError(f"{path} cannot be read: {error}. Remove it, or give another folder.") from error
        for job in list(self.jobs.values()):
            if job.status == "Running":  # the server was stopped meanwhile
                self.update(job, status="Queued", running="")

    def close(self) -> None:
        """Let another server use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add(self, job: Job, params: dict[str, Any]) -> None:
        """Accept a job."""
        with self.changed:
            write_atomically(self.folder / f"{job.id}.params.json", json.dumps(params))
            self.jobs[job.id] = job
            self._write(job)

    def update(self, job: Job, **changes: Any) -> Job:
        """Change a job that was not deleted meanwhile; whoever waits for a change hears of it."""
        with self.changed:
            job = replace(self.jobs.get(job.id, job), **changes)
            if job.id in self.jobs:
                self.jobs[job.id] = job
                self._write(job)
            return job

    def delete(self, job: Job) -> None:
        """Forget a job, its parameters and its result."""
        with self.changed:
            self.jobs.pop(job.id, None)
            for name in (f"{job.id}.job.json", f"{job.id}.params.json", f"{job.id}.result"):
                (self.folder / name).unlink(missing_ok=True)

    def params(self, job: Job) -> dict[str, Any]:
        """What was submitted."""
        return json.loads((self.folder / f"{job.id}.params.json").read_text())

    def result(self, job: Job) -> str:
        """What the device answered; empty if nothing yet."""
        path = self.folder / f"{job.id}.result"
        return path.read_text() if path.exists() else ""

    def write_result(self, job: Job, text: str) -> None:
        """Keep what the device answered."""
        write_atomically(self.folder / f"{job.id}.result", text)

    def put(self, session: Session) -> None:
        """Keep a session."""
        with self.changed:
            self.sessions[session.id] = session
            write_atomically(self.folder / f"{session.id}.session.json", json.dumps(asdict(session)))

    def calibrate(self, device: str) -> int:
        """Count one more calibration of a device, and return its number."""
        with self.changed:
            self.calibrations.setdefault(device, []).append(now())
            write_atomically(self.folder / "calibrations.json", json.dumps(self.calibrations))
            return self.calibration(device)

    def calibration(self, device: str, before: datetime | None = None) -> int:
        """Number of the newest calibration of a device, or of the newest one at some time; 0 is the first."""
        times = self.calibrations.get(device, [])
        return sum(before is None or datetime.fromisoformat(time) <= before for time in times)

    def queue(self, device: str) -> list[Job]:
        """The jobs that wait for a device, the next one first."""
        with self.changed:
            waiting = [job for job in self.jobs.values() if job.device == device and job.status == "Queued"]
        return sorted(waiting, key=lambda job: job.number)

    def next_number(self) -> int:
        """The place of the next job in the order of acceptance."""
        return 1 + max((job.number for job in self.jobs.values()), default=-1)

    def _write(self, job: Job) -> None:
        write_atomically(self.folder / f"{job.id}.job.json", json.dumps(asdict(job)))
        self.changed.notify_all()


def now() -> str:
    """The time in UTC, as the service writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def new_id() -> str:
    """An identifier such as the service gives: 20 letters and digits."""
    return "d" + secrets.token_hex(10)[:19]
