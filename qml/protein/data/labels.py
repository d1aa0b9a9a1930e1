"""Checks of the sequences and labels given to a classifier, and class indices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from bondwise.runs import UsageError


def check_fitted(model: Any) -> None:
    """Raise scikit-learn's NotFittedError unless a classifier has its `classes_`."""
    if not hasattr(model, "classes_"):
        raise NotFittedError(f"this {type(model).__name__} is not fitted; call fit first.")


def check_sequences(sequences: Any) -> None:
    """Raise a UsageError for a single string, whose letters would pass as proteins."""
    if isinstance(sequences, str):
        raise UsageError(
            f"sequences is one string, {sequences[:20]!r}; give a list, such as [{sequences[:20]!r}]."
        )


def training_labels(sequences: Sequence[str], labels: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Classes and class indices of a training set.

    Args:
        sequences: Proteins; only their number matters.
        labels: One label per protein: text or whole numbers in a list, an array or a column of a table.

    Returns:
        The classes in sorted order (C,), and the class number of every label, int64 (N,).

    Raises:
        UsageError: If `sequences` is a single string, the numbers of sequences and labels differ, labels are
            not all text or all whole numbers, or there is only one class.
    """
    check_sequences(sequences)
    array = _one_kind(labels)
    if len(sequences) != len(array):
        raise UsageError(f"there are {len(sequences)} sequences and {len(array)} labels; give one for each.")
    classes, numbers = np.unique(array, return_inverse=True)
    if len(classes) < 2:
        only = repr(classes[0].item()) if len(classes) else "none"
        raise UsageError(f"the labels have only one class ({only}); a classifier needs at least two.")
    return classes, numbers


def validation_labels(
    classes: np.ndarray, sequences: Sequence[str], labels: Sequence[Hashable]
) -> np.ndarray:
    """Class indices of a validation set, int64 (N,).

    Args:
        classes: Sorted classes of the training set.
        sequences: Proteins; only their number matters.
        labels: One label per protein.

    Raises:
        UsageError: As for `training_labels`, the set is empty, or a label is not among the classes.
    """
    check_sequences(sequences)
    values = _one_kind(labels).tolist()
    if len(sequences) != len(values) or not values:
        raise UsageError(
            f"the validation set has {len(sequences)} sequences and {len(values)} labels; give one for "
            "each, or validation=None."
        )
    number = {label: index for index, label in enumerate(classes.tolist())}
    for label in values:
        if label not in number:
            raise UsageError(f"label {label!r} of the validation set is not among the classes {[*number]}.")
    return np.array([number[label] for label in values])


def _one_kind(labels: Any) -> np.ndarray:
    """The labels as an array (N,) of text, int64 or bool."""
    array = np.asarray(labels, dtype=object)  # NumPy would turn the 1 of [1, "a"] into text
    if array.ndim != 1:
        raise UsageError(f"labels are {_shown(labels)}, not a list; give one label per sequence.")
    values = [value.item() if isinstance(value, np.generic) else value for value in array]
    kinds: dict[type, Any] = {}  # with the first label of each
    for value in values:
        kinds.setdefault(type(value), value)
    for kind, value in kinds.items():
        if kind not in (str, int, bool):
            raise UsageError(f"label {_shown(value)} is a {kind.__name__}; give text or whole numbers.")
    if len(kinds) > 1:
        shown = " and ".join(repr(value) for value in kinds.values())
        raise UsageError(f"labels are of several kinds, such as {shown}; give only text or only numbers.")
    try:
        return np.array(values, dtype={str: np.str_, int: np.int64, bool: np.bool_}[next(iter(kinds), int)])
    except OverflowError:
        raise UsageError("a label is a number of more than 64 bits; give it as text.") from None


def _shown(value: Any) -> str:
    """A value on one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}…"
