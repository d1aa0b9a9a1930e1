"""A classifier that is one circuit per protein, pooling included: windows that turn a memory qubit."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bondwise.qml.protein.classifiers.qtn import SentenceNetwork
from bondwise.qml.protein.classifiers.windowed import WindowedQTN
from bondwise.qml.protein.networks.latch import Latch
from bondwise.qml.protein.networks.windows import Windows
from bondwise.runs import UsageError


class LatchQTN(WindowedQTN):
    """Reads window after window with the same qubits; a memory qubit keeps what they found.

    All-quantum: a dynamic circuit of `qubits + memory` qubits with resets reads a protein of any length, and
    only ⟨Z⟩ of the memory is measured, once. Nothing is pooled classically.

    Args:
        qubits: Qubits that read a window.
        memory: Qubits that keep what windows leave.
        window: Residues in a window.
        stride: Residues from one window to the next.
        latch_layers: Of the box that couples window and memory.
        entangle: False leaves the entanglers within windows out (an ablation).
        start: `"angles"`, drawn at random, or `"tensor-network"`: a classical tensor network is trained first
            for as many epochs and turned into the circuit's start, see `tensor_network_start`.
        spread: Standard deviation of the initial angles, radians.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"window": 100_000, "stride": 100_000, "memory": 5, "latch_layers": 1_000}

    def __init__(
        self,
        *,
        qubits: int = 2,
        memory: int = 1,
        window: int = 15,
        stride: int = 3,
        latch_layers: int = 2,
        entangle: bool = True,
        start: str = "angles",
        spread: float = 0.1,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 12,
        learning_rate: float = 0.02,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.qubits = qubits
        self.memory = memory
        self.window = window
        self.stride = stride
        self.latch_layers = latch_layers
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
        """Window and memory."""
        return self.qubits + self.memory

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        return self.network_.core.angles(self._checked().words)

    def lambeq_circuit(self, sequence: str) -> tuple[Any, dict[Any, float]]:
        """There is none.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "a LatchQTN has no lambeq circuit, as its box LATCH is none of lambeq's; use dynamic_circuit."
        )

    def _windows(self, network: Any) -> list[Windows]:
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
