"""The connection to a device of IBM's service: how jobs are submitted there, found again and waited for."""

from __future__ import annotations

import atexit
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from qiskit.primitives import PrimitiveResult
from qiskit.transpiler import Target
from qiskit_ibm_runtime import Batch, IBMBackend, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeInvalidStateError, RuntimeJobNotFound

from bondwise.backends.ibm.accounts import keep_secret, without_secrets
from bondwise.backends.ibm.asking import asked, authorized, busy, unanswered
from bondwise.backends.ibm.deadlines import within
from bondwise.backends.ibm.posting import posted_once
from bondwise.backends.ibm.standard_errors import known_errors
from bondwise.backends.jobs.places import JobEnded
from bondwise.runs import RunError, UsageError, progress_bar

_ENDED = {"ERROR": "failed", "CANCELLED": "cancelled"}
_PATIENCE = 300.0  # seconds without an answer, after which a job is no longer waited for
_SILENT = 2.0  # seconds of waiting without a bar
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0  # seconds between two looks at a job
_BRIEF = 20.0  # seconds to wait for what is only good to know
_MOST_LOST = 2  # requests whose answer was lost, after which it is not tried again
_CLOSED = re.compile(r"\b(session|batch)\b.*\bclosed\b|\bclosed\b.*\b(session|batch)\b", re.IGNORECASE)
# after "too many requests"; the service allows five jobs a minute
_PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


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
        self._opening = threading.Lock()
        self._mine = threading.local()
        keep_secret(service)

    def __reduce__(self) -> Any:
        raise UsageError(
            f"{self.name} holds the connection of an account, which must not leave this process; "
            "call get_backend('ibm:…') in the other process."
        )

    @property
    def name(self) -> str:
        """Name of the device, such as `ibm:ibm_torino`."""
        return f"ibm:{self._device.name}"

    @property
    def target(self) -> Target:
        """The target of the device; the service is asked for its properties the first time."""
        return self._asked(lambda: self._device.target)

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

        def submit_once(place: IBMBackend | Batch | Session) -> Any:
            with posted_once(self._service):
                return start(place, tags)

        for pause in (*_PAUSES, None):
            place = self._place()
            try:
                return authorized(lambda: submit_once(place), self._service, self.name)  # noqa: B023
            except RunError:
                raise
            except Exception as error:
                if place is not self._device and _CLOSED.search(str(error)):
                    self._leave(place)  # it was closed, after a time without jobs
                    continue
                wait = busy(error)
                lost += not wait
                if pause is None or lost > _MOST_LOST or not (wait or unanswered(error)):
                    raise RunError(f"{self.name} has not taken the job: {without_secrets(error)}") from None
                time.sleep(pause)
                if not wait and tags and (found := self.find(tags[0])):
                    return found[0]  # only the answer was lost
        raise RunError(f"{self.name} has closed every {self._mode} that was opened.")

    def find(self, tag: str) -> list[Any]:
        """The jobs of a tag that have not failed and were not cancelled, the oldest first."""
        jobs = self._asked(
            lambda: self._service.jobs(
                job_tags=[tag], limit=None, descending=False, instance=self._device._instance
            )
        )
        return [job for job in jobs if self.status(job) not in _ENDED]

    def job(self, job_id: str) -> Any:
        """A job by its identifier."""
        try:
            return self._asked(lambda: self._service.job(job_id))
        except RuntimeJobNotFound:
            raise RunError(
                f"{self.name} does not know job {job_id} any more; `bondwise jobs settle {job_id} --lost` "
                "lets the run submit it again."
            ) from None

    def status(self, job: Any) -> str:
        """The status of a job, in the service's words."""
        return str(self._asked(job.status))

    def cancel(self, job: Any) -> None:
        """Cancel a job, unless it has ended."""
        try:
            self._asked(job.cancel)
        except RuntimeInvalidStateError:  # it has ended
            pass

    def result(self, job: Any, progress: bool = False) -> Any:
        """Wait for a job, however long its queue is, and return its result.

        Raises:
            JobEnded: If it has failed or was cancelled.
            RunError: If the service does not answer for minutes, or its answer cannot be read.
        """
        job_id = job.job_id()
        self._wait(job, progress)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="qiskit_mitigation")  # of fits to too little
                return self._asked(lambda: self._counted(job, job.result()))
        except Exception as error:
            raise RunError(
                f"the result of job {job_id} on {self.name} cannot be read ({without_secrets(error)}); "
                f"`bondwise jobs wait {job_id}` tries again."
            ) from None

    def _wait(self, job: Any, progress: bool) -> None:
        """Wait until a job is done; after a moment, a bar says what for."""
        job_id, pause, looked, began = job.job_id(), _FIRST_PAUSE, 0.0, time.monotonic()
        answered = began
        with ExitStack() as shown:
            bar = None
            while True:
                try:
                    status = str(authorized(job.status, self._service, self.name))
                except Exception as error:
                    if bar is None and progress:
                        bar = self._bar(shown, job_id)
                    if bar is not None:
                        bar.set_postfix_str("no answer, trying again")
                    if time.monotonic() - answered > _PATIENCE:
                        raise RunError(
                            f"{self.name} does not answer ({without_secrets(error)}); job {job_id} goes on "
                            f"there, and `bondwise jobs wait {job_id}` waits for it."
                        ) from None
                else:
                    answered = time.monotonic()
                    if status in _ENDED:
                        raise JobEnded(self._why(job, job_id, _ENDED[status]), _ENDED[status])
                    if status == "DONE":
                        return
                    if bar is None and progress and answered - began > _SILENT:
                        bar = self._bar(shown, job_id)
                    if bar is not None and answered - looked > _LONGEST_PAUSE:
                        looked = answered
                        place = self.progress(job).get("queue_position") if status == "QUEUED" else None
                        bar.set_postfix_str(status.lower() + ("" if place is None else f", position {place}"))
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _bar(self, shown: ExitStack, job_id: str) -> Any:
        bar = shown.enter_context(progress_bar(None, f"{self.name}, job {job_id}"))
        bar.bar_format = "{desc}{postfix} [{elapsed}]"
        return bar

    def _counted(self, job: Any, result: Any) -> Any:
        """The result; that of an estimator with the shots of all circuits."""
        if not all("evs" in part.data for part in result):
            return result
        program = job.inputs["quantum_program"]
        metadata = {"shots": shots_of(program), "job_ids": (job.job_id(),)}
        parts = [known_errors(part) for part in result]
        for part, shots in zip(parts, shots_by_pub(program), strict=True):
            part.metadata.update(shots=shots, device=self.name)
        return PrimitiveResult(parts, metadata=metadata)

    def qpu_seconds(self, job: Any) -> float | None:
        """The seconds that are charged for a finished job, if the service says so."""
        return self.progress(job).get("qpu_seconds")

    @property
    def most_shots(self) -> int | None:
        """Most shots of a circuit that the device takes, if it says so."""
        return getattr(self._device.configuration(), "max_shots", None)

    def rep_delay(self) -> float | None:
        """The default seconds between two executions of a circuit."""
        return getattr(self._device, "default_rep_delay", None)

    def waiting_jobs(self) -> int | None:
        """How many jobs wait for the device, None if the service does not say."""
        try:
            return int(within(self._device.status, self.name, _BRIEF).pending_jobs)
        except Exception:  # nothing depends on it
            return None

    def progress(self, job: Any) -> dict[str, Any]:
        """What the service says of a job: `queue_position`, `starts` and `qpu_seconds`, as far as known."""
        try:
            metrics = authorized(job.metrics, self._service, self.name, _BRIEF)
            usage = metrics.get("usage") or {}
            found = {
                "queue_position": metrics.get("position_in_queue"),
                "starts": metrics.get("estimated_start_time"),
                "qpu_seconds": usage.get("quantum_seconds") or usage.get("qpu_charge_time_seconds"),
            }
        except Exception:  # nothing depends on it
            return {}
        return {name: value for name, value in found.items() if value is not None}

    def _place(self) -> IBMBackend | Batch | Session:
        """Where to submit: the device, or the batch or session, which is opened if there is none."""
        if self._mode == "job":
            return self._device
        with self._opening:
            if self._group is None:
                self._group = self._asked(self._opened)
            return self._group

    def _opened(self) -> Batch | Session:
        group = (Batch if self._mode == "batch" else Session)(backend=self._device)
        if not group.session_id:
            raise IBMRuntimeError(f"it has opened no {self._mode}")  # jobs would run outside of it
        if self._mode == "session":  # the device is reserved for as long as it is open
            atexit.register(_close, group)
        return group

    def _leave(self, group: IBMBackend | Batch | Session) -> None:
        with self._opening:
            if self._group is group:
                self._group = None

    def _why(self, job: Any, job_id: str, what: str) -> str:
        try:
            said = within(job.error_message, self.name)
            reason = without_secrets(said) if said else ""
        except Exception:
            reason = ""
        verb = "has failed" if what == "failed" else "was cancelled"
        return f"job {job_id} on {self.name} {verb}{f': {reason}' if reason else ''}."

    def _asked(self, call: Callable[[], Any]) -> Any:
        """The answer to something that may be asked again."""
        return asked(call, self._service, self.name)


def shots_of(program: Any) -> int:
    """The shots of all circuits of a program, with all randomizations, noise factors and calibrations."""
    return int(program.shots * sum(item.size() for item in program.items))


def shots_by_pub(program: Any) -> list[int]:
    """The shots of each PUB of an estimator's program, without those of the readout calibration."""
    spent = [int(program.shots * item.size()) for item in program.items[:-1]]  # the last one calibrates
    each = len(spent) // int(program.passthrough_data["post_processor"]["num_pubs"])
    return [sum(spent[start : start + each]) for start in range(0, len(spent), each)]


def _close(group: Session) -> None:
    """Let a session take no more jobs; those that it has still run."""
    try:
        group.close()
    except Exception:  # the process ends anyway, and the service closes it after a time without jobs
        pass
