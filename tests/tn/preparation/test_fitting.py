"""Fits of given circuits: gradients, states that the circuit can make, reports, limits."""

import re

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import dense_state, prepared, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import random_statevector, random_unitary

from bondwise.runs import UsageError
from bondwise.tn import Decomposition, ExactOverlap, decompose, fit, site_tensors, to_dense
from bondwise.tn.overlap.truncated import TruncatedOverlap
from bondwise.tn.preparation.gate_matrices import GateMatrices

X = Parameter("x")
ZERO = np.eye(4)[0]
PAIR, TRIPLE = random_unitary(4, seed=1), random_unitary(8, seed=1)


def ansatz(sites, layers=1):
    """Rotations with shared, scaled and curved angles between entangling gates of all kinds."""
    angles = iter(ParameterVector("t", 100 * layers))
    circuit = QuantumCircuit(sites)
    shared = Parameter("shared")
    for _ in range(layers):
        for qubit in range(sites):
            circuit.u(next(angles), next(angles), next(angles), qubit)
        for qubit in range(sites - 1):
            circuit.cx(qubit, qubit + 1)
            circuit.ry(shared / 2 + next(angles), qubit)
        circuit.rxx(shared * shared, 0, sites - 1)
        circuit.crz(next(angles).sin(), sites - 1, 0)
    return circuit


def all_to_all(sites, layers, kind="rzz"):
    angles = iter(ParameterVector("t", layers * sites * (sites + 1)))
    circuit = QuantumCircuit(sites)
    for _ in range(layers):
        for qubit in range(sites):
            circuit.ry(next(angles), qubit)
        for a in range(sites):
            for b in range(a + 1, sites):
                getattr(circuit, kind)(next(angles), b, a)
    return circuit


def check(found, state):
    """The result is correct by Qiskit's simulator."""
    assert isinstance(found, Decomposition)
    exact = 1 - abs(np.vdot(state, prepared(found))) ** 2
    assert found.infidelity == pytest.approx(exact, abs=1e-12)
    assert found.parameters.shape == (found.circuit.num_parameters,)
    assert found.parameters.dtype == np.float64
    assert found.exact
    assert len(found.history) == 2
    assert found.history[-1]["infidelity"] == found.infidelity
    assert found.history[0]["infidelity"] >= found.infidelity - 1e-12
    assert "\n" not in found.message


@pytest.mark.parametrize("truncated", [False, True], ids=["exact", "truncated"])
@settings(max_examples=8, deadline=None)
@given(sites=st.integers(2, 6), real=st.booleans(), seed=st.integers(0, 2**16))
def test_gradient_of_the_fidelity_equals_differences(truncated, sites, real, seed):
    """Gate matrices and contraction together, as the fit uses them."""
    rng = np.random.default_rng(seed)
    circuit = ansatz(sites)
    matrices = GateMatrices(circuit)
    tensors = site_tensors(random_tensors(sites, 3, rng, real=real))
    contraction = (
        TruncatedOverlap(tensors, matrices.pairs, 32) if truncated else ExactOverlap(tensors, matrices.pairs)
    )
    x = rng.normal(size=circuit.num_parameters)

    def fidelity(x):
        return abs(np.vdot(to_dense(tensors), dense_state(circuit, x))) ** 2

    overlap, environments = contraction.environments(matrices.gates(x))
    assert abs(overlap) ** 2 == pytest.approx(fidelity(x), abs=1e-12)
    slopes = 2 * (np.conj(overlap) * matrices.pullback(x, environments)).real
    for j in rng.permutation(len(x))[:6]:
        unit = 1e-5 * np.eye(len(x))[j]
        difference = (fidelity(x + unit) - fidelity(x - unit)) / 2e-5
        assert slopes[j] == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("sites", [2, 3, 6])
@pytest.mark.parametrize("form", ["vector", "chain", "circuit", "tree"])
def test_a_state_made_by_the_circuit_is_recovered(sites, form):
    rng = np.random.default_rng(sites)
    circuit = ansatz(sites)
    right = rng.normal(size=circuit.num_parameters)
    vector = dense_state(circuit, right)
    state = vector
    if form == "chain":
        state = site_tensors(vector)
    elif form == "circuit":
        state = circuit.assign_parameters(right)
    elif form == "tree":
        array = vector.reshape((2,) * sites)
        state = qtn.TensorNetwork([qtn.Tensor(array, [f"k{i}" for i in reversed(range(sites))])])
    found = fit(circuit, state, right + 0.05 * rng.normal(size=len(right)), seed=0)
    check(found, vector)
    assert found.infidelity < 1e-9
    assert found.converged
    assert [entry["start"] for entry in found.history] == ["given", "fitted"]
    assert found.circuit == circuit
    assert found.cx_count == transpile(circuit, basis_gates=["cx", "u"]).count_ops()["cx"]


