"""Gate angles of any expression that Qiskit can write: value and gradient against Qiskit's own binding."""

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Statevector

from bondwise.backends import estimate, expectation, get_backend, sample, to_pennylane
from bondwise.circuits.angles import Angles
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError

A, B, SIN = Parameter("a"), Parameter("b"), Parameter("sin")
PARAMETERS = [A, B, SIN]
UNARY = ["sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "abs", "sign", "conjugate"]
leaves = st.sampled_from(PARAMETERS) | st.sampled_from([2, 0.5, -1.5, 3.0])


def apply(name, inner):
    return getattr(inner, name)() if isinstance(inner, ParameterExpression) else inner


def combine(parts):
    name, left, right = parts
    operations = {
        "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
        "/": lambda: left / right, "**": lambda: left**right,
    }  # fmt: skip
    return operations[name]()


def wider(inner):
    # powers of numbers alone may be complex
    pairs = st.tuples(st.sampled_from("+-*/"), inner, inner) | st.tuples(st.just("**"), leaves, inner)
    return st.builds(apply, st.sampled_from(UNARY), inner) | pairs.map(_tried(combine))


def _tried(function):
    def attempt(parts):
        try:
            return function(parts)
        except (ZeroDivisionError, OverflowError, RuntimeError, ValueError):  # Qiskit cannot write it
            return A

    return attempt


expressions = st.recursive(leaves, wider, max_leaves=7).filter(
    lambda one: isinstance(one, ParameterExpression)
)


def bound(expression, point):
    values = {parameter: point[PARAMETERS.index(parameter)] for parameter in expression.parameters}
    try:
        return complex(expression.bind(values))
    except (ZeroDivisionError, RuntimeError, OverflowError, TypeError, ValueError):
        return complex("nan")


@settings(max_examples=300, deadline=None)
@given(expressions, st.tuples(*[st.floats(0.2, 0.9)] * 3))
def test_values_and_slopes(expression, point):
    point = np.array(point)
    value = bound(expression, point)
    steps = 1e-6 * np.eye(3)
    around = np.array([[bound(expression, point + step), bound(expression, point - step)] for step in steps])
    assume(np.isfinite(value) and np.isfinite(around).all())
    assume(abs(value) < 1e4 and np.abs(around.imag).max() == 0 == value.imag)
    slopes = (around[:, 0] - around[:, 1]).real / 2e-6
    try:
        angles = Angles([expression, A + 0.0], PARAMETERS)
    except UsageError:
        assume(False)
    given = torch.tensor(point, requires_grad=True)
    angle = angles(given)[0]
    # a power of a negative number is complex on the way to a real angle, and is refused where it is used
    assume(not (np.isnan(angle.item()) and "**" in str(expression)))
    assert angle.item() == pytest.approx(value.real, rel=1e-9, abs=1e-9)
    assert float(angles(point)[0]) == pytest.approx(value.real, rel=1e-9, abs=1e-9)
    assert angles(np.stack([point] * 2)).shape == (2, 2)
    (found,) = torch.autograd.grad(angle, given, allow_unused=True)
    # finite differences lose digits to curvature and size
    if np.abs(slopes).max() < 1e3:
        np.testing.assert_allclose(found.numpy(), slopes, rtol=1e-3, atol=1e-4 * (1 + abs(value)))


EXPRESSIONS = {
    "rpow": 2**A, "pow": A**B, "conjugate": A.conjugate() * B, "sign": A.sign(), "sign plus": B + A.sign(),
    "abs": (A - B).abs(), "arcsin": A.arcsin(), "log": (A * B).log(), "square of i": (1j * A) ** 2,
    "order": B - A.sin(), "quotient": B / A.sin(), "tower": B ** A.sin(), "rsub": 2 - A.sin(),
    "sign of zero": (A - A).sign(),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_expectation(name, gradient, batch):
    circuit = QuantumCircuit(1)
    circuit.ry(EXPRESSIONS[name], 0)
    point = np.array([0.7, 0.4])[: circuit.num_parameters]

    def value(angles):
        return np.cos(bound(EXPRESSIONS[name], [*angles, 0.0][:3]).real)

    given = torch.tensor(np.broadcast_to(point, (*batch, len(point))).copy(), requires_grad=True)
    found = expectation(circuit, "Z", given, gradient=gradient)
    np.testing.assert_allclose(found.detach(), np.full(batch, value(point)), atol=1e-12)
    slopes = [(value(point + step) - value(point - step)) / 2e-6 for step in 1e-6 * np.eye(len(point))]
    (grad,) = torch.autograd.grad(found.sum(), given)
    np.testing.assert_allclose(grad, np.broadcast_to(slopes, grad.shape), atol=1e-7)


CANCELED = {"difference": A - A - 2.0, "product": 0 * A - 2, "quotient": -2 * A / A, "sum": B + A - B - A - 2}


@pytest.mark.parametrize("name", CANCELED)
@pytest.mark.parametrize(
    "backend",
    ["statevector", "aer:matrix_product_state", "aer:density_matrix", "aer:depolarizing=1e-9"],
)
def test_angles_that_no_parameter_is_left_in(name, backend):
    """Qiskit keeps the parameters of expressions that cancel to a number."""
    circuit = QuantumCircuit(2)
    circuit.ry(CANCELED[name], 0)
    circuit.cry(CANCELED[name], 0, 1)
    circuit.global_phase = CANCELED[name]
    angles = np.full((2, circuit.num_parameters), 0.7)
    wanted = [np.cos(2), 1 - np.sin(1) ** 2 * (1 - np.cos(2))]
    found = estimate(circuit, ["IZ", "ZI"], angles, backend=backend).value
    np.testing.assert_allclose(found, [wanted] * 2, atol=1e-7)
    found = expectation(circuit, ["IZ", "ZI"], angles, backend)
    np.testing.assert_allclose(found, [wanted] * 2, atol=1e-7)
    circuit.ry(B, 1)  # one that stays
    angles = np.linspace(0.1, 1, 2 * circuit.num_parameters).reshape(2, -1)
    for bits, row in zip(
        sample(circuit, angles, shots=2000, backend=backend, seed=1).bits["meas"], angles, strict=True
    ):
        exact = Statevector(circuit.assign_parameters(row)).probabilities([1])[1]
        assert bits.mean(axis=0) == pytest.approx([np.sin(1) ** 2, exact], abs=0.06)


@pytest.mark.parametrize("mitigated", [False, True])
@pytest.mark.parametrize("name", CANCELED)
def test_devices_compile_angles_that_no_parameter_is_left_in(name, mitigated):
    """At the transpiler's highest level, which merges them with others."""
    circuit = QuantumCircuit(2)
    circuit.u(CANCELED[name], CANCELED[name], B, 0)
    circuit.append(XXPlusYYGate(B, CANCELED[name]), [0, 1])
    values = dict.fromkeys(circuit.parameters, 0.7)
    place = get_backend("fake:manila")
    place = MitigatedEstimator(place, extrapolation=None) if mitigated else place
    found = estimate(circuit, ["IZ", "ZX"], list(values.values()), backend=place).value
    plain = estimate(circuit.assign_parameters(values), ["IZ", "ZX"], backend=place).value
    np.testing.assert_allclose(found, plain, atol=0.02)


def test_pennylane_takes_them_too():
    circuit = QuantumCircuit(1)
    circuit.ry(2**A, 0)
    state = qml.matrix(to_pennylane(circuit), wire_order=[0])(np.array([0.7]))[:, 0]
    np.testing.assert_allclose(state, [np.cos(2**0.7 / 2), np.sin(2**0.7 / 2)], atol=1e-12)


def test_complex_angles_are_refused():
    circuit = QuantumCircuit(1)
    circuit.ry((1j * A) ** 3, 0)
    with pytest.raises(UsageError, match="complex"):
        expectation(circuit, "Z", [0.7])


@pytest.mark.parametrize(
    "wrong", [[0.7 + 1j], [np.complex128(0.7 + 1j)], np.array([0.7 + 1j]), torch.tensor([1j])]
)
def test_complex_parameters_lose_nothing_on_the_way_to_pennylane(wrong):
    circuit = QuantumCircuit(1)
    circuit.ry(A, 0)
    with pytest.raises(UsageError, match="complex|must be real"):
        qml.matrix(to_pennylane(circuit), wire_order=[0])(wrong)


def test_powers_of_negative_numbers():
    """Complex on the way to a real angle; what stays complex or is not finite is refused by its name."""
    angles = Angles([((-1.5) ** A).abs()], [A])
    point = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(angles(point)[0], point)
    assert angles(point).item() == pytest.approx(1.5**0.3, abs=1e-14) == angles(np.array([0.3]))[0]
    assert slope.item() == pytest.approx(np.log(1.5) * 1.5**0.3, abs=1e-14)
    for expression, message in (((-1.5) ** A, "is complex"), (A.log(), r"'log\(a\)' is not a finite real")):
        with pytest.raises(UsageError, match=message):
            Angles([expression], [A])(torch.tensor([-0.3], dtype=torch.float64))
