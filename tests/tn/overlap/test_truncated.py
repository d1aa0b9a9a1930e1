"""Truncated contraction against the exact one, where nothing is truncated and where something is."""

import numpy as np
import pytest
from helpers import applied, random_gates, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.tn import ExactOverlap, site_tensors, to_dense
from bondwise.tn.overlap.truncated import TruncatedOverlap


@st.composite
def far_pairs(draw):
    """Pairs a < b of any distance."""
    sites = draw(st.integers(2, 8))
    pair = st.lists(st.integers(0, sites - 1), min_size=2, max_size=2, unique=True).map(
        lambda p: tuple(sorted(p))
    )
    return sites, draw(st.lists(pair, max_size=10))


@settings(max_examples=40, deadline=None)
@given(
    layout=far_pairs(),
    bond=st.integers(1, 6),
    real=st.booleans(),
    mixed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_the_exact_window_where_nothing_is_truncated(layout, bond, real, mixed, seed):
    sites, pairs = layout
    rng = np.random.default_rng(seed)
    tensors = site_tensors(random_tensors(sites, bond, rng, real=real))
    gates = random_gates(len(pairs), rng, real=real != mixed)
    truncated, contraction = TruncatedOverlap(tensors, pairs, 16), ExactOverlap(tensors, pairs)
    overlap, environments = truncated.environments(gates)
    exact, derivatives = contraction.environments(gates)
    assert overlap == pytest.approx(exact, abs=1e-9)
    assert truncated.overlap(gates) == pytest.approx(exact, abs=1e-9)
    np.testing.assert_allclose(environments, derivatives, atol=1e-9)
    assert truncated.lost == pytest.approx(0, abs=1e-12)
    assert truncated.dtype == contraction.dtype == tensors[0].dtype
    assert overlap == pytest.approx(to_dense(tensors).conj() @ applied(gates, pairs, sites), abs=1e-9)


def test_what_is_lost_is_what_the_bond_does_not_hold():
    """One gate in the middle of |0000⟩: the second Schmidt value is left out at bond 1."""
    gates = random_gates(1, np.random.default_rng(0), real=False)
    zero = [np.array([1.0, 0]).reshape(1, 2, 1)] * 4
    contraction = TruncatedOverlap(zero, [(1, 2)], 1)
    contraction.overlap(gates)
    weights = np.linalg.svd(gates[0][:, 0].reshape(2, 2))[1] ** 2
    assert contraction.lost == pytest.approx(weights[1], abs=1e-12)
    # the state that is kept has norm 1: its overlap with the first Schmidt vectors is 1
    u, _, v = np.linalg.svd(gates[0][:, 0].reshape(2, 2))
    target = [zero[0], u[:, 0].reshape(1, 2, 1), v[0].reshape(1, 2, 1), zero[0]]
    assert abs(TruncatedOverlap(target, [(1, 2)], 1).overlap(gates)) == pytest.approx(1, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_larger_bonds_come_nearer(seed):
    """The weight kept bounds the fidelity with the exact state; at the full bond there is no error."""
    rng = np.random.default_rng(seed)
    sites = 8
    pairs = [(i, i + 1) for _ in range(4) for i in range(sites - 1)]
    gates = random_gates(len(pairs), rng, real=False)
    exact = applied(gates, pairs, sites)
    target = site_tensors(exact)
    lost, infidelities = [], []
    for bond in (2, 4, 8, 16):
        contraction = TruncatedOverlap(target, pairs, bond)
        infidelities.append(1 - abs(contraction.overlap(gates)) ** 2)
        lost.append(contraction.lost)
    assert lost[-1] == pytest.approx(0, abs=1e-12)
    assert infidelities[-1] == pytest.approx(0, abs=1e-12)
    assert lost[0] > lost[1] > lost[2] > 0
    assert infidelities[0] > infidelities[1] > infidelities[2] > 0
    assert all(0 <= weight <= 1 for weight in lost[:3])


def test_environments_are_near_the_exact_ones():
    rng = np.random.default_rng(1)
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    angles = 0.1 * rng.normal(size=(len(pairs), 4, 4))
    gates = np.array([np.linalg.qr(np.eye(4) + angle - angle.T)[0] for angle in angles])
    tensors = site_tensors(random_tensors(8, 2, rng))
    truncated, contraction = TruncatedOverlap(tensors, pairs, 12), ExactOverlap(tensors, pairs)
    overlap, environments = truncated.environments(gates)
    exact, derivatives = contraction.environments(gates)
    assert 0 < truncated.lost < 0.01
    assert overlap == pytest.approx(exact, abs=0.01)
    assert np.abs(environments - derivatives).max() < 0.02


def test_without_gates_the_overlap_is_the_first_amplitude():
    tensors = site_tensors(random_tensors(5, 3, np.random.default_rng(2), real=False))
    contraction = TruncatedOverlap(tensors, [], 2)
    overlap, environments = contraction.environments(np.zeros((0, 4, 4)))
    assert overlap == pytest.approx(to_dense(tensors)[0].conj(), abs=1e-12)
    assert environments.shape == (0, 4, 4)
    assert contraction.lost == 0


def test_the_state_given_is_not_changed():
    rng = np.random.default_rng(3)
    tensors = site_tensors(random_tensors(6, 4, rng))
    before = [tensor.copy() for tensor in tensors]
    pairs = [(0, 5), (1, 2), (0, 3)]
    gates = random_gates(3, rng)
    contraction = TruncatedOverlap(tensors, pairs, 3)
    first = contraction.environments(gates)
    for tensor, copy in zip(tensors, before, strict=True):
        assert np.array_equal(tensor, copy)
    again = contraction.environments(gates)
    assert again[0] == first[0]
    assert np.array_equal(again[1], first[1])
