"""Small data sets of bit strings for Born machines."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, require_within, whole_number


def bars_and_stripes(rows: int, columns: int) -> NDArray[np.uint8]:
    """All images of full columns (bars) or of full rows (stripes), each exactly once.

    Args:
        rows: Number of rows of pixels.
        columns: Number of columns of pixels.

    Returns:
        Bits of shape (2^rows + 2^columns - 2, rows * columns), uint8, sorted; (2^n, n) for a single line of n
        pixels. Pixel (r, c) is bit and qubit r * columns + c: `images.reshape(-1, rows, columns)` are the
        images.

    Raises:
        UsageError: If a number is not a whole number above 0, or the result does not fit into memory.

    Example:
        >>> from bondwise.qml import bars_and_stripes
        >>> images = bars_and_stripes(2, 3)
        >>> images.shape
        (10, 6)
        >>> images[1].reshape(2, 3)
        array([[0, 0, 0],
               [1, 1, 1]], dtype=uint8)
    """
    whole_number("rows", rows), whole_number("columns", columns)
    require_within("array_bytes", (2**rows + 2**columns) * rows * columns, "the set of all bars and stripes")
    bars = np.tile(_words(columns), rows)
    stripes = np.repeat(_words(rows), columns, axis=1)
    return np.unique(np.concatenate([bars, stripes]), axis=0)


def cardinality(length: int, ones: int) -> NDArray[np.uint8]:
    """All bit strings with a given number of ones, each exactly once.

    Args:
        length: Number n of bits.
        ones: Number k of ones.

    Returns:
        Bits of shape (n choose k, n), uint8.

    Raises:
        UsageError: If a number is out of range, or the result does not fit into memory.

    Example:
        >>> from bondwise.qml import cardinality
        >>> cardinality(12, 6).shape
        (924, 12)
        >>> cardinality(3, 1).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    whole_number("length", length)
    whole_number("ones", ones, least=0, most=length)
    count = comb(length, ones)
    require_within("array_bytes", count * max(length, 8 * ones), f"the set of {ones} ones in {length} bits")
    places = np.array(list(combinations(range(length), ones)), dtype=np.int64).reshape(count, ones)
    bits = np.zeros((count, length), dtype=np.uint8)
    np.put_along_axis(bits, places, 1, axis=1)
    return bits


def binary_digits(side: int = 8) -> NDArray[np.uint8]:
    """Handwritten digits in black and white, from the test set of the UCI optical recognition data.

    They come with scikit-learn: nothing is downloaded. Pixels are averaged over blocks and set where they are
    brighter than 7 of 16. Some images occur more than once.

    Args:
        side: Side of the images in pixels, 8, 4 or 2.

    Returns:
        Bits of shape (1797, side * side), uint8. Pixel (r, c) is bit and qubit r * side + c.

    Raises:
        UsageError: If the side is not one of these.

    Example:
        >>> from bondwise.qml import binary_digits
        >>> binary_digits(4).shape
        (1797, 16)
    """
    from sklearn.datasets import load_digits  # a second to load

    if side not in (2, 4, 8):
        raise UsageError(f"side is {side!r}; write 8, 4 or 2.")
    block = 8 // side
    images = load_digits().images.reshape(-1, side, block, side, block).mean(axis=(2, 4))
    return (images > 7).astype(np.uint8).reshape(len(images), side * side)


def _words(length: int) -> NDArray[np.uint8]:
    return (np.arange(1 << length)[:, None] >> np.arange(length)[::-1] & 1).astype(np.uint8)
