"""Training, validation and test sets that do not separate homologous proteins.

Families from `homology_clusters` are assigned to one set each, the largest first. Each goes to the set that
increases χ² of the split least: the sum over sets and labels of (count − wanted)² / wanted.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from bondwise.qml.protein.data.clusters import homology_clusters
from bondwise.runs import UsageError, random_generator

SPLITS = ("train", "valid", "test")


def homology_split(
    sequences: Sequence[str],
    labels: Sequence[Hashable] | None = None,
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    identity: float = 0.3,
    seed: int = 0,
    progress: bool = True,
) -> tuple[str, ...]:
    """Split proteins so that every family found by a search is in one set.

    Equal sequences are never separated. Homologues that the search misses may be;
    `bondwise.qml.protein.data.clusters` states the share that it finds at a given identity.

    Args:
        sequences: N proteins.
        labels: N classes, each split in the same proportion as far as families allow; None balances only
            the sizes.
        fractions: Shares of train, valid and test, which sum to 1; only train's must be positive.
        identity: Smallest share of identical residues of two homologues, from 0.2 to 1.
        seed: Random seed for the order of families of the same size.
        progress: Whether to show a progress bar.

    Returns:
        "train", "valid" or "test" for each of the N proteins.

    Raises:
        UsageError: If `fractions` are not shares, `labels` has another length, or a class has fewer families
            than there are sets.

    Example:
        >>> from bondwise.qml.protein import homology_split
        >>> sequences = ["MKTAYIAKQR", "MKTAYIAKQR", "LLVVIIAAFF", "DEKRDEKRDE", "GASTGASTGA"]
        >>> splits = homology_split(sequences, progress=False)
        >>> splits[0] == splits[1], sorted(set(splits))
        (True, ['test', 'train', 'valid'])
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or not (shares >= 0).all() or shares[0] == 0 or abs(shares.sum() - 1) > 1e-6:
        raise UsageError(
            f"fractions={fractions} are not shares of train, valid and test; write (0.6, 0.2, 0.2)."
        )
    if labels is not None and len(labels) != len(sequences):
        raise UsageError(f"there are {len(labels)} labels for {len(sequences)} sequences; give one for each.")
    family = homology_clusters(sequences, identity=identity, progress=progress)
    classes: Sequence[Hashable] = [None] * len(family) if labels is None else labels
    names = list(dict.fromkeys(classes))
    number = {name: index for index, name in enumerate(names)}
    members = np.zeros((family.max() + 1, len(names)))
    np.add.at(members, (family, np.array([number[name] for name in classes])), 1)
    used = np.flatnonzero(shares)
    for name, count in zip(names, (members > 0).sum(axis=0), strict=True):
        if count < len(used):
            what = "the proteins form" if labels is None else f"the proteins labeled {name!r} form"
            raise UsageError(
                f"{what} {count} families at identity={identity}, too few for {len(used)} sets; give more "
                "proteins, splits of your own, or a higher identity."
            )
    place, counts = _assign(members, shares[used], random_generator(seed))
    if not counts.all():
        empty, name = np.argwhere(counts == 0)[0]
        raise UsageError(
            f"no protein labeled {names[name]!r} is left for {SPLITS[used[empty]]} at identity={identity}; "
            "give more proteins or a higher identity."
        )
    return tuple(SPLITS[used[index]] for index in place[family])


def _assign(
    members: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The set of every family (families,), and the number of members by set and class (sets, classes).

    Args:
        members: Number of members by family and class (families, classes).
        shares: Positive share of every set (sets,).
        rng: Random generator for the order of families of the same size.
    """
    wanted = np.outer(shares, members.sum(axis=0))
    counts = np.zeros_like(wanted)
    left = (members > 0).sum(axis=0)  # families not yet assigned, by class
    shuffled = rng.permutation(len(members))
    place = np.empty(len(members), dtype=np.int64)
    for family in shuffled[np.argsort(-members.sum(axis=1)[shuffled], kind="stable")]:
        new = members[family]
        growth = (new * (2 * (counts - wanted) + new) / wanted).sum(axis=1)
        # if the sets that lack a class need all its remaining families, this one goes to such a set
        lacks = (counts == 0) & (new > 0)
        urgent = lacks[:, lacks.sum(axis=0) >= np.maximum(left, 1)].any(axis=1)
        if urgent.any():
            growth[~urgent] = np.inf
        place[family] = np.argmin(growth)
        counts[place[family]] += new
        left -= new > 0
    return place, counts
