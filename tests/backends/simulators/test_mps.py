"""The matrix product state simulator against Qiskit's statevector, light cones and its own refusals."""

import numpy as np
import pytest
import torch
from helpers import dense_state
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate, efficient_su2, qaoa_ansatz
from qiskit.circuit.random import random_circuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import PauliList, SparsePauliOp, Statevector, random_unitary
from scipy.stats import chi2

from bondwise.backends import estimate, expectation, get_backend, sample, to_torch
from bondwise.backends.mps.exact import exact_chain
from bondwise.circuits.splitting import split
from bondwise.qml import VQE, brickwall, heisenberg, ising, random_start
from bondwise.runs import UsageError

ONE = ("rx", "ry", "rz", "p", "h", "s", "t", "x")
TWO = ("cx", "cz", "swap", "cp", "rxx", "rzz", "crx", "ecr", "block", "unitary", "zz")
ANGLES = {"rx", "ry", "rz", "p", "cp", "rxx", "rzz", "crx", "zz"}


def parametrized(seed: int, qubits: int, gates: int) -> QuantumCircuit:
    """Random gates between any qubits, sub-circuits and gates on three, with angles that are expressions."""
    rng = np.random.default_rng(seed)
    a, b = ParameterVector("a", 3), Parameter("b")
    angles = (a[0], 2 * a[1] - b, a[2] * b, -a[0] / 3 + 0.1, b.sin(), 0.7)
    inner = QuantumCircuit(2)
    inner.ry(a[1], 0)
    inner.cz(0, 1)
    inner.rx(0.3, 1)
    circuit = QuantumCircuit(qubits)
    for number in range(gates):
        one = qubits == 1 or rng.random() < 0.4
        kind = str(rng.choice(ONE if one else TWO))
        where = [int(qubit) for qubit in rng.permutation(qubits)[: 1 if one else 2]]
        angle = angles[rng.integers(len(angles))]
        if kind == "block":
            circuit.append(inner.to_gate(), where)
        elif kind == "unitary":
            circuit.append(UnitaryGate(random_unitary(4, seed=seed + number)), where)
        elif kind == "zz":
            circuit.cx(*where)
            circuit.rz(angle, where[1])
            circuit.cx(*where)
        else:
            getattr(circuit, kind)(*([angle] if kind in ANGLES else []), *where)
        if qubits > 2 and rng.random() < 0.1:
            circuit.ccx(*(int(qubit) for qubit in rng.permutation(qubits)[:3]))
    circuit.ry(a[0] + a[1] + a[2] + b, 0)
    return circuit


def observables(seed: int, qubits: int) -> list[SparsePauliOp]:
    """A local letter, the same with an identity, and a sum of random words."""
    rng = np.random.default_rng(seed)
    letters = [("XYZ"[rng.integers(3)], [int(rng.integers(qubits))], 1.0)]
    local = SparsePauliOp.from_sparse_list(letters, qubits)
    shifted = SparsePauliOp.from_sparse_list([*letters, ("", [], 0.5)], qubits)
    words = PauliList.from_symplectic(*(rng.random((2, 6, qubits)) < 0.4))
    return [local, shifted, SparsePauliOp(words, rng.normal(size=6)).simplify()]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 25))
def test_values_of_random_circuits_are_those_of_qiskit(seed: int, qubits: int, gates: int) -> None:
    circuit, operators = parametrized(seed, qubits, gates), observables(seed, qubits)
    angles = np.random.default_rng(seed).normal(size=(2, 3, 4))
    pub = (circuit, operators, angles[..., None, :])
    expected = StatevectorEstimator().run([pub]).result()[0].data.evs
    found = estimate(circuit, operators, angles, backend="mps")
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    assert found.value.dtype == np.float64
    assert found.lost == found.shots == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 25))
def test_gradients_of_random_circuits_are_those_of_the_statevector(
    seed: int, qubits: int, gates: int
) -> None:
    circuit, operators = parametrized(seed, qubits, gates), observables(seed, qubits)
    slopes = []
    for name in ("mps", "statevector"):
        angles = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 4))).requires_grad_()
        weights = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
        (expectation(circuit, operators, angles, name) * weights).sum().backward()
        slopes.append(angles.grad.numpy())
    np.testing.assert_allclose(*slopes, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4))
def test_gates_of_up_to_four_qubits(seed: int, qubits: int, most: int) -> None:
    circuit = random_circuit(qubits, 4, max_operands=min(most, qubits), seed=seed)
    operators = observables(seed, qubits)
    expected = [Statevector(circuit).expectation_value(operator).real for operator in operators]
    np.testing.assert_allclose(estimate(circuit, operators, backend="mps").value, expected, atol=1e-12)
    # without a bond that is too large, nothing is truncated, but another contraction is used
    found = estimate(circuit, operators, backend="mps:max_bond=8,truncate")
    np.testing.assert_allclose(found.value, expected, atol=1e-9)


