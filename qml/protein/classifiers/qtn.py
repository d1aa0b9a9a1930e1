"""Base classes of the quantum tensor network classifiers: circuits, readout, hardware requirements."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.boxes.channels import z_values
from bondwise.qml.protein.classifiers.classifier import ProteinClassifier
from bondwise.qml.protein.classifiers.training import batches, padded
from bondwise.qml.protein.data.labels import check_fitted
from bondwise.runs import real_number, whole_number

_CALIBRATION = 256  # sentences on which the readout is calibrated before the training
_STEEPEST = 30.0


@dataclass(kw_only=True, eq=False, repr=False)
class QTNClassifier(ProteinClassifier):
    """Base class of PathQTN, TreeQTN, RecurrentQTN, WindowQTN and LatchQTN.

    The settings of `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits of the memory, of a wire or of a window, from 1 to 5.
        spread: Standard deviation of the initial angles in radians.

    Attributes:
        num_qubits: Number of qubits of one run of the circuit, for a sequence of any length; for a TreeQTN,
            of up to 1,024 words.
        legal_on_hardware: Whether every shot counts because no wire is post-selected.

    Example:
        >>> from bondwise.qml.protein import LatchQTN, PathQTN, QTNClassifier
        >>> model: QTNClassifier = LatchQTN(qubits=2, memory=1)
        >>> model.num_qubits, model.legal_on_hardware
        (3, True)
        >>> PathQTN(discard=False).legal_on_hardware
        False
    """

    qubits: int = 1
    spread: float = 0.1
    ancillas: ClassVar[int] = 0

    @property
    @abstractmethod
    def num_qubits(self) -> int:
        """Qubits of one run of the circuit; measured qubits are used again."""

    @property
    @abstractmethod
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected, so that every shot counts."""

    @abstractmethod
    def reader(self) -> Any:
        """The reader that draws the diagrams of this model; importing lambeq takes a few seconds."""

    @abstractmethod
    def _ansatz(self) -> Ansatz:
        """The circuits of the boxes."""

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        check_fitted(self)
        return self.network_.core.angles(self.vocabulary.words)

    def log10_postselection(self, sequences: Sequence[str]) -> np.ndarray:
        """log10 of the probability (N,) that one run of a protein's circuit passes all its post-selections.

        Zeros if the model is legal on hardware. At −12, one shot in 10¹² counts.
        """
        check_fitted(self)
        sentences = self.vocabulary.sentences(sequences)
        if self.legal_on_hardware:
            return np.zeros(len(sentences))
        found = np.empty(len(sentences))
        with torch.no_grad():
            for numbers in batches([len(s) for s in sentences], 256, shuffle=False):
                found[numbers] = self.network_.core(padded(sentences, numbers))[1].numpy()
        return found

    def lambeq_circuit(self, sequence: str) -> tuple[Any, dict[Any, float]]:
        """The circuit of a protein as a lambeq diagram, and the values of its symbols in turns.

        Args:
            sequence: A protein, preferably short: lambeq takes seconds for a few hundred residues.

        Returns:
            A `lambeq.backend.quantum.Diagram` whose open wires hold the outcome, and a dict from its symbols
            to the trained values.
        """
        return self._drawn(sequence, self.angles())

    def _drawn(self, sequence: str, angles: dict[str, torch.Tensor]) -> tuple[Any, dict[Any, float]]:
        """The lambeq circuit of a protein, and the values of its symbols, from the angles of the boxes."""
        from bondwise.qml.protein.boxes.lambeq_ansatz import lambeq_ansatz
        from bondwise.qml.protein.boxes.readers import A, S

        qubits = {S: self.qubits, A: self.ancillas}
        build = lambeq_ansatz(self._ansatz(), qubits, discard=self.legal_on_hardware)
        circuit = build(self.reader().sentence2diagram(sequence))
        weights = {}
        for symbol in circuit.free_symbols:
            name, _, _, number = symbol.name.rsplit("_", 3)
            weights[symbol] = angles[name][int(number)].item() / (2 * math.pi)
        return circuit, weights

    def _prepare(
        self, network: Any, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool
    ) -> list[float]:
        # at random, because files are often sorted by label
        chosen = torch.randperm(len(sentences))[:_CALIBRATION].tolist()
        network.calibrate([sentences[number] for number in chosen])
        return []

    def _check(self) -> None:
        whole_number("qubits", self.qubits, most=5)
        real_number("spread", self.spread, zero=True)
        self._ansatz()
        super()._check()


@dataclass(kw_only=True, eq=False, repr=False)
class BoxQTN(QTNClassifier):
    """Base class of PathQTN and TreeQTN, whose boxes are circuits of a chosen ansatz."""

    boxes: int = 1
    discard: bool = True
    ansatz: str = "sim14"
    layers: int = 1
    _counts = {"boxes": 10_000}

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers)


@dataclass(kw_only=True, eq=False, repr=False)
class ReuploadQTN(QTNClassifier):
    """Base class of RecurrentQTN, WindowQTN and LatchQTN, whose residues are gates on the same qubits."""

    entangle: bool = True
    ansatz: ClassVar[str] = "reupload"
    layers: ClassVar[int] = 1

    @property
    def legal_on_hardware(self) -> bool:
        """Always True: nothing is post-selected."""
        return True

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers, self.entangle)


class Readout(nn.Module):
    """Logits from ⟨Z⟩ of n qubits: an affine map, one output (B,) or several (B, C).

    The values are first centered and scaled by constants that `calibrate` takes from the training data; a
    LatchQTN is not calibrated and uses them unchanged.

    Args:
        features: Number of values per sentence.
        outputs: Number of logits per sentence.
    """

    centre: torch.Tensor  # under this name in saved models
    scale: torch.Tensor

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, features))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def calibrate(self, values: torch.Tensor) -> None:
        """Shift and scale these values (B, features) to mean 0 and deviation 1, by a factor of at most 30."""
        self.centre.copy_(values.mean(0))
        self.scale.copy_(1 / values.std(0).clamp(min=1 / _STEEPEST))

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes (outputs, features) and offsets (outputs,), the constants included."""
        slopes = self.weight * self.scale
        return slopes, self.bias - slopes @ self.centre

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map values (B, features) to logits."""
        slopes, offsets = self.affine()
        logits = values @ slopes.T + offsets
        return logits[:, 0] if len(offsets) == 1 else logits


class SentenceNetwork(nn.Module):
    """A contraction of whole sentences and its readout.

    Args:
        core: Maps tokens (B, T) to outcome probabilities (B, 2^qubits) and log10 of the post-selection
            probability (B,).
        outputs: Number of logits per sentence.
    """

    core: Any

    def __init__(self, core: Any, outputs: int) -> None:
        super().__init__()
        self.core = core
        self.readout = Readout(core.qubits, outputs)

    def calibrate(self, sentences: Sequence[np.ndarray]) -> None:
        """Calibrate the readout on these tokenized sentences."""
        groups = batches([len(s) for s in sentences], _CALIBRATION, shuffle=False)
        with torch.no_grad():
            values = [z_values(self.core(padded(sentences, numbers))[0]) for numbers in groups]
            self.readout.calibrate(torch.cat(values))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B,) or (B, C)."""
        return self.readout(z_values(self.core(tokens)[0]))
