"""The grid that `--over NAME=VALUES` describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from bondwise.runs import UsageError

_FORM = "write --over NAME=VALUES, such as chi=1,2,4 or seed=0..4"


def grid_of(flags: Iterable[str]) -> dict[str, Sequence[Any]]:
    """The values by name.

    Args:
        flags: Texts such as "chi=1,2,4", "seed=0..4" (from 0 to 4) or "optimizer=adam,lbfgs". Numbers, true,
            false, null, quoted text and lists are read as in JSON, and anything else is text.

    Raises:
        UsageError: If one is not of this form, or a name is given twice.
    """
    grid: dict[str, Sequence[Any]] = {}
    for flag in flags:
        name, equals, values = flag.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not values.strip():
            raise UsageError(f"--over {flag!r} names no values; {_FORM}.")
        if name in grid:
            raise UsageError(f"--over {name} is given twice; {_FORM}.")
        grid[name] = _values(flag, values.strip())
    return grid


def _values(flag: str, text: str) -> Sequence[Any]:
    ends = re.fullmatch(r"(-?\d{1,18})\.\.(-?\d{1,18})", text, re.ASCII)
    if ends:
        found = range(int(ends[1]), int(ends[2]) + 1)
        if not found:
            raise UsageError(f"--over {flag!r} is empty; write the smaller number first.")
        return found
    try:
        return list(json.loads(f"[{text}]"))
    except ValueError:
        words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f"--over {flag!r} has a gap; {_FORM}.")
    return [_value(word) for word in words]


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word
