"""What a circuit reads that only flips qubits, such as one that calibrates the readout."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Gate, Measure, ParameterExpression, Reset

from bondwise.circuits.angles import Angles
from bondwise.circuits.splitting import is_free

_SLACK = 1e-6  # of a probability that counts as certain


def certain_bits(circuit: QuantumCircuit, sets: np.ndarray) -> np.ndarray | None:
    """The classical bits that a circuit of one-qubit gates reads, if they are certain.

    Args:
        circuit: A circuit with P parameters, measured or not.
        sets: Values of its parameters, shape `(N, P)`.

    Returns:
        Bits, uint8, shape `(N, clbits)`; 0 for those that are not measured. None if a gate acts on several
        qubits, or a bit that is read is random.
    """
    steps = [step for step in circuit.data if not isinstance(step.operation, Barrier | Delay)]
    if any(len(step.qubits) != 1 and step.qubits for step in steps):
        return None
    states: dict[int, np.ndarray] = {}
    bits = np.zeros((len(sets), circuit.num_clbits), dtype=np.uint8)
    for step in steps:
        operation = step.operation
        if not step.qubits:  # a global phase
            continue
        qubit = circuit.find_bit(step.qubits[0]).index
        state = states.setdefault(qubit, np.tile(np.array([1, 0], complex), (len(sets), 1)))
        if isinstance(operation, Measure):
            ones = np.abs(state[:, 1]) ** 2
            if np.any(np.minimum(ones, 1 - ones) > _SLACK):
                return None
            bits[:, circuit.find_bit(step.clbits[0]).index] = ones > 0.5
        elif isinstance(operation, Reset):
            states[qubit] = np.tile(np.array([1, 0], complex), (len(sets), 1))
        elif isinstance(operation, Gate) and not any(map(is_free, operation.params)):
            states[qubit] = state @ operation.to_matrix().T
        elif operation.name in ("rx", "rz"):
            states[qubit] = _turned(state, operation.name, _angle(operation.params[0], circuit, sets))
        else:
            return None
    return bits


def _angle(expression: ParameterExpression, circuit: QuantumCircuit, sets: np.ndarray) -> np.ndarray:
    angles: np.ndarray = Angles([expression], list(circuit.parameters))(sets)
    return angles[:, :1]


def _turned(state: np.ndarray, axis: str, angle: np.ndarray) -> np.ndarray:
    if axis == "rz":
        return state * np.exp(np.array([-0.5j, 0.5j]) * angle)
    return np.cos(angle / 2) * state - 1j * np.sin(angle / 2) * state[:, ::-1]
