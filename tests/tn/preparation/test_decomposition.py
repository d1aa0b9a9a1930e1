"""States to circuits."""

import numpy as np
import pytest
from helpers import prepared, random_gates, random_tensors, staircase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import transpile
from qiskit.quantum_info import random_statevector

from bondwise.runs import UsageError
from bondwise.tn import (
    Decomposition,
    ExactOverlap,
    decompose,
    decompose_analytically,
    site_tensors,
    to_dense,
    to_quimb,
)
from bondwise.tn.preparation.analytic import analytic_layer, remove_gates
from bondwise.tn.preparation.joint_optimization import coordinates, polish, turn
from bondwise.tn.states.chains import inner


def chain_cx(sites, layers, real):
    """One CX for the first gate, two for others on a fresh qubit, two or three for the rest."""
    return 1 + 2 * (sites - 2) + (2 if real else 3) * (sites - 1) * (layers - 1)


def check(found, dense, *, cx):
    """The result is correct: infidelity by Qiskit's simulator, numbers by Qiskit's counts."""
    infidelity = 1 - abs(np.vdot(dense, prepared(found))) ** 2
    assert found.infidelity == pytest.approx(infidelity, abs=1e-12)
    assert found.value == found.infidelity
    assert found.parameters.dtype == np.float64
    assert found.parameters.shape == (found.circuit.num_parameters,)
    counts = found.circuit.count_ops()
    assert found.cx_count == counts.get("cx", 0) == cx
    assert found.depth == found.circuit.depth(lambda gate: gate.operation.name == "cx")
    assert found.history[-1]["infidelity"] == found.infidelity
    assert found.history[-1]["cx_count"] == found.cx_count


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("sites", [2, 3, 6])
def test_circuits_are_what_they_say(real, sites):
    tensors = random_tensors(sites, 4, np.random.default_rng(sites), real=real)
    found = decompose(tensors, layers=2, seed=0)
    check(found, to_dense(tensors), cx=chain_cx(sites, 2, real))
    assert [entry["layers"] for entry in found.history] == [0, 1, 2]


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("sites", [2, 5, 8])
def test_one_exact_layer_is_recovered(real, sites):
    gates = random_gates(sites - 1, np.random.default_rng(sites), real=real)
    state = np.zeros((2,) * sites, gates.dtype)
    state[(0,) * sites] = 1
    for gate, (a, b) in zip(gates, staircase(sites), strict=True):
        axes = (sites - 1 - a, sites - 1 - b)
        moved = np.moveaxis(state, axes, (0, 1))
        state = np.moveaxis((gate @ moved.reshape(4, -1)).reshape(moved.shape), (0, 1), axes)
    dense = state.ravel()
    for found in (decompose(dense, layers=1, seed=1), decompose_analytically(dense, 1)):
        assert found.infidelity < 1e-12
        assert abs(abs(np.vdot(dense, prepared(found))) - 1) < 1e-10


@settings(max_examples=8, deadline=None)
@given(sites=st.integers(3, 7), bond=st.integers(2, 8), real=st.booleans(), seed=st.integers(0, 2**16))
def test_no_layer_raises_the_infidelity(sites, bond, real, seed):
    tensors = random_tensors(sites, bond, np.random.default_rng(seed), real=real)
    found = decompose(tensors, layers=2, seed=seed)
    reached = [entry["infidelity"] for entry in found.history]
    assert all(after <= before + 1e-12 for before, after in zip(reached, reached[1:], strict=False))


def test_heisenberg_chain_beats_the_analytic_decomposition(heisenberg12):
    found = decompose(heisenberg12.state, max_cx=70, seed=0)
    alone = decompose_analytically(heisenberg12.state, 3)
    check(found, to_dense(heisenberg12.tensors), cx=65)
    check(alone, to_dense(heisenberg12.tensors), cx=65)
    assert found.infidelity <= 3e-3
    assert found.infidelity < alone.infidelity / 20
    assert found.depth == 2 * 11 + 2 * 4 - 1
    assert set(found.circuit.count_ops()) <= {"cx", "rx", "ry", "rz", "h", "s", "sdg"}


def test_transpiling_keeps_the_number_of_cx(heisenberg12):
    found = decompose(heisenberg12.state, layers=2, seed=0)
    basis = transpile(found.circuit, basis_gates=["cx", "rz", "sx", "x"], optimization_level=1)
    assert basis.count_ops()["cx"] == found.cx_count


