"""Bit strings in text, one on each line, with or without a header that names the columns.

A column whose name ends in a number, such as `q2`, holds the bit of that number, wherever it is. A string may
have its count beside it; the header `bitstring,count` says so.
"""

from __future__ import annotations

import re

from bondwise.runs import UsageError, require_within

_WORDS = {"bitstring", "bitstrings", "bits", "outcome", "outcomes", "string", "state", "key"}
_COUNTS = {"count", "counts", "shots", "frequency"}
_NO_BITS = _WORDS | _COUNTS | {"index", "id", "shot", "sample", "label", "weight", "probability"}
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})[\])}]?")
_LIKE_BITS = re.compile("[01OoIl]*[01][01OoIl]*")  # no header, but bits with a letter for a digit


def bits_in(text: str, name: str) -> tuple[list[str] | dict[str, int], list[int] | None]:
    """The strings of a text, and the order of their columns.

    Args:
        text: The text; tabs, semicolons, commas or spaces may separate the bits.
        name: Name of the text in messages.

    Returns:
        The strings, or a dictionary of their counts; and the columns from bit 0 on, if the header numbers
        them.

    Raises:
        UsageError: If a line holds anything but 0 and 1 or differs in length from the first, or the header
            names a column that holds no bits.
    """
    strings: list[str] = []
    counts: dict[str, int] = {}
    header: list[str] = []
    rows = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not (cells := _cells(line)):
            continue
        where = f"{name}, line {number}"
        if not rows and _is_header(cells):
            header = cells
            continue
        if header and not header[0] and len(header) > 1:
            if cells[0] != str(rows):
                raise UsageError(
                    f"{where}: {cells[0][:20]!r} is in a column without a name, which may only count the "
                    "rows from 0; leave it out."
                )
            cells = cells[1:]
        rows += 1
        names = [cell.lower() for cell in header if cell]
        if len(names) > 1 and len(names) != len(cells):
            raise UsageError(f"{where}: {len(cells)} cells, and the header names {len(names)}.")
        if len(names) == 2 and {*names} & _WORDS and {*names} & _COUNTS:
            word, often = cells if names[0] in _WORDS else cells[::-1]
            if not often.isdecimal():
                raise UsageError(f"{where}: {often[:40]!r} is not a count; write a whole number.")
            word = _string([word], where)
            counts[word] = counts.get(word, 0) + int(often[:18])
            continue
        string = _string(cells, where)
        if not strings:
            require_within("qubits", len(string), f"a string of {name}")
        strings.append(string)
        if len(string) != len(strings[0]):
            raise UsageError(f"{where}: {len(string)} bits; the first has {len(strings[0])}.")
    if counts or not strings:
        return counts, None
    return strings, _order([cell for cell in header if cell], len(strings[0]), name)


def _cells(line: str) -> list[str]:
    """The cells of a line; none for an empty one."""
    separator = next((letter for letter in "\t;," if letter in line), None)
    if separator is None:
        cells = line.strip(" \"'\r").split()
    else:
        cells = [cell.strip(" \"'\r") for cell in line.rstrip(" \t;,\r").split(separator)]
    return cells if any(cells) else []


def _is_header(cells: list[str]) -> bool:
    named = [cell for cell in cells if cell]
    if _LIKE_BITS.fullmatch("".join(named)) and len(named) == 1:
        return False
    if cells == [str(i) for i in range(len(cells))]:
        return len(cells) > 2  # 0,1 may be bits
    if not cells[0]:
        return True
    return all(re.match(r"[A-Za-z_]", cell) for cell in named)


def _string(cells: list[str], where: str) -> str:
    """The bits of a line."""
    groups = (group for cell in cells for group in cell.split())
    cells = [re.sub(r"\.0*(?:[eE][+-]?0+)?\Z", "", group) for group in groups]  # 1.0 is 1
    string = "".join(cells)
    if wrong := string.strip("01"):
        raise UsageError(
            f"{where}: {wrong[0]!r} is not 0 or 1; write strings such as 0110, one on each line, also with "
            "commas between the bits."
        )
    if len({len(cell) for cell in cells}) > 1:
        raise UsageError(
            f"{where}: {' '.join(cells)[:40]!r} may be one string or a string with its count; join the bits, "
            "or begin with the line bitstring,count."
        )
    return string


def _order(names: list[str], bits: int, name: str) -> list[int] | None:
    """The columns in the order of the numbers in their names; None if the names have none."""
    if len(names) == 1:  # for all bits together, such as q2q1q0
        names = re.findall(r"[^\W\d]+_?\[?[0-9]+\]?", names[0])
        if len(names) != bits:
            return None
    found = [_NUMBERED.fullmatch(column) for column in names]
    other = next((column for column in names if column.lower() in _NO_BITS), None)
    if any(found) and not all(found):
        other = other or names[found.index(None)]
    if other is not None:
        raise UsageError(
            f"{name}: the column {other[:40]!r} does not seem to hold bits; leave it out, or name all "
            "columns as q0, q1, … or the two columns bitstring,count."
        )
    numbered = [match for match in found if match is not None]
    if not numbered or len({match[1] for match in numbered}) > 1:
        return None
    numbers = [int(match[2]) for match in numbered]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{name}: the header {','.join(names)[:60]!r} gives a number twice; write q0, q1, …")
    return sorted(range(len(numbers)), key=numbers.__getitem__)
