"""The exact contraction against dense state vectors."""

import numpy as np
import pytest
from helpers import applied, random_gates, random_tensors, staircase
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.runs import UsageError
from bondwise.tn import ExactOverlap
from bondwise.tn.overlap.contraction_order import ENVIRONMENT
from bondwise.tn.overlap.programs import run_program
from bondwise.tn.states.chains import to_dense


def brickwall(sites, rows):
    return [(i, i + 1) for row in range(rows) for i in range(row % 2, sites - 1, 2)]


LAYOUTS = st.one_of(
    st.builds(lambda n, k: (n, staircase(n, k)), st.integers(2, 10), st.integers(0, 3)),
    st.builds(lambda n, k: (n, brickwall(n, k)), st.integers(2, 10), st.integers(1, 4)),
    st.integers(2, 8).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.integers(0, n - 2).map(lambda i: (i, i + 1)), max_size=12)
        )
    ),
)


@settings(max_examples=40, deadline=None)
@given(layout=LAYOUTS, bond=st.integers(1, 6), real=st.booleans(), seed=st.integers(0, 2**16))
def test_overlap_and_environments_equal_the_dense_state(layout, bond, real, seed):
    sites, pairs = layout
    rng = np.random.default_rng(seed)
    tensors = random_tensors(sites, bond, rng, real=real)
    gates = random_gates(len(pairs), rng, real=real)
    contraction = ExactOverlap(tensors, pairs)

    target = to_dense(tensors).conj()
    exact = target @ applied(gates, pairs, sites)
    overlap, environments = contraction.environments(gates)
    assert overlap == pytest.approx(exact, abs=1e-13)
    assert contraction.overlap(gates) == pytest.approx(exact, abs=1e-13)
    assert isinstance(overlap, float if real else complex)
    for k in rng.permutation(len(pairs))[:2]:
        for row, column in rng.integers(0, 4, (3, 2)):
            unit = gates.copy()
            unit[k] = np.eye(16).reshape(4, 4, 4, 4)[row, column]
            derivative = target @ applied(unit, pairs, sites)
            assert environments[k, row, column] == pytest.approx(derivative, abs=1e-13)


@settings(max_examples=10, deadline=None)
@given(real=st.booleans(), seed=st.integers(0, 2**16))
def test_sweeps_never_lower_the_overlap(real, seed):
    rng = np.random.default_rng(seed)
    pairs = staircase(6, 2)
    contraction = ExactOverlap(random_tensors(6, 4, rng, real=real), pairs)
    gates = random_gates(len(pairs), rng, real=real)
    before = abs(contraction.overlap(gates))
    for _ in range(4):
        gates = contraction.sweep(gates)
        after = abs(contraction.overlap(gates))
        assert after >= before - 1e-12
        before = after
    np.testing.assert_allclose(
        gates @ gates.conj().transpose(0, 2, 1), np.eye(4)[None] + 0 * gates, atol=1e-12
    )
    if real:
        np.testing.assert_allclose(np.linalg.det(gates), 1, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("real", [True, False])
def test_an_improved_gate_is_the_best_unitary_for_its_environment(real, rank):
    """The polar factor from numpy's SVD, with the smallest weight turned where the determinant is kept."""
    rng = np.random.default_rng(rank)
    for _ in range(20):
        x, y = rng.normal(size=(2, 4, rank)) + (0 if real else 1j * rng.normal(size=(2, 4, rank)))
        y[:, -1] *= 10.0 ** rng.integers(-9, 1)
        gates = random_gates(1, rng, real=real).reshape(1, 16)
        environments, memory = np.zeros_like(gates), np.concatenate([x.ravel(), y.ravel()])
        program = np.array([[ENVIRONMENT, 0, 4 * rank, 4 * rank, 0, 2 * rank, rank, 0, 0, 0]])
        run_program(program, memory, gates, environments, np.empty(32, x.dtype), True, real or None)

        u, weights, v = np.linalg.svd(x @ y.T)
        if real:
            weights[3] *= np.linalg.det(u @ v)
            assert np.linalg.det(gates.reshape(4, 4)) == pytest.approx(1)
        assert environments.reshape(4, 4) == pytest.approx(x @ y.T)
        assert abs((gates * environments).sum()) == pytest.approx(weights.sum(), rel=1e-12)
        gate = gates.reshape(4, 4)
        assert gate @ gate.conj().T == pytest.approx(np.eye(4), abs=1e-14)


def test_cost_is_linear_in_the_number_of_sites():
    """The length of the tape counts the numbers that one pass handles."""
    rng = np.random.default_rng(0)
    lengths = [ExactOverlap(random_tensors(n, 4, rng), staircase(n, 3)).cost for n in (40, 80, 120)]
    assert lengths[2] - lengths[1] == lengths[1] - lengths[0]


@pytest.mark.parametrize("pair", [(1, 1), (2, 3), (-1, 0)])
def test_pairs_that_are_not_two_qubits_are_refused(pair):
    tensors = random_tensors(3, 2, np.random.default_rng(0))
    with pytest.raises(UsageError, match="is not two different qubits out of 0 to 2"):
        ExactOverlap(tensors, [pair])


def test_gates_of_another_number_are_refused():
    contraction = ExactOverlap(random_tensors(3, 2, np.random.default_rng(0)), [(0, 1)])
    with pytest.raises(UsageError, match="one 4 x 4 matrix for each of 1 pairs"):
        contraction.overlap(np.zeros((2, 4, 4)))


def test_too_deep_a_circuit_is_refused_before_memory_is_asked_for():
    tensors = random_tensors(60, 16, np.random.default_rng(0))
    with pytest.raises(UsageError, match="give fewer layers, a smaller bond"):
        ExactOverlap(tensors, staircase(60, 30))


def test_the_old_name_warns():
    import bondwise.tn

    with pytest.warns(DeprecationWarning, match="bondwise.tn.Window is now bondwise.tn.ExactOverlap"):
        assert bondwise.tn.Window is ExactOverlap
