"""Output of the commands: tables and sentences, or JSON. Markup in names from files and flags is inert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bondwise.runs import json_text, printable

_WIDEST = 100_000  # letters


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    left: Sequence[str] = (),
    sections: Sequence[int] = (),
    whole: bool = False,
) -> None:
    """Print a table as wide as the terminal, or of at most 80 columns; long names are continued below.

    Args:
        title: Text above the table.
        columns: Headings; the first column is aligned to the left, the others to the right.
        rows: Cells, one per heading.
        left: Headings of further columns that are aligned to the left.
        sections: Indices of rows that have a gap above them.
        whole: Whether a table that goes into a file or another program is as wide as it needs, so that names
            of layers can be searched for.
    """
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    for number, column in enumerate(columns):
        first = number == 0 or column in left
        table.add_column(
            printable(column), justify="left" if first else "right", no_wrap=not first, overflow="fold"
        )
    for number, row in enumerate(rows):
        if number in sections:
            table.add_section()
        table.add_row(*[printable(cell) for cell in row])
    console = Console(markup=False, emoji=False, highlight=False)
    if whole and not console.is_terminal:
        wide = console.options.update(width=_WIDEST)
        console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(printable(title), overflow="fold")
    console.print(table)


def show(*lines: object) -> None:
    """Print sentences, one per line; the terminal wraps them."""
    for line in lines:
        print(printable(line))


def show_json(content: Any) -> None:
    """Print a result as JSON."""
    print(json_text(content))
