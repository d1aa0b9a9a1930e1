"""`bondwise backends`: where a circuit can run."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import Annotated

import typer

import bondwise.backends


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the backends: qubits, median two-qubit error, exact or noisy."""
    rows = bondwise.backends.list_backends()
    if json:
        print(json_format.dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="backends", title_justify="left")
    for column in ("name", "qubits", "two-qubit error", "values"):
        table.add_column(column, justify="left" if column in ("name", "values") else "right")
    for row in rows:
        table.add_row(
            row.name,
            str(row.num_qubits or "any"),
            "" if row.two_qubit_error is None else f"{row.two_qubit_error:.2%}",
            "noisy" if row.noisy else "exact",
        )
    Console().print(table)
