"""Jobs in the journal, long after the process that submitted them: followed, waited for, cancelled."""

from __future__ import annotations

from typing import Any

from bondwise.backends.jobs.handles import job_ids_of, status_word
from bondwise.backends.jobs.journal import JobRecord, Journal
from bondwise.backends.jobs.places import JobEnded, Place
from bondwise.backends.jobs.recording import RecordedBackend
from bondwise.backends.jobs.storage import pack_result
from bondwise.backends.names import get_backend
from bondwise.runs import RunError, UsageError

_FEWEST = 4  # characters of a tag or identifier


def known_job(journal: Journal, tag: str) -> JobRecord:
    """Look up a job by what a user has typed.

    Args:
        journal: The journal.
        tag: Tag or identifier of the job, or the beginning of either, of at least four characters.

    Raises:
        UsageError: If it is shorter, or the journal does not know it, or knows several.
    """
    if len(tag) < _FEWEST:
        raise UsageError(
            f"{tag!r} is too short for a job; give at least {_FEWEST} characters of its identifier."
        )
    return journal.record(tag)


class TrackedJob:
    """A job in the journal and, if it is not done, at the service.

    Args:
        journal: The journal.
        tag: Tag or identifier of the job, or the beginning of either.

    Raises:
        UsageError: If the journal does not know it, or knows several.
    """

    def __init__(self, journal: Journal, tag: str) -> None:
        self.journal = journal
        self.record: JobRecord = known_job(journal, tag)
        self._there: tuple[Place, Any] | None = None

    def status(self) -> str:
        """One of `intended`, `queued`, `running`, `done`, `cancelled` and `failed`.

        Raises:
            RunError: If the service does not answer.
        """
        if self.record.state in ("done", "failed", "cancelled") or not self.record.job_ids:
            return self.record.state
        place, job = self._job()
        return status_word(place.status(job))

    def progress(self) -> dict[str, Any]:
        """What the service says: `queue_position`, `starts`, `qpu_seconds`, as far as known."""
        if self.record.state != "submitted" or not self.record.job_ids:
            return {}
        place, job = self._job()
        found = place.progress(job)
        if not found.get("qpu_seconds"):  # nothing is charged yet
            found.pop("qpu_seconds", None)
        return found

    def wait(self, progress: bool = False) -> None:
        """Wait until the job is done, and store its result in the journal.

        Raises:
            JobEnded: If it has failed or was cancelled.
            RunError: If the service does not answer, or the job ended with its process.
        """
        if self.record.state == "done":
            return
        place, job = self._job()
        try:
            result = place.result(job, progress)
        except JobEnded as error:
            self.journal.ended(self.record.tag, error.state, str(error))
            raise
        self.journal.done(self.record.tag, pack_result(result), place.qpu_seconds(job))
        self.record = self.journal.record(self.record.tag)

    def cancel(self) -> None:
        """Cancel the job.

        Raises:
            UsageError: If it is over.
            RunError: If the service does not answer.
        """
        status = self.status()
        if status in ("done", "failed", "cancelled"):
            raise UsageError(
                f"job {self.record.tag} is {status}; only jobs that are not over can be cancelled."
            )
        place, job = self._job()
        place.cancel(job)
        self.journal.ended(self.record.tag, "cancelled", "cancelled by the user")
        self.record = self.journal.record(self.record.tag)

    def settle(self, job_id: str | None) -> None:
        """Say what became of a job that its service cannot be asked for.

        Args:
            job_id: Its identifier at the service; None if it never arrived there, or is lost.

        Raises:
            UsageError: If the job is over.
        """
        if self.record.state not in ("intended", "submitted"):
            raise UsageError(f"job {self.record.tag} is {self.record.state}; nothing is left to settle.")
        if job_id is None:
            self.journal.ended(self.record.tag, "failed", "never arrived, as the user says")
        else:
            self.journal.submitted(self.record.tag, [job_id])
        self.record = self.journal.record(self.record.tag)

    def _job(self) -> tuple[Place, Any]:
        """The job at its place, found by its tag if its identifier is not known."""
        if self._there is None:
            record = self.record
            backend = get_backend(record.backend) if record.backend.startswith("ibm:") else None
            if not isinstance(backend, RecordedBackend):
                raise RunError(
                    f"job {record.tag} on {record.backend} is known to the program only that submitted it; "
                    f"start that again, with the run {record.run!r}."
                )
            place = backend.recorder.place
            if record.job_ids:
                self._there = place, place.job(record.job_ids[0])
            else:
                found = place.find(record.tag)
                if not found:
                    raise RunError(f"{record.backend} knows no job {record.tag}: it was never submitted.")
                for extra in found[1:]:  # the client repeats some requests by itself
                    place.cancel(extra)
                self.journal.submitted(record.tag, job_ids_of(found[0]))
                self._there = place, found[0]
        return self._there
