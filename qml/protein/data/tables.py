"""Tables of proteins: CSV and TSV are read, CSV is written.

A spreadsheet runs a cell that starts with `=`, `+`, `-` or `@` as a formula. Such text is therefore written
with an apostrophe in front, which the reader removes again; numbers are written unchanged.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bondwise.runs import UsageError

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")  # the wide forms count in Chinese and Japanese locales
_NAMES = ("accession", "entry")  # either can name the protein
_MAX_HEAD = 1_000_000


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as CSV in which no text can act as a formula.

    Args:
        rows: Rows of text and numbers, column names first.
    """
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")  # it quotes text that contains one of these characters
    for row in rows:
        writer.writerow([_guarded(value) if isinstance(value, str) else value for value in row])
    return "".join(lines.held)


class _Lines:
    """Collects what a csv.writer writes; a StringIO would need four bytes per letter."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def write(self, line: str) -> None:
        self.held.append(line.removesuffix("\r\n") + "\n")


def _guarded(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _plain(value: str) -> str:
    value = value.strip()
    return value[1:].strip() if value.startswith("'") and _FORMULA.match(value) else value


def table_rows(
    path: Path, lines: Iterable[tuple[int, str]], *, unique: Iterable[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a table whose first line has the names of the columns.

    Args:
        path: Path for error messages.
        lines: Numbers and texts of the lines, including line ends.
        unique: Columns, in lower case, that may occur only once.

    Yields:
        The place of a row, and its values by column in lower case, without surrounding blanks.

    Raises:
        UsageError: If there is no column `sequence`, a column of `unique` occurs twice, two columns name the
            protein, or a line is not CSV or has more or fewer values than there are columns.
    """
    lines = iter(lines)
    number, head = next(lines)
    if len(head) > _MAX_HEAD:
        raise UsageError(
            f"{path}: the line of column names has {len(head):,} letters; at most {_MAX_HEAD:,} are accepted."
        )
    tabbed = "\t" in head and "sequence" in [name.strip(' "\r\n').lower() for name in head.split("\t")]
    place = f"{path}, line {number}"

    def texts() -> Iterator[str]:
        nonlocal place
        yield head
        for number, text in lines:
            place = f"{path}, line {number}"
            yield text

    columns: list[str] | None = None
    try:
        for row in csv.reader(texts(), delimiter="\t" if tabbed else ",", skipinitialspace=True, strict=True):
            if columns is None:
                columns = [_plain(value).lower() for value in row]
                _check(path, columns, unique)
            elif len(row) == len(columns):
                values = [_plain(value) for value in row]
                if any(values):
                    yield place, dict(zip(columns, values, strict=True))
            elif len(row) > _MAX_HEAD or any(value.strip() for value in row):
                raise UsageError(f"{place}: {len(row)} values for {len(columns)} columns; correct the line.")
    except csv.Error as error:
        if "field limit" in str(error):
            reason = (
                f"a value is longer than {csv.field_size_limit():,} letters; give such a protein as FASTA"
            )
            raise UsageError(f"{place}: {reason}.") from None
        raise UsageError(f"{place}: not valid CSV ({error}); correct the line.") from None


def _check(path: Path, columns: list[str], unique: Iterable[str]) -> None:
    if "sequence" not in columns:
        shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
        raise UsageError(
            f"{path} has no column 'sequence', only {shown[:200]}; rename it, and separate columns by "
            "commas or tabs."
        )
    for name in unique:
        if columns.count(name) > 1:
            raise UsageError(f"{path} has {columns.count(name)} columns {name!r}; keep one.")
    if set(_NAMES) <= set(columns):
        raise UsageError(
            f"{path} has the columns 'accession' and 'entry'; keep the one that names a protein."
        )
