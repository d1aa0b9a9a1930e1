"""Circuits of the two-qubit blocks of `bondwise.tn`, which are the identity if all angles are zero."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.runs import whole_number
from bondwise.tn import get_block


def brickwall(num_qubits: int, layers: int, *, gate: str = "so4") -> QuantumCircuit:
    """Build layers of two-qubit blocks, on pairs (0, 1), (2, 3), … and (1, 2), (3, 4), … in turn.

    Args:
        num_qubits: Number of qubits, two or more.
        layers: Number of layers, one or more; each acts on one of the two sets of pairs.
        gate: `"so4"` (real, 2 CX and 6 angles per block) or `"su4"` (3 CX, 15 angles).

    Returns:
        The circuit. Its parameters are the vector `theta`, block after block.

    Raises:
        UsageError: If there are too few qubits or layers, or the gate is unknown.

    Example:
        >>> from bondwise.qml import brickwall
        >>> circuit = brickwall(4, 2)
        >>> circuit.num_parameters, circuit.count_ops()["cx"]
        (18, 6)
    """
    block = get_block(gate)
    whole_number("num_qubits", num_qubits, least=2)
    whole_number("layers", layers)
    pairs = [(qubit, qubit + 1) for layer in range(layers) for qubit in range(layer % 2, num_qubits - 1, 2)]
    theta = ParameterVector("theta", block.size * len(pairs))
    circuit = QuantumCircuit(num_qubits)
    for index, (first, second) in enumerate(pairs):
        block.append(circuit, first, second, theta[index * block.size : (index + 1) * block.size])
    return circuit
