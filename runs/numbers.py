"""Checks and conversions of the numbers that callers pass; nothing is silently dropped or made up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bondwise.runs.errors import UsageError
from bondwise.runs.reading import one_line


def real_array(what: str, given: Any) -> np.ndarray:
    """Convert real numbers to a float64 array.

    NumPy alone would drop imaginary parts, parse text and turn None into NaN.

    Args:
        what: Name of the numbers in messages.
        given: A number, an array, nested lists, or a tensor on any device.

    Returns:
        A float64 array of the same shape, in which NaN and infinity are allowed.

    Raises:
        UsageError: If the input is complex, not numeric, or of irregular shape.

    Example:
        >>> from bondwise.runs import real_array
        >>> real_array("the angles", [[1, 2], [3, 4]])
        array([[1., 2.],
               [3., 4.]])
    """
    try:
        if hasattr(given, "detach"):  # a tensor
            given = given.detach().cpu().resolve_conj().numpy()
        array = np.asarray(given)
        if array.dtype == object:  # None and text would be converted to numbers
            kinds = {type(value).__name__ for value in array.ravel()}
            raise TypeError(f"found {', '.join(sorted(kinds))}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"their type is {array.dtype}")
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(
            f"{what} must be real numbers ({one_line(error)}); pass a number or an array of floats."
        ) from None
    return array.astype(np.float64)


def whole_number(
    name: str, value: Any, *, least: int = 1, most: int | None = None, otherwise: str = ""
) -> int:
    """Check a whole number and return it as a Python int.

    Args:
        name: Name of the number in messages.
        value: The number, of Python or numpy.
        least: Smallest number accepted.
        most: Largest number accepted; None for no limit.
        otherwise: What else the caller accepts, for the message.

    Raises:
        UsageError: If the value is not a whole number, or is out of range.

    Example:
        >>> from bondwise.runs import whole_number
        >>> whole_number("layers", 0)
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: layers is 0; give a whole number of at least 1.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        accepted = f"of at least {least}" if most is None else f"from {least} to {most}"
        more = f", or {otherwise}" if otherwise else ""
        raise UsageError(f"{name} is {value!r}; give a whole number {accepted}{more}.")
    return int(value)


def real_number(name: str, value: Any, *, zero: bool = False, below: float = math.inf) -> float:
    """Check a positive, finite number and return it as a Python float.

    Args:
        name: Name of the number in messages.
        value: The number, of Python or numpy.
        zero: Whether 0 is accepted too.
        below: Exclusive upper bound.

    Raises:
        UsageError: If the value is not a real number, or is out of range.

    Example:
        >>> from bondwise.runs import real_number
        >>> real_number("cutoff", 1.5, zero=True, below=1)
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: cutoff is 1.5; give a number of at least 0 and below 1.
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not 0 <= value < below or (value == 0 and not zero):
        accepted = "number of at least 0" if zero else "positive number"
        bound = "" if below == math.inf else f"{' and' if zero else ''} below {below:g}"
        raise UsageError(f"{name} is {value!r}; give a {accepted}{bound}.")
    return float(value)


def random_generator(seed: Any) -> np.random.Generator:
    """Create a random generator from a seed.

    Args:
        seed: A whole number of at least 0, None, or anything else that NumPy accepts, such as a generator.

    Raises:
        UsageError: If NumPy does not accept the seed.

    Example:
        >>> from bondwise.runs import random_generator
        >>> random_generator(7).integers(100, size=3)
        array([94, 62, 68])
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise UsageError(f"seed is {seed!r}; give a whole number of at least 0, or None.") from None
