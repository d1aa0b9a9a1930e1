"""Synthetic proteins for trying out classifiers; they support no claim about nature.

Background residues follow the frequencies of UniProtKB/Swiss-Prot. "membrane-like" proteins have one to eight
hydrophobic segments of 18 to 24 residues with mostly charged ends, like membrane helices. "soluble-like"
proteins have the same kind of residues, on average half as many, scattered in stretches of 3 to 7; half of
these are spread to every third or fourth position as on one face of a helix, and one protein in ten has a
stretch of 12 to 15 residues like a buried core. Composition alone therefore says little; neighborhood says
most.
"""

from __future__ import annotations

import numpy as np

from bondwise.qml.protein.data.alphabet import RESIDUES
from bondwise.qml.protein.data.dataset import ProteinSet
from bondwise.runs import random_generator, real_number, whole_number

# percentages of the residues in Swiss-Prot, in the order of RESIDUES
_PER_CENT = [8.25, 1.38, 5.46, 6.72, 3.86, 7.07, 2.28, 5.91, 5.80, 9.65]
_PER_CENT += [2.41, 4.06, 4.74, 3.93, 5.53, 6.65, 5.36, 6.86, 1.10, 2.92]
_BACKGROUND = np.array(_PER_CENT) / sum(_PER_CENT)
_CORE, _CORE_SHARE = "LIVFAGMWTSYC", [0.24, 0.15, 0.14, 0.11, 0.12, 0.08, 0.04, 0.02, 0.03, 0.03, 0.02, 0.02]
_SPLITS = (("train", 0.6), ("valid", 0.2), ("test", 0.2))


def synthetic_proteins(size: int = 600, *, seed: int = 0, noise: float = 0.05) -> ProteinSet:
    """Make proteins of two classes with 80 to 400 residues, split into train, valid and test.

    Args:
        size: Number of proteins, at least 10; half of each class, before noise.
        seed: Random seed; the same seed makes the same proteins.
        noise: Share of swapped labels, below 0.5; no classifier can be right more often than 1 − noise.

    Returns:
        Proteins labeled "membrane-like" and "soluble-like", 60 % of each in train, 20 % in valid and 20 % in
        test, with `synthetic=True`.

    Raises:
        UsageError: If `size` or `noise` is out of range.

    Example:
        >>> from bondwise.qml.protein import synthetic_proteins
        >>> proteins = synthetic_proteins(10, noise=0)
        >>> proteins.classes, len(proteins.select("train"))
        (('membrane-like', 'soluble-like'), 6)
    """
    whole_number("size", size, least=10)  # every set then has both classes
    real_number("noise", noise, zero=True, below=0.5)
    rng = random_generator(seed)
    membrane = np.arange(size) % 2 == 0
    sequences = tuple(_protein(bool(is_membrane), rng) for is_membrane in membrane)
    splits = np.empty(size, dtype="<U5")
    for kind in (True, False):
        members = np.flatnonzero(membrane == kind)
        bounds = np.round(np.cumsum([share for _, share in _SPLITS]) * len(members)).astype(int)
        for (name, _), part in zip(_SPLITS, np.split(members, bounds[:-1]), strict=True):
            splits[part] = name
    swapped = np.zeros(size, dtype=bool)
    swapped[rng.choice(size, round(noise * size), replace=False)] = True
    labels = np.where(membrane ^ swapped, "membrane-like", "soluble-like")
    return ProteinSet(
        sequences=sequences,
        labels=tuple(labels.tolist()),
        accessions=tuple(f"SYNTHETIC{number:05d}" for number in range(1, size + 1)),
        splits=tuple(splits.tolist()),
        synthetic=True,
    )


def _protein(membrane: bool, rng: np.random.Generator) -> str:
    lengths = rng.integers(18, 25, size=min(int(rng.geometric(0.3 if membrane else 0.6)), 8))
    ends = [_draw("KRDENSTGP", [0.3, 0.3, *[0.4 / 7] * 7], 6, rng) for _ in lengths]
    cores = [_draw(_CORE, _CORE_SHARE, int(length), rng) for length in lengths]
    length = int(rng.integers(80, 386))
    background = _draw(
        RESIDUES, _BACKGROUND, max(length - 1 - int(lengths.sum()) - 6 * len(lengths), 40), rng
    )

    def somewhere() -> int:
        return int(rng.integers(len(background) + 1))

    inserted: list[tuple[int, str]] = []  # place in the background, and what is inserted before it
    if membrane:
        inserted += [
            (somewhere(), f"{end[:3]}{core}{end[3:]}") for end, core in zip(ends, cores, strict=True)
        ]
    else:
        inserted += [(somewhere(), letter) for letter in "".join(ends)]
        rest = "".join(cores)
        while rest:
            size = int(rng.integers(3, 8))
            stretch, rest, place = rest[:size], rest[size:], somewhere()
            if rng.random() < 0.5:
                inserted.append((place, stretch))
            else:
                places = place + np.cumsum(rng.integers(2, 4, size=len(stretch)))
                inserted += [
                    (int(at) % len(background), letter) for at, letter in zip(places, stretch, strict=True)
                ]
        if rng.random() < 0.1:
            inserted.append((somewhere(), _draw(_CORE, _CORE_SHARE, int(rng.integers(12, 16)), rng)))
    pieces, start = ["M"], 0
    for place, piece in sorted(inserted):
        pieces += [background[start:place], piece]
        start = place
    return "".join(pieces) + background[start:]


def _draw(letters: str, share: np.ndarray | list[float], length: int, rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(letters), size=length, p=share))
