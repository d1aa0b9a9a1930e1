"""The points of a grid, as what JSON can hold, and the text that a stored point is found by."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bondwise.runs import UsageError, kind_of, one_line

Point: TypeAlias = dict[str, Any]
Grid: TypeAlias = Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]]

MOST_POINTS = 1_000_000


def points_of(grid: Grid) -> list[Point]:
    """The points of a grid in order; the last name of a product varies fastest.

    Args:
        grid: Values by name, of which all combinations are taken; or a list of points, dictionaries.

    Raises:
        UsageError: If there is no point or more than a million, a value is none that JSON can hold, or two
            points are the same.
    """
    if isinstance(grid, str) or not isinstance(grid, Iterable):
        raise UsageError(f"the grid is {kind_of(grid)}; give {{'seed': [0, 1]}}, or a list of points.")
    if isinstance(grid, Mapping):
        axes = {name: _axis(name, values) for name, values in grid.items()}
        count = math.prod(map(len, axes.values())) if axes else 0
        given: Iterable[Any] = (
            dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
        )
    else:
        given = list(grid)
        count = len(given)
    if not 1 <= count <= MOST_POINTS:
        raise UsageError(f"the grid has {count:,} points; give from 1 to {MOST_POINTS:,}.")
    points, seen = [], set()
    for point in given:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise UsageError(f"a point is {one_line(repr(point), 60)}; give dictionaries with names as keys.")
        points.append({name: plain(f"the value {name!r} of a point", value) for name, value in point.items()})
        key = key_of(points[-1])
        if key in seen:
            raise UsageError(
                f"the point {label(point)} is in the grid twice; leave one out, or give each its own seed."
            )
        seen.add(key)
    return points


def _axis(name: str, values: Any) -> Any:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"the values of {name!r} are {one_line(repr(values), 60)}; give a list of them.")
    return values if isinstance(values, range) else list(values)


def plain(what: str, value: Any) -> Any:
    """A value as JSON reads it back: scalars of NumPy and torch become Python's, and tuples lists.

    Args:
        what: Name of the value in messages.
        value: None, a boolean, a finite number or text; or lists and dictionaries of these.

    Raises:
        UsageError: If JSON cannot hold it.
    """
    value = scalar(value)
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(what, item) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: plain(what, item) for name, item in value.items()}
    hint = " (an array: .tolist())" if hasattr(value, "tolist") else ""
    shown = repr(value) if isinstance(value, float | complex) else kind_of(value)
    raise UsageError(
        f"{what} is {shown}, which JSON cannot hold; give finite numbers, text, None, or lists{hint}."
    )


def scalar(value: Any) -> Any:
    """Python's number for a scalar of NumPy or torch; everything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def key_of(point: Mapping[str, Any]) -> str:
    """The canonical JSON of a point: names in alphabetical order, no spaces; 1, 1.0 and true differ."""
    return json.dumps(point, sort_keys=True, separators=(",", ":"), allow_nan=False)


def label(point: Mapping[str, Any], most: int = 60) -> str:
    """A point as a person writes it: "chi=4 seed=1"."""
    return one_line(" ".join(f"{name}={value}" for name, value in point.items()) or "without values", most)
