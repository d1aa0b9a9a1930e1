"""Text from outside is shown as it is, whatever is in it, and JSON is what every reader takes."""

import json
import xml.etree.ElementTree as ET
from io import StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bondwise.runs import figure_text, json_text, printable

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=20)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b/ü·日.csv", "a b/ü·日.csv"),
        ("[/b]<i>$$", "[/b]<i>$$"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31m\x9b1m\x00", r"\x1b[31m\x9b1m\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        (b"\xff.csv".decode(errors="surrogateescape"), r"\udcff.csv"),
    ],
)
def test_every_character_shows(text, shown):
    assert printable(text) == shown


@given(ANYTHING)
def test_anything_becomes_one_line_that_can_be_encoded(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "text", ["$$", "$x^$", r"a\$b$", r"\frac{$", "_hidden", "<b>&", "a\x00\x1b\n", "\udcff"]
)
def test_figures_draw_any_label(text):
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], label=figure_text(text))
    ax.set_title(figure_text(text))
    assert len(ax.legend().get_texts()) == 1
    buffer = StringIO()
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    words = [node.text for node in ET.fromstring(buffer.getvalue()).iter("{http://www.w3.org/2000/svg}text")]
    assert len([word for word in words if word.strip("\u200b") == printable(text)]) == 2


def test_json_has_no_nan():
    content = {"a": float("nan"), "b": [np.float64("inf"), (1, -float("inf"))], "c": "NaN"}
    text = json_text(content)
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, [1, None]], "c": "NaN"}
    with pytest.raises(TypeError):
        json_text({"a": object()})
