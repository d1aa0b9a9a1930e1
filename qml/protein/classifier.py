"""A classifier of sequences: the face of scikit-learn over a torch network, kept as safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from bondwise.qml import protein
from bondwise.qml.protein.alphabet import Alphabet
from bondwise.qml.protein.training import History, logits_of, train
from bondwise.runs import RunError, UsageError, write_atomically

_FORMAT = "bondwise protein classifier 1"
_MODEL, _WEIGHTS = "model.json", "weights.safetensors"


class ProteinClassifier(ClassifierMixin, BaseEstimator, ABC):
    """Base of the classifiers; subclasses say what network they train.

    As in scikit-learn, settings are given to the constructor and kept under their own names, `fit` returns
    the classifier, and what is learnt ends in an underscore.

    Attributes:
        classes_: Labels in sorted order; column i of `predict_proba` belongs to `classes_[i]`.
        network_: The trained torch module.
        history_: Losses and accuracies by epoch.
    """

    alphabet: str
    k: int
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    network_: Any
    classes_: np.ndarray
    history_: History

    @abstractmethod
    def _network(self, words: int, outputs: int) -> nn.Module:
        """A fresh network for a vocabulary, with one logit per sentence (outputs = 1) or several."""

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
        """Train on labelled sequences.

        Args:
            sequences: Proteins in one-letter code; see `standardise` for the letters.
            labels: Their classes, two or more; strings or integers.
            validation: Sequences and labels by which the epoch is chosen; None keeps the last epoch.
            checkpoint: File that holds the state of the training after each epoch.
            resume: Go on from it.
            progress: Show a bar.

        Raises:
            UsageError: Numbers of sequences and labels differ, there is one class only, a validation label
                is not among the classes, a letter is outside the alphabet, or the checkpoint is of another
                model or other data.
            RunError: The training diverged.
        """
        alphabet = self._checked()
        if len(sequences) != len(labels):
            raise UsageError(f"there are {len(sequences)} sequences and {len(labels)} labels; give one each.")
        classes = np.unique(np.asarray(labels))
        if len(classes) < 2:
            only = repr(classes[0].item()) if len(classes) else "none"
            raise UsageError(f"the labels hold one class only ({only}); a classifier needs two or more.")
        sentences = [alphabet.tokenise(sequence) for sequence in sequences]
        targets = _numbers(classes, labels)
        valid = None
        if validation is not None:
            valid = ([alphabet.tokenise(s) for s in validation[0]], _numbers(classes, validation[1]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network_ = self._network(len(alphabet), 1 if len(classes) == 2 else len(classes))
            self.classes_ = classes
            if not resume:
                self._prepare(sentences, targets, progress)
            self.history_ = train(
                self.network_,
                sentences,
                targets,
                valid,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                checkpoint=None if checkpoint is None else Path(checkpoint),
                resume=resume,
                run="" if checkpoint is None else self._fingerprint(sentences, targets),
                progress=progress,
                title=type(self).__name__,
            )
        return self

    def predict_proba(self, sequences: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes, float64 (N, C), rows summing to 1.

        Raises:
            UsageError: A letter is outside the alphabet.
        """
        return probabilities_of(self.decision_function(sequences))

    def decision_function(self, sequences: Sequence[str]) -> np.ndarray:
        """Logits, float64: (N,) for two classes, of the second one; (N, C) for more."""
        self._check_fitted()
        alphabet = self._checked()
        sentences = [alphabet.tokenise(sequence) for sequence in sequences]
        if not sentences:
            return np.empty((0,) if len(self.classes_) == 2 else (0, len(self.classes_)))
        return logits_of(self.network_, sentences).double().numpy()

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """The most probable class of each sequence, (N,)."""
        best = self.predict_proba(sequences).argmax(1)
        return self.classes_[best]

    @property
    def num_parameters(self) -> int:
        """Numbers that were trained."""
        self._check_fitted()
        return sum(parameter.numel() for parameter in self.network_.parameters())

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `model.json` (settings, classes, history) and `weights.safetensors` into a folder.

        Args:
            folder: Made if need be; a model in it is replaced.

        Raises:
            RunError: The folder cannot be written.
        """
        self._check_fitted()
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make {folder}: {error.strerror}. Choose another folder.") from error
        weights = save({name: tensor.contiguous() for name, tensor in self.network_.state_dict().items()})
        document = {
            "format": _FORMAT,
            "class": type(self).__name__,
            "settings": self.get_params(deep=False),
            "classes": self.classes_.tolist(),
            "num_parameters": self.num_parameters,
            "history": asdict(self.history_),
            "weights": hashlib.sha256(weights).hexdigest(),
        }
        write_atomically(folder / _WEIGHTS, weights)
        write_atomically(folder / _MODEL, json.dumps(document, indent=1) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ProteinClassifier:
        """Read back what `save` wrote, on the class that was saved or on `ProteinClassifier` itself.

        Raises:
            UsageError: There is no model, its files are cut or do not belong together, its weights are for
                another alphabet, or it is of another class.
        """
        folder = Path(folder)
        try:
            document = json.loads((folder / _MODEL).read_text())
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']!r}")
            name, settings, classes = document["class"], document["settings"], document["classes"]
            checksum, history = document["weights"], History(**document["history"])
        except FileNotFoundError:
            raise UsageError(f"there is no {_MODEL} in {folder}; give a folder that holds a model.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{folder / _MODEL} is damaged ({error!r}); train the model again.") from error
        kind = getattr(protein, str(name), None)
        if not isinstance(kind, type) or not issubclass(kind, cls):
            raise UsageError(f"{folder} holds a {name}, not a {cls.__name__}; load it as what it is.")
        try:
            model = kind(**settings)
        except TypeError as error:
            raise UsageError(f"{folder / _MODEL} has settings that {name} has not ({error}).") from error
        model.classes_ = np.array(classes)
        model.history_ = history
        model.network_ = model._network(len(model._checked()), 1 if len(classes) == 2 else len(classes))
        try:
            content = (folder / _WEIGHTS).read_bytes()
            weights = load(content)
        except (OSError, SafetensorError) as error:
            raise UsageError(
                f"{folder / _WEIGHTS} is missing or cut ({error}); train the model again."
            ) from error
        wrong = [
            f"{key} is {tuple(weights[key].shape) if key in weights else 'missing'}, not {tuple(own.shape)}"
            for key, own in model.network_.state_dict().items()
            if key not in weights or weights[key].shape != own.shape
        ]
        if wrong:
            raise UsageError(
                f"the weights in {folder} are for another alphabet or other settings: {wrong[0]}."
            )
        if hashlib.sha256(content).hexdigest() != checksum:
            raise UsageError(
                f"{folder / _WEIGHTS} is not the file that {_MODEL} describes; train the model again."
            )
        model.network_.load_state_dict(weights)
        model.network_.eval()
        return model

    def _prepare(self, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool) -> None:
        """What happens to a fresh network before its training; nothing by default."""

    def _checked(self) -> Alphabet:
        """The alphabet, after a look at the settings that all classifiers have."""
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise UsageError(f"{name} is {value!r}; give a whole number of at least 1.")
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate is {self.learning_rate!r}; give a positive number.")
        return Alphabet(self.alphabet, self.k)

    def _check_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit first.")

    def _fingerprint(self, sentences: list[np.ndarray], targets: torch.Tensor) -> str:
        digest = hashlib.sha256(json.dumps([type(self).__name__, self.get_params(deep=False)]).encode())
        for sentence in sentences:
            digest.update(sentence.tobytes() + b"|")
        digest.update(targets.numpy().tobytes())
        return digest.hexdigest()


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Class probabilities (N, C) of logits (N,) or (N, C)."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    weights = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return weights / weights.sum(1, keepdims=True)


def _numbers(classes: np.ndarray, labels: Sequence[Hashable]) -> torch.Tensor:
    array = np.asarray(labels)
    numbers = np.searchsorted(classes, array).clip(max=len(classes) - 1)
    unknown = array[classes[numbers] != array]
    if len(unknown):
        raise UsageError(
            f"label {unknown[0].item()!r} of the validation set is not among the classes {classes.tolist()}."
        )
    return torch.from_numpy(numbers)
