"""What the quantum tensor network classifiers share: what they ask of hardware, and their lambeq circuits."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.qml.protein.alphabet import Alphabet
from bondwise.qml.protein.ansatz import Ansatz
from bondwise.qml.protein.channels import z_values
from bondwise.qml.protein.classifier import ProteinClassifier
from bondwise.qml.protein.training import batches, padded
from bondwise.runs import UsageError

_CALIBRATION = 256  # sentences by which the readout is scaled before the training
_STEEPEST = 30.0


class QTNClassifier(ProteinClassifier):
    """Base of PathQTN, TreeQTN, RecurrentQTN and WindowQTN.

    Attributes:
        num_qubits: Qubits that one run of the circuit needs, however long the sequence.
        legal_on_hardware: Whether every shot counts: no wire is post-selected.
    """

    ansatz: str
    layers: int

    @property
    @abstractmethod
    def num_qubits(self) -> int:
        """Qubits that one run of the circuit needs, with those that were measured used again."""

    @property
    @abstractmethod
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected, so that every shot counts."""

    @abstractmethod
    def reader(self) -> Any:
        """The reader that draws the diagrams of this model; importing lambeq takes some seconds."""

    @abstractmethod
    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""

    def log10_postselection(self, sequences: Sequence[str]) -> np.ndarray:
        """log10 of the probability (N,) that one run of a protein's circuit passes all its post-selections.

        Zeros where the model is legal on hardware. At −12 one shot in 10^12 counts.
        """
        self._check_fitted()
        if self.legal_on_hardware:
            return np.zeros(len(sequences))
        sentences = [self._checked().tokenise(sequence) for sequence in sequences]
        found = np.empty(len(sentences))
        with torch.no_grad():
            for numbers in batches([len(s) for s in sentences], 256, shuffle=False):
                found[numbers] = self.network_.core(padded(sentences, numbers))[1].numpy()
        return found

    def lambeq_circuit(self, sequence: str) -> tuple[Any, dict[Any, float]]:
        """The circuit of a protein in lambeq's terms, and the values of its symbols in turns.

        Args:
            sequence: One protein, better a short one: lambeq takes seconds for some hundred residues.

        Returns:
            A `lambeq.backend.quantum.Diagram` whose open wires hold the outcome, and a dict from its symbols
            to the trained values.
        """
        from bondwise.qml.protein.readers import A, S

        self._check_fitted()
        qubits = {S: self.qubits, A: getattr(self, "ancillas", 0)}
        circuit = self._ansatz().to_lambeq(qubits, discard=self.legal_on_hardware)(
            self.reader().sentence2diagram(sequence)
        )
        angles = self.angles()
        weights = {}
        for symbol in circuit.free_symbols:
            name, _, _, number = symbol.name.rsplit("_", 3)
            weights[symbol] = angles[name][int(number)].item() / (2 * math.pi)
        return circuit, weights

    qubits: int

    def _prepare(self, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool) -> None:
        if isinstance(self.network_, SentenceNetwork):
            self.network_.calibrate(padded(sentences, np.arange(min(len(sentences), _CALIBRATION))))

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers)

    def _checked(self) -> Alphabet:
        if not isinstance(self.qubits, int) or not 1 <= self.qubits <= 5:
            raise UsageError(f"qubits is {self.qubits!r}; give a whole number from 1 to 5.")
        self._ansatz()
        return super()._checked()


class Readout(nn.Module):
    """Logits from ⟨Z⟩ of n qubits: an affine map, one output (B,) or several (B, C).

    The values are first centred and scaled by constants that `calibrate` takes from the training data.

    Args:
        features: Number of values per sentence.
        outputs: Logits per sentence.
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, features))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def calibrate(self, values: torch.Tensor) -> None:
        """Bring these values (B, features) to mean 0 and spread 1, as far as a scale of 30 does."""
        self.centre.copy_(values.mean(0))
        self.scale.copy_(1 / values.std(0).clamp(min=1 / _STEEPEST))

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes (outputs, features) and offsets (outputs,) with those constants in them."""
        slopes = self.weight * self.scale
        return slopes, self.bias - slopes @ self.centre

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map values (B, features) to logits."""
        slopes, offsets = self.affine()
        logits = values @ slopes.T + offsets
        return logits[:, 0] if len(offsets) == 1 else logits


class SentenceNetwork(nn.Module):
    """A contraction of whole sentences and the readout of what it leaves.

    Args:
        core: Maps tokens (B, T) to outcome probabilities (B, 2^qubits) and log10 of the post-selection
            probability (B,).
        outputs: Logits per sentence.
    """

    core: Any

    def __init__(self, core: Any, outputs: int) -> None:
        super().__init__()
        self.core = core
        self.readout = Readout(core.qubits, outputs)

    def calibrate(self, tokens: torch.Tensor) -> None:
        """Scale the readout by some sentences (B, T)."""
        if len(tokens) > 1:
            with torch.no_grad():
                self.readout.calibrate(z_values(self.core(tokens)[0]))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B,) or (B, C)."""
        return self.readout(z_values(self.core(tokens)[0]))
