"""Scores of predictions: values worked out by hand, several classes, what has no area."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.qml.protein.scores import Scores, score_predictions
from bondwise.runs import UsageError


def binary(second):
    """Probabilities of two classes from those of the second."""
    return np.stack([1 - np.array(second), second], axis=1)


def test_two_classes_by_hand():
    labels = ["in", "in", "in", "out", "out"]
    found = score_predictions(labels, binary([0.1, 0.2, 0.7, 0.6, 0.9]), np.array(["in", "out"]))
    # 4 of 5; tp 2, tn 2, fp 1, fn 0; of 6 pairs in × out one is the wrong way round
    assert found.accuracy == 0.8
    assert found.std == pytest.approx(0.4 / math.sqrt(5), abs=1e-15)
    assert found.mcc == pytest.approx(4 / math.sqrt(3 * 2 * 3 * 2), abs=1e-15)
    assert found.auroc == pytest.approx(5 / 6, abs=1e-15)
    assert found.size == 5


def test_three_classes_by_hand():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.4, 0.0, 0.6]])
    found = score_predictions([0, 1, 1, 2], probabilities, [0, 1, 2])
    # confusion 0→0, 1→0, 1→1, 2→2: c s = 3·4, Σ t p = 1·2 + 2·1 + 1·1 = 5
    assert found.accuracy == 0.75
    assert found.mcc == pytest.approx((12 - 5) / math.sqrt((16 - 6) * (16 - 6)), abs=1e-15)
    assert found.auroc == 1.0  # 0.8 is above 0.5, 0.1, 0.4; {0.4, 0.8} above {0.1, 0.0}; 0.6 above the rest


def test_classes_without_labels_have_no_area():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    # class 2 is left out; for the others 0.5 of {0.6, 0.5} against 0.2, and 0.8, 0.4, 0.3
    found = score_predictions(["a", "b", "a"], probabilities, ["a", "b", "c"])
    assert found.auroc == pytest.approx((0 + 0.5) / 2)
    alone = score_predictions(["b", "b"], binary([0.9, 0.2]), ["a", "b"])
    assert (alone.accuracy, alone.mcc, alone.auroc) == (0.5, 0.0, None)
    assert "AUROC -" in str(alone)


def test_ties_go_to_the_first_class():
    assert score_predictions([0, 0, 1], binary([0.5, 0.5, 0.5]), [0, 1]).accuracy == pytest.approx(2 / 3)


def test_prints_on_one_line():
    scores = Scores(accuracy=0.884, std=0.0122, mcc=0.7449, auroc=0.891, size=691)
    assert str(scores) == "accuracy 0.884 ± 0.012, MCC 0.745, AUROC 0.891, 691 sequences"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
def test_exchanging_the_classes_changes_neither_area_nor_mcc(rows):
    labels, second = zip(*rows, strict=True)
    second = np.where(np.array(second) == 0.5, 0.4, second)  # ties between classes have a direction
    one = score_predictions(labels, binary(second), [0, 1])
    other = score_predictions([1 - label for label in labels], binary(second)[:, ::-1], [0, 1])
    assert other.accuracy == one.accuracy
    assert other.mcc == pytest.approx(one.mcc, abs=1e-12)
    if len(set(labels)) == 1:
        assert one.auroc is None
        assert other.auroc is None
    elif len(set(second)) == len(set(1 - second)):  # else rounding makes ties
        assert other.auroc == pytest.approx(one.auroc, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "probabilities", "classes", "message"),
    [
        ([], np.empty((0, 2)), [0, 1], "no labels"),
        ([0, 1], np.ones(2), [0, 1], r"need \(2, 2\)"),
        ([0, 1], np.full((2, 3), 1 / 3), [0, 1], r"shape \(2, 3\)"),
        ([0, 2], np.full((2, 2), 0.5), [0, 1], "label 2 is not among"),
        ([0, 1], np.array([[0.5, 0.5], [np.nan, 0.5]]), [0, 1], "not finite"),
    ],
)
def test_refuses_what_does_not_fit(labels, probabilities, classes, message):
    with pytest.raises(UsageError, match=message):
        score_predictions(labels, probabilities, classes)
