"""Windows of a protein, each read by a short circuit of residue gates that measures ⟨Z⟩ and ⟨ZZ⟩.

The hallmark of a membrane protein is a stretch of about twenty hydrophobic residues. A window sees all of it,
while a path over the whole protein would have to learn to forget the rest. Every window starts from |0…0⟩.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.boxes.channels import probabilities
from bondwise.qml.protein.networks.path import PathNetwork


class WindowNetwork(nn.Module):
    """Expectation values of every window of every protein of a batch.

    Args:
        words: Size of the vocabulary.
        qubits: Number of qubits of the circuit.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.
        ansatz: Ansatz of the boxes.
        spread: Standard deviation of the initial angles of words and MIX boxes, radians.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import Ansatz, WindowNetwork
        >>> network = WindowNetwork(20, qubits=2, window=15, stride=5, ansatz=Ansatz(), spread=0.1)
        >>> values, present = network(torch.randint(20, (8, 100)))
        >>> values.shape, present.all().item()  # ⟨Z⟩ of both qubits, and ⟨ZZ⟩
        (torch.Size([8, 18, 3]), True)
    """

    def __init__(
        self, words: int, *, qubits: int, window: int, stride: int, ansatz: Ansatz, spread: float
    ) -> None:
        super().__init__()
        self.qubits, self.window, self.stride = qubits, window, stride
        self.path = PathNetwork(
            words, qubits=qubits, ansatz=ansatz, residues="gates", end=True, spread=spread
        )
        # between the poles, where ⟨Z⟩ is steep no matter what the residues do at first
        nn.init.constant_(self.path.start, 0.8)

    @property
    def num_values(self) -> int:
        """Number of values of a window: ⟨Z⟩ of every qubit and ⟨ZZ⟩ of every pair."""
        return self.qubits * (self.qubits + 1) // 2

    def cut(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The windows of a batch.

        Args:
            tokens: Integers (B, T), −1 beyond the end of a sentence.

        Returns:
            Tokens of all windows (windows, window), and which windows exist, bool (B, W). A sentence shorter
            than a window is one padded window.
        """
        short = self.window - tokens.shape[1]
        if short > 0:
            tokens = nn.functional.pad(tokens, (0, short), value=-1)
        windows = tokens.unfold(1, self.window, self.stride)
        present = windows[:, :, -1] >= 0
        present[:, 0] = True
        return windows[present], present

    def states(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Final states of all windows in real form (windows, 2^(qubits + 1)), and `present` (B, W)."""
        windows, present = self.cut(tokens)
        return self.path.final(windows)[0], present

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Expectation values (B, W, num_values), zero for windows that do not exist, and `present` (B, W)."""
        states, present = self.states(tokens)
        found = measured(probabilities(states, pure=True))
        values = found.new_zeros(*present.shape, self.num_values)
        values[present] = found
        return values, present


def measured(outcomes: torch.Tensor) -> torch.Tensor:
    """⟨Z⟩ of every qubit and ⟨ZZ⟩ of every pair (N, n (n + 1) / 2) from outcome probabilities (N, 2^n)."""
    qubits = outcomes.shape[-1].bit_length() - 1
    bits = torch.arange(2**qubits, device=outcomes.device)
    signs = [1 - 2 * (bits >> (qubits - 1 - qubit) & 1) for qubit in range(qubits)]
    table = signs + [signs[i] * signs[j] for i, j in combinations(range(qubits), 2)]
    return outcomes @ torch.stack(table, dim=1).to(outcomes)
