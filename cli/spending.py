"""What commands ask before they spend time on a device: `--dry-run`, `--yes` and `--max-qpu-seconds`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bondwise.cli.terminal import show_json
from bondwise.runs import Stopped, UsageError, printable, real_number

if TYPE_CHECKING:
    from bondwise.backends import Backend, Plan

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be submitted and what it would cost, and stop.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Spend time on a device without asking.")]
MostQpuSeconds = Annotated[
    float | None,
    typer.Option(
        "--max-qpu-seconds",
        help="Submit nothing if the estimated time on a device is longer.",
        metavar="SECONDS",
    ),
]


def approve(
    machine: Backend,
    work: Callable[[Backend], object],
    *,
    dry_run: bool = False,
    yes: bool = False,
    most_seconds: float | None = None,
    quiet: bool = False,
    json: bool = False,
) -> Plan | None:
    """Find out what a computation costs, and return if it may begin; call this before anything is submitted.

    Simulators are never asked about, and not planned for without `dry_run`. On a device the plan is printed
    to standard error, and the user is asked on a terminal.

    Args:
        machine: The backend.
        work: The computation with the backend that it is given, as for `bondwise.backends.plan`.
        dry_run: Whether to print the plan to standard output and stop.
        yes: Whether the user has agreed beforehand.
        most_seconds: Longest QPU time in seconds; None for any.
        quiet: Whether to print the plan of a device only if the user is asked.
        json: Whether a dry run prints JSON.

    Returns:
        The plan; None for a simulator.

    Raises:
        typer.Exit: After a dry run, with exit code 0.
        UsageError: If the QPU time is longer than allowed or not known, or there is nobody to ask.
        Stopped: If the user says no.
    """
    from bondwise.backends import plan
    from bondwise.backends.jobs.plans import runs_on_device

    if most_seconds is not None:
        real_number("max_qpu_seconds", most_seconds, zero=True)
    if not dry_run and not runs_on_device(machine):
        return None
    found = plan(machine, work)
    if dry_run:
        if json:
            show_json(found.as_dict())
        else:
            print(_printable(found))
        _check(found, most_seconds)
        raise typer.Exit
    _check(found, most_seconds)
    if not found.jobs and found.complete:  # all jobs of the run have been submitted
        return found
    if yes:
        if not quiet:
            print(_printable(found), file=sys.stderr)
        return found
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        raise UsageError(
            f"{found.backend} is a device and there is no terminal to ask whether to spend "
            f"{_seconds(found)} on it; add --yes (--dry-run of the command shows the plan)."
        )
    try:
        print(_printable(found), file=sys.stderr)
        # typer.confirm would write to standard output too, which is for results
        print("Submit? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:  # a no, after which nothing is left behind
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Stopped("nothing was submitted.")
    return found


def _check(found: Plan, most_seconds: float | None) -> None:
    if most_seconds is None or not found.device or not found.jobs:
        return
    limit = f"--max-qpu-seconds {most_seconds:g}"
    seconds = found.qpu_seconds
    if seconds is None:
        raise UsageError(
            f"{found.backend} does not report how long its gates take, so {limit} cannot be kept; "
            "leave it out, or lower --shots."
        )
    if seconds > most_seconds:
        raise UsageError(
            f"this would take about {seconds:.1f} s on {found.backend}, more than {limit}; lower --shots, or "
            "allow more."
        )
    if not found.complete:
        raise UsageError(
            f"how many jobs follow on {found.backend} depends on results, so {limit} cannot be kept; "
            "leave it out."
        )


def _seconds(found: Plan) -> str:
    return "time" if found.qpu_seconds is None else f"about {found.qpu_seconds:.1f} s"


def _printable(found: Plan) -> str:
    return "\n".join(map(printable, str(found).splitlines()))


def _is_terminal(stream: object) -> bool:
    check = getattr(stream, "isatty", None)  # there may be no stream
    return check is not None and bool(check())
