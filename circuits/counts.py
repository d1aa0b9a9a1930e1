"""The cost of a circuit in CX gates and two-qubit depth, counted the same way everywhere."""

from __future__ import annotations

from functools import cache

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Barrier, Bit, ControlFlowOp, Operation
from qiskit.circuit.library import CXGate, CYGate, CZGate, ECRGate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer

from bondwise.circuits.naming import true_names
from bondwise.circuits.sources import as_circuit


def cx_count(circuit: QuantumCircuit) -> int:
    """Count the CX gates that a circuit needs, gate by gate.

    A two-qubit gate counts as the fewest CX gates that make its matrix, 0 to 3: `cz` as 1, `rzz` and `iswap`
    as 2, `swap` as 3. Free angles count as generic angles. A larger gate counts as the CX gates that Qiskit
    decomposes it into. Adjacent gates are not merged, and all blocks of a branch count.

    Args:
        circuit: A circuit or a gate.

    Raises:
        UsageError: If the input is neither a circuit nor a gate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import cx_count
        >>> circuit = QuantumCircuit(3)
        >>> _ = circuit.rzz(0.3, 0, 1)
        >>> _ = circuit.swap(1, 2)
        >>> cx_count(circuit)
        5
    """
    return sum(
        _needed(step.operation)
        for step in as_circuit(circuit).data
        if len(step.qubits) > 1 and not isinstance(step.operation, Barrier)
    )


def two_qubit_depth(circuit: QuantumCircuit) -> int:
    """Compute the depth of a circuit, counting only operations on two qubits.

    A larger gate counts as what Qiskit decomposes it into, and a branch or loop as its deepest block.

    Args:
        circuit: A circuit or a gate.

    Raises:
        UsageError: If the input is neither a circuit nor a gate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import two_qubit_depth
        >>> circuit = QuantumCircuit(4)
        >>> _ = circuit.cx([0, 2], [1, 3])
        >>> _ = circuit.cz(1, 2)
        >>> two_qubit_depth(circuit)
        2
    """
    reached: dict[Bit, int] = {}
    for step in as_circuit(circuit).data:
        bits = [*step.qubits, *step.clbits]
        depth = max((reached.get(bit, 0) for bit in bits), default=0) + _own_depth(step.operation)
        reached |= dict.fromkeys(bits, depth)
    return max(reached.values(), default=0)


def _own_depth(operation: Operation) -> int:
    if operation.num_qubits < 2 or isinstance(operation, Barrier):
        return 0
    if isinstance(operation, ControlFlowOp):
        return max(map(two_qubit_depth, operation.blocks))
    return 1 if operation.num_qubits == 2 else two_qubit_depth(_in_cx(operation))


def _needed(operation: Operation) -> int:
    if isinstance(operation, ControlFlowOp):
        return sum(map(cx_count, operation.blocks))
    if isinstance(operation, CXGate | CYGate | CZGate | ECRGate):
        return 1
    if operation.num_qubits > 2:
        return int(_in_cx(operation).count_ops().get("cx", 0))
    try:
        return int(_decomposer().num_basis_gates(Operator(_alone(operation)).data))
    except QiskitError:  # not a gate, such as an instruction that saves the state
        return 0


def _in_cx(operation: Operation) -> QuantumCircuit:
    """What Qiskit decomposes an operation into: gates on one qubit, and CX; nothing if it is no gate."""
    try:
        return transpile(true_names(_alone(operation)), basis_gates=["cx", "u"], optimization_level=0)
    except QiskitError:
        return QuantumCircuit(operation.num_qubits)


def _alone(operation: Operation) -> QuantumCircuit:
    """A circuit of one operation, with angles at which nothing vanishes by chance."""
    alone = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    alone.append(operation, alone.qubits, alone.clbits)
    return alone.assign_parameters([0.4 + float(np.sqrt(k + 2)) for k in range(alone.num_parameters)])


@cache
def _decomposer() -> TwoQubitBasisDecomposer:
    return TwoQubitBasisDecomposer(CXGate())
