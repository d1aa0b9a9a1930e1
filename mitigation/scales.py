"""What a mitigation needs, checked before anything is measured: scale factors, shares, twins and readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np

from bondwise.mitigation.names import EXTRAPOLATIONS, NEED_TWINS, USE_TWINS
from bondwise.runs import UsageError, real_array, whole_number

_THREE_SCALES = ("free_exponential", "poly_exponential", "polynomial")  # all others need two
_TWINS = 20
_LARGEST = 1000


def checked_scales(
    extrapolation: str | Callable[..., Any] | None, given: Sequence[float] | None
) -> tuple[float, ...]:
    """The scale factors to fold to; by default 1, 3 and 5, and 1 without extrapolation.

    Raises:
        UsageError: If they are too few for the extrapolation, below 1 or not distinct, or there is none.
    """
    if given is None:
        given = (1,) if extrapolation is None else (1, 3, 5)
    try:
        numbers = real_array("scale_factors", given)
    except UsageError:
        raise UsageError(f"scale_factors {given!r} are no numbers; pass some such as (1, 3, 5).") from None
    if numbers.ndim > 1 or not numbers.size:
        raise UsageError(f"scale_factors {given!r} are not a list of numbers; pass some such as (1, 3, 5).")
    factors = tuple(numbers.ravel().tolist())
    if extrapolation is None and factors != (1.0,):
        raise UsageError(
            f"scale_factors {factors} need an extrapolation and it is None; leave them out or pass one."
        )
    if not all(1 <= factor < float("inf") for factor in factors) or len(set(factors)) < len(factors):
        raise UsageError(f"scale_factors {factors} must be distinct and at least 1, such as (1, 3, 5).")
    if max(factors) > _LARGEST:
        raise UsageError(
            f"scale_factors {factors} reach beyond {_LARGEST}, where only noise is left; pass (1, 3, 5)."
        )
    name = own_name(extrapolation)
    if extrapolation is not None and len(factors) < 2:
        raise UsageError(
            f"scale_factors {factors} cannot be extrapolated; pass two or more, such as (1, 3, 5)."
        )
    if name in _THREE_SCALES and len(factors) < 3:
        raise UsageError(
            f"scale_factors {factors} are too few for {name}; pass three or more, such as (1, 3, 5)."
        )
    return factors


def check_readout(extrapolation: str | Callable[..., Any] | None, readout: bool) -> None:
    """Refuse what is neither True nor False, and what leaves nothing to mitigate.

    Raises:
        UsageError: If `readout` is no boolean, or False without an extrapolation.
    """
    if not isinstance(readout, bool | np.bool_):
        raise UsageError(f"readout is {readout!r}; give True to undo readout errors, or False to leave them.")
    if extrapolation is None and not readout:
        raise UsageError(
            "extrapolation=None with readout=False leaves nothing to mitigate; pass one of them."
        )


def checked_shares(given: Sequence[int] | None, factors: tuple[float, ...]) -> tuple[int, ...]:
    """How shots are shared out over the scale factors; by default, 2S - 1 parts of 3S - 2 at the smallest.

    Extrapolation magnifies the errors there most.

    Raises:
        UsageError: If they are not whole numbers, not one for each scale factor, or there is only one.
    """
    if given is None:
        return tuple(2 * len(factors) - 1 if factor == min(factors) else 1 for factor in factors)
    shares = tuple(whole_number("shares", share) for share in ([given] if np.isscalar(given) else given))
    if len(factors) == 1 and shares != (1,):
        raise UsageError(
            f"shares {shares} share nothing out without an extrapolation; leave them out or pass "
            "extrapolation=."
        )
    if len(shares) != len(factors):
        raise UsageError(
            f"shares {shares} are {len(shares)} and there are {len(factors)} scale factors; "
            "pass one for each, such as (5, 1, 1)."
        )
    return shares


def checked_twins(extrapolation: str | Callable[..., Any] | None, given: int | None, scales: int) -> int:
    """The number of twins to measure; by default 20 for extrapolations that need them.

    Raises:
        UsageError: If it is no whole number, the extrapolation uses none, or it has more unknowns.
    """
    name = own_name(extrapolation)
    if given is None:
        return _TWINS if name in NEED_TWINS else 0
    count = whole_number("twins", given, least=0)
    if count and extrapolation is None:
        raise UsageError(
            f"twins is {count} and nothing is extrapolated; leave it out or pass extrapolation=."
        )
    if count and name and name not in USE_TWINS:
        raise UsageError(
            f"twins is {count} and {name} does not learn from them; leave it out, or extrapolate by one of "
            f"{', '.join(USE_TWINS)}."
        )
    unknowns = {"cdr": 2, "vncdr": scales}.get(name, 0)
    if count < unknowns:
        raise UsageError(
            f"twins is {count} and {name} has {unknowns} unknowns; pass at least {unknowns}, better {_TWINS}."
        )
    return count


def with_error(shots: int | None) -> int | None:
    """The same number of shots.

    Raises:
        UsageError: If it is 1.
    """
    if shots == 1:
        raise UsageError("shots is 1, which says nothing about the error of a value; give at least 2.")
    return shots


def shots_of(precision: float) -> int | None:
    """The number of shots whose error is a precision; None for 0, which asks for exact values.

    Raises:
        UsageError: If it is 1 or more.
    """
    if precision >= 1:
        raise UsageError(
            f"precision is {precision:g}, and one shot is as good, which says nothing about the error; "
            "give a smaller one."
        )
    return ceil(precision**-2 * (1 - 1e-9)) if precision else None


def own_name(extrapolation: str | Callable[..., Any] | None) -> str:
    """The name of one of our extrapolations, also where it is passed as a function; empty for others."""
    if isinstance(extrapolation, str):
        return extrapolation
    place, name = getattr(extrapolation, "__module__", ""), getattr(extrapolation, "__name__", "")
    short = name.removeprefix("extrapolate_")
    ours = short in EXTRAPOLATIONS and place == f"bondwise.mitigation.extrapolations.{short}"
    return short if ours else ""
