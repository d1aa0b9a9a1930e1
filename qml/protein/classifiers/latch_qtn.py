"""A classifier that runs one circuit per protein, pooling included: windows rotate a memory qubit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from bondwise.qml.protein.classifiers.qtn import SentenceNetwork
from bondwise.qml.protein.classifiers.windowed import WindowedQTN
from bondwise.qml.protein.networks.latch import Latch
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import UsageError


@dataclass(kw_only=True, eq=False, repr=False)
class LatchQTN(WindowedQTN):
    """Reads window after window with the same qubits, while memory qubits keep what they find.

    The whole model is one dynamic circuit: with resets, `qubits + memory` qubits read a protein of any
    length, and only ⟨Z⟩ of the memory is measured, once, at the end. The settings of `QTNClassifier` and
    `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits that read a window.
        memory: Number of qubits of the memory, from 1 to 5.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.
        latch_layers: Number of layers of the box that couples window and memory.
        entangle: Whether the windows have entangling gates; False is an ablation.
        start: Starting point: `"angles"` for random angles, or `"tensor-network"`, which first trains a
            classical tensor network for the same number of epochs and fits the circuit to it, see
            `tensor_network_start`.

    Example:
        >>> from bondwise.qml.protein import LatchQTN, dynamic_circuit, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = LatchQTN(epochs=1).fit(train.sequences, train.labels)
        >>> dynamic_circuit(model, train.sequences[0]).num_qubits
        3
    """

    stride: int = 3
    memory: int = 1
    latch_layers: int = 2
    start: str = "angles"
    _counts = {"window": 100_000, "stride": 100_000, "memory": 5, "latch_layers": 1_000}

    @property
    def num_qubits(self) -> int:
        """Qubits of window and memory."""
        return self.qubits + self.memory

    def lambeq_circuit(self, sequence: str) -> tuple[Any, dict[Any, float]]:
        """Not available: lambeq has no counterpart of the LATCH box.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "a LatchQTN has no lambeq circuit, because lambeq has no LATCH box; use dynamic_circuit."
        )

    def _windows(self, network: Any) -> list[WindowNetwork]:
        return [network.core.windows]

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = Latch(
            words,
            qubits=self.qubits,
            memory=self.memory,
            window=self.window,
            stride=self.stride,
            ansatz=self._ansatz(),
            layers=self.latch_layers,
            spread=self.spread,
        )
        network = SentenceNetwork(core, outputs)
        nn.init.constant_(network.readout.weight, -2.5)
        return network
