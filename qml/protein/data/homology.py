"""Train, validation and test sets that part no family of homologous proteins that a search finds.

Whole families, as `homology_clusters` finds them, go to one set each: the largest first, each to where the
sum over sets and labels of (count − wanted)² / wanted, the χ² of the division, grows least.
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
    """Divide proteins so that no family that a search finds has members in two sets.

    Equal sequences are never parted. Unlike ones may be, though they are homologues: which share of them the
    search finds at a given identity is said in `bondwise.qml.protein.data.clusters`.

    Args:
        sequences: N proteins.
        labels: Their N classes, each of which is divided in the same proportion as well as families allow;
            None balances the sizes only.
        fractions: Wanted shares of train, valid and test, which sum to 1; a share may be 0, train's may not.
        identity: Share of identical residues from which two proteins are homologues, from 0.2 to 1.
        seed: Orders families of the same size.
        progress: Show a bar.

    Returns:
        "train", "valid" or "test" for each of the N proteins.

    Raises:
        UsageError: Fractions are not shares, `labels` has another length, or a class has fewer families than
            there are sets, so that one would lack it.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or not (shares >= 0).all() or shares[0] == 0 or abs(shares.sum() - 1) > 1e-6:
        raise UsageError(f"fractions={fractions} are no shares of train, valid, test; write (0.6, 0.2, 0.2).")
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
    """The set of each family, shape (families,), and the members of each class in each set, (sets, classes).

    Args:
        members: Members of each family in each class, shape (families, classes).
        shares: Wanted share of each set, shape (sets,), positive.
        rng: Orders families of one size.
    """
    wanted = np.outer(shares, members.sum(axis=0))
    counts = np.zeros_like(wanted)
    left = (members > 0).sum(axis=0)  # families that are still to come, by class
    shuffled = rng.permutation(len(members))
    place = np.empty(len(members), dtype=np.int64)
    for family in shuffled[np.argsort(-members.sum(axis=1)[shuffled], kind="stable")]:
        new = members[family]
        growth = (new * (2 * (counts - wanted) + new) / wanted).sum(axis=1)
        # Where the sets that lack a class would use up all its families, this one goes to such a set.
        lacks = (counts == 0) & (new > 0)
        urgent = lacks[:, lacks.sum(axis=0) >= np.maximum(left, 1)].any(axis=1)
        if urgent.any():
            growth[~urgent] = np.inf
        place[family] = np.argmin(growth)
        counts[place[family]] += new
        left -= new > 0
    return place, counts
