"""Bit strings from files, arrays and lists, checked, with errors that name the place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, kind_of, read_arrays, read_text, require_within
from bondwise.tn.states.networks import numpy_array

_ACCEPTED = 'give an array of 0 and 1 of shape (samples, n) or a list of strings such as "0110"'


def read_bitstrings(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read bit strings from a file.

    Args:
        path: `.npy` with an array of 0 and 1 of shape (samples, n), or `.csv` or `.txt` with one string a
            line, the bits with or without commas or blanks between them; empty lines are skipped.

    Returns:
        Bits of shape (samples, n), uint8; column i is the letter i from the left.

    Raises:
        UsageError: The file is missing, of another kind, empty or damaged, or a line (its number is said) has
            something else in it than 0 and 1, or another length than the first.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"the path is {kind_of(path)}; give the name of a file of bit strings.")
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".npy", ".csv", ".txt"):
        raise UsageError(f"{path} is not a file of bit strings; give one that ends in .npy, .csv or .txt.")
    if kind == ".npy":
        array = read_arrays(path)["vector"]
        if array.ndim == 2:
            require_within("qubits", array.shape[1], f"a string of {path}")
        return as_bits(array, str(path))
    strings: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        string = re.sub(r"[\s,]", "", line)
        if not string:
            continue
        wrong = string.strip("01")
        if wrong:
            hint = "; leave out a line of names" if number == 1 else ""
            raise UsageError(f"{path}, line {number}: {wrong[0]!r} is not 0 or 1{hint}.")
        if not strings:
            require_within("qubits", len(string), f"a string of {path}")
        strings.append(string)
        if len(string) != len(strings[0]):
            raise UsageError(f"{path}, line {number}: {len(string)} bits; the first has {len(strings[0])}.")
    return as_bits(strings, str(path))


def is_bits(array: NDArray[Any]) -> bool:
    """Whether an array is bit strings, (samples, n), rather than a column or row that holds a state vector.

    Raises:
        UsageError: It may be either: a row of 2**n with a single 1 and otherwise 0.
    """
    if array.ndim != 2:
        return False
    size = array.size
    if 1 not in array.shape or size < 2 or size & (size - 1):
        return True
    if array.shape[1] == 1 or not np.isin(array, (0, 1)).all():
        return False
    if np.count_nonzero(array) == 1:
        raise UsageError(
            f"an array of shape {array.shape} may be one string of {size} bits or a basis state of "
            f'{size.bit_length() - 1} qubits; give ["0110"] for bits, or array.ravel() for a vector.'
        )
    return True


def as_bits(strings: Any, name: str, width: int | None = None) -> NDArray[np.uint8]:
    """Check bit strings.

    Args:
        strings: Array of 0 and 1, (samples, n), or a list of strings such as "0110".
        name: What to call them in an error.
        width: Number of bits that they must have; None for any from 2 on.

    Returns:
        Bits of shape (samples, n), uint8.

    Raises:
        UsageError: They are something else.
    """
    if isinstance(strings, str):
        raise UsageError(f"{name} is one string; {_ACCEPTED}.")
    try:
        array = numpy_array(strings)
    except ValueError as error:
        raise UsageError(f"the rows of {name} differ in length; {_ACCEPTED}.") from error
    if array.size == 0:
        raise UsageError(f"{name} is empty; {_ACCEPTED}.")
    if array.ndim == 1 and array.dtype.kind in "UO" and all(isinstance(item, str) for item in array):
        array = _from_letters(array.tolist(), name)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(f"{name} is an array of {array.dtype} of shape {array.shape}; {_ACCEPTED}.")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        row, column = wrong[0]
        raise UsageError(f"{name} holds {array[row, column]} in row {row}, column {column}; {_ACCEPTED}.")
    if width is None and array.shape[1] < 2:
        raise UsageError(f"the strings of {name} have one bit; a chain needs at least 2 columns.")
    if width is not None and array.shape[1] != width:
        raise UsageError(f"the strings of {name} have {array.shape[1]} bits; the state has {width} sites.")
    return array.astype(np.uint8)


def _from_letters(strings: list[str], name: str) -> NDArray[np.uint8]:
    if not strings[0]:
        raise UsageError(f"string 0 of {name} is empty; {_ACCEPTED}.")
    for row, string in enumerate(strings):
        wrong = string.strip("01")
        if wrong:
            raise UsageError(f"{name} holds {wrong[0]!r} in string {row}; {_ACCEPTED}.")
        if len(string) != len(strings[0]):
            lengths = f"{len(string)} bits in string {row} and {len(strings[0])} in string 0"
            raise UsageError(f"{name} has {lengths}; all must have one length.")
    return np.frombuffer("".join(strings).encode(), np.uint8).reshape(len(strings), -1) - ord("0")