def test_seeds_reproduce():
    state = to_quimb(random_tensors(6, 6, np.random.default_rng(0)))
    first, second, other = (decompose(state, layers=2, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.parameters, second.parameters)
    assert not np.array_equal(first.parameters, other.parameters)


class TestLimits:
    def test_layers_stop_at_the_target(self, heisenberg12):
        found = decompose(heisenberg12.state, infidelity=0.05, seed=0)
        assert found.infidelity <= 0.05
        assert len(found.history) == 3
        assert found.history[1]["infidelity"] > 0.05
        assert found.converged

    def test_a_target_that_is_missed_is_said_not_raised(self, heisenberg12):
        found = decompose(heisenberg12.state, infidelity=1e-6, layers=1, seed=0)
        assert not found.converged
        assert (
            "the target of 1e-06 was not reached: raise layers; the state has bond 32, and the last layer"
            in found.message
        )
        assert len(found.history) == 2

    def test_the_smaller_limit_holds(self):
        tensors = random_tensors(4, 4, np.random.default_rng(1))
        assert decompose(tensors, layers=3, max_cx=10, seed=0).cx_count == 5
        assert decompose(tensors, layers=1, max_cx=100, seed=0).cx_count == 5

    def test_too_few_cx_for_a_layer_give_a_product_state(self):
        tensors = random_tensors(4, 4, np.random.default_rng(1))
        found = decompose(tensors, max_cx=4, seed=0)
        check(found, to_dense(tensors), cx=0)

    def test_the_default_is_a_target_of_one_in_a_thousand(self):
        found = decompose(random_tensors(5, 2, np.random.default_rng(1)), seed=0)
        assert found.infidelity <= 1e-3
        assert len(found.history) == 2

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"layers": -1}, "layers is -1; give a whole number of at least 0"),
            ({"layers": 1.5}, "layers is 1.5"),
            ({"layers": "2"}, "layers is '2'; give a whole number"),
            ({"max_cx": -2}, "max_cx is -2"),
            ({"infidelity": 0.0}, "infidelity is 0.0; give a positive number below 1"),
            ({"infidelity": 1.0}, "infidelity is 1.0"),
            ({"infidelity": np.nan}, "infidelity is nan"),
        ],
    )
    def test_limits_out_of_range_are_refused(self, limits, message):
        with pytest.raises(UsageError, match=message):
            decompose(np.array([1.0, 0]), **limits)


class TestSimpleStates:
    @pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
    @pytest.mark.parametrize("sites", [1, 2, 5])
    def test_product_states_need_no_cx(self, real, sites):
        tensors = random_tensors(sites, 1, np.random.default_rng(7), real=real)
        found = decompose(tensors, seed=0)
        check(found, to_dense(tensors), cx=0)
        assert found.infidelity < 1e-13

    def test_layers_that_are_asked_for_are_made(self):
        tensors = random_tensors(4, 1, np.random.default_rng(7))
        found = decompose(tensors, layers=2, seed=0)
        check(found, to_dense(tensors), cx=11)
        assert found.infidelity < 1e-12

    @pytest.mark.parametrize("seed", [0, 1])
    def test_two_qubits_need_one_block(self, seed):
        vector = random_statevector(4, seed=seed).data
        found = decompose(vector, infidelity=1e-10, seed=0)
        check(found, vector, cx=1)
        assert found.infidelity < 1e-12

    def test_one_qubit_has_no_layers(self):
        found = decompose(np.array([0.6, 0.8j]), layers=3)
        check(found, np.array([0.6, 0.8j]), cx=0)
        assert found.infidelity < 1e-14

    def test_bad_states_are_refused(self):
        with pytest.raises(UsageError, match="the state has norm 2"):
            decompose(np.array([2.0, 0, 0, 0]))
        with pytest.raises(UsageError, match="one site; a layer of gates needs at least 2"):
            decompose_analytically(np.array([1.0, 0]), 1)
        with pytest.raises(UsageError, match="layers is 0; give a whole number of at least 1"):
            decompose_analytically(np.array([1.0, 0, 0, 0]), 0)


def test_results_are_stored(tmp_path):
    found = decompose(random_tensors(4, 3, np.random.default_rng(2)), layers=1, seed=9)
    found.save(tmp_path / "found")
    again = Decomposition.load(tmp_path / "found")
    assert again.circuit == found.circuit
    assert np.array_equal(again.parameters, found.parameters)
    assert again.history == found.history
    assert (again.infidelity, again.seed, again.message) == (found.infidelity, 9, found.message)
    assert str(found).startswith("Decomposition: infidelity ")


