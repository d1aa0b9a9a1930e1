"""Which residues drove a prediction: windows are cut out of the protein, one at a time.

A window's score is what the log-odds of a class lose when its residues are gone, positive where they speak
for the class: the occlusion of Zeiler and Fergus (arXiv:1311.2901). Cutting out needs no stand-in residue and
works for every classifier with `predict_proba`. What it cannot show is evidence that a protein holds twice,
as either copy alone is enough.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from bondwise.qml.protein.data.alphabet import standardize
from bondwise.runs import UsageError, whole_number

_LEAST = 1e-12  # probability: bounds the log-odds of a classifier that is sure


def window_scores(
    model: Any, sequence: str, *, label: Hashable | None = None, window: int = 15, stride: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Score the windows of a protein by what the prediction loses without them.

    Args:
        model: A fitted classifier: `predict_proba` and `classes_`.
        sequence: One protein of more than `window` residues. The model reads it once per window.
        label: The class whose log-odds are looked at; None is the second of two classes, and of more the
            one that is predicted.
        window: Residues that are cut out.
        stride: Residues from one window to the next; a last window ends with the protein.

    Returns:
        Positions of the windows' middles, from 1 on, and their scores in nats, float64 (W,) each.

    Raises:
        UsageError: The protein is not longer than a window, window or stride is not positive, the label is
            unknown, or a letter is outside the alphabet.
    """
    for name, value in (("window", window), ("stride", stride)):
        whole_number(name, value)
    residues = standardize(sequence)
    if len(residues) <= window:
        raise UsageError(
            f"the protein has {len(residues)} residues, a window {window}; nothing would be left. "
            "Give a longer protein or a smaller window."
        )
    last = len(residues) - window
    starts = [*range(0, last, stride), last]
    found = model.predict_proba([residues, *(residues[:at] + residues[at + window :] for at in starts)])
    classes = model.classes_.tolist()
    if label is None:
        number = 1 if len(classes) == 2 else int(found[0].argmax())
    elif label in classes:
        number = classes.index(label)
    else:
        raise UsageError(f"label {label!r} is not among the classes {classes}.")
    chance = found[:, number].clip(_LEAST, 1 - _LEAST)
    odds = np.log(chance) - np.log1p(-chance)
    return np.array(starts) + (window + 1) / 2, odds[0] - odds[1:]
