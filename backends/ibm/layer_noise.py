"""The Pauli-Lindblad noise of the layers of a circuit, which probabilistic error amplification injects.

On a device, this noise has to be learned (arXiv:2201.09866). On a snapshot, the error of each two-qubit gate
is known, and its rates follow exactly: twirling leaves the Pauli fidelities `f_P` of the error, and
`log f_P = -2 Σ λ_Q` over the Paulis Q that anticommute with P.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PTM, PauliLindbladMap, PauliList, SuperOp, pauli_basis


def layer_noise(
    layers: Iterable[CircuitInstruction],
    circuit: QuantumCircuit,
    channels: Mapping[tuple[str, tuple[int, ...]], np.ndarray],
) -> list[tuple[CircuitInstruction, PauliLindbladMap]]:
    """The noise of layers of two-qubit gates, as IBM's estimator takes it.

    Of what a learner on a device would find, this is the error of the two-qubit gates; that of the one-qubit
    gates and of waiting is not injected.

    Args:
        layers: Boxes of gates, on qubits of the circuit.
        circuit: A circuit that has these qubits.
        channels: The error that follows each gate, as superoperators (16, 16) by gate name and qubits; gates
            that are missing have no error.

    Returns:
        Each layer with its rates; the qubits of a map are those of the layer in ascending order.
    """
    found = []
    for layer in layers:
        places = [circuit.find_bit(qubit).index for qubit in layer.qubits]
        body, ordered = layer.operation.blocks[0], sorted(places)
        terms = []
        for step in body.data:
            where = tuple(places[body.find_bit(qubit).index] for qubit in step.qubits)
            channel = channels.get((step.operation.name, where))
            if channel is None or len(where) != 2:
                continue
            # the last letter of a label is the first qubit
            labels = [label[::-1] for label in _paulis()[0].to_labels()]
            local = [ordered.index(place) for place in where]
            terms += [(label, local, rate) for label, rate in zip(labels, _rates(channel), strict=True)]
        found.append((layer, PauliLindbladMap.from_sparse_list(terms, num_qubits=len(places))))
    return found


def _rates(channel: np.ndarray) -> np.ndarray:
    """The rates of the fifteen two-qubit Paulis of a channel, once it is twirled."""
    fidelities = np.real(np.diag(PTM(SuperOp(channel)).data))[1:]
    _, anticommute = _paulis()
    rates = np.linalg.solve(anticommute, -np.log(fidelities) / 2)
    return np.maximum(rates, 0.0)  # rounding, and noise that no probability describes


@cache
def _paulis() -> tuple[PauliList, np.ndarray]:
    """The two-qubit Paulis without the identity, and which of them anticommute."""
    paulis = pauli_basis(2)[1:]
    return paulis, np.array([~paulis.commutes(pauli) for pauli in paulis], dtype=np.float64)
