"""The path-shaped classifier (PTN) of arXiv:2403.06890, uniform or hierarchical."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.classifiers.qtn import QTNClassifier, SentenceNetwork
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.qml.protein.networks.path import Path
from bondwise.runs import unknown_name

_RESIDUES = ("states", "gates")


class PathQTN(QTNClassifier):
    """Reads a protein residue by residue into a memory of a few qubits, whose ⟨Z⟩ decide.

    Args:
        qubits: Qubits of the memory, and of a residue.
        residues: `"states"`, fused into the memory by a box (the paper), or `"gates"` on the memory.
        boxes: 1 is uniform (uPTN); n > 1 hierarchical (hPTN): one box per position, the last for all beyond.
        discard: Trace out the wire that a box leaves over. False post-selects it on |0⟩ as the paper does: of
            no use on hardware, see `log10_postselection`.
        ansatz: `"sim14"`, `"sim15"`, `"iqp"`, `"strongly"`, `"reupload"` or `"exchange"`, see `Ansatz`.
        layers: Of the ansatz.
        spread: Standard deviation of the initial angles, radians.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"boxes": 10_000}

    def __init__(
        self,
        *,
        qubits: int = 1,
        residues: str = "states",
        boxes: int = 1,
        discard: bool = True,
        ansatz: str = "sim14",
        layers: int = 1,
        spread: float = 0.1,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 12,
        learning_rate: float = 0.02,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.qubits = qubits
        self.residues = residues
        self.boxes = boxes
        self.discard = discard
        self.ansatz = ansatz
        self.layers = layers
        self.spread = spread
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    @property
    def num_qubits(self) -> int:
        """Memory and, for residues as states, the wire that is used again for each residue."""
        return self.qubits * (2 if self.residues == "states" else 1)

    @property
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected."""
        return self.discard or self.residues == "gates"

    def reader(self) -> Any:
        """A `PathReader`."""
        from bondwise.qml.protein.boxes.readers import PathReader

        return PathReader(self._checked(), residues=self.residues, boxes=self.boxes)

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        return self.network_.core.angles(self._checked().words)

    def _checked(self) -> Alphabet:
        if self.residues not in _RESIDUES:
            raise unknown_name("residues", str(self.residues), _RESIDUES)
        return super()._checked()

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = Path(
            words,
            qubits=self.qubits,
            ansatz=self._ansatz(),
            residues=self.residues,
            boxes=self.boxes,
            discard=self.discard,
            spread=self.spread,
        )
        return SentenceNetwork(core, outputs)
