"""Which residues a prediction rests on: windows are cut out of the protein, one at a time.

The score of a window is the loss in the log-odds of a class without its residues, positive if they are
evidence for the class: the occlusion of Zeiler and Fergus (arXiv:1311.2901). Cutting residues out needs no
substitute for them and works with every classifier that has `predict_proba`. It misses evidence that a
protein holds twice, because either copy is enough.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from bondwise.qml.protein.data.alphabet import standardize
from bondwise.runs import UsageError, whole_number

_LEAST = 1e-12  # probability, to bound the log-odds of a classifier that is certain


def window_scores(
    model: Any, sequence: str, *, label: Hashable | None = None, window: int = 15, stride: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Score the windows of a protein by what the prediction loses without them.

    Args:
        model: Fitted classifier with `predict_proba` and `classes_`.
        sequence: A protein of more than `window` residues. The model reads it once per window.
        label: Class whose log-odds are scored; None for the second of two classes, or for the predicted class
            if there are more.
        window: Number of residues that are cut out.
        stride: Number of residues from the start of one window to the next; the last one ends
            with the protein.

    Returns:
        Positions of the middles of the windows, counted from 1, and their scores in nats, float64 (W,) each.

    Raises:
        UsageError: If the protein is not longer than a window, `window` or `stride` is not positive, the
            label is unknown, or a letter is outside the alphabet.

    Example:
        >>> from bondwise.qml.protein import CompositionLR, window_scores
        >>> model = CompositionLR().fit(["LIVF", "LLIV", "DEKR", "KKED"], [1, 1, 0, 0])
        >>> positions, scores = window_scores(model, "DKLIVLER", window=4, stride=2)
        >>> positions.tolist(), int(scores.argmax())  # LIVL is the evidence for class 1
        ([2.5, 4.5, 6.5], 1)
    """
    for name, value in (("window", window), ("stride", stride)):
        whole_number(name, value)
    residues = standardize(sequence)
    if len(residues) <= window:
        raise UsageError(
            f"the protein has {len(residues)} residues and a window {window}, so that nothing would be left; "
            "give a longer protein or a smaller window."
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
