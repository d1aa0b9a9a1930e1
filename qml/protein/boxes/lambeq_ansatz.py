"""An `Ansatz` as one of lambeq's circuit ansätze or, for our own, as a new one made of lambeq's gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from bondwise.qml.protein.boxes.ansatz import Ansatz, Gate, count_parameters
from bondwise.runs import unchanged_process

with unchanged_process():
    from lambeq import IQPAnsatz, Sim14Ansatz, Sim15Ansatz, StronglyEntanglingAnsatz
    from lambeq.ansatz.circuit import CircuitAnsatz
    from lambeq.backend.grammar import Box
    from lambeq.backend.quantum import Bra, Daggered, Diagram, Discard, H, Id, Ket, Rz, S, qubit
    from lambeq.backend.symbol import Symbol

_LAMBEQ = {
    "iqp": IQPAnsatz,
    "sim14": Sim14Ansatz,
    "sim15": Sim15Ansatz,
    "strongly": StronglyEntanglingAnsatz,
}
# RZZ is CX RZ CX; in the bases of X and Y it is RXX and RYY
_BASES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "Rzz": ((), ()),
    "Rxx": ((H,), (H,)),
    "Ryy": ((Daggered(S), H), (H, S)),
}


def lambeq_ansatz(ansatz: Ansatz, qubits: dict[Any, int], *, discard: bool) -> CircuitAnsatz:
    """Build the lambeq ansatz of the same circuits, with angles in turns.

    Args:
        ansatz: Ansatz to translate.
        qubits: Number of qubits by lambeq type, such as `{AtomicType.SENTENCE: 1}`.
        discard: Whether surplus wires are traced out instead of post-selected on |0⟩.

    Example:
        >>> from lambeq import AtomicType
        >>> from bondwise.qml.protein import Ansatz, PathReader, lambeq_ansatz
        >>> build = lambeq_ansatz(Ansatz("sim14"), {AtomicType.SENTENCE: 1}, discard=True)
        >>> circuit = build(PathReader().sentence2diagram("MK"))
        >>> len(circuit.free_symbols), circuit.is_mixed
        (14, True)
    """
    if ansatz.name not in _LAMBEQ:
        return OwnAnsatz(qubits, ansatz, discard=discard)
    return _LAMBEQ[ansatz.name](qubits, n_layers=ansatz.layers, discard=discard)


class OwnAnsatz(CircuitAnsatz):
    """The ansätze "reupload" and "exchange"; see `Ansatz`.

    Args:
        ob_map: Number of qubits by lambeq type.
        ansatz: Ansatz with one of these names.
        discard: Whether surplus wires are traced out instead of post-selected.
    """

    def __init__(self, ob_map: dict[Any, int], ansatz: Ansatz, discard: bool = False) -> None:
        super().__init__(ob_map, ansatz.layers, discard=discard)
        self._ansatz = ansatz

    def params_shape(self, n_qubits: int) -> tuple[int, ...]:
        """Shape of the angles of a box that merges wires."""
        return (count_parameters(self._ansatz.gates(n_qubits, "merge")),)

    def circuit(self, n_qubits: int, params: np.ndarray) -> Diagram:
        """The circuit of a box that merges wires."""
        return _circuit(self._ansatz.gates(n_qubits, "merge"), n_qubits, params)

    def _ar(self, _: Any, box: Box) -> Diagram:
        dom, cod = self.ob_size(box.dom), self.ob_size(box.cod)
        wires = max(dom, cod)
        gates = self._ansatz.gates(wires, box_kind(box))
        label = self._summarise_box(box)
        angles = np.array([Symbol(f"{label}_{i}") for i in range(count_parameters(gates))])
        circuit = Id(qubit**dom) @ Ket(*[0] * (wires - dom)) if wires > dom else Id(qubit**dom)
        circuit = circuit >> _circuit(gates, wires, angles)
        if wires > cod:
            ends = [Discard()] * (wires - cod) if self.discard else [Bra(0)] * (wires - cod)
            circuit = circuit >> Id(qubit**cod).tensor(*ends)
        return circuit


def box_kind(box: Box) -> str:
    """The kind of a box in a protein's diagram, from its name: `"mix"`, `"merge"`, `"end"` or `"word"`."""
    stem = box.name.split("_")[0]
    return {"MIX": "mix", "STAIR": "merge", "MERGE": "merge", "END": "end"}.get(stem, "word")


def _circuit(gates: tuple[Gate, ...], wires: int, angles: np.ndarray) -> Diagram:
    circuit = Id(qubit**wires)
    for gate in gates:
        angle = None if gate.parameter is None else angles[gate.parameter]
        if gate.name in _BASES:
            first, second = gate.wires
            before, after = _BASES[gate.name]
            for wire in gate.wires:
                for turn in before:
                    circuit = circuit.then_at(turn, wire)
            circuit = circuit.CX(first, second).then_at(Rz(angle), second).CX(first, second)
            for wire in gate.wires:
                for turn in after:
                    circuit = circuit.then_at(turn, wire)
        elif gate.name in ("H", "CX"):
            circuit = getattr(circuit, gate.name)(*gate.wires)
        else:
            circuit = getattr(circuit, gate.name)(angle, *gate.wires)
    return circuit
