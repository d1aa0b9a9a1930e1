"""`bondwise jobs list` and `bondwise jobs show`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends
from bondwise.cli import options
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import unknown_name, whole_number

if TYPE_CHECKING:
    from bondwise.backends import JobRecord

STATES = ("intended", "submitted", "done", "failed", "cancelled")
Tag = Annotated[
    str,
    typer.Argument(
        help="Tag or identifier of a job, or the beginning of one.", metavar="JOB", show_default=False
    ),
]


def jobs(
    run: Annotated[
        str | None, typer.Option("--run", help="Only the jobs of this run.", metavar="NAME")
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", help=f"Only jobs that are {', '.join(STATES)}.", metavar="STATE")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="At most this many, the latest.")] = 20,
    json: options.Json = False,
) -> None:
    """List the jobs in the journal, the latest first; no service is asked."""
    whole_number("limit", limit)
    if state is not None and state not in STATES:
        raise unknown_name("state", state, STATES)
    journal = backends.Journal()
    found = journal.records(run=run, state=state, limit=limit)
    if json:
        show_json([as_json(record) for record in found])
        return
    rows = [
        [
            _when(record.created),
            ", ".join(record.job_ids) or record.tag,
            record.run,
            record.backend,
            record.state,
            record.about.get("circuits", ""),
            record.about.get("shots") or "",
        ]
        for record in found
    ]
    columns = ("entered", "job", "run", "backend", "state", "circuits", "shots")
    show_table(f"jobs in {journal.path}", columns, rows, left=columns[:5], whole=True)


def job(tag: Tag, json: options.Json = False) -> None:
    """Show a job; one that is not done is looked up at the service, with its place in the queue."""
    from bondwise.backends.jobs.tracking import TrackedJob

    tracked = TrackedJob(backends.Journal(), tag)
    record = tracked.record
    status, progress = tracked.status(), tracked.progress()
    if json:
        show_json(as_json(record) | {"status": status, **progress})
        return
    seconds = progress.get("qpu_seconds", record.qpu_seconds)
    known = record.about.items()
    about = [f"{name} {value}" for name, value in known if value is not None and name != "registers"]
    lines: list[str] = [
        f"{record.tag}: {status}",
        f"run {record.run} on {record.backend}",
        f"entered {_when(record.created)}, changed {_when(record.changed)}",
        ", ".join(about),
    ]
    if record.job_ids:
        lines.append(f"at the service: {', '.join(record.job_ids)}")
    if "queue_position" in progress:
        lines.append(f"place in the queue: {progress['queue_position']}")
    if "starts" in progress:
        lines.append(f"expected to start: {progress['starts']}")
    if seconds is not None:
        lines.append(f"QPU time: {seconds:.1f} s")
    if record.message:
        lines.append(record.message)
    show(*lines)


def as_json(record: JobRecord) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "tag": record.tag,
        "run": record.run,
        "backend": record.backend,
        "state": record.state,
        "job_ids": list(record.job_ids),
        "about": record.about,
        "created": record.created,
        "changed": record.changed,
        "message": record.message,
        "qpu_seconds": record.qpu_seconds,
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
