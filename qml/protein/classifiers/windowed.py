"""Base class of the classifiers that read windows: initial angles and diagrams."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bondwise.qml.protein.classifiers.qtn import ReuploadQTN
from bondwise.qml.protein.classifiers.tensor_start import tensor_network_start
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import unknown_name

_STARTS = ("angles", "tensor-network")


@dataclass(kw_only=True, eq=False, repr=False)
class WindowedQTN(ReuploadQTN):
    """Base class of WindowQTN and LatchQTN: a short circuit reads every window of residues."""

    qubits: int = 2
    window: int = 15
    stride: int
    start: str

    @abstractmethod
    def _windows(self, network: Any) -> list[WindowNetwork]:
        """The windows of a network, one for each circuit with angles of its own."""

    def reader(self) -> Any:
        """A `WindowReader`; its diagrams end with the windows."""
        from bondwise.qml.protein.boxes.readers import WindowReader

        return WindowReader(self.vocabulary, window=self.window, stride=self.stride)

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

    def _check(self) -> None:
        if self.start not in _STARTS:
            raise unknown_name("start", str(self.start), _STARTS)
        super()._check()
