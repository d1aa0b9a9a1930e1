"""Fits of classifiers to the same proteins, and which of two is better."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bondwise.cli.protein.data import Splits, labels_of
from bondwise.qml import protein

if TYPE_CHECKING:
    import numpy as np

    from bondwise.qml.protein import Scores

MODELS = {
    "window": "WindowQTN",
    "latch": "LatchQTN",
    "path": "PathQTN",
    "tree": "TreeQTN",
    "recurrent": "RecurrentQTN",
}
BASELINES = {
    "majority": "Majority",
    "composition LR": "CompositionLR",
    "hydropathy LR": "HydropathyLR",
    "composition + hydropathy LR": "CompositionHydropathyLR",
    "3-mer LR": "KmerLR",
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A fitted classifier and its scores.

    Attributes:
        name: Name in tables.
        model: The classifier.
        parameters: Number of trained parameters.
        valid: Accuracy on the validation set; None without one.
        scores: Scores on the test set.
        probabilities: Probabilities of the C classes for the N proteins of the test set, float64 (N, C).
        right: Whether each protein of the test set is classified correctly, bool (N,).
        seconds: Wall time of the fit.
    """

    name: str
    model: Any
    parameters: int
    valid: float | None
    scores: Scores
    probabilities: np.ndarray
    right: np.ndarray
    seconds: float

    def facts(self) -> dict[str, Any]:
        """Entries about the fit in `result.json`."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "valid_accuracy": self.valid,
            "test": asdict(self.scores),
            "seconds": round(self.seconds, 3),
        }


def fit(name: str, model: Any, data: Splits, **how: Any) -> Trial:
    """Fit a classifier to the training set and score it.

    Args:
        name: Name in tables.
        model: The classifier; it is fitted in place.
        data: The proteins.
        how: Further arguments of `model.fit`.
    """
    import numpy as np

    began = time.perf_counter()
    model.fit(data.train.sequences, labels_of(data.train), validation=data.validation, **how)
    seconds = time.perf_counter() - began
    found, true = model.predict_proba(data.test.sequences), labels_of(data.test)
    return Trial(
        name=name,
        model=model,
        parameters=int(model.num_parameters),
        valid=_valid_accuracy(model, data),
        scores=protein.score_predictions(true, found, model.classes_),
        probabilities=found,
        right=model.classes_[found.argmax(1)] == np.asarray(true),
        seconds=seconds,
    )


def baseline(name: str) -> Any:
    """A new cheap baseline."""
    make: Callable[[], Any] = getattr(protein, BASELINES[name])
    return make()


def paired_error(one: Trial, other: Trial) -> float:
    """Standard error of the difference of two accuracies on the same proteins.

    Only proteins that one classifies correctly and the other does not matter: with n of them in all and the
    difference d of the two counts, the error is √(n - d²/N) / N.
    """
    difference = one.right.astype(float) - other.right
    return float(difference.std() / len(difference) ** 0.5)


def verdicts(trial: Trial, cheap: list[Trial]) -> list[str]:
    """Sentences on the baselines that are as good as a model, or on the best one if none is."""
    notes = []
    for other in sorted(cheap, key=lambda row: -row.scores.accuracy):
        ahead, error = other.scores.accuracy - trial.scores.accuracy, paired_error(other, trial)
        if ahead < -error:
            continue
        verdict = "is better" if ahead > error else "is as good within the error"
        notes.append(
            f"{other.name} with {other.parameters:,} parameters {verdict}: {other.scores.accuracy:.3f} "
            f"against {trial.scores.accuracy:.3f}, a difference of {ahead:+.3f} ± {error:.3f}."
        )
    if not notes:
        best = max(cheap, key=lambda row: row.scores.accuracy)
        notes.append(
            f"No cheap baseline is as good: the best, {best.name} with {best.parameters:,} parameters, has "
            f"{best.scores.accuracy:.3f} against {trial.scores.accuracy:.3f}, "
            f"a difference of {best.scores.accuracy - trial.scores.accuracy:+.3f} "
            f"± {paired_error(best, trial):.3f}."
        )
    return notes


def _valid_accuracy(model: Any, data: Splits) -> float | None:
    if data.validation is None:
        return None
    sequences, labels = data.validation
    return protein.score_predictions(labels, model.predict_proba(sequences), model.classes_).accuracy