def test_the_right_parameters_stay():
    circuit = ansatz(4)
    right = np.random.default_rng(0).normal(size=circuit.num_parameters)
    found = fit(circuit, dense_state(circuit, right), right)
    assert found.infidelity < 1e-13
    np.testing.assert_allclose(found.parameters, right, atol=1e-5)


@settings(max_examples=6, deadline=None)
@given(sites=st.integers(2, 6), seed=st.integers(0, 2**16))
def test_what_is_reported_is_what_qiskit_simulates(sites, seed):
    """Random states, which the circuit cannot make: never worse than the start, and reported exactly."""
    state = random_statevector(2**sites, seed=seed).data
    circuit = ansatz(sites)
    start = np.random.default_rng(seed).normal(size=circuit.num_parameters)
    found = fit(circuit, state, start, iterations=30)
    check(found, state)
    begin = 1 - abs(np.vdot(state, dense_state(circuit, start))) ** 2
    assert found.history[0]["infidelity"] == pytest.approx(begin, abs=1e-12)
    assert found.infidelity <= begin + 1e-12


def test_random_starts_find_what_a_circuit_of_any_real_state_can_make():
    """Two qubits: RY RY CX RY RY makes every real state."""
    circuit = QuantumCircuit(2)
    t = ParameterVector("t", 4)
    circuit.ry(t[0], 0)
    circuit.ry(t[1], 1)
    circuit.cx(0, 1)
    circuit.ry(t[2], 0)
    circuit.ry(t[3], 1)
    state = np.random.default_rng(0).normal(size=4)
    state /= np.linalg.norm(state)
    found = fit(circuit, state, seed=0)
    check(found, state)
    assert found.infidelity < 1e-12
    assert found.history[0]["start"].startswith("random ")


def test_decomposed_circuits_are_improved_by_a_fit(heisenberg12):
    """What `decompose` returns is a circuit to fit, and its optimum stays one."""
    found = decompose(heisenberg12.state, layers=1, restarts=0, seed=0)
    again = fit(found.circuit, heisenberg12, found.parameters, iterations=20)
    check(again, to_dense(heisenberg12.tensors))
    assert again.infidelity == pytest.approx(found.infidelity, abs=1e-6)
    assert again.infidelity <= found.infidelity + 1e-12
    assert again.cx_count == found.cx_count
    assert again.depth == found.depth


class TestCircuits:
    state = random_statevector(8, seed=5).data

    @pytest.mark.parametrize(
        "build",
        [
            lambda c: (c.rx(X, 0), c.unitary(PAIR, [2, 0]), c.unitary(TRIPLE, [1, 2, 0])),
            lambda c: (c.rx(X, 0), c.ccx(0, 1, 2), c.h(1)),
            lambda c: (c.rx(X, 0), c.ry(X, 1), c.rz(X, 2)),
            lambda c: (c.rx(X, 1), c.cx(1, 2)),
            lambda c: (setattr(c, "global_phase", X), c.rx(X, 1), c.barrier(), c.cx(1, 2)),
            lambda c: (c.rx(X, 1), c.cx(1, 2), c.measure_all()),
            lambda c: c.compose(efficient_su2(3, reps=2), inplace=True),
            lambda c: (c.rx(X.exp() * X, 0), c.cx(0, 1), c.ry(X.sin(), 1)),
            lambda c: (c.rx(X.log() + 1 / X, 0), c.cx(0, 1), c.ry(X**0.5, 1)),
        ],
        ids=[
            *("unitaries", "toffoli", "no two-qubit gates", "idle", "phase", "measured", "ansatz", "curved"),
            "no angle everywhere",
        ],
    )
    def test_of_all_kinds(self, build):
        circuit = QuantumCircuit(3)
        build(circuit)
        start = np.full(circuit.num_parameters, 0.7)
        found = fit(circuit, self.state, start, iterations=40)
        check(found, self.state)
        assert found.circuit == circuit

    def test_a_phase_alone_changes_nothing(self):
        circuit = QuantumCircuit(2, global_phase=X)
        found = fit(circuit, ZERO, [0.3])
        check(found, ZERO)
        assert found.infidelity == 0
        assert found.parameters == pytest.approx([0.3])

    def test_barriers_are_no_gates(self):
        circuit = QuantumCircuit(2)
        circuit.rx(X, 0)
        circuit.barrier(0, 1)
        circuit.cx(0, 1)
        circuit.barrier(0, 1)
        found = fit(circuit, ZERO, [0.3])
        assert (found.cx_count, found.depth) == (1, 1)


