"""The convolutional, tree-shaped classifier (CTN) of arXiv:2403.06890, uniform or hierarchical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from bondwise.qml.protein.classifiers.qtn import BoxQTN, SentenceNetwork
from bondwise.qml.protein.networks.merging import Merging


@dataclass(kw_only=True, eq=False, repr=False)
class TreeQTN(BoxQTN):
    """Merges neighboring residues level by level; ⟨Z⟩ of the qubits at the root decides.

    The settings of `QTNClassifier` and `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits of every wire.
        boxes: Number of different boxes: 1 is uniform (uCTN); n > 1 is hierarchical (hCTN), with one box per
            level and the last one for all higher levels.
        discard: Whether the wire left over by a merge is traced out. False post-selects it on |0⟩ as in the
            paper, which is useless on hardware, see `log10_postselection`.
        ansatz: Name of the ansatz, `"sim14"`, `"sim15"`, `"iqp"`, `"strongly"`, `"reupload"` or `"exchange"`,
            see `Ansatz`.
        layers: Number of layers of the ansatz.

    Example:
        >>> from bondwise.qml.protein import TreeQTN, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = TreeQTN(epochs=1, discard=False).fit(train.sequences, train.labels)
        >>> bool(model.log10_postselection(train.sequences).max() < 0)  # some shots are lost
        True
    """

    @property
    def num_qubits(self) -> int:
        """Qubits for up to 1,024 words: one reused wire per level and one more."""
        return 11 * self.qubits

    @property
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected."""
        return self.discard

    def reader(self) -> Any:
        """A `TreeReader`."""
        from bondwise.qml.protein.boxes.readers import TreeReader

        return TreeReader(self.vocabulary, boxes=self.boxes)

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