def test_second_derivatives() -> None:
    circuit = parametrized(3, 4, 15)
    start = torch.tensor([0.3, -0.2, 0.5, 0.9], dtype=torch.float64)
    operators = observables(3, 4)
    hessians = [
        torch.autograd.functional.hessian(
            lambda angles, name=name: expectation(
                circuit, operators, angles, name, gradient="backprop"
            ).sum(),
            start,
        )
        for name in ("mps", "statevector")
    ]
    torch.testing.assert_close(*hessians, atol=1e-9, rtol=0)


def test_a_pub_is_broadcast_as_qiskit_does() -> None:
    circuit = efficient_su2(3, reps=1)
    angles = np.random.default_rng(0).normal(size=(4, 1, circuit.num_parameters))
    operators = ["ZZI", {"XXI": 0.5, "III": 2.0}]
    pub = (circuit, operators, angles)
    expected = StatevectorEstimator().run([pub]).result()[0].data.evs
    found = get_backend("mps").run([pub])[0]
    assert found.data.evs.shape == (4, 2)
    np.testing.assert_allclose(found.data.evs, expected, atol=1e-12)
    assert found.metadata["lost"] == 0
    none = estimate(circuit, operators, np.zeros((0, circuit.num_parameters)), backend="mps")
    assert none.value.shape == (0, 2)


@pytest.mark.parametrize("seed", range(4))
def test_samples_follow_the_exact_probabilities(seed: int) -> None:
    circuit = parametrized(seed + 40, 4, 20)
    angles = np.random.default_rng(seed).normal(size=4)
    exact = np.abs(dense_state(circuit, angles)) ** 2
    counts = sample(circuit, angles, shots=4000, backend="mps", seed=seed).counts["meas"]
    found = np.array([counts.get(f"{index:04b}", 0) for index in range(16)])
    likely = exact > 1e-3
    assert not found[exact < 1e-12].any()
    deviation = ((found - 4000 * exact) ** 2 / np.maximum(4000 * exact, 1e-9))[likely].sum()
    assert deviation < chi2.isf(1e-6, likely.sum())


def test_measurements_of_some_qubits_into_any_bits() -> None:
    circuit = QuantumCircuit(4, 3)
    circuit.x([1, 3])
    circuit.measure([3, 0, 1], [0, 1, 2])
    circuit.measure(1, 1)  # the last one counts
    assert sample(circuit, shots=5, backend="mps").counts["c"] == {"111": 5}


