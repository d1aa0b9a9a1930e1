"""`report.html` of a compressed model: its rivals, what each layer became, and how sensitive it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwise.cli.documents.report import render_report
from bondwise.runs import figure_text, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bondwise.tn.compress import Compression, Profile, Report

Figure = tuple[str, str, "Axes"]
_GRAY = "#7a8696"
_NAMES = 60  # of layers that fit beside a figure


def render_compression(
    result: dict[str, Any], found: Report, compression: Compression, profile: Profile, sizes: dict[str, int]
) -> str:
    """The report as HTML.

    Args:
        result: Content of `result.json`.
        found: The dense model, the compressed one, and their rivals.
        compression: What each layer became.
        profile: Losses of single layers.
        sizes: Parameters of each dense layer.
    """
    head, *rows = found.table()
    return render_report(
        result,
        title=f"{result['settings']['model']}, compressed",
        lead=_lead(found),
        columns=head,
        rows=rows,
        figures=[*_pareto(found), _allocation(compression, sizes), sensitivity(profile)],
    )


def _lead(found: Report) -> str:
    """The compressed model beside the dense one in a sentence."""
    dense, ours = found.rows[:2]
    size = f"{ours.bytes / dense.bytes:.1%} of the bytes"
    if dense.perplexity is None or ours.perplexity is None:
        return f"Divergence {ours.divergence:.4g} from the dense model, in {size}."
    return f"Perplexity {ours.perplexity:.2f}, against {dense.perplexity:.2f} of the dense model, in {size}."


def render_profile(result: dict[str, Any], profile: Profile) -> str:
    """The report of a profile as HTML."""
    return render_report(
        result,
        title=f"{result['settings']['model']}, layer by layer",
        lead=str(profile),
        columns=["layer", "parameters", *(f"{fraction:g}" for fraction in profile.fractions)],
        rows=profile_rows(profile),
        figures=[sensitivity(profile)],
    )


def profile_rows(profile: Profile) -> list[list[str]]:
    """A line for each layer: its name, its parameters, and its loss at each fraction."""
    return [
        [name, f"{size:,}", *("" if np.isnan(loss) else f"{loss:.2e}" for loss in losses)]
        for name, size, losses in zip(profile.layers, profile.sizes, profile.best(), strict=True)
    ]


def sensitivity(profile: Profile) -> Figure:
    """The heat map of a profile."""
    ax = profile.plot(new_figure(height=_height(len(profile.layers))).subplots())
    caption = (
        "What the model loses if one layer alone keeps a fraction of its parameters: mean divergence from "
        "the dense model's answers in nats, by the best format."
    )
    return "Sensitivity of the layers", caption, ax


def _allocation(compression: Compression, sizes: dict[str, int]) -> Figure:
    names = list(compression.layers)
    choices = compression.layers.values()
    kept = np.array([choice.size / sizes[name] for name, choice in compression.layers.items()])
    ax = new_figure(height=_height(len(names))).subplots()
    for number, format in enumerate(sorted({choice.format for choice in choices})):
        ours = np.array([choice.format == format for choice in choices])
        color = _GRAY if format == "dense" else f"C{number}"
        ax.barh(np.flatnonzero(ours), kept[ours], color=color, label=figure_text(format))
    every = -(-len(names) // _NAMES)
    ax.set_yticks(range(0, len(names), every), [figure_text(name) for name in names[::every]], size=7)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(
        xlabel="fraction of the layer's parameters that is kept",
        xlim=(0, 1.02),
        ylim=(len(names) - 0.5, -0.5),
    )
    ax.legend(frameon=False)
    return "Allocation", "The format of each layer, and how many of its parameters are left.", ax


def _pareto(found: Report) -> list[Figure]:
    """Quality against size, and against time for each size of a batch."""
    speaks = all(row.perplexity is not None for row in found.rows)
    quality = "perplexity" if speaks else "divergence"
    heights = [row.perplexity if speaks else row.divergence for row in found.rows]
    names = [row.name for row in found.rows]
    caption = f"{quality.capitalize()} and size on disk of the models of the table; lower and left is better."
    sizes = [row.bytes / 1e6 for row in found.rows]
    figures = [("Quality and size", caption, _points(names, sizes, heights, "megabytes on disk", quality))]
    for place, batch in enumerate(found.batch):
        speeds = [row.speed[place] for row in found.rows]
        label = f"times as fast as the dense model, for a batch of {batch}"
        caption = (
            f"{quality.capitalize()} and speed on this machine; lower and right is better. Packed numbers "
            "are unpacked in each call."
        )
        figures.append(
            (f"Quality and speed, batch {batch}", caption, _points(names, speeds, heights, label, quality))
        )
    return figures


def _points(
    names: Sequence[str], places: Sequence[float], heights: Sequence[Any], across: str, up: str
) -> Axes:
    ax = new_figure(height=4.2).subplots()
    for name, x, y in zip(names, places, heights, strict=True):
        if y > 0:  # the divergence of the dense model has no place on a logarithmic axis
            ours = name == "compressed"
            ax.scatter(x, y, s=45 if ours else 20, color="C1" if ours else _GRAY)
            ax.annotate(figure_text(name), (x, y), xytext=(4, 3), textcoords="offset points", size=8)
    ax.set(xlabel=across, ylabel=up, xscale="log", yscale="log")
    return ax


def _height(rows: int) -> float:
    return 1.2 + 0.16 * min(rows, _NAMES)
