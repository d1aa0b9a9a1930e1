"""Circuits that are changed between calls: every kind of change is seen, and no stale value returned."""

import gc

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Gate, Parameter, ParameterVector
from qiskit.circuit.library import CRXGate, RXGate, RYGate, RZZGate, UnitaryGate
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from bondwise.backends import estimate, expectation, sample

OBSERVABLES = [SparsePauliOp("ZX"), SparsePauliOp("IY")]


class Turn(Gate):
    """A gate of the user, whose definition is made anew from its angle."""

    def __init__(self, angle: float) -> None:
        super().__init__("turn", 1, [angle])

    @property
    def definition(self) -> QuantumCircuit:
        made = QuantumCircuit(1)
        made.ry(self.params[0], 0)
        made.rz(0.3, 0)
        return made

    @definition.setter
    def definition(self, _) -> None: ...


class Box(Gate):
    """A gate of the user, with a definition that can be changed."""

    def __init__(self) -> None:
        super().__init__("box", 2, [])

    def _define(self) -> None:
        self.definition = QuantumCircuit(2)
        self.definition.crx(0.4, 0, 1)
        self.definition.ry(0.7, 0)


def start() -> QuantumCircuit:
    angles = ParameterVector("a", 2)
    circuit = QuantumCircuit(2)
    circuit.append(RXGate(0.8), [0])  # kept as a Python object, unlike circuit.rx
    circuit.ry(angles[0], 0)
    circuit.append(Turn(0.4), [1], copy=False)
    circuit.append(Box(), [0, 1], copy=False)
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [0, 1], copy=False)
    circuit.rzz(angles[1], 0, 1)
    circuit.rx(0.2, 1)
    return circuit


def replace(circuit, index, gate):
    step = circuit.data[index]
    circuit.data[index] = CircuitInstruction(gate, step.qubits[: gate.num_qubits])


def overwrite(circuit):
    turn = circuit.data[2].operation
    turn.params = [1.1]


def overwrite_element(circuit):
    circuit.data[2].operation.params[0] = 1.1


CHANGES = {
    "append": lambda c: c.rx(0.3, 0),
    "append with a parameter": lambda c: c.rx(c.parameters[0], 0),
    "insert": lambda c: c.data.insert(1, CircuitInstruction(RYGate(0.2), [c.qubits[1]])),
    "delete": lambda c: c.data.pop(6),
    "delete by del": lambda c: c.data.__delitem__(0),
    "an angle by the last bit": lambda c: replace(c, 0, RXGate(np.nextafter(0.8, 1.0))),
    "another gate with the same angle": lambda c: replace(c, 0, RYGate(0.8)),
    "a number for a parameter": lambda c: replace(c, 1, RYGate(0.4)),
    "an expression": lambda c: replace(c, 1, RYGate(2 * c.parameters[0])),
    "the other parameter": lambda c: replace(c, 1, RYGate(c.parameters[1])),
    "other qubits": lambda c: c.data.__setitem__(1, c.data[1].replace(qubits=[c.qubits[1]])),
    "the order of qubits": lambda c: c.data.__setitem__(4, c.data[4].replace(qubits=c.qubits[::-1])),
    "the order of gates": lambda c: setattr(c, "data", [*c.data][::-1]),
    "all gates": lambda c: setattr(c, "data", [*c.data][:3]),
    "clear": lambda c: c.clear(),
    "compose in place": lambda c: c.compose(start().assign_parameters([0.1, 0.2]), inplace=True),
    "assign one parameter": lambda c: c.assign_parameters({c.parameters[0]: 0.9}, inplace=True),
    "exchange a parameter": lambda c: c.assign_parameters({c.parameters[0]: Parameter("z")}, inplace=True),
    "the angle of a gate of the user": overwrite,
    "the angle of a gate of the user, in its list": overwrite_element,
    "the definition of a gate of the user": lambda c: c.data[3].operation.definition.rx(0.6, 1),
    "a replaced definition": lambda c: setattr(c.data[3].operation, "definition", QuantumCircuit(2)),
    "a matrix": lambda c: replace(c, 4, UnitaryGate(random_unitary(4, seed=2))),
    "a free global phase": lambda c: setattr(c, "global_phase", Parameter("phase")),
    "two gates of the same kind": lambda c: (replace(c, 1, RYGate(0.1)), replace(c, 6, RXGate(0.5))),
    "a Python object that Qiskit ignores": lambda c: setattr(c.data[0].operation, "params", [2.5]),
}
EQUAL = ("an angle by the last bit", "a Python object that Qiskit ignores")