def test_seeds_and_sampled_values() -> None:
    circuit = brickwall(6, 2)
    angles, chain = random_start(circuit, seed=1), heisenberg(6)
    first, again, other = (
        estimate(circuit, chain, angles, backend="mps", shots=4000, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again
    assert first.value != other.value
    exact = estimate(circuit, chain, angles, backend="mps").value
    assert abs(first.value - exact) < 5 * first.std
    drawn = [sample(circuit, angles, backend="mps", shots=50, seed=seed) for seed in (5, 5, 6)]
    assert drawn[0].counts == drawn[1].counts != drawn[2].counts


def test_a_hundred_qubits_by_light_cones() -> None:
    """A letter sees at most 6 qubits of two layers of a brickwall, which are simulated alone."""
    circuit = brickwall(100, 2)
    angles = random_start(circuit, seed=2)
    bound = circuit.assign_parameters(angles)
    chain = heisenberg(100)
    expected = 0.0
    for term, weight in zip(chain.paulis, chain.coeffs.real, strict=True):
        where = np.flatnonzero(term.x | term.z)
        first = max(0, int(where[0]) // 2 * 2 - 4)
        window = range(first, min(100, first + 12))
        place = {qubit: number for number, qubit in enumerate(window)}
        inside = QuantumCircuit(len(window))
        for step in bound.data:
            qubits = [bound.find_bit(qubit).index for qubit in step.qubits]
            if all(qubit in place for qubit in qubits):
                inside.append(step.operation, [place[qubit] for qubit in qubits])
        part = SparsePauliOp(term[list(window)])
        expected += weight * Statevector(inside).expectation_value(part).real
    found = estimate(circuit, chain, angles, backend="mps").value
    assert found == pytest.approx(expected, abs=1e-10)


def test_a_wide_product_state_and_a_distant_pair() -> None:
    circuit = QuantumCircuit(500)
    circuit.ry(0.4, range(500))
    one = SparsePauliOp.from_sparse_list([("Z", [499], 1.0), ("", [], 1.0)], 500)
    assert estimate(circuit, one, backend="mps").value == pytest.approx(1 + np.cos(0.4))
    circuit = QuantumCircuit(300)
    circuit.h(0)
    circuit.cx(0, 299)
    ends = SparsePauliOp.from_sparse_list([("XX", [0, 299], 1.0)], 300)
    assert estimate(circuit, ends, backend="mps").value == pytest.approx(1)
    assert set(sample(circuit, shots=20, backend="mps", seed=0).bits["meas"].sum(-1)) <= {0, 2}


def test_bonds_are_those_of_the_best_cut() -> None:
    def bond(circuit: QuantumCircuit) -> int:
        return exact_chain(split(circuit)).bond

    ghz = QuantumCircuit(40)
    ghz.h(0)
    for qubit in range(39):
        ghz.cx(qubit, qubit + 1)
    assert bond(ghz) == 2
    staircase = QuantumCircuit(30)
    for layer in range(3):
        for qubit in range(29):
            staircase.append(UnitaryGate(random_unitary(4, seed=100 * layer + qubit)), [qubit, qubit + 1])
    assert bond(staircase) == 2**3
    ring = SparsePauliOp.from_sparse_list([("ZZ", [i, i + 1], 1.0) for i in range(11)], 12)
    assert bond(qaoa_ansatz(ring, reps=1)) == 2
    shallow = QuantumCircuit(4)
    for _ in range(30):
        for pair in ((0, 1), (1, 2), (2, 3), (0, 3)):
            shallow.append(UnitaryGate(random_unitary(4, seed=1)), pair)
    assert bond(shallow) == 4  # never more than the qubits of the smaller side allow


def test_what_needs_a_larger_bond_is_refused_or_truncated() -> None:
    circuit = brickwall(12, 6)
    angles, chain = random_start(circuit, seed=0), heisenberg(12)
    for verb in (
        lambda name: estimate(circuit, chain, angles, backend=name),
        lambda name: expectation(circuit, chain, angles, name),
        lambda name: sample(circuit, angles, backend=name),
    ):
        with pytest.raises(
            UsageError, match=r"bond dimension of 64 and mps:max_bond=8 goes up to 8"
        ) as caught:
            verb("mps:max_bond=8")
        assert "\n" not in str(caught.value)
        assert "truncate" in str(caught.value)
    name = "mps:max_bond=16,truncate"
    exact, found = (estimate(circuit, chain, angles, backend=one) for one in ("statevector", name))
    assert 1e-6 < found.lost < 0.5
    assert abs(found.value - exact.value) < 2 * np.sqrt(found.lost) * np.abs(chain.coeffs).sum()
    assert "truncated: 1 - fidelity" in str(found)
    assert sample(circuit, angles, backend=name, shots=10).lost == pytest.approx(found.lost)


def test_what_is_lost_is_the_infidelity() -> None:
    circuit = random_circuit(8, 5, max_operands=2, seed=7)
    name = "mps:max_bond=6,truncate"
    found = sample(circuit, shots=20000, seed=1, backend=name)
    exact = np.abs(dense_state(circuit, [])) ** 2
    assert 0 < found.lost < 0.3
    counts = np.zeros(2**8)
    for word, count in found.counts["meas"].items():
        counts[int(word, 2)] = count / 20000
    # half the distance of two distributions is at most the root of the infidelity of their states
    assert np.abs(counts - exact).sum() / 2 < np.sqrt(found.lost) + 0.1


@pytest.mark.parametrize(("scale", "max_bond"), [(0.01, 4), (0.1, 4), (0.3, 8), (1.0, 12)])
@pytest.mark.parametrize("model", [heisenberg, ising])
def test_gradients_of_truncated_states(scale: float, max_bond: int, model) -> None:
    """At small angles nothing is lost to the value; fixed projectors would lose a third of the derivative."""
    circuit, hamiltonian = brickwall(10, 5), model(10)
    name = f"mps:max_bond={max_bond},truncate"
    slopes = []
    for backend in ("statevector", name):
        angles = torch.tensor(scale * random_start(circuit, seed=4) / np.pi, requires_grad=True)
        expectation(circuit, hamiltonian, angles, backend).backward()
        slopes.append(angles.grad)
    lost = estimate(circuit, hamiltonian, angles.detach(), backend=name).lost
    assert lost < 0.01
    assert (slopes[0] - slopes[1]).norm() <= (3 * np.sqrt(lost) + 1e-7) * slopes[0].norm()


def test_gradients_where_truncated_states_have_no_weight() -> None:
    """All gates are the identity, but their derivatives entangle both qubits."""
    circuit, angle = QuantumCircuit(8), iter(ParameterVector("a", 100))
    circuit.h(range(0, 8, 2))
    for _ in range(5):
        for qubit in range(7):
            where = (qubit, qubit + 1) if qubit % 2 == 0 else (qubit + 1, qubit)
            circuit.rzx(next(angle), *where)
        circuit.ry(next(angle), range(8))
    words = [("ZY" if qubit % 2 == 0 else "YZ", [qubit, qubit + 1], 1.0) for qubit in range(7)]
    operator = SparsePauliOp.from_sparse_list(words, 8)
    slopes = []
    for backend in ("statevector", "mps:max_bond=4,truncate"):
        angles = torch.zeros(circuit.num_parameters, dtype=torch.float64, requires_grad=True)
        expectation(circuit, operator, angles, backend).backward()
        slopes.append(angles.grad)
    assert slopes[0].norm() > 1
    torch.testing.assert_close(*slopes, atol=1e-9, rtol=0)


def test_truncated_states_have_first_derivatives_only() -> None:
    circuit, chain = brickwall(8, 4), heisenberg(8)
    angles = torch.tensor(random_start(circuit, seed=4), requires_grad=True)
    name = "mps:max_bond=4,truncate"
    with pytest.raises(UsageError, match="first derivatives only"):
        expectation(circuit, chain, angles, name, gradient="backprop")
    value = expectation(circuit, chain, angles, name)
    with pytest.raises(UsageError, match="first derivatives only"):
        torch.autograd.grad(value, angles, create_graph=True)
    batch = angles.detach().repeat(2, 1).requires_grad_()
    expectation(circuit, chain, batch, name).sum().backward()
    torch.testing.assert_close(batch.grad[0], torch.autograd.grad(value, angles)[0])


def test_a_gradient_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = brickwall(20, 4)
    angles = torch.tensor(random_start(circuit, seed=4), requires_grad=True)
    monkeypatch.setenv("BONDWISE_MAX_MEMORY_BYTES", str(2**16))
    with pytest.raises(UsageError, match="the gradient of 1 set of angles at bond 16 would take"):
        expectation(circuit, heisenberg(20), angles, "mps")
    assert np.isfinite(expectation(circuit, heisenberg(20), angles.detach(), "mps").item())


def test_tensors_that_are_too_large_are_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = brickwall(10, 5)
    angles, chain = random_start(circuit, seed=0), heisenberg(10)
    monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", "100")
    with pytest.raises(
        UsageError, match="numbers on the way to its state; write 'mps:max_bond=128,truncate'"
    ):
        estimate(circuit, chain, angles, backend="mps")
    found = estimate(circuit, chain, angles, backend="mps:truncate").value
    assert found == pytest.approx(estimate(circuit, chain, angles).value, abs=1e-10)


def test_what_is_not_a_gate_is_refused() -> None:
    middle = QuantumCircuit(2, 1)
    middle.h(0)
    middle.measure(0, 0)
    middle.x(0)
    reset = QuantumCircuit(1)
    reset.x(0)
    reset.reset(0)
    branch = QuantumCircuit(1, 1)
    branch.measure(0, 0)
    with branch.if_test((branch.clbits[0], 1)):
        branch.x(0)
    for circuit in (middle, reset, branch):
        for run in (
            lambda c: sample(c, backend="mps"),
            lambda c: estimate(c, "Z" * c.num_qubits, backend="mps"),
        ):
            with pytest.raises(UsageError) as caught:
                run(circuit)
            assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="at the end only, and 'x' on qubits \\[0\\] comes after"):
        sample(middle, backend="mps")
    with pytest.raises(UsageError, match="the state is not available"):
        to_torch(brickwall(2, 1), backend="mps")


@pytest.mark.parametrize(
    "name",
    ["mps:", "mps:max_bond", "mps:max_bond=", "mps:max_bond=0", "mps:max_bond=1.5", "mps:bond=3", "mpss"],
)
def test_wrong_options(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_backend(name)
    assert "\n" not in str(caught.value)


def test_training_is_that_of_the_statevector() -> None:
    circuit = brickwall(6, 2)
    start = random_start(circuit, seed=3)
    energies = [
        VQE(heisenberg(6), circuit, backend=name, optimizer="lbfgs").run(start, steps=8).losses
        for name in ("mps", "statevector")
    ]
    np.testing.assert_allclose(*energies, atol=1e-6)


def test_modules_and_pickles() -> None:
    import pickle

    circuit = brickwall(4, 1)
    module = to_torch(circuit, heisenberg(4), backend="mps", seed=0)
    module().backward()
    assert module.weight.grad.abs().sum() > 0
    assert pickle.loads(pickle.dumps(get_backend("mps:max_bond=4"))) is get_backend("mps:max_bond=4")
