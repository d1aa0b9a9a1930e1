"""The values of `bondwise mitigate` as a table, and as a page with a figure of each extrapolation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwise.cli.commands.mitigate_options import shots_spent
from bondwise.cli.documents.report import render_report
from bondwise.cli.terminal import show_table
from bondwise.runs import figure_text, new_figure

if TYPE_CHECKING:
    from bondwise.mitigation import Extrapolation


def show_methods(result: dict[str, Any]) -> None:
    """Print the table of a run.

    Args:
        result: Content of `result.json`.
    """
    columns, rows, sections = _table(result)
    title = f"{Path(result['circuit']).name} on {result['backend']}, {shots_spent(result['shots'])}"
    left = [column for column in columns if column in ("observable", "method", "")]
    show_table(title, columns, rows, left=left, sections=sections)


def render(result: dict[str, Any], fit: Extrapolation) -> str:
    """`report.html` of a run.

    Args:
        result: Content of `result.json`.
        fit: The extrapolation by the chosen method, which is drawn.
    """
    columns, rows, _ = _table(result)
    scales = ", ".join(f"{factor:g}" for factor in result["costs"]["scale_factors"])
    figures = []
    for place, name in enumerate(result["observables"]):
        ax = _of(fit, place).plot(new_figure().subplots())
        ax.set_ylabel(figure_text(name if len(name) <= 40 else f"{name[:39]}…"))
        ax.legend(frameon=False)
        caption = (
            "Circles: measured, readout errors undone. Square: extrapolated. Bars, band: 1 standard error."
        )
        figures.append((name, caption, ax))
    return render_report(
        result,
        title=f"{Path(result['circuit']).name} at zero noise, by {result['mitigate']}",
        lead=f"On {result['backend']} at noise {scales}, {shots_spent(result['shots'])}.",
        columns=columns,
        rows=[[str(cell) for cell in row] for row in rows],
        figures=figures,
    )


def _table(result: dict[str, Any]) -> tuple[list[str], list[list[Any]], list[int]]:
    """Headings, rows, and the rows at which an observable begins: what was measured, then all methods."""
    chosen, readout = result["mitigate"], result["readout"]
    scale = "" if abs(readout["scale_factor"] - 1) < 1e-9 else f" at noise {readout['scale_factor']:g}"
    methods = {f"readout undone{scale}": readout | {"converged": True}, chosen: result["methods"][chosen]}
    methods |= result["methods"]
    rows: list[list[Any]] = []
    sections = []
    for index in np.ndindex(np.shape(readout["values"])):
        sections.append(len(rows))
        for name, method in methods.items():
            value, std, good = (
                np.broadcast_to(method[key], np.shape(readout["values"]))[index]
                for key in ("values", "std", "converged")
            )
            remark = ["chosen"] if name == chosen else []
            remark += [] if good else ["not converged"]
            first = [*(map(str, index[:-1])), result["observables"][index[-1]]]
            shown = first if sections[-1] == len(rows) else [""] * len(first)
            rows.append([*shown, name, f"{value:.6f}", f"{std:.6f}", ", ".join(remark)])
    batch = ["angles"] if np.ndim(readout["values"]) > 1 else []
    return [*batch, "observable", "method", "value", "± std", ""], rows, sections[1:]


def _of(fit: Extrapolation, place: int) -> Extrapolation:
    """The part of a fit that belongs to an observable."""
    parts: dict[str, Any] = {
        name: np.asarray(getattr(fit, name))[..., place] for name in ("value", "std", "converged")
    }
    curves = ("measured", "measured_std", "curve", "curve_std")
    parts |= {name: getattr(fit, name)[..., place, :] for name in curves}
    return replace(fit, **parts)
