"""`bondwise sweep`: a function at all points of a grid, in several processes, with results that survive."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bondwise import qml
from bondwise.cli import options
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.sweeps.grids import grid_of
from bondwise.cli.sweeps.targets import function_of
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import RunError, Stopped, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    from bondwise.qml import Sweep


def command(
    function: Annotated[
        str,
        typer.Argument(
            help="FILE.py:FUNCTION, MODULE:FUNCTION, or vqe, whose values are flags of `bondwise vqe`.",
            metavar="FUNCTION",
        ),
    ],
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            help="Values of an argument, 1,2,4, adam,lbfgs or 0..4; repeatable, for all combinations.",
            metavar="NAME=VALUES",
        ),
    ],
    store: Annotated[
        Path, typer.Option("--store", help="SQLite file of the results.", metavar="FILE")
    ] = Path("sweep.sqlite"),
    workers: Annotated[
        int, typer.Option("--workers", help="Number of processes; 1 computes in this one.", metavar="N")
    ] = 1,
    retries: Annotated[
        int, typer.Option("--retries", help="How many more times a failed point is tried.", metavar="N")
    ] = 1,
    version: Annotated[
        str,
        typer.Option("--version", help="Version of the function; another one computes anew.", metavar="TEXT"),
    ] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Call a function at all points of a grid; points that are in the store are not computed again."""
    settings = settings_of(locals())
    whole_number("workers", workers, most=1024)
    grid = grid_of(over)
    fn = function_of(function)
    pool = partial(
        ProcessPoolExecutor,
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_follow_parent,
    )
    try:
        swept = qml.sweep(
            fn,
            grid,
            executor=pool if workers > 1 else None,
            store=store,
            version=version,
            retries=retries,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.terminate()
        raise Stopped(f"stopped; the same command goes on with what is not in {store} yet.") from None
    # without a seed that varies there is nothing to average
    summary = swept.summary() if len(grid.get("seed", ())) > 1 and swept.rows else []
    if json:
        found = {"store": str(store), "rows": swept.rows, "summary": summary, "failed": swept.failed}
        show_json(envelope(settings) | found)
    elif not quiet:
        _show(swept, summary)
    if swept.failed:
        total = len(swept.rows) + len(swept.failed)
        raise RunError(
            f"{len(swept.failed)} of {counted(total, 'point')} failed; the same command tries again."
        )


def _show(swept: Sweep, summary: list[dict[str, object]]) -> None:
    if swept.rows:
        texts = [name for name in swept.columns if swept.column(name).dtype.kind not in "biuf"]
        title = f"{swept.function}, {counted(len(swept.rows), 'point')}"
        show_table(title, swept.columns, swept.cells(), left=texts, whole=True)
    if summary:
        names = [name for name in summary[0] if not name.endswith(("_low", "_high"))]
        rows = [[_with_interval(row, name) for name in names] for row in summary]
        show_table("mean over seeds, with 95 % intervals (Student's t)", names, rows, whole=True)
    show(*(f"failed: {one['point']}: {one['reason']}" for one in swept.failed), f"stored in {swept.store}")


def _with_interval(row: dict[str, object], name: str) -> str:
    value, high = row[name], row.get(f"{name}_high")
    if not isinstance(value, float):
        return str(value)
    return f"{value:.8g} ± {high - value:.2g}" if isinstance(high, float) and high == high else f"{value:.8g}"


def _follow_parent() -> None:
    """Leave Ctrl-C to the process that started this worker, and end when that is killed.

    The worker would wait for points forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(parent: int) -> None:
    wait([parent])
    os._exit(1)
