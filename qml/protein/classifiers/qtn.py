"""What the quantum tensor network classifiers share: what they ask of hardware, and their lambeq circuits."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.boxes.channels import z_values
from bondwise.qml.protein.classifiers.classifier import ProteinClassifier
from bondwise.qml.protein.classifiers.training import batches, padded
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.runs import real_number, whole_number

_CALIBRATION = 256  # sentences by which the readout is scaled before the training
_STEEPEST = 30.0


class QTNClassifier(ProteinClassifier):
    """Base of PathQTN, TreeQTN, RecurrentQTN, WindowQTN and LatchQTN.

    Attributes:
        num_qubits: Qubits that one run of the circuit needs, however long the sequence; of a TreeQTN for up
            to 1,024 words.
        legal_on_hardware: Whether every shot counts: no wire is post-selected.
    """

    ansatz: str
    layers: int
    qubits: int
    spread: float

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
        sentences = self._sentences(sequences)
        if self.legal_on_hardware:
            return np.zeros(len(sentences))
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
        self._check_fitted()
        return self._drawn(sequence, self.angles())

    def _drawn(self, sequence: str, angles: dict[str, torch.Tensor]) -> tuple[Any, dict[Any, float]]:
        """The lambeq circuit of a protein, and its symbols' values by the angles of the boxes."""
        from bondwise.qml.protein.boxes.readers import A, S

        qubits = {S: self.qubits, A: getattr(self, "ancillas", 0)}
        circuit = self._ansatz().to_lambeq(qubits, discard=self.legal_on_hardware)(
            self.reader().sentence2diagram(sequence)
        )
        weights = {}
        for symbol in circuit.free_symbols:
            name, _, _, number = symbol.name.rsplit("_", 3)
            weights[symbol] = angles[name][int(number)].item() / (2 * math.pi)
        return circuit, weights

    def _prepare(
        self, network: Any, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool
    ) -> list[float]:
        # drawn, as files are often sorted by label
        chosen = torch.randperm(len(sentences))[:_CALIBRATION].tolist()
        network.calibrate([sentences[number] for number in chosen])
        return []

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers)

    def _checked(self) -> Alphabet:
        whole_number("qubits", self.qubits, most=5)
        real_number("spread", self.spread, zero=True)
        self._ansatz()
        return super()._checked()


class Readout(nn.Module):
    """Logits from ⟨Z⟩ of n qubits: an affine map, one output (B,) or several (B, C).

    The values are first centred and scaled by constants that `calibrate` takes from the training data; in a
    LatchQTN, which is not calibrated, they stay as they are.

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

    def calibrate(self, sentences: Sequence[np.ndarray]) -> None:
        """Scale the readout by the tokens of some sentences."""
        groups = batches([len(s) for s in sentences], _CALIBRATION, shuffle=False)
        with torch.no_grad():
            values = [z_values(self.core(padded(sentences, numbers))[0]) for numbers in groups]
            self.readout.calibrate(torch.cat(values))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B,) or (B, C)."""
        return self.readout(z_values(self.core(tokens)[0]))
