"""Pauli twirling of two-qubit gates: coherent errors become random ones, which extrapolation can model."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import pauli_twirl_2q_gates
from qiskit.transpiler import Target

from bondwise.circuits import as_circuit
from bondwise.mitigation.rewriting.folding import check_target
from bondwise.runs import whole_number


def twirl_gates(
    circuit: QuantumCircuit, count: int, *, target: Target | None = None, seed: int | None = None
) -> list[QuantumCircuit]:
    """Copies of a circuit with random Paulis around each cx, cz, ecr and iswap.

    Without noise, they do the same. The mean over the copies sees the error of each gate as a random Pauli
    (arXiv:1512.01098).

    Args:
        circuit: Transpiled circuit; its qubits, layout and parameters are kept.
        count: Number of copies.
        target: Device that must accept the copies; without it, Paulis are written as x, y and z.
        seed: Random seed.

    Raises:
        UsageError: If `count` is not positive, or the target is none.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import twirl_gates
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> [one.count_ops()["cx"] for one in twirl_gates(bell, 3, seed=1)]
        [1, 1, 1]
    """
    circuit = as_circuit(circuit)
    check_target(target)
    count = whole_number("count", count)
    made: list[QuantumCircuit] = pauli_twirl_2q_gates(circuit, seed=seed, num_twirls=count, target=target)
    for copy in made:
        copy._layout = circuit.layout  # which the pass drops
    return made