class TestLimits:
    def test_the_target_ends_the_fit(self):
        circuit = ansatz(4)
        rng = np.random.default_rng(0)
        right = rng.normal(size=circuit.num_parameters)
        state = dense_state(circuit, right)
        start = right + 0.1 * rng.normal(size=len(right))
        loose, tight = (fit(circuit, state, start, infidelity=target) for target in (1e-2, 1e-8))
        assert 1e-8 < loose.infidelity <= 1e-2
        assert tight.infidelity <= 1e-8
        assert loose.converged
        assert tight.converged

    def test_a_target_that_cannot_be_met_says_why(self):
        tensors = random_tensors(12, 16, np.random.default_rng(0))
        circuit = QuantumCircuit(12)
        for qubit, angle in enumerate(ParameterVector("t", 12)):
            circuit.ry(angle, qubit)
        found = fit(circuit, tensors, infidelity=1e-3, seed=0)
        assert not found.converged
        assert "the target of 0.001 was not reached: raise iterations or restarts" in found.message
        assert "or give more gates" in found.message
        check(found, to_dense(tensors))

    def test_iterations_are_a_limit(self):
        circuit = ansatz(4)
        state = random_statevector(16, seed=0).data
        start = np.random.default_rng(0).normal(size=circuit.num_parameters)
        reached = [fit(circuit, state, start, iterations=count).infidelity for count in (1, 3, 10)]
        assert reached[0] > reached[1] > reached[2]

    def test_an_orthogonal_start_is_said_not_raised(self):
        """RZ keeps |0⟩ away from |1⟩ whatever the angle."""
        circuit = QuantumCircuit(2)
        circuit.rz(X, 0)
        found = fit(circuit, np.eye(4)[3], [0.1], infidelity=1e-3)
        assert found.infidelity == 1
        assert not found.converged

    def test_seeds_reproduce(self):
        circuit, state = ansatz(3), random_statevector(8, seed=1).data
        first, second, other = (fit(circuit, state, iterations=20, seed=seed) for seed in (3, 3, 4))
        assert np.array_equal(first.parameters, second.parameters)
        assert first.infidelity == second.infidelity
        assert not np.array_equal(first.parameters, other.parameters)
        assert (first.seed, other.seed) == (3, 4)

    def test_more_random_starts_are_not_worse(self):
        circuit, state = ansatz(4), random_statevector(16, seed=2).data
        few, many = (fit(circuit, state, restarts=count, iterations=50, seed=0) for count in (1, 6))
        assert few.history[0]["start"] == "random 1"
        # the best after 50 iterations continues for 50 more
        assert many.infidelity <= few.infidelity + 1e-3


class TestWide:
    """Beyond an exact contraction."""

    def test_truncation_is_said(self, monkeypatch):
        monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", str(2**9))
        circuit = all_to_all(8, 2)
        rng = np.random.default_rng(0)
        right = 0.3 * rng.normal(size=circuit.num_parameters)
        state = dense_state(circuit, right)
        start = right + 0.05 * rng.normal(size=len(right))
        found = fit(circuit, state, start, iterations=5, max_bond=8)
        assert not found.exact
        assert "approximate: bonds truncated at 8" in found.message
        exact = 1 - abs(np.vdot(state, dense_state(circuit, found.parameters))) ** 2
        assert found.infidelity == pytest.approx(exact, abs=5e-3)
        begin = 1 - abs(np.vdot(state, dense_state(circuit, start))) ** 2
        assert exact < begin

    def test_a_bond_that_holds_all_is_as_good_as_exact(self, monkeypatch):
        circuit = all_to_all(6, 1, "rzx")
        state = random_statevector(64, seed=1).data
        start = np.random.default_rng(1).normal(size=circuit.num_parameters)
        exact = fit(circuit, state, start, iterations=8)
        monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", str(2**5))
        found = fit(circuit, state, start, iterations=8, max_bond=8)
        assert exact.exact
        assert not found.exact
        assert found.infidelity == pytest.approx(exact.infidelity, abs=1e-6)
        weight = re.search(r"a weight of (\S+) left out", found.message)
        assert 0 <= float(weight[1]) < 1e-12

    @pytest.mark.parametrize("sites", [20, 32])
    def test_qubits_joined_at_random(self, monkeypatch, sites):
        """Against the dense state on 20 qubits; against a bond twice as large on 32."""
        if sites == 20:
            monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", str(2**20))
        rng = np.random.default_rng(0)
        circuit = QuantumCircuit(sites)
        for k, angle in enumerate(ParameterVector("t", 3 * sites)):
            circuit.ry(angle, k % sites)
            circuit.rxx(angle / 2, *(int(q) for q in rng.choice(sites, 2, replace=False)))
        zero = [np.array([1.0, 0]).reshape(1, 2, 1)] * sites
        matrices = GateMatrices(circuit)
        with pytest.raises(UsageError, match="too many to be exact"):
            ExactOverlap(zero, matrices.pairs)
        found = fit(circuit, zero, np.full(circuit.num_parameters, 0.05), iterations=1, max_bond=4)
        assert not found.exact
        assert "approximate: bonds truncated at 4" in found.message
        if sites == 20:
            overlap = dense_state(circuit, found.parameters)[0]
        else:
            overlap = TruncatedOverlap(zero, matrices.pairs, 8).overlap(matrices.gates(found.parameters))
        assert 0 < found.infidelity < 0.9 * found.history[0]["infidelity"]
        assert found.infidelity == pytest.approx(1 - abs(overlap) ** 2, abs=1e-4)

    def test_trees_are_refused_with_the_reason(self, monkeypatch):
        monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", str(2**6))
        network = qtn.TN_rand_tree(8, 2, phys_dim=2, seed=1)
        with pytest.raises(UsageError, match="too many to be exact; give fewer layers"):
            fit(all_to_all(8, 2), network / network.norm(), seed=0)


