"""What the classifiers that read windows share: the window's circuit, its start, its diagrams."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.classifiers.qtn import QTNClassifier
from bondwise.qml.protein.classifiers.tensor_start import tensor_network_start
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.qml.protein.networks.windows import Windows
from bondwise.runs import unknown_name

_STARTS = ("angles", "tensor-network")


class WindowedQTN(QTNClassifier):
    """Base of WindowQTN and LatchQTN: a short re-uploading circuit reads every window of residues."""

    ansatz = "reupload"
    layers = 1
    window: int
    stride: int
    entangle: bool
    start: str

    @abstractmethod
    def _windows(self, network: Any) -> list[Windows]:
        """The windows of a network, one for each circuit with angles of its own."""

    @property
    def legal_on_hardware(self) -> bool:
        """Always: nothing is post-selected."""
        return True

    def reader(self) -> Any:
        """A `WindowReader`; its diagrams end with the windows."""
        from bondwise.qml.protein.boxes.readers import WindowReader

        return WindowReader(self._checked(), window=self.window, stride=self.stride)

    def _ansatz(self) -> Ansatz:
        return Ansatz(self.ansatz, self.layers, self.entangle)

    def _prepare(
        self, network: Any, sentences: list[np.ndarray], targets: torch.Tensor, progress: bool
    ) -> list[float]:
        if self.start == "angles":
            return []
        return tensor_network_start(
            network,
            self._windows(network),
            sentences,
            targets,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            progress=progress,
        )

    def _checked(self) -> Alphabet:
        if self.start not in _STARTS:
            raise unknown_name("start", str(self.start), _STARTS)
        return super()._checked()
