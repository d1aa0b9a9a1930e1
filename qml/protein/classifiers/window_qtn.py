"""The recommended classifier: short re-uploading circuits on windows, pooled over the protein."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.classifiers.windowed import WindowedQTN
from bondwise.qml.protein.networks.pooling import TwoSidedPooling
from bondwise.qml.protein.networks.windows import Windows
from bondwise.runs import whole_number


class WindowQTN(WindowedQTN):
    """Runs a circuit of a few qubits on every window of residues; the pooled Z and ZZ values decide.

    The circuits are short, need no post-selection and no qubit more for longer proteins. Pooling them is
    classical post-processing.

    Args:
        qubits: Qubits of a circuit.
        window: Residues in a window.
        stride: Residues from one window to the next.
        filters: Number of circuits with angles of their own, as channels of a convolution.
        entangle: False leaves the entanglers out (an ablation).
        start: `"tensor-network"`: a classical tensor network is trained first for as many epochs and turned
            into the circuit's start, see `tensor_network_start`. `"angles"`: they are drawn at random.
        spread: Standard deviation of the initial angles, radians.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"window": 100_000, "stride": 100_000, "filters": 1_000}

    def __init__(
        self,
        *,
        qubits: int = 2,
        window: int = 15,
        stride: int = 2,
        filters: int = 1,
        entangle: bool = True,
        start: str = "tensor-network",
        spread: float = 0.1,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 9,
        learning_rate: float = 0.02,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.qubits = qubits
        self.window = window
        self.stride = stride
        self.filters = filters
        self.entangle = entangle
        self.start = start
        self.spread = spread
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    @property
    def num_qubits(self) -> int:
        """Qubits of one window's circuit."""
        return self.qubits

    def angles(self, filter: int = 0) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams.

        Args:
            filter: Number of the circuit.

        Raises:
            UsageError: There is no such circuit.
        """
        self._check_fitted()
        filter = whole_number("filter", filter, least=0, most=len(self.network_.filters) - 1)
        return self.network_.filters[filter].path.angles(self._checked().words)

    def lambeq_circuit(self, sequence: str, filter: int = 0) -> tuple[Any, dict[Any, float]]:
        """The circuits of all windows of a protein in lambeq's terms, and their symbols' values in turns.

        Args:
            sequence: One protein, better a short one: every window is a circuit of its own in the diagram.
            filter: Number of the circuit that reads the windows.

        Returns:
            A `lambeq.backend.quantum.Diagram` whose open wires are the qubits of all windows, in their order,
            before pooling; and a dict from its symbols to the trained values.

        Raises:
            UsageError: There is no such circuit, or a letter is outside the alphabet.
        """
        return self._drawn(sequence, self.angles(filter))

    def _windows(self, network: Any) -> list[Windows]:
        return list(network.filters)

    def _network(self, words: int, outputs: int) -> nn.Module:
        filters = [
            Windows(
                words,
                qubits=self.qubits,
                window=self.window,
                stride=self.stride,
                ansatz=self._ansatz(),
                spread=self.spread,
            )
            for _ in range(self.filters)
        ]
        return WindowNetwork(filters, outputs)


class WindowNetwork(nn.Module):
    """Windows, pooling and the readout of the pooled values.

    Args:
        filters: Circuits, all with windows of the same length and stride.
        outputs: Logits per sentence.
    """

    def __init__(self, filters: list[Windows], outputs: int) -> None:
        super().__init__()
        self.filters = nn.ModuleList(filters)
        values = sum(part.num_values for part in filters)
        self.pooling = TwoSidedPooling(values, filters[0].window, filters[0].stride)
        weight = 1.5 * torch.randn(outputs, self.pooling.kinds, values)
        weight[:, 2:] = 0
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B,) or (B, C) of tokens (B, T)."""
        values, present = zip(*(part(tokens) for part in self.filters), strict=True)
        return self.logits(torch.cat(values, dim=-1), present[0])

    def logits(
        self, values: torch.Tensor, present: torch.Tensor, variance: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of window values (B, W, O) that were computed or measured; see `TwoSidedPooling`."""
        pooled = self.pooling(values, present, variance)
        logits = torch.einsum("bpo,cpo->bc", pooled, self.weight) + self.bias
        return logits[:, 0] if len(self.bias) == 1 else logits
