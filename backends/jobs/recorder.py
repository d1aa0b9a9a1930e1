"""Jobs that survive the process: entered in the journal before they are submitted, found again afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from qiskit.primitives import BasePrimitiveJob, PrimitiveJob
from qiskit.providers import JobStatus

from bondwise.backends.jobs.handles import job_ids_of, status_word
from bondwise.backends.jobs.journal import JobRecord, Journal
from bondwise.backends.jobs.places import JobEnded, Place
from bondwise.runs import RunError
from bondwise.runs.reading import one_line


class Waiting(RunError):  # noqa: N818 (not an error)
    """Raised instead of waiting for a job, by runs that submit only.

    Attributes:
        job_ids: Identifiers of the job.

    Example:
        >>> from bondwise.backends import Waiting
        >>> Waiting("job d4f2 is queued.", ("d4f2",)).job_ids
        ('d4f2',)
    """

    def __init__(self, message: str, job_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.job_ids = job_ids


class Recorder:
    """Submits the jobs of one run to one backend.

    A job is known by its tag: the run, the backend, what it asks for, and how many jobs of this run have
    asked for the same before. A run that is repeated therefore finds the jobs of the first time, in any
    order.

    Args:
        journal: The journal.
        run: Name of the run.
        backend: Name of the backend.
        place: Where the jobs live.
        conditions: Hash of what its results depend on besides its name, see `conditions_of`.
        wait: Whether to wait for results; otherwise `Waiting` is raised for those that are not there yet.
        progress: Whether to show a bar while waiting.
    """

    def __init__(
        self,
        journal: Journal,
        run: str,
        backend: str,
        place: Place,
        *,
        conditions: str = "",
        wait: bool = True,
        progress: bool = False,
    ) -> None:
        self.journal, self.run, self.backend, self.place = journal, run, backend, place
        self.conditions, self.wait, self.progress = conditions, wait, progress
        self._asked: Counter[str] = Counter()
        self._mutex = threading.Lock()

    def submit(
        self,
        content: str,
        start: Callable[[], Any],
        *,
        about: dict[str, Any],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes, dict[str, Any]], Any],
    ) -> RecordedJob:
        """Submit a job, or find it if it was submitted before.

        Args:
            content: Hash of what it asks for.
            start: Submits it.
            about: What else is worth knowing, of JSON types.
            pack: Makes bytes of its result.
            unpack: Makes a result of the bytes, and of `about` as it was when the job was submitted.

        Raises:
            RunError: If it cannot be told whether an earlier process has submitted it.
        """
        tag = self._tag(content)
        with self.journal.alone(tag):
            known = self.journal.intend(tag, run=self.run, backend=self.backend, about=about)
            if known is None:
                job = self._started(tag, start)
            elif known.state == "done":
                job = None
            else:
                job = self._found(known)
                if job is None:
                    self.journal.again(tag)
                    job = self._started(tag, start)
        job_ids = known.job_ids if job is None and known is not None else self._job_ids(job)
        stored = about if known is None else known.about
        return RecordedJob(self, tag, job, job_ids, pack, lambda data: unpack(data, stored))

    def _tag(self, content: str) -> str:
        with self._mutex:
            call = self._asked[content]
            self._asked[content] += 1
        return (
            f"bondwise-{_short(self.backend + self.conditions + content, 24)}-{_short(self.run, 12)}-{call}"
        )

    def compiled(self, key: str, compile_now: Callable[[], bytes]) -> bytes:
        """The compiled circuit of this run for the circuit with a hash, as QPY; compiled now if need be."""
        data = self.known_circuit(key)
        if data is None:
            made = compile_now()
            self.journal.keep_circuit(self.run, self.backend, self.conditions + key, made)
            data = self.known_circuit(key) or made  # another process may have been faster
        return data

    def known_circuit(self, key: str) -> bytes | None:
        """The compiled circuit of this run, None if there is none yet."""
        return self.journal.circuit(self.run, self.backend, self.conditions + key)

    def _started(self, tag: str, start: Callable[[], Any]) -> Any:
        """Submit the job; what the service has accepted more than once is kept once."""
        try:
            with self.place.tagged(tag):
                job = start()
        except Exception as error:
            # the service may have accepted it, and only its answer was lost
            found = self._arrived(tag) if self.place.searchable else []
            if not found:
                if self.place.searchable or not self.may_go_on(error):
                    self.journal.ended(tag, "failed", one_line(error))
                raise
            job = self._kept(found)
        else:
            if self.place.searchable:  # a client may repeat requests by itself
                job = self._kept(self._arrived(tag)) or job
        self.journal.submitted(tag, self._job_ids(job))
        return job

    def _found(self, known: JobRecord) -> Any:
        """The job of an earlier process, None if there is none and it has to be submitted."""
        if known.state == "submitted" and known.job_ids:
            return self.place.job(known.job_ids[0])
        # a job that was refused may have arrived later than anybody has looked for it
        unknown = known.state in ("intended", "submitted") and self.place.remote
        if self.place.searchable or unknown:
            job = self._kept(self._arrived(known.tag))
            if job is not None:
                self.journal.submitted(known.tag, self._job_ids(job))
            return job
        return None

    def _job_ids(self, job: Any) -> tuple[str, ...]:
        """Identifiers by which a later process finds a job; a thread of this process has none."""
        known = self.place.remote and not isinstance(job, PrimitiveJob)
        return job_ids_of(job) if known else ()

    def may_go_on(self, error: Exception) -> bool:
        """Whether a job may go on elsewhere after this error, because only the connection broke."""
        return self.place.remote and isinstance(error, OSError)

    def _kept(self, jobs: list[Any]) -> Any:
        """The oldest of the jobs; the others are cancelled."""
        for extra in jobs[1:]:
            self.place.cancel(extra)
        return jobs[0] if jobs else None

    def _arrived(self, tag: str) -> list[Any]:
        """The jobs of a tag at the service; while it does not answer, the job stays "intended"."""
        try:
            return self.place.find(tag)
        except RunError as error:
            if not self.place.searchable:
                raise
            raise RunError(
                f"{str(error).rstrip('.')}; whether job {tag} has arrived there is not known, and the same "
                "run looks for it when it is repeated."
            ) from None


class RecordedJob(BasePrimitiveJob[Any, JobStatus]):
    """A job in the journal; its result is always read from there."""

    def __init__(
        self,
        recorder: Recorder,
        tag: str,
        job: Any,
        job_ids: tuple[str, ...],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
    ) -> None:
        super().__init__(job_ids[0] if job_ids else tag)
        self.tag, self.job_ids = tag, job_ids
        self._recorder, self._job, self._pack, self._unpack = recorder, job, pack, unpack
        self._mutex = threading.Lock()

    def result(self) -> Any:
        """Wait for the job, store its result, and return it.

        Raises:
            Waiting: If the run does not wait and the job is not done.
            RunError: If the job has failed, was cancelled, or its result cannot be read.
        """
        recorder = self._recorder
        with self._mutex:
            data = recorder.journal.result(self.tag)
            if data is None:
                if not recorder.wait and recorder.place.remote and not self.in_final_state():
                    names = ", ".join(self.job_ids) or self.tag
                    raise Waiting(f"job {names} is {self._word()}.", self.job_ids)
                try:
                    result = recorder.place.result(self._job, recorder.progress)
                    data = self._pack(result)
                except JobEnded as error:
                    recorder.journal.ended(self.tag, error.state, str(error))
                    raise
                except Exception as error:
                    if not self.job_ids and not recorder.may_go_on(error):
                        recorder.journal.ended(self.tag, "failed", one_line(error))
                    raise
                recorder.journal.done(self.tag, data)
                data = recorder.journal.result(self.tag) or data  # another process may have been faster
                if (seconds := recorder.place.qpu_seconds(self._job)) is not None:
                    recorder.journal.charged(self.tag, seconds)
        return self._unpack(data)

    def status(self) -> JobStatus:
        """The status of the job."""
        if self._stored():
            return JobStatus.DONE
        word = self._word()
        return JobStatus.ERROR if word == "failed" else JobStatus[word.upper()]

    def done(self) -> bool:
        """Whether the job has run."""
        return self.status() is JobStatus.DONE

    def running(self) -> bool:
        """Whether the job is running."""
        return self.status() is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self.status() is JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Whether nothing changes any more."""
        return self.status() in (JobStatus.DONE, JobStatus.CANCELLED, JobStatus.ERROR)

    def cancel(self) -> None:
        """Cancel the job if it has not run yet."""
        if not self.in_final_state():
            self._recorder.place.cancel(self._job)
            self._recorder.journal.ended(self.tag, "cancelled", "cancelled from here")

    def _word(self) -> str:
        return status_word(self._recorder.place.status(self._job))

    def _stored(self) -> bool:
        return self._job is None or self._recorder.journal.result(self.tag) is not None


def _short(text: str, letters: int) -> str:
    return sha256(text.encode()).hexdigest()[:letters]
