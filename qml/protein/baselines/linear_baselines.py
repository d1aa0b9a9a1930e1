"""Baselines without a network: the most frequent class, and logistic regression on features of a protein.

Every sequence model should be compared with these. For membrane proteins, the bar to clear is hydropathy:
averaged over 19 neighbors, enough residues to cross a membrane, it located the crossing segments in Kyte and
Doolittle, J. Mol. Biol. 157, 105 (1982), whose scale is used here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bondwise.qml.protein.data.alphabet import RESIDUES, standardize
from bondwise.qml.protein.data.hydropathy import hydropathy_profile
from bondwise.qml.protein.data.labels import (
    check_fitted,
    check_sequences,
    training_labels,
    validation_labels,
)
from bondwise.runs import progress_bar, whole_number

_GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS = 5
_ITERATIONS = 3000
_BEST = 20
_ASCII = np.frombuffer(RESIDUES.encode(), dtype=np.uint8)


class Majority(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class of the training set; the first one if several are equally frequent.

    Attributes:
        classes_: Labels in sorted order.
        frequencies_: Share of each class in the training set, float64 (C,).
        num_parameters: 0.

    Example:
        >>> from bondwise.qml.protein import Majority
        >>> model = Majority().fit(["MKT", "LIV", "GAS"], ["a", "b", "b"])
        >>> model.predict(["AAA"]).tolist()
        ['b']
    """

    def fit(
        self,
        sequences: Sequence[str],
        labels: Sequence[Hashable],
        *,
        validation: tuple[Sequence[str], Sequence[Hashable]] | None = None,
        progress: bool = False,
    ) -> Self:
        """Count the labels; the other arguments are those of all classifiers but have no effect.

        Raises:
            UsageError: If the numbers of sequences and labels differ, there is only one class, or the labels
                are not all text or all whole numbers.
        """
        self.classes_, numbers = training_labels(sequences, labels)
        self.frequencies_ = np.bincount(numbers) / len(numbers)
        return self

    def predict_proba(self, sequences: Sequence[str]) -> np.ndarray:
        """The frequencies of the classes for every sequence, float64 (N, C)."""
        check_fitted(self)
        check_sequences(sequences)
        return np.tile(self.frequencies_, (len(sequences), 1))

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """The most frequent class for every sequence, (N,)."""
        best = self.predict_proba(sequences).argmax(1)
        return self.classes_[best]

    @property
    def num_parameters(self) -> int:
        """Always 0."""
        return 0


class FeatureRegression(ClassifierMixin, BaseEstimator, ABC):
    """Base class of the logistic regressions; subclasses compute the features of a protein.

    Features are scaled to mean 0 and variance 1. The regularization is chosen from C = 0.03, 0.1, 0.3, …, 100
    by accuracy; the strongest wins a tie.

    Attributes:
        classes_: Labels in sorted order; column i of `predict_proba` belongs to `classes_[i]`.
        C_: Inverse strength of the chosen regularization.
        regression_: The fitted scikit-learn estimator, which takes the features.
        num_parameters: Number of weights and intercepts of the regression.
    """

    classes_: np.ndarray

    @abstractmethod
    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> Any:
        """Features (N, F) of standardized proteins; `learn` is True for the training set."""

    def _regression(self, strength: float) -> Any:
        """An unfitted estimator with C = strength."""
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_ITERATIONS))

    def fit(
        self,
        sequences: Sequence[str],
        labels: Sequence[Hashable],
        *,
        validation: tuple[Sequence[str], Sequence[Hashable]] | None = None,
        progress: bool = False,
    ) -> Self:
        """Fit to labeled sequences.

        Args:
            sequences: Proteins in one-letter code; `standardize` lists the accepted letters.
            labels: Classes of the proteins, at least two; all text or all whole numbers.
            validation: Sequences and labels that select C. None selects it by stratified 5-fold
                cross-validation, which favors too large a C if the training set holds homologues; with fewer
                folds if a class has fewer members, and with C = 1 if a class has a single member.
            progress: Whether to show a progress bar.

        Raises:
            UsageError: If the numbers of sequences and labels differ, there is only one class, a validation
                label is not among the classes, or a letter is not a residue.
        """
        classes, numbers = training_labels(sequences, labels)
        if validation is not None:
            right = classes[validation_labels(classes, *validation)]
        if hasattr(self, "classes_"):
            del self.classes_  # an interrupted fit must not look like a fitted model
        targets = classes[numbers]
        table = self._features([standardize(s) for s in sequences], learn=True, progress=progress)
        if validation is not None:
            held_out = self._features([standardize(s) for s in validation[0]], progress=progress)
        folds = min(_FOLDS, np.bincount(numbers).min())
        grid = _GRID if validation is not None or folds > 1 else (1.0,)
        best, chosen = -1.0, grid[0]
        with progress_bar(len(grid), type(self).__name__, progress) as bar:
            for strength in grid:
                regression = self._regression(strength)
                if validation is not None:
                    accuracy = regression.fit(table, targets).score(held_out, right)
                elif folds > 1:
                    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
                    accuracy = cross_val_score(regression, table, targets, cv=splits).mean()
                else:
                    accuracy = 0.0
                if accuracy > best:
                    best, chosen = accuracy, strength
                bar.update()
        self.regression_ = self._regression(chosen).fit(table, targets)
        self.C_, self.classes_ = chosen, classes
        return self

    def predict_proba(self, sequences: Sequence[str]) -> np.ndarray:
        """Class probabilities, float64 (N, C); each row sums to 1.

        Raises:
            UsageError: If a letter is not a residue.
        """
        check_fitted(self)
        check_sequences(sequences)
        if len(sequences) == 0:
            return np.empty((0, len(self.classes_)))
        return self.regression_.predict_proba(self._features([standardize(s) for s in sequences]))

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """The most probable class of each sequence, (N,)."""
        best = self.predict_proba(sequences).argmax(1)
        return self.classes_[best]

    @property
    def num_parameters(self) -> int:
        """Number of weights and intercepts of the regression; the scaling of the features does not count."""
        check_fitted(self)
        steps = getattr(self.regression_, "steps", [("", self.regression_)])
        return steps[-1][1].coef_.size + steps[-1][1].intercept_.size


