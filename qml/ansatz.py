"""Layered circuits for any Hamiltonian: two-qubit blocks of `bondwise.tn`, and rotations with CX gates."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import efficient_su2

from bondwise.runs import whole_number
from bondwise.tn import get_block


def brickwall(num_qubits: int, layers: int, *, gate: str = "so4") -> QuantumCircuit:
    """Build layers of two-qubit blocks, on pairs (0, 1), (2, 3), … and (1, 2), (3, 4), … in turn.

    If all angles are zero, the circuit is the identity.

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
    pairs = brickwall_pairs(num_qubits, layers)
    theta = ParameterVector("theta", block.size * len(pairs))
    circuit = QuantumCircuit(num_qubits)
    for index, (first, second) in enumerate(pairs):
        block.append(circuit, first, second, theta[index * block.size : (index + 1) * block.size])
    return circuit


def brickwall_pairs(num_qubits: int, layers: int) -> list[tuple[int, int]]:
    """The pairs of qubits of a brickwall, in time order."""
    whole_number("num_qubits", num_qubits, least=2)
    whole_number("layers", layers)
    return [(qubit, qubit + 1) for layer in range(layers) for qubit in range(layer % 2, num_qubits - 1, 2)]


def hardware_efficient(num_qubits: int, layers: int) -> QuantumCircuit:
    """Build layers of RY and RZ rotations on all qubits and CX gates between neighbors.

    This is the circuit of Kandala et al., arXiv:1704.05018, as Qiskit's `efficient_su2` builds it: the
    rotations come before the first layer of CX gates, and after each.

    Args:
        num_qubits: Number of qubits, two or more.
        layers: Number of layers of n - 1 CX gates, one or more.

    Returns:
        The circuit, with 2n(layers + 1) parameters, the vector `theta`.

    Raises:
        UsageError: If there are too few qubits or layers.

    Example:
        >>> from bondwise.qml import hardware_efficient
        >>> circuit = hardware_efficient(4, 2)
        >>> circuit.num_parameters, circuit.count_ops()["cx"]
        (24, 6)
    """
    whole_number("num_qubits", num_qubits, least=2)
    whole_number("layers", layers)
    return efficient_su2(num_qubits, reps=layers, entanglement="linear", parameter_prefix="theta")
