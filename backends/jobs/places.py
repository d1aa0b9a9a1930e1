"""Where jobs live: in this process, or at a service that finds them by their tags or identifiers only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from qiskit.providers import BackendV2

from bondwise.backends.jobs.handles import status_word
from bondwise.runs import RunError, UsageError
from bondwise.runs.reading import one_line


class JobEnded(RunError):
    """Raised for a job without a result.

    Args:
        message: Why.
        state: `failed` or `cancelled`.
    """

    def __init__(self, message: str, state: str = "failed") -> None:
        super().__init__(message)
        self.state = state


class Place(Protocol):
    """What the journal asks of the place where jobs run."""

    remote: bool  # whether jobs go on when this process ends
    searchable: bool  # whether jobs can be found by their tags

    def tagged(self, tag: str) -> AbstractContextManager[None]:
        """A context in which jobs are submitted under a tag."""

    def find(self, tag: str) -> list[Any]:
        """The jobs of a tag that have not failed and were not cancelled, the oldest first."""

    def job(self, job_id: str) -> Any:
        """A job by its identifier."""

    def status(self, job: Any) -> Any:
        """The status of a job."""

    def cancel(self, job: Any) -> None:
        """Cancel a job, unless it has ended."""

    def result(self, job: Any, progress: bool = False) -> Any:
        """Wait for a job, with or without a progress bar, and return its result."""

    def qpu_seconds(self, job: Any) -> float | None:
        """The seconds that are charged for a finished job, if known."""

    def progress(self, job: Any) -> dict[str, Any]:
        """What is known of a job that waits or runs: `queue_position`, `starts`, `qpu_seconds`."""

    @property
    def most_shots(self) -> int | None:
        """Most shots of a circuit, if there is such a limit and it is known."""

    def rep_delay(self) -> float | None:
        """The seconds between two executions of a circuit, if known."""

    def waiting_jobs(self) -> int | None:
        """How many jobs wait for the device, if known."""


def require_shots(place: Place, name: str, shots: int) -> None:
    """Refuse more shots of a circuit than a place takes, before anything is submitted.

    Args:
        place: The place.
        name: Name of its device, for the message.
        shots: The shots.

    Raises:
        UsageError: If there are too many.
    """
    most = place.most_shots
    if most is not None and shots > most:
        raise UsageError(f"shots is {shots:,} and {name} takes at most {most:,} of a circuit; ask for fewer.")


class ThisProcess:
    """Jobs that end with the process: what was not stored is computed again."""

    remote = False
    searchable = False
    most_shots: int | None = None

    @contextmanager
    def tagged(self, tag: str) -> Iterator[None]:
        """Nothing to do."""
        yield

    def find(self, tag: str) -> list[Any]:
        """No jobs are left of an earlier process."""
        return []

    def job(self, job_id: str) -> Any:
        """Not available."""
        raise RunError(f"job {job_id} ended with the process that started it.")

    def status(self, job: Any) -> Any:
        """The status of a job."""
        return job.status()

    def cancel(self, job: Any) -> None:
        """Cancel a job."""
        job.cancel()

    def result(self, job: Any, progress: bool = False) -> Any:
        """Wait for a job."""
        return job.result()

    def qpu_seconds(self, job: Any) -> float | None:
        """Nothing is charged."""
        return None

    def progress(self, job: Any) -> dict[str, Any]:
        """Nothing is known."""
        return {}

    def rep_delay(self) -> float | None:
        """Unknown."""
        return None

    def waiting_jobs(self) -> int | None:
        """None wait."""
        return None


class AnyDevice(ThisProcess):
    """Jobs of a Qiskit device: they have identifiers, by which some devices find them, but no tags.

    Args:
        device: The device.
        name: Name for messages.
    """

    remote = True

    def __init__(self, device: BackendV2, name: str) -> None:
        self._device, self._name = device, name

    def find(self, tag: str) -> list[Any]:
        """Ask the user, as the device cannot be asked.

        Raises:
            RunError: Always.
        """
        raise RunError(
            f"it is not known what became of job {tag}, and {self._name} cannot be asked; look whether it is "
            f"there, then `bondwise jobs settle {tag} --job-id ID` if it is, "
            f"or `bondwise jobs settle {tag} --lost`."
        )

    def result(self, job: Any, progress: bool = False) -> Any:
        """Wait for a job.

        Raises:
            JobEnded: If it has failed or was cancelled, as far as the device tells.
        """
        try:
            return job.result()
        except Exception as error:
            try:
                word = status_word(job.status())
            except Exception:  # the device does not answer
                word = ""
            if word not in ("failed", "cancelled"):
                raise
            raise JobEnded(f"a job on {self._name} ended as {word}: {one_line(error)}", word) from error

    def rep_delay(self) -> float | None:
        """The default of the device, if it tells."""
        return getattr(self._device, "default_rep_delay", None)

    def job(self, job_id: str) -> Any:
        """The job, from the device or its provider.

        Raises:
            RunError: If neither can look up jobs.
        """
        provider = getattr(self._device, "provider", None) or getattr(self._device, "_provider", None)
        service = getattr(self._device, "service", None)  # of IBM's client
        for owner in (self._device, provider() if callable(provider) else provider, service):
            for name in ("retrieve_job", "job", "get_job"):
                look_up = getattr(owner, name, None)
                if callable(look_up):
                    return look_up(job_id)
        raise RunError(f"{self._name} cannot look up jobs; ask it for the result of {job_id} yourself.")
