"""A classifier that is one circuit per protein, pooling included: windows that turn a memory qubit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.qml.protein.alphabet import Alphabet
from bondwise.qml.protein.ansatz import Ansatz
from bondwise.qml.protein.latch import Latch
from bondwise.qml.protein.qtn import QTNClassifier, SentenceNetwork
from bondwise.qml.protein.tensor_start import tensor_network_start
from bondwise.runs import unknown_name


class LatchQTN(QTNClassifier):
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

    ansatz = "reupload"
    layers = 1

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

    @property
    def legal_on_hardware(self) -> bool:
        """Always: nothing is post-selected."""
        return True

    def reader(self) -> Any:
        """A `WindowReader` of the windows; LATCH is no box of lambeq's ansätze."""
        from bondwise.qml.protein.readers import WindowReader

        return WindowReader(self._checked(), window=self.window, stride=self.stride)

    def angles(self) -> dict[str, torch.Tensor]:
        """Trained angles in radians by the name of the box in the diagrams."""
        return self.network_.core.angles(self._checked().words)

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers, self.entangle)

    def _prepare(self, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool) -> None:
        if self.start == "tensor-network":
            self.start_infidelity_ = tensor_network_start(
                self.network_,
                [self.network_.core.windows],
                sentences,
                targets,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                progress=progress,
            )

    def _checked(self) -> Alphabet:
        if self.start not in ("angles", "tensor-network"):
            raise unknown_name("start", str(self.start), ("angles", "tensor-network"))
        return super()._checked()

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
