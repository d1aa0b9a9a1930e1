"""Jobs that were submitted and whose results are collected later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from qiskit.primitives import BasePrimitiveJob, PrimitiveJob
from qiskit.providers import JobStatus

R = TypeVar("R")

_ORDER = ("failed", "cancelled", "queued", "running", "done")  # of several jobs, the first of these counts
_WORDS = {"error": "failed", "initializing": "queued", "validating": "queued"}


class LocalJob(PrimitiveJob[Any]):
    """A job in a thread of this process, which has no identifier elsewhere."""

    job_ids: tuple[str, ...] = ()


def started(function: Callable[..., Any], *args: Any) -> LocalJob:
    """Start a function in a thread."""
    job = LocalJob(function, *args)
    job._submit()
    return job


class Submitted(NamedTuple):
    """What was submitted, and what makes a result of it.

    Attributes:
        jobs: The jobs; none if all is done in this process, when it is collected.
        collect: Waits for the jobs, and returns the result.
    """

    jobs: tuple[Any, ...]
    collect: Callable[[], Any]

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The identifiers of the jobs."""
        return tuple(job_id for job in self.jobs for job_id in job_ids_of(job))


class FollowUp(BasePrimitiveJob[Any, JobStatus]):
    """A job whose result is computed from those of others, by whoever asks for it first.

    Args:
        submitted: At least one job, and the computation.
    """

    def __init__(self, submitted: Submitted) -> None:
        self.job_ids = submitted.job_ids
        super().__init__(self.job_ids[0] if self.job_ids else "")
        self._submitted = submitted
        self._result: Any = None

    def result(self) -> Any:
        """Wait for the jobs, and compute the result."""
        if self._result is None:
            self._result = self._submitted.collect()
        return self._result

    def status(self) -> JobStatus:
        """The status of the job that is furthest from done."""
        word = status_of(self._submitted.jobs)
        return JobStatus.ERROR if word == "failed" else JobStatus[word.upper()]

    def done(self) -> bool:
        """Whether all jobs have run."""
        return self.status() is JobStatus.DONE

    def running(self) -> bool:
        """Whether a job is running, and none is queued."""
        return self.status() is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether a job was cancelled."""
        return self.status() is JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Whether nothing changes any more."""
        return all(job.in_final_state() for job in self._submitted.jobs)

    def cancel(self) -> None:
        """Cancel all jobs that have not run yet."""
        for job in self._submitted.jobs:
            if not job.in_final_state():
                job.cancel()


class Handle(Generic[R]):
    """A job that was submitted: `Backend.submit` returns it at once, `collect` waits for the result.

    Attributes:
        job_ids: Identifiers of the jobs at the service; empty for a simulation in this process.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import get_backend
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> handle = get_backend("statevector").submit([(bell, "XX")])
        >>> [result] = handle.collect()
        >>> round(float(result.data.evs), 12), handle.job_ids
        (1.0, ())
    """

    def __init__(self, job: Any, finish: Callable[[Any], R]) -> None:
        self.job_ids = job_ids_of(job)
        self._job, self._finish = job, finish
        self._collected: list[R] = []

    def __repr__(self) -> str:
        return f"Handle({', '.join(self.job_ids) or 'in this process'}, {self.status()})"

    def status(self) -> str:
        """One of `queued`, `running`, `done`, `cancelled` and `failed`."""
        return status_of([self._job])

    def in_final_state(self) -> bool:
        """Whether nothing changes any more."""
        return self.status() in ("done", "cancelled", "failed")

    def cancel(self) -> None:
        """Cancel what has not run yet."""
        self._job.cancel()

    def collect(self) -> R:
        """Wait for the result; a second call returns the same one.

        Raises:
            RunError: If a value is not a finite real number.
        """
        if not self._collected:
            self._collected.append(self._finish(self._job.result()))
        return self._collected[0]


def job_ids_of(job: Any) -> tuple[str, ...]:
    """The identifiers of a job at the place where it runs."""
    known = getattr(job, "job_ids", None)
    return (job.job_id(),) if known is None else tuple(known)


def status_of(jobs: Sequence[Any]) -> str:
    """The status of several jobs in a word: that of the one that is furthest from done."""
    return min((status_word(job.status()) for job in jobs), key=_ORDER.index)


def status_word(status: Any) -> str:
    """The word for a status, which is a text or a member of an enumeration."""
    word = str(getattr(status, "name", status)).lower()
    return _WORDS.get(word, word)
