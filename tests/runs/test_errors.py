"""Unknown names: which one the message suggests."""

import pytest

from bondwise.runs import unknown_name

EXTRAPOLATIONS = ("exponential", "linear", "polynomial", "richardson")


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("exp", "exponential"),  # its beginning
        ("Rich", "richardson"),
        ("polinomial", "polynomial"),
        ("LINEAR", "linear"),
        ("zne", None),
        ("e", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_suggestions(given, suggested):
    message = str(unknown_name("extrapolation", given, EXTRAPOLATIONS))
    hint = f" Did you mean {suggested!r}?" if suggested else ""
    assert message == f"unknown extrapolation {given!r}.{hint} Known: {', '.join(EXTRAPOLATIONS)}."


def test_a_kind_that_all_share_makes_no_name_similar():
    known = ["fake:oslo", "fake:torino", "fake:brisbane"]
    assert "Did you mean" not in str(unknown_name("device", "fake:foo", known))
    assert "Did you mean" not in str(unknown_name("device", "fake:", known))
    for given, suggested in (("fake:torin", "fake:torino"), ("FAKE:bris", "fake:brisbane")):
        assert f"Did you mean {suggested!r}?" in str(unknown_name("device", given, known))


def test_the_caller_may_know_better():
    error = unknown_name("backend", "default.qubit", ["aer", "default"], meant="aer")
    assert str(error) == "unknown backend 'default.qubit'. Did you mean 'aer'? Known: aer, default."
