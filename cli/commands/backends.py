"""`bondwise backends`: the backends that a circuit can run on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import bondwise.backends
from bondwise.cli.terminal import show_json, show_table


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the backends with their qubits and median two-qubit errors."""
    rows = bondwise.backends.list_backends()
    if json:
        show_json([asdict(row) for row in rows])
        return
    cells = [
        [
            row.name,
            row.num_qubits or "any",
            _error(row),
            "noisy" if row.noisy else "exact",
        ]
        for row in rows
    ]
    show_table("backends", ("name", "qubits", "two-qubit error", "values"), cells, left=["values"])


def _error(row: bondwise.backends.BackendInfo) -> str:
    if row.two_qubit_error is not None:
        return f"{row.two_qubit_error:.2%}"
    return "not reported" if row.noisy and row.num_qubits != 1 else ""
