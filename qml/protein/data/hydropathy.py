"""Hydropathy of a protein along its chain: Kyte and Doolittle, J. Mol. Biol. 157, 105 (1982)."""

from __future__ import annotations

import numpy as np

from bondwise.qml.protein.data.alphabet import standardize
from bondwise.runs import whole_number

KYTE_DOOLITTLE = {
    "R": -4.5, "K": -3.9, "N": -3.5, "D": -3.5, "Q": -3.5, "E": -3.5, "H": -3.2, "P": -1.6, "Y": -1.3,
    "W": -0.9, "S": -0.8, "T": -0.7, "G": -0.4,
    "A": 1.8, "M": 1.9, "C": 2.5, "F": 2.8, "L": 3.8, "V": 4.2, "I": 4.5,
}  # fmt: skip
_BY_CODE = np.zeros(128)
_BY_CODE[[ord(residue) for residue in KYTE_DOOLITTLE]] = list(KYTE_DOOLITTLE.values())


def hydropathy_profile(sequence: str, *, window: int = 19) -> tuple[np.ndarray, np.ndarray]:
    """Average the hydropathy over every window of a protein.

    Args:
        sequence: A protein; one shorter than a window is one window.
        window: Number of residues in a window; 19 cross a membrane.

    Returns:
        Positions of the middles of the windows, counted from 1, and their means on the scale of Kyte and
        Doolittle, float64 (W,) each.

    Raises:
        UsageError: If `window` is not a positive whole number, or a letter is outside the alphabet.

    Example:
        >>> from bondwise.qml.protein import hydropathy_profile
        >>> positions, means = hydropathy_profile("MKTAYIAK", window=5)
        >>> positions.tolist(), means.round(2).tolist()
        ([3.0, 4.0, 5.0, 6.0], [-0.44, 0.08, 1.22, 0.58])
    """
    values = _BY_CODE[np.frombuffer(standardize(sequence).encode(), dtype=np.uint8)]
    window = min(whole_number("window", window), len(values))
    means = np.convolve(values, np.full(window, 1 / window), "valid")
    return np.arange(len(means)) + (window + 1) / 2, means
