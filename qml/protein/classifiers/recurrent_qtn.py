"""A recurrent classifier that hardware can run: every residue uses an ancilla, which is then reset.

n memory qubits and the ancilla read a protein of any length on n + 1 qubits. Tracing the ancilla out lets the
memory forget; ⟨Z⟩ of the memory at the end decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from bondwise.qml.protein.classifiers.qtn import ReuploadQTN, SentenceNetwork
from bondwise.qml.protein.networks.path import PathNetwork


@dataclass(kw_only=True, eq=False, repr=False)
class RecurrentQTN(ReuploadQTN):
    """Reads a protein into a memory that forgets: each residue rotates the memory and a fresh ancilla.

    The settings of `QTNClassifier` and `ProteinClassifier` also apply.

    Args:
        qubits: Number of qubits of the memory.
        entangle: Whether the boxes have entangling gates; False is an ablation.

    Example:
        >>> from bondwise.qml.protein import RecurrentQTN, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = RecurrentQTN(qubits=1, epochs=1).fit(train.sequences, train.labels)
        >>> model.num_qubits, model.num_parameters
        (2, 86)
    """

    qubits: int = 3
    epochs: int = 14
    learning_rate: float = 0.03
    ancillas: ClassVar[int] = 1

    @property
    def num_qubits(self) -> int:
        """Qubits of memory and ancilla."""
        return self.qubits + 1

    def reader(self) -> Any:
        """A `PathReader` with residues as gates and an ancilla."""
        from bondwise.qml.protein.boxes.readers import PathReader

        return PathReader(self.vocabulary, residues="gates", ancilla=True)

    def _network(self, words: int, outputs: int) -> nn.Module:
        core = PathNetwork(
            words,
            qubits=self.qubits,
            ansatz=self._ansatz(),
            residues="gates",
            ancillas=self.ancillas,
            spread=self.spread,
        )
        return SentenceNetwork(core, outputs)
