"""`report.html`: the table and figures of a run in one file that opens without a network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from bondwise.runs import inline_svg, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from qiskit import QuantumCircuit


def render_report(
    result: Mapping[str, Any],
    *,
    title: str,
    lead: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    figures: Sequence[tuple[str, str, Axes]],
) -> str:
    """The report of a run as HTML, with all figures inside it.

    Args:
        result: Content of `result.json`; its `notes`, `command` and `versions` are shown.
        title: Headline.
        lead: Sentence below the headline.
        columns: Headings of the table.
        rows: Cells of the table, one per heading.
        figures: Heading, caption and axes of each figure.
    """
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return Template((Path(__file__).parent / "template.html").read_text("utf-8")).substitute(
        title=_text(title),
        lead=_text(lead),
        table=f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        notes="".join(f"<p>{_text(note)}</p>" for note in result["notes"]),
        figures="".join(
            f"<h2>{_text(heading)}</h2><figure>{inline_svg(axes)}<figcaption>{_text(caption)}</figcaption></figure>"
            for heading, caption, axes in figures
        ),
        command=_text(result["command"]),
        versions=_text(", ".join(f"{name} {number}" for name, number in result["versions"].items())),
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def draw_skeleton(circuit: QuantumCircuit, ax: Axes) -> Axes:
    """Draw the two-qubit gates of a circuit, one column per layer; single-qubit gates are left out.

    Args:
        circuit: The circuit.
        ax: Axes to draw on.
    """
    from qiskit.circuit import Barrier

    depth = [0] * circuit.num_qubits
    for gate in circuit.data:
        if len(gate.qubits) != 2 or isinstance(gate.operation, Barrier):
            continue
        pair = sorted(circuit.find_bit(qubit).index for qubit in gate.qubits)
        column = max(depth[pair[0] : pair[1] + 1])
        ax.plot([column, column], pair, color="#2b6cb0", lw=1.6, marker="o", ms=4)
        depth[pair[0] : pair[1] + 1] = [column + 1] * (pair[1] - pair[0] + 1)
    ax.hlines(range(circuit.num_qubits), -0.5, max(depth) - 0.5, color="#dde2e8", lw=0.8, zorder=0)
    ax.set(xlabel="layer of two-qubit gates", ylabel="qubit", xlim=(-1, max(depth)))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
