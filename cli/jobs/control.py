"""`bondwise jobs wait`, `cancel` and `settle`."""

from __future__ import annotations

from typing import Annotated

import typer

from bondwise import backends
from bondwise.cli import options
from bondwise.cli.jobs.listing import Tag
from bondwise.cli.terminal import show
from bondwise.runs import Stopped, UsageError


def wait(tag: Tag, quiet: options.Quiet = False) -> None:
    """Wait for a job, however long its queue is, and store its result in the journal."""
    from bondwise.backends.jobs.tracking import TrackedJob

    tracked = TrackedJob(backends.Journal(), tag)
    try:
        tracked.wait(progress=not quiet)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the job goes on, and `bondwise jobs wait {tag}` waits for it.") from None
    if not quiet:
        show(f"{tracked.record.tag} is done; `bondwise jobs export {tag}` writes its result.")


def cancel(tag: Tag, quiet: options.Quiet = False) -> None:
    """Cancel a job that is not over."""
    from bondwise.backends.jobs.tracking import TrackedJob

    tracked = TrackedJob(backends.Journal(), tag)
    tracked.cancel()
    if not quiet:
        show(f"{tracked.record.tag} is cancelled.")


def settle(
    tag: Tag,
    job_id: Annotated[
        str | None, typer.Option("--job-id", help="Identifier of the job at the service.", metavar="ID")
    ] = None,
    lost: Annotated[bool, typer.Option("--lost", help="The job is not there.")] = False,
) -> None:
    """Say what became of a job that its service cannot be asked for; --lost lets its run submit it again."""
    from bondwise.backends.jobs.tracking import TrackedJob

    if lost == (job_id is not None):
        raise UsageError("give either --job-id ID, if the job is at the service, or --lost.")
    TrackedJob(backends.Journal(), tag).settle(job_id)
