"""Logistic regressions and the majority: features computed by hand, scikit-learn's interface, real data."""

import numpy as np
import pytest
from helpers import membrane_or_cytoplasm, planted
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from bondwise.qml.protein.baselines.linear_baselines import (
    CompositionHydropathyLR,
    CompositionLR,
    HydropathyLR,
    KmerLR,
    Majority,
    composition,
    hydropathies,
)
from bondwise.qml.protein.data.alphabet import RESIDUES
from bondwise.runs import UsageError

ALL = [Majority, CompositionLR, HydropathyLR, CompositionHydropathyLR, KmerLR]
REGRESSIONS = ALL[1:]
proteins = st.text(RESIDUES, min_size=1, max_size=60)


def test_composition_by_hand():
    table = np.array([composition("AAAY"), composition("C")])
    assert table.shape == (2, 20)
    assert table[0, 0] == 0.75
    assert table[0, 19] == 0.25
    assert table[0].sum() == 1
    np.testing.assert_array_equal(table[1], np.eye(20)[1])


def test_hydropathy_by_hand():
    # 19 I (4.5) before 19 R (−4.5): window i holds 19 − i of I, its mean is 4.5 (19 − 2 i) / 19
    means = 4.5 * (19 - 2 * np.arange(20)) / 19
    np.testing.assert_allclose(hydropathies("I" * 19 + "R" * 19), [4.5, means.mean(), 0.0], atol=1e-12)
    # 30 of I make 12 windows of only I: the best 20 are those, and 8 with 1 to 8 of R
    best = np.concatenate([np.full(12, 4.5), 4.5 * (19 - 2 * np.arange(1, 9)) / 19])
    row = hydropathies("I" * 30 + "R" * 60)
    np.testing.assert_allclose(row, [4.5, best.mean(), 4.5 * -30 / 90], atol=1e-12)


def test_short_proteins_are_one_window():
    np.testing.assert_allclose(hydropathies("AG"), [0.7, 0.7, 0.7], atol=1e-12)


@given(proteins)
def test_hydropathy_is_ordered_and_does_not_know_direction(sequence):
    forward, backward = hydropathies(sequence), hydropathies(sequence[::-1])
    np.testing.assert_allclose(forward, backward, atol=1e-12)
    assert 4.5 + 1e-12 >= forward[0] >= forward[1] - 1e-12
    assert forward[1] >= -4.5 - 1e-12


def test_both_are_composition_then_hydropathy():
    sequences, labels = planted(20, 0)
    means = CompositionHydropathyLR().fit(sequences, labels).regression_["standardscaler"].mean_
    rows = [np.hstack([composition(sequence), hydropathies(sequence)]) for sequence in sequences]
    np.testing.assert_allclose(means, np.mean(rows, 0), rtol=0, atol=1e-12)


def test_kmers_by_hand():
    model = KmerLR(longest=2).fit(["AAC", "CC"], [0, 1])
    table = model.vectorizer_.transform(["AAC", "CC"]).toarray()
    columns = model.vectorizer_.get_feature_names_out().tolist()
    assert columns == ["A", "AA", "AC", "C", "CC"]
    rare = 1 + np.log(3 / 2)  # in one of the two proteins; C is in both: weight 1
    row = np.array([(1 + np.log(2)) * rare, rare, rare, 1, 0])
    np.testing.assert_allclose(table[0], row / np.linalg.norm(row), atol=1e-12)


@pytest.mark.parametrize(
    ("model", "binary", "ternary"),
    [
        (Majority(), 0, 0),
        (CompositionLR(), 21, 63),
        (HydropathyLR(), 4, 12),
        (CompositionHydropathyLR(), 24, 72),
        (KmerLR(longest=1), 21, 63),
    ],
)
def test_counts_of_parameters(model, binary, ternary):
    assert model.fit(*planted(60, 0)).num_parameters == binary
    assert model.fit(*planted(60, 0, ("soluble", "membrane", "charged"))).num_parameters == ternary


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_learns_a_planted_segment(kind):
    model = kind().fit(*planted(200, 0), validation=planted(80, 1))
    assert model.classes_.tolist() == ["membrane", "soluble"]
    assert model.score(*planted(200, 2)) > 0.9


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_learns_three_classes(kind):
    names = ("soluble", "membrane", "charged")
    model = kind().fit(*planted(240, 0, names))
    probabilities = model.predict_proba(planted(60, 2, names)[0])
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    assert model.score(*planted(240, 2, names)) > 0.8


def test_majority():
    model = Majority().fit(["A", "C", "D"], ["x", "y", "y"])
    np.testing.assert_allclose(model.predict_proba(["A", "A"]), [[1 / 3, 2 / 3]] * 2, atol=1e-15)
    assert model.predict(["W"]).tolist() == ["y"]
    assert model.score(["A", "A"], ["x", "y"]) == 0.5
    assert Majority().fit(["A", "C"], ["y", "x"]).predict(["A"]).tolist() == ["x"]


