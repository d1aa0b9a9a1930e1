"""Numbers that callers give: one rule for what is accepted; nothing is dropped or made up on the way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bondwise.runs.errors import UsageError
from bondwise.runs.reading import one_line


def real_array(what: str, given: Any) -> np.ndarray:
    """Real numbers as a float64 array; numpy alone would drop imaginary parts, read text and make None a nan.

    Args:
        what: Their name in messages.
        given: A number, an array, nested lists, or a tensor on any device.

    Returns:
        float64 of the shape given; NaN and infinity are left to the caller.

    Raises:
        UsageError: They are complex, no numbers, or of no regular shape.
    """
    try:
        if hasattr(given, "detach"):  # a tensor
            given = given.detach().cpu().resolve_conj().numpy()
        array = np.asarray(given)
        if array.dtype == object:  # None and text would become numbers
            kinds = {type(value).__name__ for value in array.ravel()}
            raise TypeError(f"found {', '.join(sorted(kinds))}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"their type is {array.dtype}")
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(
            f"{what} must be real numbers ({one_line(error)}); pass a number or an array of floats."
        ) from None
    return array.astype(np.float64)


def whole_number(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """A number as Python's int.

    Args:
        name: What it is called in messages.
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
    """A number as Python's float, finite and positive, or zero where that is allowed.

    Raises:
        UsageError: It is no such number.
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise UsageError(
            f"{name} is {value!r}; give a {'number of at least 0' if zero else 'positive number'}."
        )
    return float(value)


def random_generator(seed: Any) -> np.random.Generator:
    """A random generator for a whole number of at least 0 or None; what else numpy takes passes.

    Raises:
        UsageError: numpy takes no such seed.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise UsageError(f"seed is {seed!r}; give a whole number of at least 0, or None.") from None