def assert_right(circuit: QuantumCircuit) -> np.ndarray:
    point = np.linspace(0.3, 1.4, circuit.num_parameters)
    state = Statevector(circuit.copy().assign_parameters(point))
    values = expectation(circuit, OBSERVABLES, point).numpy()
    expected = [state.expectation_value(one).real for one in OBSERVABLES]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-13)
    return values


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what):
    circuit = start()
    before = assert_right(circuit)
    np.testing.assert_array_equal(assert_right(circuit), before)
    CHANGES[what](circuit)
    after = assert_right(circuit)
    assert np.allclose(after, before, rtol=0, atol=1e-12) == (what in EQUAL)


def test_the_last_bit_of_an_angle():
    circuit = QuantumCircuit(2)
    slopes = []
    for shift in (1e-7, -1e-7):
        circuit.data = []
        circuit.rx(0.8 + shift, 0)
        slopes.append(expectation(circuit, "IY").item())
    assert (slopes[0] - slopes[1]) / 2e-7 == pytest.approx(-np.cos(0.8), abs=1e-6)


def test_branches_are_not_remembered():
    circuit = QuantumCircuit(2, 1)
    with circuit.if_test((0, False)):
        circuit.x(0)
    for _ in range(2):
        with pytest.raises(Exception, match="if_else"):
            expectation(circuit, "IZ")


def test_circuits_at_the_same_address():
    """A new circuit often gets the address, and so the `id`, of one that was just deleted."""
    seen = set()
    for step in range(60):
        circuit = QuantumCircuit(2)
        circuit.append(RZZGate(0.1), [0, 1])
        circuit.ry(0.05 * step, 0)
        seen.add(id(circuit))
        assert expectation(circuit, "IZ").item() == pytest.approx(np.cos(0.05 * step), abs=1e-14)
        del circuit
        gc.collect(0)
    assert len(seen) < 60


def test_a_changed_observable_is_seen():
    circuit, observable = start(), SparsePauliOp(["ZX", "IY"], [1.0, 0.5])
    point = [0.3, 0.9]
    parts = expectation(circuit, ["ZX", "IY"], point)
    assert expectation(circuit, observable, point).item() == pytest.approx((parts[0] + parts[1] / 2).item())
    observable.coeffs[1] = -2.0
    assert expectation(circuit, observable, point).item() == pytest.approx((parts[0] - 2 * parts[1]).item())
    observable.paulis = observable.paulis[::-1]
    assert expectation(circuit, observable, point).item() == pytest.approx((parts[1] - 2 * parts[0]).item())


def test_the_angle_that_qiskit_runs():
    """A standard gate is copied when it is appended; its Python object can be changed, to no effect."""
    circuit, gate = QuantumCircuit(2), RXGate(0.8)
    circuit.append(gate, [0], copy=False)
    gate.params = [2.5]
    assert circuit.data[0].operation.params == [2.5]
    assert_right(circuit)
    assert estimate(circuit, "IZ").value == pytest.approx(np.cos(0.8))
    assert sample(circuit, shots=10_000, seed=1).counts["meas"]["01"] < 2000  # sin²(0.4) is 0.15


@pytest.mark.parametrize("backend", ["statevector", "aer:matrix_product_state", "fake:manila"])
def test_every_verb_runs_the_angle_that_qiskit_runs(backend):
    circuit = QuantumCircuit(2)
    circuit.append(RXGate(Parameter("a")), [0])
    circuit.append(CRXGate(0.5), [0, 1])
    circuit.data[1].operation.params[0] = 2.5
    found = estimate(circuit, "ZI", [np.pi], backend=backend).value
    assert found == pytest.approx(np.cos(0.5), abs=1e-9 if backend != "fake:manila" else 0.1)
    assert found == pytest.approx(expectation(circuit, "ZI", [np.pi], backend).item(), abs=1e-9)
