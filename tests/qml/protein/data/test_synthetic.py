"""Synthetic proteins: what they are called, how they are divided, and what tells the classes apart."""

import numpy as np
import pytest

from bondwise.qml.protein.baselines.linear_baselines import CompositionLR, HydropathyLR
from bondwise.qml.protein.data.hydropathy import KYTE_DOOLITTLE
from bondwise.qml.protein.data.synthetic import synthetic_proteins
from bondwise.runs import UsageError


def accuracy(model, proteins):
    train, test = proteins.select("train"), proteins.select("test")
    model.fit(train.sequences, train.labels)
    return np.mean(np.array(model.predict(test.sequences)) == np.array(test.labels))


def test_they_say_what_they_are():
    proteins = synthetic_proteins(100)
    assert proteins.synthetic
    assert proteins.select("test").synthetic
    assert str(proteins).startswith("100 SYNTHETIC proteins")
    assert proteins.classes == ("membrane-like", "soluble-like")
    assert all(name.startswith("SYNTHETIC") for name in proteins.accessions)
    assert len(set(proteins.accessions)) == len(set(proteins.sequences)) == 100


@pytest.mark.parametrize("size", [10, 11, 100])
def test_every_set_has_both_classes(size):
    proteins = synthetic_proteins(size, noise=0)
    assert len(proteins) == size
    for split, share in (("train", 0.6), ("valid", 0.2), ("test", 0.2)):
        part = proteins.select(split)
        assert part.classes == proteins.classes
        assert abs(len(part) - share * size) <= 1


def test_lengths_and_seeds():
    proteins = synthetic_proteins(600, seed=3)
    lengths = [len(sequence) for sequence in proteins.sequences]
    assert min(lengths) >= 80
    assert max(lengths) <= 400
    assert proteins == synthetic_proteins(600, seed=3)
    assert proteins.sequences != synthetic_proteins(600, seed=4).sequences


def test_noise_swaps_that_share_of_labels():
    clean, noisy = synthetic_proteins(200, seed=1, noise=0), synthetic_proteins(200, seed=1, noise=0.1)
    assert clean.sequences == noisy.sequences
    assert sum(a != b for a, b in zip(clean.labels, noisy.labels, strict=True)) == 20


def test_membrane_like_proteins_hold_a_long_hydrophobic_segment():
    def longest(sequence):
        values = np.array([KYTE_DOOLITTLE[residue] for residue in sequence])
        return np.convolve(values, np.full(19, 1 / 19), "valid").max()

    proteins = synthetic_proteins(200, noise=0)
    peaks = {
        name: np.median([longest(s) for s, label in zip(*held, strict=True) if label == name])
        for name in proteins.classes
        for held in [(proteins.sequences, proteins.labels)]
    }
    assert peaks["membrane-like"] > peaks["soluble-like"] + 0.5


def test_order_tells_more_than_composition_and_nothing_tells_all():
    proteins = synthetic_proteins(1000, seed=0)
    by_composition, by_hydropathy = accuracy(CompositionLR(), proteins), accuracy(HydropathyLR(), proteins)
    assert by_composition < 0.7
    assert by_composition + 0.15 < by_hydropathy < 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 9}, "size is 9; give a whole number of at least 10"),
        ({"size": 50.0}, "size is 50.0; give a whole number"),
        ({"noise": 0.5}, "noise is 0.5; give a number of at least 0 and below 0.5"),
        ({"noise": float("nan")}, "noise is nan"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        synthetic_proteins(**arguments)
