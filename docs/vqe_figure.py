"""The figure of the README, from `benchmarks/results/vqe.json`.

python docs/vqe_figure.py    # rewrites docs/vqe.svg
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from tables import DOCS, STARTS, results

COLORS = dict(zip(STARTS, ("#d1495b", "#3a86c8", "#e09f3e", "#7d8590"), strict=True))


def draw(path: Path) -> None:
    """Plot relative errors against steps, on a transparent background."""
    found = results("vqe")["circuits"][0]
    gray = "#7d8590"  # readable on white and on black
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "bondwise", "font.size": 10}
    figure = Figure(figsize=(7, 3), layout="constrained")
    ax = figure.subplots()
    for name, start in found["starts"].items():
        errors = 100 * np.array(start["errors"])[:, ::2]  # every other step, for a small file
        steps, mean = 2 * np.arange(errors.shape[1]), errors.mean(axis=0)
        spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        ax.fill_between(steps, mean - spread, mean + spread, color=COLORS[name], alpha=0.25, linewidth=0)
        ax.plot(steps, mean, color=COLORS[name], label=STARTS[name], linewidth=1.6)
    ax.set(yscale="log", xlim=(0, found["steps"]), xlabel="steps of Adam", ylabel="error of the energy in %")
    ax.set_yticks([3, 10, 30, 100], ["3", "10", "30", "100"])
    ax.tick_params(which="both", colors=gray)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_color(gray)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(gray)
    ax.legend(frameon=False, labelcolor="linecolor")
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    draw(DOCS / "vqe.svg")
