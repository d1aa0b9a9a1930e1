"""The compiled adjoint method on circuits of all kinds of gates, against Qiskit's own states."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers import jacobian
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    InverseModifier,
    Parameter,
    ParameterVector,
    PowerModifier,
)
from qiskit.circuit.library import (
    C3SXGate,
    CCXGate,
    DiagonalGate,
    MCXGate,
    PauliEvolutionGate,
    PauliGate,
    PermutationGate,
    RXGate,
    UnitaryGate,
    XXPlusYYGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import SparsePauliOp, Statevector, random_pauli_list, random_unitary

from bondwise.backends import estimate, expectation, to_torch
from bondwise.runs import UsageError

STANDARD = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("delay", "reset", "measure")
}
LARGER: dict[str, Callable[[int], object]] = {
    "unitary1": lambda seed: UnitaryGate(random_unitary(2, seed=seed)),
    "unitary2": lambda seed: UnitaryGate(random_unitary(4, seed=seed)),
    "unitary3": lambda seed: UnitaryGate(random_unitary(8, seed=seed)),
    "unitary5": lambda seed: UnitaryGate(random_unitary(32, seed=seed)),
    "mcx": lambda seed: MCXGate(4, ctrl_state=seed % 16),
    "open ccx": lambda seed: CCXGate(ctrl_state=seed % 4),
    "open c3sx": lambda seed: C3SXGate(ctrl_state=seed % 8),
    "permutation": lambda seed: PermutationGate(np.random.default_rng(seed).permutation(4)),
    "diagonal": lambda seed: DiagonalGate(np.exp(1j * np.random.default_rng(seed).normal(size=8))),
    "pauli": lambda seed: PauliGate("XYZ"),
    "annotated": lambda seed: AnnotatedOperation(CCXGate(), [ControlModifier(1, seed % 2)]),
}  # fmt: skip


def appended(circuit: QuantumCircuit, name: str, rng: np.random.Generator, angle: Callable) -> None:
    """Append a gate on random qubits, if the circuit has enough of them."""
    gate = STANDARD[name] if name in STANDARD else LARGER[name](int(rng.integers(99)))
    if name in STANDARD and gate.params:
        gate = gate.base_class(*[angle() for _ in gate.params])
    if gate.num_qubits <= circuit.num_qubits:
        circuit.append(gate, rng.permutation(circuit.num_qubits)[: gate.num_qubits].tolist())


@st.composite
def problems(draw):
    """A circuit on 1 to 10 qubits, some perhaps unused, observables, and parameters."""
    num_qubits, rng = draw(st.integers(1, 10)), np.random.default_rng(draw(st.integers(0, 2**32)))
    theta = [*ParameterVector("theta", 11), Parameter("alpha")]
    circuit = QuantumCircuit(num_qubits, global_phase=draw(st.sampled_from([0.0, 0.7])))

    def angle():
        a, b = rng.choice(theta, 2)
        return [a, a, a - 2 * b + 0.3, a * b, float(rng.normal())][rng.integers(5)]

    for name in draw(st.lists(st.sampled_from([*STANDARD, *LARGER]), max_size=25)):
        appended(circuit, name, rng, angle)
    local = SparsePauliOp.from_sparse_list([("Z", [int(rng.integers(num_qubits))], 1.0)], num_qubits)
    paulis = random_pauli_list(num_qubits, 5, seed=rng, phase=False)
    return circuit, [local, SparsePauliOp(paulis, rng.normal(size=5))], rng


def exact(circuit: QuantumCircuit, angles: np.ndarray) -> Statevector:
    return Statevector(circuit.assign_parameters(angles))


@settings(max_examples=60, deadline=None)
@given(problems())
def test_random_circuits(problem):
    circuit, observables, rng = problem
    angles = rng.uniform(-2, 2, circuit.num_parameters)
    state = exact(circuit, angles)
    expected = [state.expectation_value(observable).real for observable in observables]
    theta = torch.tensor(angles, requires_grad=True)
    values = expectation(circuit, observables, theta)
    np.testing.assert_allclose(values.detach(), expected, rtol=0, atol=1e-12)
    module = to_torch(circuit, parameters=angles)
    np.testing.assert_allclose(module().detach(), state.data, rtol=0, atol=1e-12)
    if not len(angles):
        return
    weights = rng.normal(size=2)
    values.backward(torch.from_numpy(weights))
    direction = rng.normal(size=len(angles))
    above, below = (exact(circuit, angles + step * direction) for step in (1e-5, -1e-5))
    slope = sum(
        weight * (above.expectation_value(one) - below.expectation_value(one)).real / 2e-5
        for weight, one in zip(weights, observables, strict=True)
    )
    assert theta.grad.numpy() @ direction == pytest.approx(slope, rel=1e-5, abs=1e-5)
    # any real function of the state
    cotangent = rng.normal(size=state.dim) + 1j * rng.normal(size=state.dim)
    (module() * torch.from_numpy(cotangent)).sum().real.backward()
    slope = (cotangent @ (above.data - below.data)).real / 2e-5
    assert module.weight.grad.numpy() @ direction == pytest.approx(
        slope, abs=1e-6 * 2 ** (len(cotangent) / 200)
    )


@pytest.mark.parametrize("name", [*STANDARD, *LARGER])
def test_every_gate(name):
    rng, angles = np.random.default_rng(5), iter(ParameterVector("t", 20))
    circuit = QuantumCircuit(5)
    for qubit in range(5):
        circuit.append(UnitaryGate(random_unitary(2, seed=qubit)), [qubit])
        circuit.ry(next(angles), qubit)
    for _ in range(2):
        appended(circuit, name, rng, lambda: next(angles))
        circuit.rz(next(angles), 2)
    observables = [SparsePauliOp("IZXYI"), SparsePauliOp(["XIIIZ", "IIYII"], [0.4, 1.2])]
    point = rng.uniform(-2, 2, circuit.num_parameters)
    state = exact(circuit, point)
    values = expectation(circuit, observables, point)
    np.testing.assert_allclose(
        values, [state.expectation_value(one).real for one in observables], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        jacobian(circuit, observables, point, "adjoint", "statevector"),
        jacobian(circuit, observables, point, "backprop", "statevector"),
        rtol=0,
        atol=1e-11,
    )


def test_circuits_of_wide_gates_alone_and_of_nothing():
    flips = QuantumCircuit(3)
    flips.x(0)
    flips.x(1)
    flips.ccx(0, 1, 2)
    np.testing.assert_array_equal(expectation(flips, ["ZII", "IZI", "IIZ"]), [-1, -1, -1])
    np.testing.assert_array_equal(expectation(QuantumCircuit(1), ["Z", "X"]), [1, 0])


def test_threads_share_the_circuit():
    from concurrent.futures import ThreadPoolExecutor

    circuit = QuantumCircuit(4)
    for qubit, angle in enumerate(ParameterVector("a", 4)):
        circuit.ry(angle, qubit)
        circuit.cx(qubit, (qubit + 1) % 4)
    points = np.random.default_rng(0).normal(size=(64, 4))
    expected = expectation(circuit, "ZXYZ", points).numpy()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda point: expectation(circuit, "ZXYZ", point).item(), points))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_annotated_gates_with_free_angles():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(RXGate(x).control(2, annotated=True), [0, 1, 2])
    circuit.append(AnnotatedOperation(XXPlusYYGate(y, 0.3), [InverseModifier(), PowerModifier(2)]), [2, 0])
    circuit.append(AnnotatedOperation(UnitaryGate(random_unitary(2, seed=1)), [PowerModifier(0.3)]), [1])
    point = [0.7, -0.4]
    value = expectation(circuit, "ZYX", point).item()
    assert value == pytest.approx(estimate(circuit, "ZYX", point).value, abs=1e-12)
    differences = [
        (expectation(circuit, "ZYX", point + h).item() - expectation(circuit, "ZYX", point - h).item()) / 2e-5
        for h in 1e-5 * np.eye(2)
    ]
    np.testing.assert_allclose(
        jacobian(circuit, "ZYX", point, "adjoint", "statevector"), differences, atol=1e-8
    )
    root = QuantumCircuit(1)
    root.append(AnnotatedOperation(RXGate(x), [PowerModifier(0.5)]), [0])
    with pytest.raises(UsageError, match="'annotated' has free parameters"):
        expectation(root, "Z", [0.3])


def test_evolution_is_the_product_formula_that_devices_run():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI", "IY"]), 0.7), [0, 1])
    expected = Statevector(circuit.decompose().decompose()).expectation_value(SparsePauliOp("ZY")).real
    assert expectation(circuit, "ZY").item() == pytest.approx(expected, abs=1e-12)
