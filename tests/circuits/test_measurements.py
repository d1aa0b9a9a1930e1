"""Final measurements are dropped and nothing else is."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.classical import expr
from qiskit.circuit.library import XGate

from bondwise.circuits import without_measurements
from bondwise.runs import UsageError


def test_measurements_at_the_end_are_dropped():
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure_all(add_bits=True)
    assert [step.operation.name for step in without_measurements(circuit).data] == ["measure", "h"]
    assert circuit.count_ops()["measure"] == 3


def test_a_circuit_without_measurements_is_returned_itself():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    assert without_measurements(circuit) is circuit


def test_gates_called_measure_stay():
    own = Gate("measure", 1, [])
    own.definition = QuantumCircuit(1)
    own.definition.x(0)
    circuit = QuantumCircuit(1)
    circuit.append(own, [0])
    circuit.measure_all()
    (step,) = without_measurements(circuit).data
    assert step.operation.definition.data[0].operation == XGate()


def test_what_a_branch_or_a_variable_reads_is_measured():
    branch = QuantumCircuit(2, 1)
    branch.measure(0, 0)
    with branch.if_test((0, 1)):
        branch.x(1)
    variable = QuantumCircuit(1, 1)
    held = variable.add_var("held", expr.lift(False))
    variable.measure(0, 0)
    variable.store(held, variable.clbits[0])
    for circuit in (branch, variable):
        assert without_measurements(circuit).count_ops()["measure"] == 1


def test_what_is_not_a_circuit():
    with pytest.raises(UsageError, match="QuantumCircuit"):
        without_measurements(3)
