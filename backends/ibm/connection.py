"""The connection to a device of IBM's service: how jobs are submitted there, found again and waited for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qiskit.primitives import PrimitiveResult
from qiskit_ibm_runtime import Batch, IBMBackend, QiskitRuntimeService, Session

from bondwise.backends.ibm.accounts import without_secrets
from bondwise.backends.ibm.deadlines import within
from bondwise.backends.jobs.places import JobEnded
from bondwise.runs import RunError

_ENDED = {"ERROR": "failed", "CANCELLED": "cancelled"}
_PATIENCE = 6  # answers in a row that may fail while waiting for a job
_LONGEST_PAUSE = 10.0  # seconds between two looks at a job
_MOST_LOST = 2  # requests whose answer was lost, after which it is not tried again
_CLOSED = re.compile(r"\b(session|batch)\b.*\bclosed\b|\bclosed\b.*\b(session|batch)\b", re.IGNORECASE)
_LOST = re.compile(r"\b5\d\d\b|connection|timed out|max retries", re.IGNORECASE)
_PAUSES = (
    2.0,
    4.0,
    8.0,
    16.0,
    32.0,
    64.0,
)  # after "too many requests"; the service allows five jobs a minute


class Connection:
    """Submits jobs to a device of IBM's service and finds them again; a `Place`.

    Args:
        service: The service.
        device: The device.
        mode: `batch`, `job` or `session`; a batch or session is opened with the first job.
    """

    remote = True
    searchable = True

    def __init__(self, service: QiskitRuntimeService, device: IBMBackend, mode: str = "batch") -> None:
        self._service, self._device, self._mode = service, device, mode
        self._group: Batch | Session | None = None
        self._mine = threading.local()

    @property
    def name(self) -> str:
        """Name of the device, such as `ibm:ibm_torino`."""
        return f"ibm:{self._device.name}"

    @contextmanager
    def tagged(self, tag: str) -> Iterator[None]:
        """A context in which jobs are submitted under a tag."""
        self._mine.tags = [tag]
        try:
            yield
        finally:
            self._mine.tags = []

    @property
    def tags(self) -> list[str]:
        """The tags of the jobs that this thread submits now."""
        return list(getattr(self._mine, "tags", []))

    def submit(self, start: Callable[[IBMBackend | Batch | Session, list[str]], Any]) -> Any:
        """Submit a job.

        Args:
            start: Submits it, given the device, batch or session to run in, and the tags.

        Raises:
            RunError: If the service refuses the job or does not answer.
        """
        lost, tags = 0, self.tags  # `within` has a thread of its own
        for pause in (*_PAUSES, None):
            try:
                return within(lambda: start(self._place(), tags), self.name)
            except RunError:
                raise
            except Exception as error:
                text = str(error)
                if self._group is not None and _CLOSED.search(text):
                    self._group = None  # it was closed, after a time without jobs
                    continue
                busy = re.search(r"\b429\b", text)
                lost += not busy
                if pause is None or lost > _MOST_LOST or not (busy or _LOST.search(text)):
                    raise RunError(f"{self.name} has not taken the job: {without_secrets(error)}") from None
                time.sleep(pause)
                if not busy and tags and (found := self.find(tags[0])):
                    return found[0]  # only the answer was lost
        raise RunError(f"{self.name} has closed every {self._mode} that was opened.")

    def find(self, tag: str) -> list[Any]:
        """The jobs of a tag that have not failed and were not cancelled, the oldest first."""
        jobs = self._asked(lambda: self._service.jobs(job_tags=[tag], limit=None, descending=False))
        return [job for job in jobs if self._asked(job.status) not in _ENDED]

    def job(self, job_id: str) -> Any:
        """A job by its identifier."""
        return self._asked(lambda: self._service.job(job_id))

    def result(self, job: Any) -> Any:
        """Wait for a job, however long its queue is, and return its result.

        Raises:
            JobEnded: If it has failed or was cancelled.
            RunError: If the service does not answer for minutes, or its answer cannot be read.
        """
        job_id, failures, pause = job.job_id(), 0, 0.25
        while True:
            try:
                status = str(within(job.status, self.name))
                failures = 0
            except Exception as error:
                failures += 1
                if failures == _PATIENCE:
                    raise RunError(
                        f"{self.name} does not answer ({without_secrets(error)}); job {job_id} goes on "
                        f"there, and `bondwise jobs wait {job_id}` waits for it."
                    ) from None
            else:
                if status in _ENDED:
                    raise JobEnded(self._why(job, job_id, _ENDED[status]), _ENDED[status])
                if status == "DONE":
                    break
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        for last in (False, True):
            try:
                return self._counted(job, within(job.result, self.name))
            except Exception as error:
                if last:
                    raise RunError(
                        f"the result of job {job_id} on {self.name} cannot be read "
                        f"({without_secrets(error)[:300]}); `bondwise jobs wait {job_id}` tries again."
                    ) from None

    def _counted(self, job: Any, result: Any) -> Any:
        """The result; that of an estimator with the shots of all circuits."""
        if not all("evs" in part.data for part in result):
            return result
        program = within(lambda: job.inputs, self.name)["quantum_program"]
        metadata = {"shots": shots_of(program), "job_ids": (job.job_id(),)}
        return PrimitiveResult(list(result), metadata=metadata)

    def qpu_seconds(self, job: Any) -> float | None:
        """The seconds that are charged for a finished job, if the service says so."""
        return self.progress(job).get("qpu_seconds")

    def progress(self, job: Any) -> dict[str, Any]:
        """What the service says of a job: `queue_position`, `starts` and `qpu_seconds`, as far as known."""
        try:
            metrics = within(job.metrics, self.name)
        except Exception:  # nothing depends on it
            return {}
        usage = metrics.get("usage") or {}
        found = {
            "queue_position": metrics.get("position_in_queue"),
            "starts": metrics.get("estimated_start_time"),
            "qpu_seconds": usage.get("quantum_seconds") or usage.get("qpu_charge_time_seconds"),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _place(self) -> IBMBackend | Batch | Session:
        if self._mode == "job":
            return self._device
        if self._group is None:
            self._group = (Batch if self._mode == "batch" else Session)(backend=self._device)
        return self._group

    def _why(self, job: Any, job_id: str, what: str) -> str:
        try:
            reason = without_secrets(within(job.error_message, self.name) or "")
        except Exception:
            reason = ""
        verb = "has failed" if what == "failed" else "was cancelled"
        return f"job {job_id} on {self.name} {verb}{f': {reason}' if reason else ''}."

    def _asked(self, call: Callable[[], Any]) -> Any:
        try:
            return within(call, self.name)
        except RunError:
            raise
        except Exception as error:
            raise RunError(f"{self.name} cannot be asked: {without_secrets(error)}") from None


def shots_of(program: Any) -> int:
    """The shots of all circuits of a program, with all randomizations, noise factors and calibrations."""
    return int(program.shots * sum(item.size() for item in program.items))
