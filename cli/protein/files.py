"""The CSV files of the protein commands: their content, and whether one can be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise.qml.protein.data.tables import csv_text
from bondwise.runs import FileSet, UsageError

if TYPE_CHECKING:
    import numpy as np


def predictions_csv(
    accessions: Sequence[str] | None,
    probabilities: np.ndarray,
    classes: Sequence[Any],
    true: Sequence[Any] | None = None,
) -> str:
    """Predictions as CSV.

    The columns are `accession`; `label`, the most probable class; `p_1`, the probability of the second of two
    classes, or `p_<class>` for each of more; and `true`, if labels are given. Text that a spreadsheet would
    run as a formula gets an apostrophe.

    Args:
        accessions: Names of the N proteins; None for the numbers from 1 to N.
        probabilities: Probabilities of the C classes, float64 of shape (N, C).
        classes: Names of the classes.
        true: Labels of the proteins, or None.
    """
    first = 1 if len(classes) == 2 else 0
    columns = ["p_1"] if first else [f"p_{name}" for name in classes]
    known = [] if true is None else ["true"]
    rows: list[list[Any]] = [["accession", "label", *columns, *known]]
    for number, row in enumerate(probabilities):
        name = number + 1 if accessions is None else accessions[number]
        shown = [f"{value:.6g}" for value in row[first:]]
        label = classes[int(row.argmax())]
        rows.append([name, label, *shown, *([] if true is None else [true[number]])])
    return csv_text(rows)


def require_free(out: Path, overwrite: bool) -> None:
    """Check before the work that a CSV file can be written.

    Raises:
        UsageError: If the file exists and may not be replaced, or its folder does not exist.
        RunError: If the folder cannot be written, its disk is full, or the name is too long.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the name of a file with --out.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; give --overwrite to replace it, or another --out.")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}; make it or give another --out.")
    FileSet(out)
