"""Data sets of bit strings against their definitions, over all strings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwise.qml import bars_and_stripes, binary_digits, cardinality
from bondwise.qml.discrepancies import all_strings
from bondwise.runs import UsageError


@given(rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_bars_and_stripes_are_all_there_exactly_once(rows, columns):
    images = bars_and_stripes(rows, columns).reshape(-1, rows, columns)
    every = all_strings(rows * columns).reshape(-1, rows, columns)
    bars = (every == every[:, :1]).all(axis=(1, 2))
    stripes = (every == every[:, :, :1]).all(axis=(1, 2))
    wanted = {image.tobytes() for image in every[bars | stripes]}
    assert len(images) == len(wanted)
    assert {image.tobytes() for image in images} == wanted


@given(length=st.integers(1, 10), data=st.data())
def test_strings_of_one_cardinality_are_all_there_exactly_once(length, data):
    ones = data.draw(st.integers(0, length))
    strings = cardinality(length, ones)
    assert strings.shape == (math.comb(length, ones), length)
    assert (strings.sum(axis=1) == ones).all()
    assert len(np.unique(strings, axis=0)) == len(strings)


def test_digits():
    whole, small = binary_digits(), binary_digits(4)
    assert (whole.shape, small.shape) == ((1797, 64), (1797, 16))
    assert 0.2 < whole.mean() < 0.5
    zero = whole[0].reshape(8, 8)  # the first image shows a 0
    assert zero[3:5, 3:5].sum() == 0
    assert zero[:, 2].any()
    assert zero[:, 5].any()
    with pytest.raises(UsageError, match="side is 3; write 8, 4 or 2"):
        binary_digits(3)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (bars_and_stripes, (0, 3), "rows is 0"),
        (bars_and_stripes, (3, 2.5), "columns is 2.5"),
        (bars_and_stripes, (40, 40), "the set of all bars and stripes has"),
        (cardinality, (3, 4), "ones is 4"),
        (cardinality, (0, 0), "length is 0"),
        (cardinality, (60, 30), "the set of 30 ones in 60 bits has"),
    ],
)
def test_wrong_sizes(make, arguments, message):
    with pytest.raises(UsageError, match=message):
        make(*arguments)
