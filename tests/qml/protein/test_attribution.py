"""Scores of windows are differences of log-odds; hydropathy is a running mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwise.qml.protein.attribution import window_scores
from bondwise.qml.protein.baselines.linear_baselines import CompositionLR, HydropathyLR
from bondwise.qml.protein.data.alphabet import RESIDUES
from bondwise.qml.protein.data.hydropathy import KYTE_DOOLITTLE, hydropathy_profile
from bondwise.runs import UsageError

SEGMENT = "LIVFLIVFLIVFLIVFLIVF"


def proteins(count, letters, rng):
    return ["".join(rng.choice(list(letters), 60)) for _ in range(count)]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    polar = proteins(20, "DEKRNQSTGPAH", rng)
    sequences = polar + [protein[:20] + SEGMENT + protein[40:] for protein in polar]
    return HydropathyLR().fit(sequences, ["cytosol"] * 20 + ["membrane"] * 20)


@pytest.fixture(scope="module")
def of_three():
    rng = np.random.default_rng(1)
    sequences = proteins(10, "DEKR", rng) + proteins(10, "LIVF", rng) + proteins(10, "GPST", rng)
    return CompositionLR().fit(sequences, ["a"] * 10 + ["b"] * 10 + ["c"] * 10)


def log_odds(model, sequence, number):
    chance = model.predict_proba([sequence])[0, number]
    return np.log(chance / (1 - chance))


def test_scores_are_what_the_log_odds_lose(fitted):
    sequence = "DEKRNQSTGPAHDEKRNQST" + SEGMENT + "GGDD"
    at, scores = window_scores(fitted, sequence, window=9, stride=4)
    assert at.tolist() == [*range(5, 38, 4), 40]  # the last window ends with the protein
    for start, score in zip((at - 5).astype(int), scores, strict=True):
        rest = sequence[:start] + sequence[start + 9 :]
        expected = log_odds(fitted, sequence, 1) - log_odds(fitted, rest, 1)
        assert score == pytest.approx(expected, rel=1e-9)


def test_the_segment_speaks_for_the_membrane(fitted):
    at, scores = window_scores(fitted, "DEKRNQSTGPAHDEKRNQST" + SEGMENT + "DEKRNQSTGPAHDEKRNQST", window=15)
    assert 28 <= at[scores.argmax()] <= 33  # residues 21 to 40
    assert scores.max() > 0


def test_classes_of_two_and_of_more(fitted, of_three):
    sequence = "DEKRLIVFGPSTDEKRDEKR"
    _, second = window_scores(fitted, sequence)
    _, first = window_scores(fitted, sequence, label="cytosol")
    np.testing.assert_allclose(first, -second, atol=1e-9)
    predicted = of_three.predict([sequence])[0]
    np.testing.assert_array_equal(
        window_scores(of_three, sequence)[1], window_scores(of_three, sequence, label=str(predicted))[1]
    )
    with pytest.raises(UsageError, match="'d' is not among"):
        window_scores(of_three, sequence, label="d")


@pytest.mark.parametrize(
    ("sequence", "how", "message"),
    [
        ("A" * 15, {}, "15 residues"),
        ("AAXX", {"window": 2}, "2 residues"),
        ("AAA", {"window": 0}, "window is 0"),
        ("AAA", {"stride": -1}, "stride is -1"),
        ("A1A", {"window": 1}, "'1' at position 2"),
    ],
)
def test_wrong_use_of_scores(fitted, sequence, how, message):
    with pytest.raises(UsageError, match=message):
        window_scores(fitted, sequence, **how)


def test_hydropathy_by_hand():
    at, means = hydropathy_profile("IRA", window=2)
    np.testing.assert_allclose(at, [1.5, 2.5])
    np.testing.assert_allclose(means, [0.0, -1.35], atol=1e-12)
    at, means = hydropathy_profile("IR")
    assert (at.tolist(), means.tolist()) == ([1.5], [0.0])
    assert KYTE_DOOLITTLE.keys() == set(RESIDUES)
    assert sum(KYTE_DOOLITTLE.values()) == pytest.approx(-9.8)
    with pytest.raises(UsageError, match="window is 0"):
        hydropathy_profile("IR", window=0)


@given(st.text(alphabet=RESIDUES, min_size=1, max_size=60), st.integers(1, 30))
def test_hydropathy_of_the_reverse_is_reversed(sequence, window):
    at, means = hydropathy_profile(sequence, window=window)
    back_at, back = hydropathy_profile(sequence[::-1], window=window)
    np.testing.assert_allclose(means, back[::-1], atol=1e-12)
    np.testing.assert_allclose(at, len(sequence) + 1 - back_at[::-1])
