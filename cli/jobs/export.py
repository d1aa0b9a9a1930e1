"""`bondwise jobs export`: the raw result of a job as JSON."""

from __future__ import annotations

import json as json_of
from pathlib import Path
from typing import Annotated, Any

import typer

from bondwise import backends
from bondwise.cli import options
from bondwise.cli.jobs.listing import Tag, as_json
from bondwise.cli.terminal import show, show_json
from bondwise.runs import UsageError, json_text, write_atomically


def command(
    tag: Tag,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; standard output by default.", metavar="FILE")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write what a job returned, as stored in the journal: counts by register, or values and errors."""
    from bondwise.backends.jobs.tracking import known_job

    journal = backends.Journal()
    record = known_job(journal, tag)
    data = journal.result(record.tag)
    if data is None:
        instead = f"`bondwise jobs wait {tag}` fetches one"
        if record.state in ("failed", "cancelled"):
            instead = "`bondwise jobs resume DIR` with the folder of its run submits it again, after asking"
        raise UsageError(f"job {record.tag} is {record.state} and has no result; {instead}.")
    content = {"job": as_json(record), "result": _readable(data)}
    if out is None:
        show_json(content)
        return
    write_atomically(out, json_text(content) + "\n")
    if not quiet:
        show(f"result: {out}")


def _readable(data: bytes) -> Any:
    """A stored result as JSON, one entry for each PUB."""
    if data.startswith(b"{"):  # of a device that is not IBM's, as Qiskit writes it
        return json_of.loads(data)
    from bondwise.backends.jobs.storage import unpack_result

    parts = []
    for part in unpack_result(data):
        fields: dict[str, Any] = {"shape": list(part.data.shape)}
        for name, value in part.data.items():
            if hasattr(value, "get_counts"):
                counts = [value[index].get_counts() for index in _indices(part.data.shape)]
                fields[name] = counts if part.data.shape else counts[0]
            else:
                fields[name] = value.tolist()
        parts.append(fields)
    return parts


def _indices(shape: tuple[int, ...]) -> list[Any]:
    import numpy as np

    return list(np.ndindex(shape)) if shape else [...]
