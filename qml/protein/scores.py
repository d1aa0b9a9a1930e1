"""Scores of predictions: accuracy with its error, Matthews correlation, area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from bondwise.runs import UsageError
from bondwise.runs.result import brief_html


@dataclass(frozen=True)
class Scores:
    """Scores of predictions.

    Attributes:
        accuracy: Share of sequences whose most probable class is the true one.
        std: Binomial standard error of the accuracy p, √(p (1 − p) / size).
        mcc: Matthews correlation coefficient, −1 to 1, in Gorodkin's form for more than two classes; 0 if all
            predictions or all labels are of one class.
        auroc: Area under the ROC curve: the probability that a sequence of the class gets a higher
            probability than one of another class. For more than two classes, the mean over the classes, each
            against the rest, without classes that no label or every label has; None if no class remains.
        size: Number of sequences.

    Example:
        >>> from bondwise.qml.protein import Scores
        >>> print(Scores(accuracy=0.9, std=0.03, mcc=0.8, auroc=None, size=100))
        accuracy 0.900 ± 0.030, MCC 0.800, AUROC -, 100 sequences
    """

    accuracy: float
    std: float
    mcc: float
    auroc: float | None
    size: int

    _repr_html_ = brief_html

    def __str__(self) -> str:
        area = "-" if self.auroc is None else f"{self.auroc:.3f}"
        return (
            f"accuracy {self.accuracy:.3f} ± {self.std:.3f}, MCC {self.mcc:.3f}, AUROC {area}, "
            f"{self.size} sequences"
        )


def score_predictions(
    labels: Sequence[Hashable], probabilities: np.ndarray, classes: Sequence[Hashable] | np.ndarray
) -> Scores:
    """Score the predictions of a classifier.

    Args:
        labels: N true labels.
        probabilities: Output of `predict_proba`, float (N, C); the first class wins a tie.
        classes: C classes, the classifier's `classes_`.

    Raises:
        UsageError: If the shapes do not match, there are no labels, a label is not among the classes, or a
            probability is not finite.

    Example:
        >>> from bondwise.qml.protein import score_predictions
        >>> scores = score_predictions(["a", "b"], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
        >>> scores.accuracy, scores.auroc
        (1.0, 1.0)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    names = list(np.asarray(classes).tolist())
    if len(labels) == 0:
        raise UsageError("there are no labels; give one or more sequences to score.")
    if probabilities.shape != (len(labels), len(names)):
        raise UsageError(
            f"probabilities have shape {probabilities.shape}; {len(labels)} labels and {len(names)} classes "
            f"need ({len(labels)}, {len(names)}), as from predict_proba."
        )
    if not np.isfinite(probabilities).all():
        raise UsageError("a probability is not finite; the classifier diverged, train it again.")
    number = {name: i for i, name in enumerate(names)}
    for label in np.asarray(labels).tolist():
        if label not in number:
            raise UsageError(f"label {label!r} is not among the classes {names}.")
    truth = np.array([number[label] for label in np.asarray(labels).tolist()])
    predicted = probabilities.argmax(1)
    accuracy = float(np.mean(predicted == truth))
    varied = len(set(truth)) > 1 and len(set(predicted)) > 1
    areas = [
        roc_auc_score(truth == i, probabilities[:, i])
        for i in ([1] if len(names) == 2 else range(len(names)))
        if 0 < np.sum(truth == i) < len(truth)
    ]
    return Scores(
        accuracy=accuracy,
        std=math.sqrt(accuracy * (1 - accuracy) / len(truth)),
        mcc=float(matthews_corrcoef(truth, predicted)) if varied else 0.0,
        auroc=float(np.mean(areas)) if areas else None,
        size=len(truth),
    )
