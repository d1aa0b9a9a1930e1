"""The backend of a command: jobs on a device are recorded under the run of its folder."""

from __future__ import annotations

from pathlib import Path

from bondwise import backends
from bondwise.cli.terminal import show, show_json
from bondwise.runs import RunFolder, UsageError


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
