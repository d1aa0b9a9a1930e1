"""Families of homologues and splits that respect them: planted relatives are found, copies stay together."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.qml.protein.data.alphabet import RESIDUES
from bondwise.qml.protein.data.clusters import blosum62, homology_clusters, identical
from bondwise.qml.protein.data.homology import homology_split
from bondwise.runs import UsageError


def random_protein(rng, length):
    return "".join(rng.choice(list(RESIDUES), length))


def mutant(rng, sequence, identity):
    letters = list(sequence)
    for place in rng.choice(len(letters), round((1 - identity) * len(letters)), replace=False):
        letters[place] = rng.choice(list(RESIDUES.replace(letters[place], "")))
    return "".join(letters)


def numbers(sequence):
    return np.array([RESIDUES.index(letter) for letter in sequence], dtype=np.uint8)


def reference_identities(a, b, scores):
    """Local alignment with gaps of 11 + n, over all cells, each as (score, identities)."""
    low, best = (-(10**6), 0), (0, 0)
    h = {(x, y): (0, 0) for x in range(-1, len(a)) for y in range(-1, len(b))}
    e, f = dict.fromkeys(h, low), dict.fromkeys(h, low)
    for x in range(len(a)):
        for y in range(len(b)):
            opened = [(h[x - 1, y][0] - 12, h[x - 1, y][1]), (h[x, y - 1][0] - 12, h[x, y - 1][1])]
            e[x, y] = max(opened[0], (e[x - 1, y][0] - 1, e[x - 1, y][1]))
            f[x, y] = max(opened[1], (f[x, y - 1][0] - 1, f[x, y - 1][1]))
            score, same = h[x - 1, y - 1]
            paired = (score + int(scores[a[x], b[y]]), same + int(a[x] == b[y]))
            h[x, y] = max(paired, e[x, y], f[x, y])
            if h[x, y][0] <= 0:
                h[x, y] = (0, 0)
            best = max(best, h[x, y])
    return best[1]


# Parts of one protein strung together, so that good alignments with gaps are frequent.
protein = st.lists(
    st.sampled_from(["MKTAYIAK", "WWCHQ", "DEFGHIKL", "PP", "NQRST", "A"]), min_size=1, max_size=4
).map("".join)


@settings(max_examples=60, deadline=None)
@given(a=protein, b=protein)
def test_alignments_are_those_of_the_full_table(a, b):
    scores = blosum62()
    pairs = scores.astype(np.int64) * 2**20 + np.eye(len(scores), dtype=np.int64)
    a, b = numbers(a), numbers(b)
    assert identical(a, b, 0, pairs) == reference_identities(a, b, scores)


def test_scores_are_symmetric_and_match_known_entries():
    scores = blosum62()
    assert (scores == scores.T).all()
    for pair, score in {"WW": 11, "CC": 9, "AA": 4, "IV": 3, "WF": 1, "DE": 2, "KR": 2, "GI": -4}.items():
        assert scores[RESIDUES.index(pair[0]), RESIDUES.index(pair[1])] == score


@pytest.mark.parametrize(
    ("mutated_to", "recall"), [(1.0, 1.0), (0.9, 1.0), (0.7, 1.0), (0.5, 0.97), (0.4, 0.8)]
)
def test_planted_homologues_are_joined_and_nothing_else(mutated_to, recall):
    rng = np.random.default_rng(0)
    parents = [random_protein(rng, 300) for _ in range(100)]
    mutants = [mutant(rng, parent, mutated_to) for parent in parents]
    family = homology_clusters(parents + mutants, progress=False)
    assert np.mean(family[:100] == family[100:]) >= recall
    assert len(set(family[:100].tolist())) == 100


def test_insertions_do_not_part_homologues():
    rng = np.random.default_rng(1)
    parent = random_protein(rng, 300)
    child = mutant(rng, parent[:150] + random_protein(rng, 20) + parent[150:280], 0.8)
    assert homology_clusters([parent, child], progress=False).tolist() == [0, 0]


def test_a_part_belongs_to_its_whole_and_families_chain():
    rng = np.random.default_rng(2)
    a, b, stranger = (random_protein(rng, 200) for _ in range(3))
    family = homology_clusters([a, stranger, b, a + b, a[50:120]], progress=False)
    assert family.tolist() == [0, 1, 0, 0, 0]


def test_identity_is_the_threshold():
    rng = np.random.default_rng(3)
    parent = random_protein(rng, 400)
    pair = [parent, mutant(rng, parent, 0.6)]
    assert homology_clusters(pair, identity=0.5, progress=False).tolist() == [0, 0]
    assert homology_clusters(pair, identity=0.7, progress=False).tolist() == [0, 1]


def test_order_does_not_matter():
    rng = np.random.default_rng(4)
    parents = [random_protein(rng, 150) for _ in range(30)]
    sequences = parents + [mutant(rng, parent, 0.6) for parent in parents]
    family = homology_clusters(sequences, progress=False)
    order = rng.permutation(60)
    shuffled = homology_clusters([sequences[index] for index in order], progress=False)
    assert ((family[order][:, None] == family[order]) == (shuffled[:, None] == shuffled)).all()


def test_short_repetitive_and_long_proteins():
    rng = np.random.default_rng(5)
    long = random_protein(rng, 50_000)
    family = homology_clusters(
        ["M", "MK", "A" * 3000, "A" * 2000, long, long[1000:1400], "CW" * 500], progress=False
    )
    assert family.tolist() == [0, 1, 2, 2, 3, 3, 4]


def test_equal_and_short_proteins():
    """Too short to score 50, they are still joined to equals, to near ones and to what holds them."""
    rng = np.random.default_rng(10)
    peptide, other = "MKTAYIAK", "GDRHNPSE"
    whole = random_protein(rng, 40) + peptide + random_protein(rng, 40)
    near = "MKTAYIAR"
    family = homology_clusters(
        ["M", peptide, "M", other, peptide, whole, near, "MK", "MK", "MKTA"], progress=False
    )
    assert family.tolist() == [0, 1, 0, 2, 1, 1, 1, 3, 3, 4]
    assert homology_clusters(["M"], progress=False).tolist() == [0]


def test_short_strangers_stay_apart():
    rng = np.random.default_rng(11)
    sequences = [random_protein(rng, 300) for _ in range(300)] + [random_protein(rng, 8) for _ in range(300)]
    assert homology_clusters(sequences, progress=False).max() + 1 >= 598


@pytest.mark.parametrize("length", [1, 3, 6, 9])
def test_short_copies_never_cross(length):
    rng = np.random.default_rng(length)
    sequences = [random_protein(rng, length) for _ in range(15)] * 3
    splits = homology_split(sequences, progress=False)
    assert splits[:15] == splits[15:30] == splits[30:]


def test_a_family_larger_than_the_looked_up_places_stays_one():
    rng = np.random.default_rng(6)
    parent = random_protein(rng, 60)
    family = homology_clusters([mutant(rng, parent, 0.9) for _ in range(2500)], progress=False)
    assert set(family.tolist()) == {0}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), copies=st.lists(st.integers(1, 6), min_size=6, max_size=20))
def test_copies_never_cross(seed, copies):
    rng = np.random.default_rng(seed)
    families = [[random_protein(rng, 80)] * count for count in copies]
    sequences = [sequence for family in families for sequence in family]
    splits = homology_split(sequences, seed=seed, progress=False)
    of_sequence = {}
    for sequence, split in zip(sequences, splits, strict=True):
        assert of_sequence.setdefault(sequence, split) == split
    assert set(splits) == {"train", "valid", "test"}


def test_classes_are_balanced_and_seeds_differ():
    rng = np.random.default_rng(7)
    parents = [random_protein(rng, 60) for _ in range(200)]
    sequences = parents + [mutant(rng, parent, 0.9) for parent in parents[:50]]
    labels = ["a" if index % 4 else "b" for index in range(200)] + ["a"] * 50
    splits = homology_split(sequences, labels, progress=False)
    counts = Counter(zip(splits, labels, strict=True))
    sizes = Counter(labels)
    for split, share in (("train", 0.6), ("valid", 0.2), ("test", 0.2)):
        for label, size in sizes.items():
            assert abs(counts[split, label] - share * size) <= 1.5
    assert splits[:50] == splits[200:]
    assert splits == homology_split(sequences, labels, progress=False)
    assert splits != homology_split(sequences, labels, seed=1, progress=False)


def test_few_families_still_reach_every_set():
    rng = np.random.default_rng(8)
    sequences = [random_protein(rng, 60) for _ in range(6)]
    splits = homology_split(sequences, list("aaabbb"), progress=False)
    assert sorted(zip(splits, "aaabbb", strict=True)) == sorted(
        (split, label) for split in ("train", "valid", "test") for label in "ab"
    )


def test_a_share_of_zero_gives_no_such_set():
    rng = np.random.default_rng(9)
    sequences = [random_protein(rng, 60) for _ in range(20)]
    splits = homology_split(sequences, fractions=(0.75, 0, 0.25), progress=False)
    assert Counter(splits) == {"train": 15, "test": 5}


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([], {}, "a list of at least one protein"),
        ("MKTAYIAK", {}, "a list of at least one protein"),
        (["MKT4"], {}, "'4' at position 4 is not a residue"),
        (["MKT"], {"identity": 0.1}, "identity=0.1 is out of range"),
        (["MKT"], {"identity": 30}, "identity=30 is out of range"),
        (["MKT"], {"fractions": (0.6, 0.2, 0.3)}, r"fractions=\(0.6, 0.2, 0.3\) are not shares"),
        (["MKT"], {"fractions": (0, 0.5, 0.5)}, "are not shares"),
        (["MKT"], {"fractions": (0.5, 0.5)}, "are not shares"),
        (["MKT"], {"labels": ["a", "b"]}, "2 labels for 1 sequences"),
        (["MKT"], {}, "the proteins form 1 families at identity=0.3, too few for 3 sets"),
        (["MKT", "WCH", "DEF"], {"labels": ["a", "a", "b"]}, "labeled 'a' form 2 families"),
    ],
)
def test_wrong_use(sequences, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        homology_split(sequences, **options, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif("BONDWISE_DATA" not in os.environ, reason="BONDWISE_DATA names no folder of data sets")
def test_real_proteins_form_no_giant_family():
    path = Path(os.environ["BONDWISE_DATA"]) / "proteins" / "cytoplasm_vs_cell_membrane.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    splits = homology_split([row["sequence"] for row in rows], [row["label"] for row in rows], progress=False)
    family = homology_clusters([row["sequence"] for row in rows], progress=False)
    assert np.bincount(family).max() < 0.05 * len(rows)
    assert (
        len({(number, split) for number, split in zip(family.tolist(), splits, strict=True)})
        == family.max() + 1
    )
    counts = Counter((split, row["label"]) for split, row in zip(splits, rows, strict=True))
    for label, size in Counter(row["label"] for row in rows).items():
        for split, share in (("train", 0.6), ("valid", 0.2), ("test", 0.2)):
            assert abs(counts[split, label] / size - share) < 0.005
