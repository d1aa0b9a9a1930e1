"""The convolutional, tree-shaped classifier (CTN) of arXiv:2403.06890, uniform or hierarchical."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.classifiers.qtn import QTNClassifier, SentenceNetwork
from bondwise.qml.protein.networks.merging import Merging


class TreeQTN(QTNClassifier):
    """Merges neighbouring residues level by level; ⟨Z⟩ of the qubits at the root decide.

    Args:
        qubits: Qubits of every wire.
        boxes: 1 is uniform (uCTN); n > 1 hierarchical (hCTN): one box per level, the last for all above.
        discard: Trace out the wire that a merge leaves over. False post-selects it on |0⟩ as the paper does:
            of no use on hardware, see `log10_postselection`.
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
        """Qubits for sequences of up to 1,024 words, one wire per level and one more, each used again."""
        return 11 * self.qubits

    @property
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected."""
        return self.discard

    def reader(self) -> Any:
        """A `TreeReader`."""
        from bondwise.qml.protein.boxes.readers import TreeReader

        return TreeReader(self._checked(), boxes=self.boxes)

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        return self.network_.core.angles(self._checked().words)

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = Merging(
            words,
            qubits=self.qubits,
            ansatz=self._ansatz(),
            boxes=self.boxes,
            discard=self.discard,
            spread=self.spread,
        )
        return SentenceNetwork(core, outputs)