def test_the_strongest_of_equal_regularizations_is_taken():
    sequences, labels = ["A" * 30, "W" * 30] * 6, ["a", "w"] * 6
    assert CompositionLR().fit(sequences, labels, validation=(sequences, labels)).C_ == 0.03
    assert CompositionLR().fit(sequences, labels).C_ == 0.03
    single = CompositionLR().fit(["A", "A", "W"], ["a", "a", "w"])  # no fold could hold both parts
    assert single.C_ == 1.0
    assert single.predict(["AAAW", "WW"]).tolist() == ["a", "w"]


def test_validation_chooses_what_is_best_on_it():
    rng, grid = np.random.default_rng(0), (0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
    train, valid = [(planted(n, seed)[0], rng.integers(0, 2, n)) for n, seed in ((60, 0), (41, 5))]
    model = CompositionLR().fit(*train, validation=valid)
    table, held_out = ([composition(sequence) for sequence in part[0]] for part in (train, valid))
    other = [clone(model.regression_).set_params(logisticregression__C=c) for c in grid]
    scores = [regression.fit(table, train[1]).score(held_out, valid[1]) for regression in other]
    assert len(set(scores)) > 2
    assert model.score(*valid) == max(scores)
    assert model.C_ == grid[int(np.argmax(scores))]


@pytest.mark.parametrize("kind", ALL)
def test_face_of_scikit_learn(kind):
    model = kind()
    assert clone(model).get_params() == model.get_params()
    assert set(KmerLR(longest=2).get_params()) == {"longest"}
    with pytest.raises(NotFittedError, match="call fit first"):
        model.predict(["A"])
    train = planted(40, 0)
    assert model.fit(*train) is model
    assert not hasattr(clone(model), "classes_")
    test = planted(21, 3)
    predicted = model.predict(test[0])
    assert model.score(*test) == np.mean(predicted == np.array(test[1]))
    assert (predicted == model.classes_[model.predict_proba(test[0]).argmax(1)]).all()
    assert model.predict_proba([]).shape == (0, 2)
    assert model.predict([]).shape == (0,)


def test_sequences_are_standardized():
    model = CompositionLR().fit(*planted(40, 0))
    np.testing.assert_array_equal(model.predict_proba(["mktuX*"]), model.predict_proba(["MKTC"]))


@pytest.mark.parametrize("kind", ALL)
def test_refuses_labels_that_do_not_fit(kind):
    with pytest.raises(UsageError, match="2 sequences and 1 labels"):
        kind().fit(["A", "C"], [0])
    with pytest.raises(UsageError, match=r"only one class \(0\)"):
        kind().fit(["A", "C"], [0, 0])
    with pytest.raises(UsageError, match=r"only one class \(none\)"):
        kind().fit([], [])


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_refuses_a_wrong_validation_set(kind):
    train = (["A", "C"], [0, 1])
    with pytest.raises(UsageError, match="label 2 of the validation set"):
        kind().fit(*train, validation=(["A"], [2]))
    for wrong in ((["A"], [0, 1]), ([], [])):
        with pytest.raises(UsageError, match="validation set has"):
            kind().fit(*train, validation=wrong)
    with pytest.raises(UsageError, match="'1' at position 2"):
        kind().fit(["A1", "C"], [0, 1])


def test_an_interrupted_fit_does_not_pass_as_fitted(monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    model = KmerLR().fit(*planted(20, 0))
    monkeypatch.setattr(LogisticRegression, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*planted(30, 1))
    with pytest.raises(NotFittedError):
        model.predict(["A"])


@pytest.mark.parametrize("longest", [0, 1.5, "3"])
def test_refuses_a_length_of_kmers(longest):
    with pytest.raises(UsageError, match="longest is"):
        KmerLR(longest=longest).fit(["A", "C"], [0, 1])


@pytest.mark.slow
def test_accuracies_on_proteins_of_membrane_and_cytoplasm():
    data = membrane_or_cytoplasm()
    expected = {
        Majority: (0.622, 0.641, 0),
        CompositionLR: (0.857, 0.777, 21),
        HydropathyLR: (0.910, 0.881, 4),
        CompositionHydropathyLR: (0.922, 0.884, 24),
        KmerLR: (0.897, 0.818, 8417),
    }
    for kind, (valid, test, size) in expected.items():
        model = kind().fit(*data["train"], validation=data["valid"])
        assert model.score(*data["valid"]) == pytest.approx(valid, abs=0.005), kind
        assert model.score(*data["test"]) == pytest.approx(test, abs=0.005), kind
        assert model.num_parameters == size
