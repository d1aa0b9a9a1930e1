"""A function at all points of a grid, on any executor, with results that survive.

Each point that ends is stored at once. Started again, a sweep calls the function only where it is not done.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

from bondwise.qml.sweeps.points import Grid, Point, key_of, label, points_of
from bondwise.qml.sweeps.scheduling import Workers, outcomes
from bondwise.qml.sweeps.store import Store
from bondwise.qml.sweeps.table import Sweep
from bondwise.runs import UsageError, kind_of, progress_bar, whole_number


def sweep(
    fn: Callable[..., Any],
    grid: Grid,
    *,
    executor: Workers = None,
    store: str | os.PathLike[str] = "sweep.sqlite",
    version: str = "",
    retries: int = 1,
    progress: bool = False,
) -> Sweep:
    """Call a function at all points of a grid, and store what it returns.

    A point is found again by its key: the name of the function (`fn.__qualname__`, without its module), the
    `version`, and the values of the point as canonical JSON, in which 1, 1.0 and true differ. The key does
    not know what the function does: after a change of its code, give another version or another store.

    Each result is on the disk as soon as it is there; Ctrl-C, `kill -9` and failures of other points lose
    nothing. Points that are done are not computed again, and those that failed are. Only one sweep at a time
    writes a store.

    Args:
        fn: Function of keyword arguments. It returns a number, which is stored as "value"; a dictionary with
            text as keys of numbers, texts or other values that JSON can hold; or a `Result`, of which all
            fields that are numbers or texts are stored. Random numbers are its own affair: give it a `seed`.
        grid: Values by name, of which all combinations are taken, or a list of points, dictionaries.
        executor: Where the function is called: None for this process, one point after the other; an
            `Executor` of concurrent.futures, such as `ThreadPoolExecutor()`, or Dask's
            `client.get_executor()`; or a function that makes one,
            `lambda: ProcessPoolExecutor(4, mp_context=get_context("spawn"))`, which is shut down in the end.
            A pool of processes is broken once one of them has died: only a pool that was made by a function
            can be replaced. Processes need a function that can be imported, and a script that says
            `if __name__ == "__main__":`.
        store: Path of the SQLite file, which is created if needed; its folder must exist.
        version: Version of the function, a part of the key.
        retries: How many more times a point is tried whose call raises or whose worker dies. Afterwards, the
            reason is stored and the others go on. A `UsageError` is not tried again.
        progress: Whether to show a progress bar, with the point that everything waits for.

    Returns:
        The points with their results, in the order of the grid, and those that failed.

    Raises:
        UsageError: If the function has no name or does not take the points, JSON cannot hold a value of the
            grid, a point is given twice, or the store is in use or something else.
        RunError: If the store cannot be written, or an executor is broken that cannot be replaced.

    Example:
        >>> from bondwise import qml, tn
        >>> def energy(sites: int, max_bond: int) -> float:
        ...     return tn.ground_state(qml.ising(sites), max_bond=max_bond, seed=0).value
        >>> print(qml.sweep(energy, {"sites": [4, 6], "max_bond": [1, 2]}, store="ising.sqlite"))
        energy: 4 points, 0 failed
        sites  max_bond      value
            4         1 -4...
            4         2 -4...
            6         1 -6...
            6         2 -7...
    """
    name = _name(fn)
    short = name.rpartition(".")[2]
    retries = whole_number("retries", retries, least=0)
    points = points_of(grid)
    for point in points:
        _require_call(fn, name, point)
    reasons: dict[str, dict[str, Any]] = {}
    with Store(store, name, str(version)) as kept:
        done = kept.done()
        missing = [point for point in points if key_of(point) not in done]
        with (
            progress_bar(len(points), short, progress, first=len(points) - len(missing)) as bar,
            closing(outcomes(fn, missing, executor, retries, lambda point: _show(bar, short, point))) as ends,
        ):
            for index, outcome, tries in ends:
                kept.keep(missing[index], outcome, tries)
                if not outcome.done:
                    reason = {"point": missing[index], "reason": outcome.text, "tries": tries}
                    reasons[key_of(missing[index])] = reason
                bar.update()
        done = kept.done()
    keys = [(key_of(point), point) for point in points]
    return Sweep(
        function=short,
        names=tuple(dict.fromkeys(name for point in points for name in point)),
        rows=[point | done[key] for key, point in keys if key in done],
        failed=[reasons[key] for key, _ in keys if key in reasons],
        store=os.fspath(store),
    )


def _name(fn: Any) -> str:
    """The name under which the results of a function are found again."""
    name = getattr(fn, "__qualname__", "")
    if not callable(fn) or not name or "<lambda>" in name or inspect.ismethod(fn):
        raise UsageError(
            f"the function is {kind_of(fn) if '<lambda>' not in name else 'a lambda'}, by whose name results "
            "cannot be found again; write `def NAME(...)`."
        )
    return str(name)


def _require_call(fn: Callable[..., Any], name: str, point: Point) -> None:
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some functions written in C have none
        return
    try:
        signature.bind(**point)
    except TypeError as error:
        raise UsageError(f"{name}() cannot be called at {label(point)}: {error}.") from None


def _show(bar: Any, name: str, point: Point) -> None:
    bar.set_description(f"{name}: {label(point, 40)}")
