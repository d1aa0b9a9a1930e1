"""A recurrent classifier that hardware can run: an ancilla comes with every residue, is measured and reset.

n memory qubits and the ancilla read a protein of any length on n + 1 qubits. Tracing the ancilla out is what
lets the memory forget; the memory's ⟨Z⟩ at the end decide.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.classifiers.qtn import QTNClassifier, SentenceNetwork
from bondwise.qml.protein.networks.path import Path


class RecurrentQTN(QTNClassifier):
    """Reads a protein into a memory that forgets: each residue rotates memory and a fresh ancilla.

    Args:
        qubits: Qubits of the memory.
        entangle: False leaves the entanglers out (an ablation).
        spread: Standard deviation of the initial angles, radians.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    ansatz = "reupload"
    layers = 1
    ancillas = 1

    def __init__(
        self,
        *,
        qubits: int = 3,
        entangle: bool = True,
        spread: float = 0.1,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 14,
        learning_rate: float = 0.03,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.qubits = qubits
        self.entangle = entangle
        self.spread = spread
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    @property
    def num_qubits(self) -> int:
        """Memory and ancilla."""
        return self.qubits + 1

    @property
    def legal_on_hardware(self) -> bool:
        """Always: the ancilla's outcome is not looked at."""
        return True

    def reader(self) -> Any:
        """A `PathReader` with residues as gates and an ancilla."""
        from bondwise.qml.protein.boxes.readers import PathReader

        return PathReader(self._checked(), residues="gates", ancilla=True)

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        return self.network_.core.angles(self._checked().words)

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers, self.entangle)

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = Path(
            words,
            qubits=self.qubits,
            ansatz=self._ansatz(),
            residues="gates",
            ancillas=1,
            spread=self.spread,
        )
        return SentenceNetwork(core, outputs)
