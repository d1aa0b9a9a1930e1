"""Text from outside is shown safely, whatever is in it, and JSON is readable everywhere."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwise.runs import json_text, printable

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


def test_json_has_no_nan():
    content = {"a": float("nan"), "b": [np.float64("inf"), (1, -float("inf"))], "c": "NaN"}
    text = json_text(content)
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, [1, None]], "c": "NaN"}
    with pytest.raises(TypeError):
        json_text({"a": object()})
