"""The translation to PennyLane against Qiskit's own matrices."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import (
    GlobalPhaseGate,
    PauliEvolutionGate,
    RXGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

from bondwise.backends import to_pennylane
from bondwise.runs import UsageError

NOT_GATES = {"measure", "reset", "delay"}
GATES = {name: gate for name, gate in get_standard_gate_name_mapping().items() if name not in NOT_GATES}


def matrix_of(circuit: QuantumCircuit, parameters) -> np.ndarray:
    """PennyLane's matrix of a translated circuit, in Qiskit's order of basis states."""
    wires = list(range(circuit.num_qubits))[::-1]
    return np.asarray(qml.matrix(to_pennylane(circuit), wire_order=wires)(np.asarray(parameters)))


def assert_same_matrix(circuit: QuantumCircuit, seed: int = 0) -> None:
    parameters = np.random.default_rng(seed).uniform(-3, 3, circuit.num_parameters)
    bound = circuit.assign_parameters(parameters)
    np.testing.assert_allclose(matrix_of(circuit, parameters), Operator(bound).data, atol=1e-12)


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_standard_gate(name):
    gate = GATES[name]
    for qubits in (range(gate.num_qubits), range(gate.num_qubits)[::-1]):
        circuit = QuantumCircuit(max(gate.num_qubits, 1))
        circuit.append(gate, list(qubits))
        assert_same_matrix(circuit)
        assert_same_matrix(circuit.assign_parameters(np.linspace(0.3, 1.0, circuit.num_parameters)))


def test_standard_gates_cover_the_promised_ones():
    promised = """id x y z h s sdg t tdg sx sxdg rx ry rz p u u1 u2 u3 r cx cy cz ch cs csdg csx cp crx cry
    crz cu cu1 cu3 swap iswap dcx ecr rxx ryy rzz rzx xx_minus_yy xx_plus_yy ccx global_phase""".split()
    assert set(promised) <= set(GATES)


def test_a_rotation_with_numbers_keeps_its_phase():
    circuit = QuantumCircuit(2, global_phase=0.4)
    circuit.u(0.1, 0.2, 0.3, 0)
    circuit.rz(0.5, 1)
    circuit.cp(0.7, 1, 0, ctrl_state=0)
    circuit.crx(0.7, 1, 0, ctrl_state=0)
    assert_same_matrix(circuit)


def test_unitaries_and_composites():
    theta = Parameter("theta")
    inner = QuantumCircuit(3, name="inner", global_phase=theta / 3)
    inner.rx(2 * theta, 0)
    inner.ccx(2, 0, 1)
    inner.append(GlobalPhaseGate(theta + 0.1), [])
    circuit = QuantumCircuit(4, global_phase=theta)
    circuit.append(UnitaryGate(random_unitary(8, seed=1)), [3, 0, 2])
    circuit.append(UnitaryGate(random_unitary(4, seed=2)), [2, 1])
    circuit.append(inner.to_gate(), [3, 1, 0])
    circuit.append(inner.assign_parameters([0.3]).to_gate(), [0, 3, 2])
    circuit.append(inner.to_instruction(), [1, 2, 3])
    circuit.append(RXGate(theta).control(2, ctrl_state=1), [0, 1, 2])
    circuit.append(RXGate(0.2).control(1, annotated=True), [3, 1])
    assert_same_matrix(circuit)


def test_pauli_evolution_is_the_product_formula_that_hardware_runs():
    operator = SparsePauliOp(["XX", "ZI"], [0.5, 0.3])
    bound, free = QuantumCircuit(2), QuantumCircuit(2)
    bound.append(PauliEvolutionGate(operator, 0.8), [0, 1])
    free.append(PauliEvolutionGate(operator, Parameter("t")), [0, 1])
    expected = Operator(bound.decompose()).data
    np.testing.assert_allclose(matrix_of(bound, []), expected, atol=1e-12)
    np.testing.assert_allclose(matrix_of(free, [0.8]), expected, atol=1e-12)


def test_barriers_and_delays_are_left_out():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.barrier()
    circuit.delay(100, 1)
    tape = qml.tape.make_qscript(to_pennylane(circuit))()
    assert [op.name for op in tape.operations] == ["Hadamard", "GlobalPhase"]


def test_parameters_in_the_order_of_the_circuit():
    late, early = Parameter("z"), Parameter("a")
    vector = ParameterVector("m", 12)
    circuit = QuantumCircuit(1)
    for parameter in (late, *reversed(list(vector)), early):
        circuit.rx(parameter, 0)
        circuit.rz(parameter * 2, 0)
    assert [p.name for p in circuit.parameters][:4] == ["a", "m[0]", "m[1]", "m[2]"]
    assert_same_matrix(circuit)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_inside_a_qnode_on_other_wires(device):
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(theta[0] + theta[1], 0)
    circuit.ry(theta[0] * theta[1], 1)
    circuit.cx(0, 1)
    ansatz = to_pennylane(circuit)

    @qml.qnode(qml.device(device, wires=["a", "b", "c"]))
    def node(parameters):
        ansatz(parameters, wires=["c", "a"])
        return qml.expval(qml.PauliZ("c")), qml.expval(qml.PauliZ("a"))

    values = np.array([0.4, 0.7])
    state = Statevector(circuit.assign_parameters(values))
    expected = [state.expectation_value(SparsePauliOp(label)).real for label in ("IZ", "ZI")]
    np.testing.assert_allclose(node(values), expected, atol=1e-12)


def test_differentiable_and_broadcast_in_torch_and_autograd():
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(1)
    circuit.rx(theta[0].sin() + 2 * theta[1], 0)
    ansatz = to_pennylane(circuit)

    @qml.qnode(qml.device("default.qubit"))
    def node(parameters):
        ansatz(parameters)
        return qml.expval(qml.PauliZ(0))

    batch = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64, requires_grad=True)
    node(batch).sum().backward()
    angle = np.sin([0.1, 0.3]) + 2 * np.array([0.2, 0.4])
    expected = -np.sin(angle)[:, None] * np.array([[np.cos(0.1), 2], [np.cos(0.3), 2]])
    np.testing.assert_allclose(batch.grad, expected, atol=1e-12)
    gradient = qml.grad(node)(qml.numpy.array([0.1, 0.2], requires_grad=True))
    np.testing.assert_allclose(gradient, expected[0], atol=1e-12)


def test_observables():
    operator = SparsePauliOp(["XYZ", "IIZ", "III", "ZIX"], [0.5, -0.25, 2.0, 1 / 3])
    translated = to_pennylane(operator)
    np.testing.assert_allclose(
        qml.matrix(translated, wire_order=[2, 1, 0]), operator.to_matrix(), rtol=0, atol=1e-15
    )


def unsupported_circuits():
    reset = QuantumCircuit(2)
    reset.reset(1)
    measured = QuantumCircuit(1, 1)
    measured.measure(0, 0)
    branched = QuantumCircuit(1, 1)
    with branched.if_test((0, True)):
        branched.x(0)
    opaque = QuantumCircuit(1)
    opaque.append(Gate("mystery", 1, []), [0])
    angled = QuantumCircuit(1)
    angled.append(Gate("mystery", 1, [Parameter("x")]), [0])
    prepared = QuantumCircuit(1)
    prepared.initialize([0, 1], 0)
    return list(
        {
            "'reset' on qubits [1]": reset,
            "'measure'": measured,
            "'if_else'": branched,
            "'mystery' on qubits [0]": opaque,
            "'mystery' has free parameters": angled,
            "'reset' (inside 'initialize')": prepared,
        }.items()
    )


@pytest.mark.parametrize(("message", "circuit"), unsupported_circuits())
def test_what_is_no_gate_is_named(message, circuit):
    with pytest.raises(UsageError) as error:
        to_pennylane(circuit)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_numbers_of_parameters_and_wires():
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("x"), 0)
    ansatz = to_pennylane(circuit)
    with pytest.raises(UsageError, match=r"1 parameter and an array of shape \(3,\)"):
        ansatz([1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="2 qubits and 1 wires"):
        ansatz([1.0], wires=["a"])
