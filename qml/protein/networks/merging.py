"""Sentences merged as balanced trees: the convolutional quantum tensor network of arXiv:2308.07865.

Residues are states at the leaves, and a two-in, one-out box merges neighbors level by level. The boxes are
uniform (the same on all levels) or hierarchical (one per level, the last one for all higher levels).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz, count_parameters
from bondwise.qml.protein.boxes.box_unitaries import unitaries
from bondwise.qml.protein.boxes.channels import kraus, pauli_vector, probabilities, transfer_matrix
from bondwise.qml.protein.boxes.tree import contract_tree
from bondwise.qml.protein.networks.path import begin_as_swap, numbered_boxes


class Merging(nn.Module):
    """Contracts sentences as trees.

    Args:
        words: Size of the vocabulary.
        qubits: Number of qubits of every wire.
        ansatz: Ansatz of the boxes.
        boxes: Number of different merging boxes; 1 is uniform.
        discard: Whether the second wire is traced out instead of post-selected on |0⟩.
        spread: Standard deviation of the initial angles in radians.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import Ansatz, Merging
        >>> network = Merging(20, qubits=1, ansatz=Ansatz("sim14"))
        >>> outcomes, log10 = network(torch.randint(20, (8, 100)))
        >>> outcomes.shape, log10.abs().max().item()
        (torch.Size([8, 2]), 0.0)
    """

    def __init__(
        self,
        words: int,
        *,
        qubits: int,
        ansatz: Ansatz,
        boxes: int = 1,
        discard: bool = True,
        spread: float = 0.1,
    ) -> None:
        super().__init__()
        self.qubits, self.boxes, self.discard = qubits, boxes, discard
        self.word_gates = ansatz.gates(qubits, "word")
        self.box_gates = ansatz.gates(2 * qubits, "merge")
        self.word = nn.Parameter(spread * torch.randn(words, count_parameters(self.word_gates)))
        self.box = nn.Parameter(spread * torch.randn(boxes, count_parameters(self.box_gates)))
        if ansatz.name == "exchange":
            begin_as_swap(self.word, self.box, self.box_gates, math.pi / 4)  # half of either input

    @property
    def legal_on_hardware(self) -> bool:
        """Whether nothing is post-selected, so that every shot counts."""
        return self.discard

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outcome probabilities (B, 2^qubits) at the root, and log10 of the post-selection probability (B,).

        Args:
            tokens: Integers (B, T), −1 beyond the end of a sentence.
        """
        qubits = self.qubits
        amplitudes = unitaries(self.word_gates, qubits, self.word)[:, :, 0]
        operators = kraus(
            unitaries(self.box_gates, 2 * qubits, self.box), 2 * qubits, qubits, discard=self.discard
        )
        if self.discard:
            maps, vectors = transfer_matrix(operators), pauli_vector(amplitudes)
        else:
            maps, vectors = operators[:, 0], amplitudes

        def merge(level: int, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            pair = left[..., :, None] * right[..., None, :]
            return pair.flatten(2) @ maps[min(level, self.boxes - 1)].T

        roots, log = contract_tree(
            vectors[tokens.clamp(min=0)], (tokens >= 0).sum(1), merge, rescale=not self.discard
        )
        state = roots if self.discard else torch.cat([roots.real, roots.imag], -1)
        return probabilities(state, pure=not self.discard), 2 * log / math.log(10)

    def angles(self, words: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Angles in radians by the name of the box in the diagram.

        Args:
            words: Names of the words in the order of the tokens.
        """
        return dict(zip(words, self.word, strict=True)) | numbered_boxes("MERGE", self.box)
