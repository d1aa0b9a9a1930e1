"""Composite operations written out: the same operator, and gates only."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Gate,
    InverseModifier,
    Parameter,
    PowerModifier,
)
from qiskit.circuit.library import CXGate, Initialize, RXGate
from qiskit.quantum_info import Clifford, Operator

from bondwise.circuits import in_gates

ANGLE = Parameter("a")


def subcircuit(deep=False):
    inner = QuantumCircuit(2, name="inner", global_phase=0.3)
    inner.h(0)
    inner.rzz(ANGLE, 0, 1)
    if deep:
        inner.append(subcircuit().to_instruction(), [1, 0])
    return inner


@pytest.mark.parametrize(
    "operation",
    [
        subcircuit().to_instruction(),
        subcircuit(deep=True).to_instruction(),
        Clifford(CXGate()),
        AnnotatedOperation(CXGate(), ControlModifier(1)),
        AnnotatedOperation(RXGate(0.4), [InverseModifier(), PowerModifier(2)]),
        AnnotatedOperation(RXGate(ANGLE), ControlModifier(1)),
    ],
    ids=lambda operation: operation.name,
)
def test_same_operator_in_gates(operation):
    circuit = QuantumCircuit(3, name="whole")
    circuit.ry(0.2, 0)
    circuit.append(
        operation, range(1, 1 + operation.num_qubits)[::-1] if operation.num_qubits < 3 else [2, 0, 1]
    )
    circuit.barrier()
    circuit.ry(ANGLE, 2)
    written = in_gates(circuit)
    assert all(isinstance(step.operation, Gate) for step in written.data if step.operation.name != "barrier")
    assert Operator(written.assign_parameters([0.7])) == Operator(circuit.assign_parameters([0.7]))
    assert written.name == "whole"


def test_what_is_no_gate_stays():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.append(Initialize([1, 0]), [1])
    circuit.reset(0)
    measured = QuantumCircuit(1, 1, name="measured")
    measured.measure(0, 0)
    circuit.append(measured.to_instruction(), [0], [1])
    circuit.measure(0, 0)
    assert in_gates(circuit) is circuit
