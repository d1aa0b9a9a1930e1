"""Composite operations (sub-circuits, Clifford operations, annotated operations) written out as gates."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, Barrier, Delay, Gate, Instruction
from qiskit.quantum_info import Clifford
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import HighLevelSynthesis

from bondwise.circuits.sources import as_circuit


def in_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Replace composite operations with the gates they are made of.

    Args:
        circuit: A circuit with true names; see `true_names`.

    Returns:
        The circuit itself if it has no composite operation, otherwise a copy with the same registers and
        layout. Operations that are not made of gates (resets, measurements, branches, and sub-circuits that
        contain them) are kept.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import in_gates
        >>> inner, circuit = QuantumCircuit(2), QuantumCircuit(2)
        >>> _ = inner.cx(0, 1)
        >>> _ = circuit.append(inner.to_instruction(), [1, 0])
        >>> [step.operation.name for step in in_gates(circuit).data]
        ['cx']
    """
    circuit = as_circuit(circuit)
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
    """The gates of a composite operation; None for any other operation."""
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