@settings(max_examples=10, deadline=None)
@given(real=st.booleans(), seed=st.integers(0, 2**16))
def test_removing_a_layer_leaves_what_the_layer_lacks(real, seed):
    """⟨0|U†|ψ⟩ is the overlap, in whatever order the gates are removed."""
    rng = np.random.default_rng(seed)
    tensors = random_tensors(6, 4, rng, real=real)
    gates = random_gates(10, rng, real=real)
    rest = remove_gates(tensors, staircase(6, 2), gates)
    zero = [np.array([1.0, 0]).reshape(1, 2, 1)] * 6
    overlap = ExactOverlap(tensors, staircase(6, 2)).overlap(gates)
    assert inner(rest, zero) == pytest.approx(overlap, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(real=st.booleans(), seed=st.integers(0, 2**16))
def test_states_of_bond_two_are_one_analytic_layer(real, seed):
    tensors = site_tensors(random_tensors(6, 2, np.random.default_rng(seed), real=real))
    gates = analytic_layer(tensors)
    assert abs(ExactOverlap(tensors, staircase(6)).overlap(gates)) == pytest.approx(1, abs=1e-12)
    if real:
        np.testing.assert_allclose(np.linalg.det(gates), 1, atol=1e-12)


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
def test_polish_ends_at_a_stationary_point_and_stays_unitary(real):
    rng = np.random.default_rng(4)
    tensors = random_tensors(5, 4, rng, real=real)
    contraction = ExactOverlap(tensors, staircase(5, 1))
    gates, infidelity = polish(contraction, random_gates(4, rng, real=real), 1000)
    assert infidelity == pytest.approx(1 - abs(contraction.overlap(gates)) ** 2, abs=1e-12)
    np.testing.assert_allclose(gates @ gates.conj().transpose(0, 2, 1), [np.eye(4)] * 4, atol=1e-13)
    slopes = []
    for unit in np.eye(coordinates(gates)):
        ahead, behind = (abs(contraction.overlap(turn(gates, step * unit))) ** 2 for step in (1e-4, -1e-4))
        slopes.append((ahead - behind) / 2e-4)
    assert np.abs(slopes).max() < 1e-4


def test_real_states_may_be_given_complex_gates():
    state = np.zeros(8)
    state[[0, 7]] = np.sqrt(0.5)
    real, any_gates = decompose(state, layers=1, seed=0), decompose(state, layers=1, real=False, seed=0)
    assert (real.cx_count, any_gates.cx_count) == (3, 3)
    assert max(real.infidelity, any_gates.infidelity) < 1e-10
    with pytest.raises(UsageError, match="the state is complex"):
        decompose(np.array([1, 1, 1, 1j]) / 2, layers=1, real=True)


class TestWorth:
    def test_layers_that_bring_nothing_are_left_out(self):
        """A brickwall of few rows cannot join the ends of a GHZ state: every row leaves one half."""
        ghz = [np.eye(2)[None], *[np.einsum("ab,ac->abc", np.eye(2), np.eye(2))] * 18, np.eye(2)[..., None]]
        ghz[0] = ghz[0] / np.sqrt(2)
        found = decompose(ghz, layout="brickwall", infidelity=1e-3, restarts=1, seed=0)
        assert not found.converged
        assert found.infidelity == pytest.approx(0.5)
        assert (found.cx_count, len(found.history)) == (0, 1)
        assert "two more layers were left out, as they only reached 0.5" in found.message

    def test_a_random_state_is_not_promised(self):
        tensors = random_tensors(12, 16, np.random.default_rng(0))
        found = decompose(tensors, max_cx=66, infidelity=1e-2, restarts=1, seed=0)
        assert not found.converged
        assert "the state has bond 16" in found.message
        check(found, to_dense(tensors), cx=found.cx_count)

    def test_the_first_layer_does_not_raise_the_infidelity_of_a_product_state(self):
        ones = np.zeros(2**8)
        ones[-1] = 1
        for layout in ("staircase", "bidirectional", "brickwall", "tree"):
            found = decompose(ones, layers=1, layout=layout, restarts=0)
            assert found.infidelity < 1e-12
