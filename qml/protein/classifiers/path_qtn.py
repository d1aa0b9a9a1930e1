"""The path-shaped classifier (PTN) of arXiv:2403.06890, uniform or hierarchical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from bondwise.qml.protein.classifiers.qtn import BoxQTN, SentenceNetwork
from bondwise.qml.protein.networks.path import PathNetwork
from bondwise.runs import unknown_name

_RESIDUES = ("states", "gates")


@dataclass(kw_only=True, eq=False, repr=False)
class PathQTN(BoxQTN):
    """Reads a protein residue by residue into a memory of a few qubits, whose ⟨Z⟩ decides.

    The settings of `QTNClassifier` and `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits of the memory, and of a residue.
        residues: Form of the residues: `"states"`, which a box fuses into the memory (as in the paper), or
            `"gates"` on the memory.
        boxes: Number of different boxes: 1 is uniform (uPTN); n > 1 is hierarchical (hPTN), with one box per
            position and the last one for all later positions.
        discard: Whether the wire left over by a box is traced out. False post-selects it on |0⟩ as in the
            paper, which is useless on hardware, see `log10_postselection`.
        ansatz: Name of the ansatz, `"sim14"`, `"sim15"`, `"iqp"`, `"strongly"`, `"reupload"` or `"exchange"`,
            see `Ansatz`.
        layers: Number of layers of the ansatz.

    Example:
        >>> from bondwise.qml.protein import PathQTN, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = PathQTN(epochs=1).fit(train.sequences, train.labels)
        >>> model.num_qubits, model.num_parameters
        (2, 70)
    """

    residues: str = "states"

    @property
    def num_qubits(self) -> int:
        """Qubits of the memory and, for residues as states, of the wire that every residue uses."""
        return self.qubits * (2 if self.residues == "states" else 1)

    @property
    def legal_on_hardware(self) -> bool:
        """Whether no wire is post-selected."""
        return self.discard or self.residues == "gates"

    def reader(self) -> Any:
        """A `PathReader`."""
        from bondwise.qml.protein.boxes.readers import PathReader

        return PathReader(self.vocabulary, residues=self.residues, boxes=self.boxes)

    def _check(self) -> None:
        if self.residues not in _RESIDUES:
            raise unknown_name("residues", str(self.residues), _RESIDUES)
        super()._check()

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = PathNetwork(
            words,
            qubits=self.qubits,
            ansatz=self._ansatz(),
            residues=self.residues,
            boxes=self.boxes,
            discard=self.discard,
            spread=self.spread,
        )
        return SentenceNetwork(core, outputs)
