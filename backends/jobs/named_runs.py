"""Runs by name: what was submitted under a name is found again, not submitted again."""

from __future__ import annotations

import os

from bondwise.backends.backend import Backend
from bondwise.backends.jobs.journal import Journal
from bondwise.backends.jobs.recording import recorded
from bondwise.backends.names import BackendLike, get_backend
from bondwise.runs import UsageError, kind_of


def record(
    backend: BackendLike,
    run: str,
    *,
    journal: Journal | str | os.PathLike[str] | None = None,
    wait: bool = True,
    progress: bool = False,
) -> Backend:
    """Record the jobs of a backend, so that a run which is repeated pays for none of them again.

    A job is entered in the journal before it is submitted. When the same run asks for the same again, in
    this process or a later one, the job is found there (or at the service, if the first process was killed
    in between), and its stored result is returned. The n-th time that a recorded backend is asked for the
    same, it gets the n-th job; a new name means new jobs.

    Args:
        backend: Anything that `get_backend` takes. `"ibm:least_busy"` is resolved once per run.
        run: Name of the run.
        journal: The journal, or the path of one; by default the user's (see `Journal`).
        wait: Whether to wait for results. Otherwise whatever needs a result that is not there yet raises
            `Waiting`, after its job was submitted.
        progress: Whether to show a bar while waiting for a device, with the place in its queue.

    Returns:
        The recorded backend. Whatever is simulated in this process is recorded too, and computed again
        if the process ended before the result was stored.

    Raises:
        UsageError: If the run is not named by a text, or the backend cannot be used.
        RunError: If the journal cannot be written.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import estimate, record
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> first = estimate(bell, "XX", shots=100, backend=record("fake:manila", "demo", journal="jobs.db"))
        >>> again = estimate(bell, "XX", shots=100, backend=record("fake:manila", "demo", journal="jobs.db"))
        >>> bool(again.value == first.value)
        True
    """
    if not isinstance(run, str) or not run.strip():
        raise UsageError(
            f"the run is {repr(run) if isinstance(run, str) else kind_of(run)}; name it, such as 'my-study'."
        )
    kept = journal if isinstance(journal, Journal) else Journal(journal)
    asked = backend if isinstance(backend, str) else ""
    if asked.startswith("ibm:least_busy"):
        backend = kept.name(run, asked) or asked
    place = get_backend(backend)
    if asked.startswith("ibm:least_busy"):
        kept.name(run, asked, place.name)
    return recorded(place, run, kept, wait=wait, progress=progress)
