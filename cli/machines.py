"""The backend of a command: jobs on a device are recorded under the run of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from bondwise import backends
from bondwise.cli import spending
from bondwise.cli.terminal import show, show_json
from bondwise.runs import RunFolder, Stopped, UsageError


def machine_for(
    folder: RunFolder, name: str, *, wait: bool = True, progress: bool = False
) -> backends.Backend:
    """The backend of a name; a device records its jobs, so that a resumed command takes none again.

    Args:
        folder: Folder of the run.
        name: Name of the backend.
        wait: Whether to wait for the results of a device.
        progress: Whether to show a bar while waiting.

    Raises:
        UnsupportedOption: If the command is not to wait and the backend is in this process.
    """
    if name.startswith("ibm:"):
        with folder.tentative():  # the service or the journal may be out of reach
            return backends.record(name, folder.run_id, wait=wait, progress=progress)
    if not wait:
        raise backends.UnsupportedOption(
            f"--no-wait has no effect on {name}, which runs in this process; leave it out."
        )
    return backends.get_backend(name)


@contextmanager
def agreed(
    folder: RunFolder,
    machine: backends.Backend,
    work: Callable[[backends.Backend], object],
    *,
    yes: bool,
    most_seconds: float | None,
    json: bool,
    quiet: bool,
) -> Iterator[None]:
    """A context in which a computation may spend time on a device, once the user has agreed to what it costs.

    Args:
        folder: Folder of the run.
        machine: The backend.
        work: The computation with the backend that it is given.
        yes: Whether the user has agreed beforehand.
        most_seconds: Longest QPU time in seconds; None for any.
        json: Whether the command prints JSON.
        quiet: Whether the command prints nothing.

    Raises:
        typer.Exit: If the command does not wait for the results; what was submitted is said before.
        Stopped: After Ctrl-C, if jobs were submitted, or if the user says no.
        UsageError: If the QPU time is longer than allowed or not known, or there is nobody to ask.
    """
    spending.approve(machine, work, yes=yes, most_seconds=most_seconds, quiet=quiet, json=json)
    if machine.remote:
        folder.keep()
    try:
        yield
    except backends.Waiting as waiting:
        say_waiting(waiting, folder, json=json, quiet=quiet)
        raise typer.Exit from None
    except KeyboardInterrupt:
        if machine.begun:
            raise Stopped(going_on(folder.path)) from None
        raise


def require_shots(name: str, shots: int) -> None:
    """Refuse to take a device's default where exact values were asked for.

    Raises:
        UsageError: If `shots` is 0 and the backend is a device.
    """
    if not shots and name.startswith("ibm:"):
        raise UsageError(
            f"--shots 0 asks for exact values and {name} is a device, which has none; give a number, such as "
            "--shots 4096."
        )


def going_on(folder: Path) -> str:
    """What a command says that is stopped after it has submitted jobs."""
    return f"stopped; `bondwise jobs resume {folder}` goes on with the jobs that were submitted."


def say_waiting(waiting: backends.Waiting, folder: RunFolder, *, json: bool, quiet: bool) -> None:
    """Print what was submitted, and how to collect it."""
    command = f"bondwise jobs resume {folder.path}"
    if json:
        show_json({"waiting": True, "job_ids": list(waiting.job_ids), "resume": command})
    elif not quiet:
        show(f"submitted: {waiting}", f"`{command}` collects the results.")
