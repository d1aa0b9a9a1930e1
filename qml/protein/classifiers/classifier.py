"""Base class of the sequence classifiers: scikit-learn's interface to a torch network, and its files."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import save
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from bondwise.qml import protein
from bondwise.qml.protein.classifiers.model_files import MODEL, WEIGHTS, ModelFile, read_model, read_weights
from bondwise.qml.protein.classifiers.training import logits_of, train
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.qml.protein.data.labels import (
    check_fitted,
    training_labels,
    validation_labels,
)
from bondwise.qml.training.epochs import History
from bondwise.runs import RunError, UsageError, real_number, whole_number, write_atomically

_MAX_SEED = 2**64 - 1  # of torch


@dataclass(kw_only=True, eq=False, repr=False)  # comparison and repr are scikit-learn's
class ProteinClassifier(ClassifierMixin, BaseEstimator, ABC):
    """Base class of the trained classifiers; subclasses define the network.

    As in scikit-learn, settings are keyword arguments of the constructor and attributes of the same name,
    `fit` returns the classifier, and the names of what it learns end in an underscore.

    Args:
        alphabet: Name of the `Alphabet`.
        k: Number of letters per word of the `Alphabet`.
        epochs: Number of passes over the training set.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Number of proteins per step.
        seed: Random seed for the initial parameters and the batches.

    Attributes:
        classes_: Labels in sorted order; column i of `predict_proba` belongs to `classes_[i]`.
        network_: Trained torch module.
        history_: Losses and accuracies by epoch.
        num_parameters: Number of trained parameters.
        vocabulary: The `Alphabet` of the settings.

    Example:
        >>> from bondwise.qml.protein import CNN, ProteinClassifier, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = CNN(epochs=1).fit(train.sequences, train.labels)
        >>> ProteinClassifier.load(model.save("model"))
        CNN(epochs=1)
    """

    alphabet: str = "residues"
    k: int = 1
    epochs: int = 12
    learning_rate: float = 0.02
    batch_size: int = 64
    seed: int = 0
    classes_: np.ndarray = field(init=False)
    network_: Any = field(init=False)
    history_: History = field(init=False)
    _counts: ClassVar[Mapping[str, int]] = {}  # upper bounds of a subclass's settings that are whole numbers

    @abstractmethod
    def _network(self, words: int, outputs: int) -> nn.Module:
        """An untrained network for a vocabulary of this size, with `outputs` logits per sentence."""

    def fit(
        self,
        sequences: Sequence[str],
        labels: Sequence[Hashable],
        *,
        validation: tuple[Sequence[str], Sequence[Hashable]] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> Self:
        """Train on labeled sequences.

        Args:
            sequences: Proteins in one-letter code; `standardize` lists the accepted letters.
            labels: Classes of the proteins, at least two; all text or all whole numbers.
            validation: Sequences and labels that select the best epoch; None keeps the last epoch.
            checkpoint: File for the state of the training after each epoch.
            resume: Whether to continue from the checkpoint.
            progress: Whether to show a progress bar.

        Raises:
            UsageError: If a setting is out of range, the numbers of sequences and labels differ, there is
                only one class, a validation label is not among the classes, a letter is outside the alphabet,
                or the checkpoint is missing or belongs to another model or other data.
            RunError: If the training diverges.
        """
        if resume and checkpoint is None:
            raise UsageError(
                "resume=True continues from a checkpoint; give checkpoint=FILE, or write resume=False."
            )
        own = type(self)(**self._settings())
        words = len(own.vocabulary)
        classes, numbers = training_labels(sequences, labels)
        sentences, targets = own.vocabulary.sentences(sequences), torch.from_numpy(numbers)
        valid = None
        if validation is not None:
            numbers = validation_labels(classes, *validation)
            valid = (
                own.vocabulary.sentences(validation[0], "validation sequences"),
                torch.from_numpy(numbers),
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own.seed)
            network = own._network(words, 1 if len(classes) == 2 else len(classes))
            history = train(
                network,
                sentences,
                targets,
                valid,
                epochs=own.epochs,
                learning_rate=own.learning_rate,
                batch_size=own.batch_size,
                start_infidelity=[] if resume else own._prepare(network, sentences, targets, progress),
                checkpoint=None if checkpoint is None else Path(checkpoint),
                resume=resume,
                run="" if checkpoint is None else own._fingerprint(classes, (sentences, targets), valid),
                progress=progress,
                title=type(self).__name__,
            )
        # set together at the end, so that an interrupted fit does not look like a fitted model
        self.network_, self.classes_, self.history_ = network, classes, history
        return self

    def predict_proba(self, sequences: Sequence[str]) -> np.ndarray:
        """Class probabilities, float64 (N, C); each row sums to 1.

        Raises:
            UsageError: If a letter is outside the alphabet, or `sequences` is a single string.
        """
        return probabilities_of(self.decision_function(sequences))

    def decision_function(self, sequences: Sequence[str]) -> np.ndarray:
        """Logits, float64: (N,) of the second class if there are two, else (N, C)."""
        check_fitted(self)
        sentences = self.vocabulary.sentences(sequences)
        if not sentences:
            return np.empty((0,) if len(self.classes_) == 2 else (0, len(self.classes_)))
        return logits_of(self.network_, sentences).double().numpy()

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """The most probable class of each sequence, (N,)."""
        best = self.predict_proba(sequences).argmax(1)
        return self.classes_[best]

    @property
    def num_parameters(self) -> int:
        """Number of trained parameters."""
        check_fitted(self)
        return sum(parameter.numel() for parameter in self.network_.parameters())

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `model.json` (settings, classes, history) and `weights.safetensors` into a folder.

        Args:
            folder: Created if it does not exist; a model in it is replaced.

        Returns:
            The folder.

        Raises:
            RunError: If the folder cannot be written.
        """
        check_fitted(self)
        weights = save({name: tensor.contiguous() for name, tensor in self.network_.state_dict().items()})
        text = ModelFile(
            kind=type(self).__name__,
            settings=self._settings(),
            classes=self.classes_.tolist(),
            num_parameters=self.num_parameters,
            history=self.history_,
            checksum=hashlib.sha256(weights).hexdigest(),
        ).to_json()
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot create {folder}: {error.strerror}; choose another folder.") from error
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / MODEL, text)
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ProteinClassifier:
        """Read a model that `save` wrote; call it on `ProteinClassifier` or on the class of the model.

        Raises:
            UsageError: If there is no model, its files are damaged or do not belong together, its weights are
                for another alphabet, or it is a model of another class.
        """
        folder = Path(folder)
        found = read_model(folder)
        kind = getattr(protein, found.kind, None)
        if not isinstance(kind, type) or not issubclass(kind, cls):
            raise UsageError(
                f"{folder} holds a {found.kind[:40]}, not a {cls.__name__}; use ProteinClassifier.load."
            )
        defaults = signature(kind).parameters
        for name in [*(found.settings.keys() - defaults.keys()), *(defaults.keys() - found.settings.keys())]:
            wrong = "is not a setting of" if name in found.settings else "is missing from the settings of"
            raise UsageError(f"{folder / MODEL} is damaged: {name[:40]!r} {wrong} {found.kind}.")
        for name, value in found.settings.items():
            if isinstance(defaults[name].default, bool) != isinstance(value, bool):
                raise UsageError(f"{folder / MODEL}: {name} is {str(value)[:40]!r}; train the model again.")
        try:
            model = kind(**found.settings)
            words, outputs = len(model.vocabulary), len(found.classes) if len(found.classes) > 2 else 1
        except (UsageError, TypeError) as error:
            raise UsageError(f"{folder / MODEL}: {error}") from None
        model.classes_, model.history_ = np.array(found.classes), found.history
        with torch.device("meta"):  # no memory yet: the settings may ask for more than is available
            outline = model._network(words, outputs)
        weights = read_weights(folder, outline, found.checksum)
        model.network_ = model._network(words, outputs)
        model.network_.load_state_dict(weights)
        model.network_.eval()
        return model

    @property
    def vocabulary(self) -> Alphabet:
        """The alphabet of the settings.

        Raises:
            UsageError: If a setting is out of range.
        """
        self._check()
        return Alphabet(self.alphabet, self.k)

    def _prepare(
        self, network: Any, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool
    ) -> list[float]:
        """Change an untrained network before its training; returns `History.start_infidelity`."""
        return []

    def _check(self) -> None:
        """Raise a UsageError if a setting is out of range."""
        for name in ("epochs", "batch_size"):
            whole_number(name, getattr(self, name))
        for name, most in self._counts.items():
            whole_number(name, getattr(self, name), most=most)
        whole_number("seed", self.seed, least=0, most=_MAX_SEED)
        real_number("learning_rate", self.learning_rate)

    def _settings(self) -> dict[str, Any]:
        """The settings with NumPy's numbers converted to Python's, as JSON requires."""
        settings = self.get_params(deep=False)
        return {name: v.item() if isinstance(v, np.generic) else v for name, v in settings.items()}

    def _fingerprint(self, classes: np.ndarray, *sets: tuple[list[np.ndarray], torch.Tensor] | None) -> str:
        """Fingerprint of the model and of the tokens and class indices of the sets, None for no set."""
        digest = hashlib.sha256(
            json.dumps([type(self).__name__, self._settings(), classes.tolist()]).encode()
        )
        for one in sets:
            sentences, targets = one or ([], torch.empty(0, dtype=torch.int64))
            digest.update(f"{len(sentences)} ".encode())
            for sentence in sentences:
                digest.update(sentence.tobytes() + b"|")
            digest.update(targets.numpy().tobytes())
        return digest.hexdigest()


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Class probabilities (N, C) from logits (N,) or (N, C)."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    weights = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return weights / weights.sum(1, keepdims=True)
