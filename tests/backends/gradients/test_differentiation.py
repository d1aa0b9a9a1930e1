"""Values against Qiskit's StatevectorEstimator; gradients against differences, formulas and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import Counting, jacobian, mixture, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import RVGate, RXGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, random_unitary

from bondwise.backends import Backend, expectation
from bondwise.runs import UsageError

EXACT = Backend("exact", estimator=StatevectorEstimator(), exact=True)
METHODS = [("adjoint", "statevector"), ("backprop", "statevector"), ("parameter-shift", EXACT)]
ROTATING = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.params and name not in ("delay", "rv")
}


def reference(circuit, observables, parameters) -> np.ndarray:
    pub = (circuit, [[observable] for observable in observables], np.atleast_2d(parameters))
    return StatevectorEstimator().run([pub]).result()[0].data.evs[:, 0]


def assert_all_agree(circuit, observables, parameters) -> None:
    parameters = np.asarray(parameters, dtype=float)
    expected = reference(circuit, observables, parameters)
    steps = 1e-5 * np.eye(len(parameters))
    differences = np.array(
        [
            (
                reference(circuit, observables, parameters + h)
                - reference(circuit, observables, parameters - h)
            )
            / 2e-5
            for h in steps
        ]
    ).reshape(len(parameters), len(observables))
    slopes = []
    for method, backend in METHODS:
        values = expectation(circuit, observables, parameters, backend, gradient=method)
        np.testing.assert_allclose(values.numpy(), expected, rtol=0, atol=1e-10)
        slopes.append(jacobian(circuit, observables, parameters, method, backend))
        np.testing.assert_allclose(slopes[-1], differences.T, rtol=0, atol=1e-6)
        np.testing.assert_allclose(slopes[-1], slopes[0], rtol=0, atol=1e-9)


@st.composite
def problems(draw):
    """A random circuit with free, fixed, shared, scaled, summed and multiplied angles; two observables."""
    num_qubits = draw(st.integers(2, 3))
    theta = [*ParameterVector("theta", 11), Parameter("alpha"), Parameter("z")]
    expressions = st.one_of(
        st.sampled_from(theta),
        st.floats(-3, 3),
        st.builds(lambda a, b, c: a - 2 * b + c, *[st.sampled_from(theta)] * 2, st.floats(-1, 1)),
        st.builds(lambda a, b: a * b / 2, *[st.sampled_from(theta)] * 2),
        st.builds(lambda a, b: (a + b).sin() + b.exp() / 4, *[st.sampled_from(theta)] * 2),
    )
    circuit = QuantumCircuit(num_qubits)
    for name in draw(st.lists(st.sampled_from(["h", "sx", "cx", "iswap", "unitary", *ROTATING]), max_size=7)):
        if name == "unitary":
            gate = UnitaryGate(random_unitary(4, seed=draw(st.integers(0, 9))))
        else:
            gate = get_standard_gate_name_mapping()[name]
        if name in ROTATING:
            gate = gate.base_class(*[draw(expressions) for _ in gate.params])
        qubits = draw(st.permutations(range(num_qubits)))[: gate.num_qubits]
        circuit.append(gate, qubits)
    labels = st.text("IXYZ", min_size=num_qubits, max_size=num_qubits)
    terms = draw(st.lists(labels, min_size=1, max_size=4, unique=True))
    weights = draw(st.lists(st.floats(0.1, 1), min_size=len(terms), max_size=len(terms)))
    values = draw(st.integers(0, 2**16))
    parameters = np.random.default_rng(values).uniform(-2, 2, circuit.num_parameters)
    return circuit, [SparsePauliOp(terms, weights), SparsePauliOp(draw(labels))], parameters


@settings(max_examples=40, deadline=None)
@given(problems())
def test_random_circuits(problem):
    assert_all_agree(*problem)


@pytest.mark.parametrize("name", sorted(ROTATING))
def test_every_gate_with_an_angle(name):
    gate = ROTATING[name]
    num_qubits = max(gate.num_qubits, 1)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.append(UnitaryGate(random_unitary(2, seed=qubit)), [qubit])
    circuit.append(gate, range(gate.num_qubits))
    observables = [SparsePauliOp("XYZ"[:num_qubits]), SparsePauliOp("ZXX"[:num_qubits])]
    assert_all_agree(circuit, observables, np.linspace(0.4, 1.3, circuit.num_parameters))


@pytest.mark.parametrize("count", [1, 2])
def test_controls_on_zero(count):
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(RXGate(Parameter("x")).control(count, ctrl_state=0, annotated=False), range(count + 1))
    assert_all_agree(circuit, [SparsePauliOp("ZZY"), SparsePauliOp("IYZ")], [0.7])


@pytest.mark.parametrize(
    ("method", "backend"), [*METHODS, ("auto", "aer"), ("parameter-shift", "statevector")]
)
def test_gradcheck(method, backend):
    circuit, observables = mixture()

    def values(theta: torch.Tensor) -> torch.Tensor:
        return expectation(circuit, observables, theta, backend, gradient=method)

    theta = torch.rand(
        2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(values, (theta,))
    assert torch.autograd.gradcheck(values, (theta[1].detach().requires_grad_(),))


def test_second_derivatives_by_backpropagation_only():
    circuit, observables = mixture()
    theta = tensor([0.3, -0.8, 1.1], requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda t: expectation(circuit, observables, t, gradient="backprop"), (theta,)
    )
    for method in ("adjoint", "parameter-shift", "spsa"):
        value = expectation(circuit, observables[0], theta, EXACT if method != "adjoint" else "statevector",
                            gradient=method)  # fmt: skip
        with pytest.raises(UsageError, match="gradient='backprop'"):
            torch.autograd.grad(value, theta, create_graph=True)


def test_qubit_zero_is_the_rightmost_letter():
    circuit = QuantumCircuit(3)
    for qubit, parameter in enumerate(ParameterVector("t", 3)):
        circuit.ry(parameter, qubit)
    angles = np.array([0.1, 0.5, 0.9])
    for method, backend in METHODS:
        values = expectation(circuit, ["IIZ", "IZI", "ZII"], angles, backend, gradient=method)
        np.testing.assert_allclose(values, np.cos(angles), atol=1e-12)


def test_parameters_follow_the_order_of_the_circuit():
    vector, first, last = ParameterVector("m", 12), Parameter("a"), Parameter("z")
    circuit = QuantumCircuit(14)
    names = [last, *reversed(list(vector)), first]
    for qubit, parameter in enumerate(names):
        circuit.ry(parameter, qubit)
    order = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    angles = np.linspace(0, 3, 14)
    labels = ["".join("Z" if q == qubit else "I" for q in range(14))[::-1] for qubit in range(14)]
    expected = np.cos(angles[[order[parameter] for parameter in names]])
    for method in ("adjoint", "backprop"):
        values = expectation(circuit, labels, angles, gradient=method)
        np.testing.assert_allclose(values, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["lambda", "sin", "E", "I", "x0", "θ", "a b"])
def test_parameters_with_awkward_names(name):
    odd, plain = Parameter(name), Parameter("Abs")
    circuit = QuantumCircuit(1)
    circuit.ry((odd * plain).sin() * 2 + abs(odd) + plain**2, 0)
    values = dict(zip(circuit.parameters, [0.4, 0.7], strict=True))
    x, y = values[odd], values[plain]
    value = expectation(circuit, "Z", list(values.values()))
    assert value.item() == pytest.approx(np.cos(2 * np.sin(x * y) + x + y**2), abs=1e-12)


def test_shared_scaled_and_summed_parameters():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(a, 0)
    circuit.ry(2 * a + b, 0)
    circuit.ry(b / 4, 0)
    x, y = 0.3, -1.2
    for method, backend in METHODS:
        slope = jacobian(circuit, "Z", [x, y], method, backend)
        np.testing.assert_allclose(slope, -np.sin(3 * x + 1.25 * y) * np.array([3, 1.25]), atol=1e-12)


def test_parameters_that_do_nothing_have_no_gradient():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(2, global_phase=x)
    circuit.rx(0 * y, 0)
    for method, backend in METHODS:
        np.testing.assert_array_equal(jacobian(circuit, "IZ", [0.3, 0.4], method, backend), [0, 0])


@pytest.mark.parametrize(("method", "backend"), METHODS)
def test_circuit_without_parameters(method, backend):
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.ry(0.5, 1)
    expected = [-1, np.cos(0.5)]
    values = expectation(circuit, ["IZ", "ZI"], backend=backend, gradient=method)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    values = expectation(circuit, ["IZ", "ZI"], np.zeros((3, 0)), backend, gradient=method)
    np.testing.assert_allclose(values, [expected] * 3, atol=1e-12)


@pytest.mark.parametrize(("method", "backend"), METHODS)
def test_shapes_and_dtypes(method, backend):
    circuit, observables = mixture()
    theta = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = expectation(circuit, observables, theta, backend, gradient=method)
    assert values.shape == (4, 2, 3)
    assert values.dtype == torch.float64
    np.testing.assert_allclose(values[3, 1], reference(circuit, observables, theta[3, 1]), atol=1e-10)
    assert expectation(circuit, observables[:1], theta, backend, gradient=method).shape == (4, 2, 1)
    single = expectation(circuit, observables[0], theta, backend, gradient=method)
    assert single.shape == (4, 2)
    assert expectation(circuit, observables[0], theta[0, 0], backend, gradient=method).shape == ()
    short = theta.float().requires_grad_()
    values = expectation(circuit, observables[0], short, backend, gradient=method)
    assert values.dtype == torch.float32
    np.testing.assert_allclose(values.detach(), single, atol=1e-6)
    values.sum().backward()
    assert short.grad.dtype == torch.float32


def test_float64_is_not_lost_on_the_way():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    assert expectation(circuit, "Z", [0.3]).item() == pytest.approx(np.cos(0.3), abs=1e-15)


def test_large_batches_of_small_circuits_agree_with_single_sets():
    circuit, observables = mixture()
    theta = torch.rand(
        130, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True
    )
    gradients = []
    for method in ("auto", "adjoint"):
        loss = expectation(circuit, observables, theta, gradient=method).square().sum()
        gradients.append(torch.autograd.grad(loss, theta)[0])
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-12)


def test_a_gradient_is_one_pub():
    circuit, observables = mixture()
    # u has 3 angles, crx 4 shifts, rzz, cp and ry one angle each: 2 * 3 + 4 + 2 * 3 shifted circuits
    for method, sets in (("parameter-shift", 17), ("spsa", 3)):
        estimator = Counting()
        backend = Backend("counting", estimator=estimator, exact=True)
        theta = torch.zeros(2, 3, dtype=torch.float64)
        expectation(circuit, observables, theta, backend, gradient=method)
        expectation(circuit, observables, theta.requires_grad_(), backend, gradient=method).sum().backward()
        with torch.no_grad():
            expectation(circuit, observables, theta, backend, gradient=method)
        assert estimator.jobs == [[2], [2 * sets], [2]]


def test_a_changed_circuit_or_observable_is_seen():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    observable = SparsePauliOp(["Z"], [1.0])
    assert expectation(circuit, observable, [0.4]).item() == pytest.approx(np.cos(0.4))
    circuit.ry(x, 0)
    assert expectation(circuit, observable, [0.4]).item() == pytest.approx(np.cos(0.8))
    observable.coeffs[0] = 3.0
    assert expectation(circuit, observable, [0.4]).item() == pytest.approx(3 * np.cos(0.8))


def test_shots():
    circuit, observables = mixture()
    theta = tensor([0.3, -0.8, 1.1], requires_grad=True)
    exact = expectation(circuit, observables[1], theta)
    slope = torch.autograd.grad(exact, theta)[0]
    sampled = expectation(circuit, observables[1], theta, shots=20_000, seed=5)
    again = expectation(circuit, observables[1], theta, shots=20_000, seed=5)
    assert sampled.item() == again.item() != exact.item()
    assert abs(sampled.item() - exact.item()) < 5 / 20_000**0.5
    estimate = torch.autograd.grad(sampled, theta)[0]
    # each shifted value errs by at most 1/sqrt(shots), and no parameter sums up more than 6 of weight <= 1
    assert (estimate - slope).abs().max() < 5 * 6 / 20_000**0.5


@pytest.mark.parametrize("backend", ["statevector", "aer", "aer:depolarizing=0.1", "fake:manila", EXACT])
def test_empty_batches(backend):
    circuit, observables = mixture()
    theta = torch.zeros(2, 0, 3, dtype=torch.float64, requires_grad=True)
    values = expectation(circuit, observables, theta, backend)
    assert values.shape == (2, 0, 3)
    values.sum().backward()
    assert theta.grad.shape == (2, 0, 3)
    assert expectation(circuit, "ZZ", np.zeros((0, 3)), backend).shape == (0,)


def test_angles_without_a_derivative_or_a_value_at_zero():
    x = Parameter("x")
    for angle, expected in ((x.sign(), np.cos(1)), (x * x / x, np.cos(0.3)), (1 / x, np.cos(1 / 0.3))):
        circuit = QuantumCircuit(1)
        circuit.ry(angle, 0)
        for method, backend in METHODS:
            value = expectation(circuit, "Z", [0.3], backend, gradient=method)
            assert value.item() == pytest.approx(expected, abs=1e-12)


def test_arrays_of_any_layout():
    circuit, observables = mixture()
    angles = np.array([0.3, -0.8, 1.1])
    backwards = expectation(circuit, observables, angles[::-1])
    np.testing.assert_array_equal(backwards, expectation(circuit, observables, angles[::-1].copy()))


def refused():
    circuit, observables = mixture()
    mystery = QuantumCircuit(1)
    mystery.append(Gate("mystery", 1, [Parameter("x")]), [0])
    vague = QuantumCircuit(1)
    vague.append(RVGate(Parameter("x"), 0.1, 0.2), [0])
    branched = QuantumCircuit(1, 1)
    with branched.if_test((0, True)):
        branched.rx(Parameter("x"), 0)
    measured = QuantumCircuit(2, 1)
    measured.measure(0, 0)
    measured.h(0)
    pole = QuantumCircuit(1)
    pole.ry(1 / Parameter("x"), 0)
    good, three = observables[0], [0.1, 0.2, 0.3]
    return [
        ((circuit, SparsePauliOp("XXX"), three), {}, "acts on 3 qubits and the circuit has 2"),
        ((circuit, SparsePauliOp(["XX"], [1j]), three), {}, "not Hermitian"),
        ((circuit, SparsePauliOp(["XX"], [np.inf]), three), {}, "not finite"),
        ((circuit, SparsePauliOp(["XX"], [Parameter("J")]), three), {}, "bind its parameters first"),
        ((circuit, SparsePauliOp(["XX"], [0]), three), {}, "observable is zero"),
        ((circuit, [], three), {}, "list of observables is empty"),
        ((circuit, [3.0], three), {}, "the observable is a float"),
        ((circuit, good, [0.1, 0.2]), {}, r"shape \(2,\) and the circuit has 3 parameters"),
        ((circuit, good, torch.zeros(3, 4)), {}, r"shape \(3, 4\) and the circuit has 3 parameters"),
        ((circuit, good), {}, r"shape \(0,\) and the circuit has 3 parameters"),
        ((circuit, good, [0.1, np.nan, 0.2]), {}, r"parameters\[1\] is nan"),
        ((circuit, good, ["a", "b", "c"]), {}, "not numbers"),
        ((circuit, good, torch.ones(3, dtype=torch.complex128)), {}, "parameters are complex"),
        ((circuit, SparsePauliOp(["XX", "XX"], [1, -1]), three), {}, "observable is zero"),
        ((circuit, SparsePauliOp(["XX", "XX"], [1, -1]), three, "aer"), {}, "observable is zero"),
        ((circuit, "ZQ", three), {}, "'ZQ' is neither a Pauli word"),
        ((circuit, 3.0, three), {}, "the observable is a float"),
        ((pole, "Z", [0.0]), {}, "the angle '1/x' is not a finite real number"),
        ((circuit, good, three), {"gradient": "adjoin"}, "Did you mean 'adjoint'"),
        ((circuit, good, three, "aer"), {"gradient": "adjoint"}, "backend='aer'; write"),
        ((circuit, good, three), {"gradient": "backprop", "shots": 10}, "shots=10; write"),
        ((circuit, good, three), {"shots": 0}, "shots is 0"),
        ((mystery, "Z", [0.1], "aer"), {}, "gate 'mystery' has free parameters"),
        ((vague, "Z", [0.1]), {}, "gate 'rv' has free parameters"),
        ((branched, "Z", [0.1], "aer"), {}, "gate 'if_else' has free parameters"),
        ((measured, "ZZ"), {}, "'measure'"),
        ((QuantumCircuit(34), "Z" * 34), {}, "write backend='aer'"),
    ]


@pytest.mark.parametrize(("arguments", "keywords", "message"), refused())
def test_wrong_use(arguments, keywords, message):
    with pytest.raises(UsageError, match=message) as error:
        expectation(*arguments, **keywords)
    assert "\n" not in str(error.value)
