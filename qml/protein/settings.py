"""Settings that are numbers: one rule for what is accepted, and numpy's turned into Python's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bondwise.runs import UsageError


def whole_number(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """A setting as Python's int.

    Args:
        name: Of the setting.
        value: What was given; of Python or numpy.
        least: Smallest that is accepted.
        most: Largest; None for any.

    Raises:
        UsageError: It is no whole number or out of range.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        accepted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{name} is {value!r}; give a whole number {accepted}.")
    return int(value)


def real_number(name: str, value: Any, *, zero: bool = False) -> float:
    """A setting as Python's float, finite and positive, or zero where that is allowed.

    Raises:
        UsageError: It is no such number.
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise UsageError(
            f"{name} is {value!r}; give a {'number of at least 0' if zero else 'positive number'}."
        )
    return float(value)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with Python's numbers, texts and truth values for numpy's."""
    return {
        name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()
    }
