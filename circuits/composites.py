"""Composite operations (sub-circuits, Clifford and annotated operations) written out as gates."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, Barrier, Delay, Gate, Instruction
from qiskit.quantum_info import Clifford
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import HighLevelSynthesis


def in_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with gates in place of composite operations.

    Args:
        circuit: Any circuit, with true names (`true_names`).

    Returns:
        The circuit itself where nothing is to be written out, else a copy with the same registers and layout.
        What no gates make (resets, measurements, branches, and sub-circuits that hold them) stays.
    """
    written = [_written(step.operation) for step in circuit.data]
    if all(body is None for body in written):
        return circuit
    plain = circuit.copy_empty_like()
    for step, body in zip(circuit.data, written, strict=True):
        if body is None:
            plain.append(step)
            continue
        plain.global_phase += body.global_phase
        place = dict(zip(body.qubits, step.qubits, strict=True))
        for part in body.data:
            plain.append(part.operation, [place[qubit] for qubit in part.qubits])
    return plain


def _written(operation: Any) -> QuantumCircuit | None:
    """What a composite operation consists of, gates only; None for anything else."""
    if isinstance(operation, Gate | Barrier | Delay):
        return None
    if isinstance(operation, AnnotatedOperation | Clifford):
        alone = QuantumCircuit(operation.num_qubits)
        alone.append(operation, alone.qubits)
        body = PassManager([HighLevelSynthesis()]).run(alone)
    elif isinstance(operation, Instruction) and not operation.num_clbits and operation.definition is not None:
        body = in_gates(operation.definition)
    else:
        return None
    gates = all(isinstance(part.operation, Gate | Barrier | Delay) for part in body.data)
    return body if gates else None
