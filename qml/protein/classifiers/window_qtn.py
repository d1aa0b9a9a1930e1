"""The recommended classifier: short circuits on windows of residues, pooled over the protein."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.classifiers.windowed import WindowedQTN
from bondwise.qml.protein.data.labels import check_fitted
from bondwise.qml.protein.networks.pooling import TwoSidedPooling
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import whole_number


@dataclass(kw_only=True, eq=False, repr=False)
class WindowQTN(WindowedQTN):
    """Runs a circuit of a few qubits on every window of residues and pools the measured ⟨Z⟩ and ⟨ZZ⟩.

    The circuits are short, need no post-selection, and do not grow with the protein. Pooling is classical
    post-processing. The settings of `QTNClassifier` and `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits of a circuit.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.
        filters: Number of circuits with angles of their own, like the channels of a convolution.
        entangle: Whether the circuits have entangling gates; False is an ablation.
        start: Starting point: `"tensor-network"`, which first trains a classical tensor network for the same
            number of epochs and fits the circuit to it, see `tensor_network_start`, or `"angles"` for random
            angles.

    Example:
        >>> from bondwise.qml.protein import WindowQTN, synthetic_proteins
        >>> proteins = synthetic_proteins(20)
        >>> train, test = proteins.select("train"), proteins.select("test")
        >>> model = WindowQTN(epochs=1, start="angles").fit(train.sequences, train.labels)
        >>> model.num_qubits, model.num_parameters, model.predict_proba(test.sequences).shape
        (2, 113, (4, 2))
    """

    stride: int = 2
    filters: int = 1
    start: str = "tensor-network"
    epochs: int = 9
    _counts = {"window": 100_000, "stride": 100_000, "filters": 1_000}

    @property
    def num_qubits(self) -> int:
        """Qubits of one window's circuit."""
        return self.qubits

    def angles(self, filter: int = 0) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams.

        Args:
            filter: Index of the filter.

        Raises:
            UsageError: If `filter` is out of range.
        """
        check_fitted(self)
        filter = whole_number("filter", filter, least=0, most=len(self.network_.filters) - 1)
        return self.network_.filters[filter].path.angles(self.vocabulary.words)

    def lambeq_circuit(self, sequence: str, filter: int = 0) -> tuple[Any, dict[Any, float]]:
        """The circuits of all windows of a protein as a lambeq diagram, and their symbols' values in turns.

        Args:
            sequence: A protein, preferably short: the diagram has a circuit for every window.
            filter: Index of the filter that reads the windows.

        Returns:
            A `lambeq.backend.quantum.Diagram` whose open wires are the qubits of all windows, in their order,
            before pooling; and a dict from its symbols to the trained values.

        Raises:
            UsageError: If `filter` is out of range, or a letter is outside the alphabet.
        """
        return self._drawn(sequence, self.angles(filter))

    def _windows(self, network: Any) -> list[WindowNetwork]:
        return list(network.filters)

    def _network(self, words: int, outputs: int) -> nn.Module:
        filters = [
            WindowNetwork(
                words,
                qubits=self.qubits,
                window=self.window,
                stride=self.stride,
                ansatz=self._ansatz(),
                spread=self.spread,
            )
            for _ in range(self.filters)
        ]
        return PooledWindows(filters, outputs)


class PooledWindows(nn.Module):
    """Windows, their pooling, and the readout of the pooled values.

    Args:
        filters: Circuits on windows of the same length and stride.
        outputs: Number of logits per sentence.
    """

    def __init__(self, filters: list[WindowNetwork], outputs: int) -> None:
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
        """Logits from computed or measured values of windows (B, W, O); see `TwoSidedPooling`."""
        pooled = self.pooling(values, present, variance)
        logits = torch.einsum("bpo,cpo->bc", pooled, self.weight) + self.bias
        return logits[:, 0] if len(self.bias) == 1 else logits
