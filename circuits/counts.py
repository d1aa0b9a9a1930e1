"""What a circuit costs: CX gates and two-qubit depth, by one rule wherever they are shown."""

from __future__ import annotations

from functools import cache

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Barrier, ControlFlowOp, Operation
from qiskit.circuit.library import CXGate, CYGate, CZGate, ECRGate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer

from bondwise.circuits.naming import true_names


def cx_count(circuit: QuantumCircuit) -> int:
    """CX gates that a circuit needs, gate by gate.

    A gate on two qubits counts the fewest CX that make its matrix, 0 to 3: `cz` 1, `rzz` and `iswap` 2,
    `swap` 3. Free angles count as arbitrary ones. A larger gate counts the CX that Qiskit writes it with.
    Neighbors are not merged, and all blocks of a branch count.
    """
    return sum(
        _needed(step.operation)
        for step in circuit.data
        if len(step.qubits) > 1 and not isinstance(step.operation, Barrier)
    )


def two_qubit_depth(circuit: QuantumCircuit) -> int:
    """Depth of the circuit counting operations on two qubits only."""
    return circuit.depth(lambda step: len(step.qubits) == 2 and not isinstance(step.operation, Barrier))


def _needed(operation: Operation) -> int:
    if isinstance(operation, ControlFlowOp):
        return sum(map(cx_count, operation.blocks))
    if isinstance(operation, CXGate | CYGate | CZGate | ECRGate):
        return 1
    alone = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    alone.append(operation, alone.qubits, alone.clbits)
    # angles at which nothing vanishes by chance
    alone = alone.assign_parameters([0.4 + float(np.sqrt(k + 2)) for k in range(alone.num_parameters)])
    try:
        if operation.num_qubits == 2:
            return int(_decomposer().num_basis_gates(Operator(alone).data))
        written = transpile(true_names(alone), basis_gates=["cx", "u"], optimization_level=0)
    except QiskitError:  # no gate, such as what saves a state
        return 0
    return int(written.count_ops().get("cx", 0))


@cache
def _decomposer() -> TwoQubitBasisDecomposer:
    return TwoQubitBasisDecomposer(CXGate())
