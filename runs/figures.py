"""Figures without a display: axes, labels that matplotlib draws literally, and inline SVG."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from bondwise.runs.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the given Axes, or those of a new figure.

    Args:
        ax: Matplotlib Axes; a new figure by default.

    Example:
        >>> from bondwise.runs import axes_or_new
        >>> ax = axes_or_new(None)
        >>> axes_or_new(ax) is ax
        True
    """
    from matplotlib.figure import Figure

    return Figure().subplots() if ax is None else ax


def new_figure(width: float = 8.0, height: float = 3.6) -> Figure:
    """Create a figure for a report.

    Args:
        width: Width of the figure in inches.
        height: Height of the figure in inches.

    Example:
        >>> from bondwise.runs import new_figure
        >>> new_figure(height=2.5).get_size_inches().tolist()
        [8.0, 2.5]
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def figure_text(text: object) -> str:
    r"""Escape text for matplotlib, so that `$` starts no formula and `_` does not hide a legend label.

    Args:
        text: Any object; its string is used.

    Example:
        >>> from bondwise.runs import figure_text
        >>> print(figure_text("cost in $"))
        cost in \$
    """
    shown = printable(text).replace("$", r"\$")
    # matplotlib leaves lines whose label begins with an underscore out of the legend
    return "\N{ZERO WIDTH SPACE}" + shown if shown.startswith("_") else shown


def inline_svg(axes: Axes) -> str:
    """Render the figure of some Axes as an SVG element for an HTML page; text stays text.

    Its identifiers do not clash with those of other figures on the page.

    Args:
        axes: Matplotlib Axes of the figure.

    Example:
        >>> from bondwise.runs import inline_svg, new_figure
        >>> inline_svg(new_figure().subplots())[:4]
        '<svg'
    """
    import matplotlib

    figure = axes.get_figure(root=True)
    assert figure is not None
    buffer = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": str(id(figure))}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?<svg", "<svg", buffer.getvalue(), flags=re.DOTALL)
