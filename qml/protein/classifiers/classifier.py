"""A classifier of sequences: the face of scikit-learn over a torch network, kept as safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import save
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from bondwise.qml import protein
from bondwise.qml.protein.classifiers.model_files import MODEL, WEIGHTS, ModelFile, read_model, read_weights
from bondwise.qml.protein.classifiers.training import History, logits_of, train
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.qml.protein.data.labels import check_sequences, training_labels, validation_labels
from bondwise.qml.protein.settings import plain
from bondwise.runs import RunError, UsageError, real_number, whole_number, write_atomically

_MAX_SEED = 2**64 - 1  # what torch takes


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
    _counts: Mapping[str, int] = {}  # settings of a subclass that are whole numbers from 1 on, and the most

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
            labels: Their classes, two or more; all text or all whole numbers.
            validation: Sequences and labels by which the epoch is chosen; None keeps the last epoch.
            checkpoint: File that holds the state of the training after each epoch.
            resume: Go on from it.
            progress: Show a bar.

        Raises:
            UsageError: A setting is out of range, numbers of sequences and labels differ, there is one class
                only, a validation label is not among the classes, a letter is outside the alphabet, or the
                checkpoint is not given or of another model or other data.
            RunError: The training diverged.
        """
        if resume and checkpoint is None:
            raise UsageError(
                "resume=True goes on from a checkpoint; give checkpoint= the file, or resume=False."
            )
        own = type(self)(**self._settings())
        alphabet = own._checked()
        classes, numbers = training_labels(sequences, labels)
        sentences, targets = own._sentences(sequences), torch.from_numpy(numbers)
        valid = None
        if validation is not None:
            numbers = validation_labels(classes, *validation)
            valid = (own._sentences(validation[0]), torch.from_numpy(numbers))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own.seed)
            network = own._network(len(alphabet), 1 if len(classes) == 2 else len(classes))
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
        # only now and all together: what was interrupted must not pass as fitted
        self.network_, self.classes_, self.history_ = network, classes, history
        return self

    def predict_proba(self, sequences: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes, float64 (N, C), rows summing to 1.

        Raises:
            UsageError: A letter is outside the alphabet, or the sequences are one text.
        """
        return probabilities_of(self.decision_function(sequences))

    def decision_function(self, sequences: Sequence[str]) -> np.ndarray:
        """Logits, float64: (N,) for two classes, of the second one; (N, C) for more."""
        self._check_fitted()
        sentences = self._sentences(sequences)
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
            raise RunError(f"cannot make {folder}: {error.strerror}. Choose another folder.") from error
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / MODEL, text)
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ProteinClassifier:
        """Read back what `save` wrote, on the class that was saved or on `ProteinClassifier` itself.

        Raises:
            UsageError: There is no model, its files are cut or do not belong together, its weights are for
                another alphabet, or it is of another class.
        """
        folder = Path(folder)
        found = read_model(folder)
        kind = getattr(protein, found.kind, None)
        if not isinstance(kind, type) or not issubclass(kind, cls):
            raise UsageError(
                f"{folder} holds a {found.kind[:40]}, not a {cls.__name__}; load it as what it is."
            )
        defaults = signature(kind).parameters
        for name in [*(found.settings.keys() - defaults.keys()), *(defaults.keys() - found.settings.keys())]:
            said = "has not" if name in found.settings else "needs, and it is missing"
            raise UsageError(
                f"{folder / MODEL} is damaged: {name[:40]!r} is a setting that {found.kind} {said}."
            )
        for name, value in found.settings.items():
            if isinstance(defaults[name].default, bool) != isinstance(value, bool):
                raise UsageError(f"{folder / MODEL}: {name} is {str(value)[:40]!r}; train the model again.")
        try:
            model = kind(**found.settings)
            words, outputs = len(model._checked()), len(found.classes) if len(found.classes) > 2 else 1
        except (UsageError, TypeError) as error:
            raise UsageError(f"{folder / MODEL}: {error}") from None
        model.classes_, model.history_ = np.array(found.classes), found.history
        with torch.device("meta"):  # shapes without memory: settings may ask for more than there is
            outline = model._network(words, outputs)
        weights = read_weights(folder, outline, found.checksum)
        model.network_ = model._network(words, outputs)
        model.network_.load_state_dict(weights)
        model.network_.eval()
        return model

    def _prepare(
        self, network: Any, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool
    ) -> list[float]:
        """Change a fresh network before its training, by default not; returns `History.start_infidelity`."""
        return []

    def _checked(self) -> Alphabet:
        """The alphabet, after a look at the settings."""
        for name in ("epochs", "batch_size"):
            whole_number(name, getattr(self, name))
        for name, most in self._counts.items():
            whole_number(name, getattr(self, name), most=most)
        whole_number("seed", self.seed, least=0, most=_MAX_SEED)
        real_number("learning_rate", self.learning_rate)
        return Alphabet(self.alphabet, self.k)

    def _check_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit first.")

    def _settings(self) -> dict[str, Any]:
        return plain(self.get_params(deep=False))

    def _sentences(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Tokens of each sequence."""
        check_sequences(sequences)
        alphabet = self._checked()
        return [alphabet.tokenise(sequence) for sequence in sequences]

    def _fingerprint(self, classes: np.ndarray, *sets: tuple[list[np.ndarray], torch.Tensor] | None) -> str:
        """Of the model and of the tokens and class numbers of the sets; None is a set that is not there."""
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
    """Class probabilities (N, C) of logits (N,) or (N, C)."""
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    weights = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return weights / weights.sum(1, keepdims=True)
