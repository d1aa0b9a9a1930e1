"""Bit strings from files, arrays and lists, with errors that name the wrong row, line or column."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, kind_of, read_arrays, read_json, read_text, require_within
from bondwise.tn.states.bit_tables import bits_in
from bondwise.tn.states.networks import numpy_array

_ACCEPTED = (
    'give an array of 0 and 1 of shape (samples, n), a list of strings such as "0110", or counts {"0110": 12}'
)


def read_bitstrings(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    r"""Read bit strings from a file.

    Args:
        path: A `.npy` file with an array of 0 and 1 of shape (samples, n); a `.csv` or `.txt` file with one
            string per line, or with the columns `bitstring,count`; or a `.json` file of counts,
            `{"0110": 12}`, or the `result.json` of `bondwise run`. Separators between bits and empty lines
            are ignored, and 1.0 is 1. If a header numbers the columns, as in `q2,q1,q0`, bit i is in the
            column with the i-th smallest number.

    Returns:
        Bits of shape (samples, n), uint8. Column i holds letter i, counted from the left; in counts, which
        are read as Qiskit prints them, from the right.

    Raises:
        UsageError: If the file is missing, empty, damaged or of another type, or one of its lines contains
            anything but 0 and 1 or differs in length from the first.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.tn import read_bitstrings
        >>> _ = Path("data.txt").write_text("0110\n1, 0, 0, 1\n")
        >>> read_bitstrings("data.txt").tolist()
        [[0, 1, 1, 0], [1, 0, 0, 1]]
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"the path is {kind_of(path)}; give the name of a file of bit strings.")
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".npy", ".csv", ".txt", ".json"):
        raise UsageError(
            f"{path} is not a file of bit strings; give one that ends in .npy, .csv, .txt or .json."
        )
    if kind == ".npy":
        array = read_arrays(path)["vector"]
        if array.ndim == 2:
            require_within("qubits", array.shape[1], f"a string of {path}")
        return as_bits(array, str(path))
    if kind == ".json":
        return _from_json(path)
    strings, columns = bits_in(read_text(path), str(path))
    bits = as_bits(strings, str(path))
    return bits if columns is None else bits[:, columns]


def _from_json(path: Path) -> NDArray[np.uint8]:
    """The strings of a file of counts, or of the result of `bondwise run`."""
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("counts"), dict):
        content = content["counts"]
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), dict):
        content = next(iter(content.values()))  # of the only register
    if not isinstance(content, dict):
        raise UsageError(f'{path} is not a file of counts; write {{"0110": 12, "1001": 3}}.')
    return as_bits(content, str(path))


def is_counts(given: Any) -> bool:
    """Whether an object is a dictionary of counts of outcomes rather than an observable."""
    return isinstance(given, Mapping) and all(
        isinstance(key, str) and not set(key) & set("IXYZ") for key in given
    )


def _from_counts(counts: Mapping[str, Any], name: str, width: int | None) -> NDArray[np.uint8]:
    """Each outcome as often as it occurred; the rightmost bit of an outcome is column 0."""
    outcomes = ["".join(outcome.split()) for outcome in counts]
    if outcomes and all(re.fullmatch("0[xX][0-9a-fA-F]{1,4000}", outcome) for outcome in outcomes):
        if width is None:
            raise UsageError(
                f"{name} has hexadecimal outcomes, which do not tell the number n of bits; give "
                "{format(int(key, 16), f'0{n}b'): count for key, count in counts.items()}, or what "
                "result.get_counts() returns."
            )
        outcomes = [format(int(outcome, 16), f"0{width}b") for outcome in outcomes]
    for outcome, often in counts.items():
        if isinstance(often, bool) or not isinstance(often, int | np.integer) or often < 0:
            raise UsageError(
                f"{name} has {often!r} for the outcome {outcome[:40]!r}; give whole numbers, how often each "
                "occurred."
            )
    bits = _from_letters(outcomes, name)[:, ::-1] if outcomes else np.zeros((0, 0), np.uint8)
    times = [int(often) for often in counts.values()]
    require_within("array_bytes", sum(times) * bits.shape[1], name)
    return np.repeat(bits, times, axis=0)


def is_bits(array: NDArray[Any]) -> bool:
    """Whether an array holds bit strings, (samples, n), rather than a state vector as a column or row.

    Raises:
        UsageError: If the array could be either: a row of 2**n numbers with a single 1 among zeros.
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


def way_to_read(given: Any) -> str:
    """How to read a file with a state, to end a message about its path; nothing for other objects."""
    path = Path(given) if isinstance(given, str | os.PathLike) else Path()
    if path.suffix in (".txt", ".csv", ".json"):
        return f"; of a file, pass bondwise.tn.read_bitstrings({str(path)!r})"
    if path.suffix in (".npy", ".npz"):
        arrays = f"numpy.load({str(path)!r})"
        return f"; of a file, pass {arrays if path.suffix == '.npy' else f'list({arrays}.values())'}"
    return ""


def as_bits(strings: Any, name: str, width: int | None = None) -> NDArray[np.uint8]:
    """Check bit strings and convert them to an array.

    Args:
        strings: Array of 0 and 1, (samples, n), a list of strings such as "0110", or counts as Qiskit prints
            them, `{"0110": 12}`, whose rightmost bit is column 0.
        name: Name of the strings in error messages.
        width: Required number of bits per string; None accepts any number from 2 up.

    Returns:
        Bits of shape (samples, n), uint8.

    Raises:
        UsageError: If the input does not have that form.
    """
    if isinstance(strings, str | os.PathLike):
        raise UsageError(f"{name} is one string; {_ACCEPTED}{way_to_read(strings)}.")
    if isinstance(strings, Mapping) and not is_counts(strings):
        raise UsageError(f"{name} has the key {next(iter(strings))!r}; {_ACCEPTED}.")
    if is_counts(strings):
        strings = _from_counts(strings, name, width)
    try:
        array = numpy_array(strings)
    except ValueError as error:
        raise UsageError(f"the rows of {name} differ in length; {_ACCEPTED}.") from error
    if array.size == 0:
        raise UsageError(f"{name} is empty; {_ACCEPTED}.")
    if array.ndim == 1 and array.dtype.kind in "UO" and all(isinstance(item, str) for item in array):
        array = _from_letters(array.tolist(), name)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        way = "; of samples, pass .joint_counts" if hasattr(strings, "joint_counts") else ""
        way = "; of a BitArray, pass .get_counts()" if hasattr(strings, "get_counts") else way
        what = f"a {type(strings).__name__}" if way else f"an array of {array.dtype} of shape {array.shape}"
        raise UsageError(f"{name} is {what}; {_ACCEPTED}{way}.")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        row, column = wrong[0]
        raise UsageError(f"{name} holds {array[row, column]} in row {row}, column {column}; {_ACCEPTED}.")
    if width is None and array.shape[1] < 2:
        raise UsageError(f"the strings of {name} have a single bit; give at least 2 columns.")
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
            raise UsageError(f"{name} has {lengths}; all must have the same length.")
    return np.frombuffer("".join(strings).encode(), np.uint8).reshape(len(strings), -1) - ord("0")
