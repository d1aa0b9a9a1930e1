"""Figures: axes without a display, labels drawn literally, and SVG for a page."""

import xml.etree.ElementTree as ET

import pytest

from bondwise.runs import axes_or_new, figure_text, inline_svg, new_figure, printable


@pytest.mark.parametrize(
    "text", ["$$", "$x^$", r"a\$b$", r"\frac{$", "_hidden", "<b>&", "a\x00\x1b\n", "\udcff"]
)
def test_figures_draw_any_label(text):
    ax = axes_or_new(None)
    ax.plot([0, 1], label=figure_text(text))
    ax.set_title(figure_text(text))
    assert len(ax.legend().get_texts()) == 1
    words = [node.text for node in ET.fromstring(inline_svg(ax)).iter("{http://www.w3.org/2000/svg}text")]
    assert len([word for word in words if word.strip("\u200b") == printable(text)]) == 2


def test_two_figures_on_a_page_share_no_identifiers():
    pictures = []
    for _ in range(2):
        ax = new_figure().subplots()
        ax.plot([0, 1])
        pictures.append(inline_svg(ax))
    ids = [
        {node.get("id") for node in ET.fromstring(p).iter("{http://www.w3.org/2000/svg}clipPath")}
        for p in pictures
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
