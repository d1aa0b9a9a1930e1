"""What a worker does with a point. Only text comes back: errors and results of any class need no pickle.

Workers import this file, which loads neither torch nor Qiskit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Any

from bondwise.qml.sweeps.points import Point, plain, scalar
from bondwise.runs import Result, UsageError, kind_of, one_line


@dataclass(frozen=True)
class Outcome:
    """What became of a point: the JSON of its results, or the reason why there are none."""

    done: bool
    text: str
    seconds: float = 0.0
    hopeless: bool = False  # the same call would fail in the same way


def attempt(fn: Callable[..., Any], point: Point, once: str) -> Outcome:
    """Call a function at a point.

    Args:
        fn: The function.
        point: Its keyword arguments.
        once: A text that differs between calls: Dask takes a call with the same arguments for the same one.
    """
    start = perf_counter()
    try:
        found = json.dumps(results_of(fn(**point), point))
        return Outcome(True, found, perf_counter() - start)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        return Outcome(False, reason, perf_counter() - start, hopeless=isinstance(error, UsageError))


def results_of(returned: Any, point: Point) -> dict[str, Any]:
    """What a function has returned, as results by name; a number is called "value".

    Of a `Result`, numbers and texts are kept, with None for a standard error that is not known.

    Raises:
        UsageError: If JSON cannot hold it, or it has a name of the point for something else.
    """
    if isinstance(returned, Result):
        named = {field.name: scalar(getattr(returned, field.name)) for field in fields(returned)}
        returned = {"value": named.pop("value")}
        for name, value in named.items():
            if name not in point and _is_simple(value):
                unknown = isinstance(value, float) and not math.isfinite(value)
                returned[name] = None if unknown else value
    elif not isinstance(returned, Mapping):
        returned = {"value": scalar(returned)}
        if isinstance(returned["value"], str) or not _is_simple(returned["value"]):
            raise UsageError(
                f"the function returned {kind_of(returned['value'])}; return a number, a dictionary of "
                "results, or a Result."
            )
    if not all(isinstance(name, str) for name in returned):
        raise UsageError(f"a result is called {next(iter(returned))!r}; names of results are text.")
    found = {name: plain(f"the result {name!r}", value) for name, value in returned.items()}
    for name, value in found.items():
        if name in point and value != point[name]:
            raise UsageError(
                f"the result {name!r} has the name of a value of the point; return it under another name."
            )
    return {name: value for name, value in found.items() if name not in point}


def _is_simple(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex | str)