class TestRefused:
    @staticmethod
    def circuit():
        circuit = QuantumCircuit(2)
        circuit.rx(X, 0)
        circuit.cx(0, 1)
        return circuit

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"iterations": 0}, "iterations is 0; give a whole number of at least 1"),
            ({"iterations": 1.5}, "iterations is 1.5"),
            ({"restarts": 0}, "restarts is 0; give a whole number"),
            ({"restarts": True}, "restarts is True"),
            ({"max_bond": -3}, "max_bond is -3"),
            ({"infidelity": 0.0}, "infidelity is 0.0; give a positive number below 1"),
            ({"infidelity": np.nan}, "infidelity is nan"),
            ({"parameters": [0.1, 0.2]}, r"parameters have shape \(2,\); give 1 finite numbers"),
            ({"parameters": 0.1}, r"parameters have shape \(\)"),
            ({"parameters": [np.nan]}, "give 1 finite numbers"),
            ({"parameters": ["a"]}, "parameters"),
            ({"parameters": {"other": 0.1}}, "unknown parameter 'other'. Known: x"),
            ({"parameters": [0.1j]}, "parameters"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(UsageError, match=message) as caught:
            fit(self.circuit(), ZERO, **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            (np.eye(8)[0], "the circuit has 2 qubits and the state 3 sites"),
            (np.eye(2)[0], "the circuit has 2 qubits and the state 1 site"),
            (2 * ZERO, "the state has norm 2"),
            (np.array([np.nan, 0, 0, 0]), "NaN"),
            ("00", "the state is a str"),
            (None, "the state is None"),
        ],
    )
    def test_states(self, state, message):
        with pytest.raises(UsageError, match=message):
            fit(self.circuit(), state, seed=0)

    def test_circuits(self):
        bound = self.circuit().assign_parameters([0.1])
        with pytest.raises(UsageError, match="the circuit has no free parameters; give one with qiskit"):
            fit(bound, ZERO)
        single = QuantumCircuit(1)
        single.rx(X, 0)
        with pytest.raises(UsageError, match="the circuit has .* qubits?; give one on at least 2"):
            fit(single, np.eye(2)[0])
        reset = self.circuit()
        reset.reset(0)
        with pytest.raises(UsageError, match="holds 'reset', which is not a gate; remove it"):
            fit(reset, ZERO)

    @pytest.mark.parametrize("circuit", ["circuit.qasm", None, 3])
    def test_what_is_no_circuit(self, circuit):
        with pytest.raises(UsageError, match="circuit"):
            fit(circuit, ZERO)

    def test_a_number_in_the_circuit_that_is_not_finite(self):
        circuit = self.circuit()
        circuit.ry(np.nan, 1)
        with pytest.raises(UsageError, match="NaN|finite"):
            fit(circuit, ZERO, seed=0)

    @pytest.mark.parametrize(
        ("expression", "start"),
        [(X.log(), -1.0), (X**0.5, -1.0), (1 / X, 0.0)],
        ids=["log", "root", "inverse"],
    )
    def test_expressions_that_are_no_angle_at_the_start(self, expression, start):
        """An angle that is complex or infinite where the fit begins."""
        circuit = QuantumCircuit(2)
        circuit.rx(expression, 0)
        circuit.cx(0, 1)
        with pytest.raises(UsageError, match="x"):
            fit(circuit, ZERO, [start])
