"""What a sweep returns: a table with one row for each point that is done."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from bondwise.runs import printable, unknown_name, write_atomically
from bondwise.runs.result import brief_repr, html_table
from bondwise.runs.text import counted


@dataclass(frozen=True, kw_only=True, repr=False)
class Sweep:
    """The points of a sweep with their results; `str` is a table.

    Attributes:
        function: Name of the function.
        names: Names of the values of the points.
        rows: For each point that is done, in the order of the grid, its values and its results by name.
        failed: For each other point, `point`, `reason` and `tries`.
        store: Path of the file that holds all points.

    Example:
        >>> from bondwise import qml
        >>> def energy(chi: int, seed: int) -> float:
        ...     return -1 - 0.1 * chi + 0.01 * seed
        >>> swept = qml.sweep(energy, {"chi": [1, 2], "seed": range(3)}, store="energies.sqlite")
        >>> swept.column("value")
        array([-1.1 , -1.09, -1.08, -1.2 , -1.19, -1.18])
        >>> [(row["chi"], round(row["value_low"], 3), round(row["value_high"], 3)) for row in swept.summary()]
        [(1, -1.115, -1.065), (2, -1.215, -1.165)]
    """

    function: str
    names: tuple[str, ...]
    rows: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    store: str

    def __repr__(self) -> str:
        return brief_repr(self)

    def __str__(self) -> str:
        lines = [f"{self.function}: {counted(len(self.rows), 'point')}, {len(self.failed)} failed"]
        if self.rows:
            lines += as_text(self.columns, self.cells())
        lines += [f"failed: {one['point']}: {one['reason']}" for one in self.failed]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        title = f"{self.function}: {counted(len(self.rows), 'point')}, {len(self.failed)} failed"
        return html_table(title, [self.columns, *self.cells()])

    @property
    def columns(self) -> list[str]:
        """The names of all columns: of the points, and of the results, in the order of the first row."""
        return list(dict.fromkeys([*self.names, *(name for row in self.rows for name in row)]))

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column, shape (number of rows,).

        Numbers with gaps have NaN there; a column with other gaps, of mixed kinds or of lists holds objects.

        Args:
            name: Name of the column.

        Raises:
            UsageError: If there is no such column.
        """
        if name not in self.columns:
            raise unknown_name("column", name, self.columns)
        values = [row.get(name) for row in self.rows]
        known = [value for value in values if value is not None]
        if known and all(_is_number(value) for value in known):
            return np.array([np.nan if value is None else value for value in values])
        for kind in (bool, str):
            if values and all(isinstance(value, kind) for value in values):
                return np.array(values)
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column

    def summary(self, over: str = "seed") -> list[dict[str, Any]]:
        """Means over the rows that differ only in one value, such as the seed, with 95 % intervals.

        The intervals are Student's t for the mean of independent, normally distributed values. Of the few
        seeds that are usual, bootstrap intervals would be too narrow.

        Args:
            over: Name of the value to average over.

        Returns:
            For each combination of the other values, a dictionary of these, the number of rows ("seeds" for
            "seed"), and for each result that is a number in every row, the mean under its name and the ends
            of the interval under NAME_low and NAME_high, which are NaN for a single row. Points that failed
            are left out.

        Raises:
            UsageError: If points have no such value.
        """
        if over not in self.names:
            raise unknown_name("value of the points", over, self.names)
        others = [name for name in self.names if name != over]
        numbers = [name for name in self.columns if name not in self.names and _all_numbers(self.rows, name)]
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(json.dumps([row.get(name) for name in others]), []).append(row)
        summary = []
        for rows in groups.values():
            found = {name: rows[0].get(name) for name in others} | {f"{over}s": len(rows)}
            for name in numbers:
                mean, half = mean_with_half_interval([row[name] for row in rows])
                found |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
            summary.append(found)
        return summary

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as a CSV file in UTF-8, with lists and dictionaries as JSON.

        Args:
            path: Path of the file; its folder must exist.

        Raises:
            RunError: If it cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            cells = [row.get(name) for name in self.columns]
            writer.writerow([json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in cells])
        write_atomically(path, text.getvalue())

    def cells(self) -> list[list[str]]:
        """The table as text, with numbers in 8 digits."""
        return [[_cell(row.get(name)) for name in self.columns] for row in self.rows]


def as_text(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are aligned to the right."""
    table = [[*columns], *map(list, cells)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def mean_with_half_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of some values, and half of its 95 % interval by Student's t; NaN for a single value."""
    count = len(values)
    if count < 2:
        return float(values[0]), float("nan")
    error = float(np.std(values, ddof=1)) / np.sqrt(count)
    return float(np.mean(values)), float(stdtrit(count - 1, 0.975) * error)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.8g}"
    return "" if value is None else printable(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all_numbers(rows: Sequence[dict[str, Any]], name: str) -> bool:
    return all(_is_number(row.get(name)) for row in rows)
