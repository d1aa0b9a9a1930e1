"""Unusual circuits: no qubits, no angles, free delays, classical variables."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr, types
from qiskit.quantum_info import SparsePauliOp

from bondwise import tn
from bondwise.backends import estimate, expectation, sample, to_pennylane, to_torch
from bondwise.circuits import cx_count
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError

BACKENDS = ["statevector", "aer:depolarizing=0.01", "fake:manila"]


def stored():
    circuit = QuantumCircuit(2, 1)
    held = circuit.add_var("held", expr.lift(False))
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.store(held, circuit.clbits[0])
    with circuit.if_test(held):
        circuit.x(1)
    return circuit


def unused():
    circuit = QuantumCircuit(2, 1)
    circuit.add_input("held", types.Bool())
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def inside():
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.add_var("held", expr.lift(True))
    return circuit


def stretched():
    circuit = QuantumCircuit(2, 1)
    circuit.delay(circuit.add_stretch("held"), 0)
    return circuit


@pytest.mark.parametrize("make", [stored, unused, inside, stretched])
def test_variables_are_refused_in_one_line(make):
    for backend in BACKENDS:
        for run in (
            lambda: sample(make(), shots=10, backend=backend),  # noqa: B023
            lambda: estimate(make(), "ZI", shots=10, backend=backend),  # noqa: B023
            lambda: estimate(make(), "IZ", backend=backend),  # noqa: B023
        ):
            with pytest.raises(UsageError, match="'held', which cannot run here") as caught:
                run()
            assert "\n" not in str(caught.value)
    for run in (
        lambda: tn.decompose(make()),
        lambda: expectation(make(), "ZI", backend="aer", shots=10),
        lambda: MitigatedEstimator("fake:manila").run([(make(), "ZI")]).result(),
    ):
        with pytest.raises(UsageError) as caught:
            run()
        assert "\n" not in str(caught.value)


def test_no_qubits():
    nothing = QuantumCircuit(global_phase=0.3)
    assert sample(nothing, shots=5).counts == {"meas": {"": 5}}
    assert cx_count(nothing) == 0
    for run in (
        lambda: estimate(nothing, SparsePauliOp([""], [2.0])),
        lambda: estimate(nothing, ""),
        lambda: expectation(nothing, SparsePauliOp([""], [2.0])),
        lambda: to_torch(nothing, SparsePauliOp([""], [2.0])),
        lambda: tn.decompose(nothing),
    ):
        with pytest.raises(UsageError, match="no qubits"):
            run()


def test_no_parameters():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    for angles in (None, [], np.zeros(0)):
        assert estimate(circuit, "ZZ", angles).value == pytest.approx(1)
        assert float(expectation(circuit, "XX", angles)) == pytest.approx(1)
    assert estimate(circuit, "ZZ", np.zeros((3, 0))).value == pytest.approx(np.ones(3))
    assert float(to_torch(circuit, "ZZ")().detach()) == pytest.approx(1)


def test_free_delays():
    duration = Parameter("t")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.delay(duration, 0, unit="dt")
    circuit.h(0)
    circuit.cx(0, 1)
    assert estimate(circuit, "ZZ", [160.0]).value == pytest.approx(1)
    assert sample(circuit, [160.0], shots=5).counts["meas"] == {"00": 5}
    for run in (
        lambda: expectation(circuit, "ZZ", [160.0]),
        lambda: to_torch(circuit, "ZZ"),
        lambda: to_pennylane(circuit),
    ):
        with pytest.raises(UsageError, match="a delay has a free duration"):
            run()
    with pytest.raises(UsageError, match="the duration of a delay is not a whole number of dt"):
        estimate(circuit, "ZZ", [160.0], backend="fake:manila")
    bound = circuit.assign_parameters({duration: 160})
    assert estimate(bound, "ZZ", backend="fake:manila").value == pytest.approx(1, abs=0.15)
