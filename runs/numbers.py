"""Numbers that callers give, as float64; nothing is dropped or made up on the way."""

from __future__ import annotations

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