class CompositionLR(FeatureRegression):
    """Logistic regression on the frequencies of the 20 residues: 21 parameters for two classes.

    Example:
        >>> from bondwise.qml.protein import CompositionLR
        >>> model = CompositionLR().fit(["LIVF", "LLIV", "DEKR", "KKED"], [1, 1, 0, 0])
        >>> model.predict(["LLLL", "KRKR"]).tolist(), model.num_parameters
        ([1, 0], 21)
    """

    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> np.ndarray:
        return np.array([composition(sequence) for sequence in sequences])


class HydropathyLR(FeatureRegression):
    """Logistic regression on three hydropathies: 4 parameters for two classes.

    These are the mean over the most hydrophobic window of 19 residues, the mean of the 20 most hydrophobic
    windows, and the mean over the protein. A protein of fewer than 19 residues is one window.

    Example:
        >>> from bondwise.qml.protein import HydropathyLR
        >>> model = HydropathyLR().fit(["LIVF", "LLIV", "DEKR", "KKED"], [1, 1, 0, 0])
        >>> model.predict(["ALAL", "KRKR"]).tolist(), model.num_parameters
        ([1, 0], 4)
    """

    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> np.ndarray:
        return np.array([hydropathies(sequence) for sequence in sequences])


class CompositionHydropathyLR(FeatureRegression):
    """Logistic regression on the features of both `CompositionLR` and `HydropathyLR`: 24 parameters.

    Example:
        >>> from bondwise.qml.protein import CompositionHydropathyLR
        >>> model = CompositionHydropathyLR().fit(["LIVF", "LLIV", "DEKR", "KKED"], [1, 1, 0, 0])
        >>> model.predict(["LLLL", "KRKR"]).tolist(), model.num_parameters
        ([1, 0], 24)
    """

    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> np.ndarray:
        return np.array([np.concatenate([composition(s), hydropathies(s)]) for s in sequences])


class KmerLR(FeatureRegression):
    """Logistic regression on overlapping k-mers: 1 + log of their counts, weighted by rarity (TF-IDF).

    k-mers and their rarity are those of the training set. Rows have norm 1; features are not scaled further.

    Args:
        longest: Largest k; all k from 1 on are used.

    Example:
        >>> from bondwise.qml.protein import KmerLR
        >>> model = KmerLR(longest=2).fit(["LIVF", "LLIV", "DEKR", "KKED"], [1, 1, 0, 0])
        >>> model.predict(["LILI", "KEKE"]).tolist()
        [1, 0]
    """

    def __init__(self, *, longest: int = 3) -> None:
        self.longest = longest

    def _features(self, sequences: list[str], *, learn: bool = False, progress: bool = False) -> Any:
        if learn:
            longest = whole_number("longest", self.longest)
            self.vectorizer_ = TfidfVectorizer(
                analyzer="char", ngram_range=(1, longest), lowercase=False, sublinear_tf=True
            )
            return self.vectorizer_.fit_transform(sequences)
        return self.vectorizer_.transform(sequences)

    def _regression(self, strength: float) -> Any:
        return LogisticRegression(C=strength, max_iter=_ITERATIONS)


def composition(sequence: str) -> np.ndarray:
    """Frequencies (20,) of the residues in a protein."""
    letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
    return np.bincount(letters, minlength=128)[_ASCII] / len(letters)


def hydropathies(sequence: str) -> np.ndarray:
    """The features (3,) of `HydropathyLR`."""
    means = np.sort(hydropathy_profile(sequence)[1])
    values = hydropathy_profile(sequence, window=1)[1]
    return np.array([means[-1], means[-_BEST:].mean(), values.mean()])
