"""What is accepted as a state, and what is refused."""

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import random_tensors, up_to_phase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector, random_statevector

from bondwise.runs import UsageError
from bondwise.tn import site_tensors, to_dense, to_quimb
from bondwise.tn.states.chains import compress


@settings(max_examples=15, deadline=None)
@given(sites=st.integers(1, 8), seed=st.integers(0, 2**16))
def test_dense_vectors_go_round(sites, seed):
    vector = random_statevector(2**sites, seed=seed)
    for given_as in (vector, vector.data):
        tensors = site_tensors(given_as)
        assert [tensor.shape[1] for tensor in tensors] == [2] * sites
        assert up_to_phase(to_dense(tensors), vector.data) < 1e-13
        assert to_dense(tensors).dtype == np.complex128
    for tensor in tensors[1:]:  # right-canonical
        flat = tensor.reshape(tensor.shape[0], -1)
        np.testing.assert_allclose(flat @ flat.conj().T, np.eye(len(flat)), atol=1e-12)


def test_site_is_qubit():
    """|q2 q1 q0⟩ = |110⟩ in Qiskit's order: sites 1 and 2 are up."""
    tensors = site_tensors(Statevector.from_label("110"))
    assert [int(abs(tensor[0, 1, 0]) > 0.5) for tensor in tensors] == [0, 1, 1]
    assert all(tensor.dtype == np.float64 for tensor in tensors)


@settings(max_examples=10, deadline=None)
@given(sites=st.integers(1, 7), bond=st.integers(1, 5), real=st.booleans(), seed=st.integers(0, 2**16))
def test_quimb_goes_round(sites, bond, real, seed):
    tensors = random_tensors(sites, bond, np.random.default_rng(seed), real=real)
    state = to_quimb(tensors)
    assert isinstance(state, qtn.MatrixProductState)
    assert state.L == sites
    again = site_tensors(state)
    assert up_to_phase(to_dense(again), to_dense(tensors)) < 1e-13
    # quimb's own vector is big-endian
    big = state.to_dense().reshape((2,) * sites).transpose().ravel()
    assert up_to_phase(big, to_dense(tensors)) < 1e-13


def test_other_orders_of_indices_in_quimb_are_read():
    state = qtn.MPS_rand_state(5, 3, seed=1)
    state.permute_arrays("lrp")
    dense = state.to_dense().reshape((2,) * 5).transpose().ravel()
    assert up_to_phase(to_dense(site_tensors(state)), dense) < 1e-13


@settings(max_examples=10, deadline=None)
@given(phase=st.floats(0, 6.3), sites=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_a_real_state_is_found_behind_a_phase_and_a_gauge(phase, sites, seed):
    rng = np.random.default_rng(seed)
    real = random_tensors(sites, 3, rng)
    hidden = [tensor.astype(complex) for tensor in real]
    hidden[0] = hidden[0] * np.exp(1j * phase)
    for i in range(sites - 1):  # a random unitary and its inverse on the bond
        bond = hidden[i].shape[2]
        turn = np.linalg.qr(rng.normal(size=(bond, bond)) + 1j * rng.normal(size=(bond, bond)))[0]
        hidden[i] = hidden[i] @ turn
        hidden[i + 1] = np.tensordot(turn.conj().T, hidden[i + 1], 1)
    found = site_tensors(hidden)
    assert all(tensor.dtype == np.float64 for tensor in found)
    assert max(tensor.shape[0] for tensor in found) <= 3
    assert up_to_phase(to_dense(found), to_dense(real)) < 1e-12


def test_compression_keeps_a_state_that_fits_and_truncates_one_that_does_not():
    rng = np.random.default_rng(3)
    tensors = random_tensors(8, 4, rng)
    padded = [np.pad(tensor, ((0, i > 0), (0, 0), (0, i < 7))) for i, tensor in enumerate(tensors)]
    assert [t.shape for t in compress(padded)] == [t.shape for t in tensors]
    small = compress(tensors, 2)
    assert max(tensor.shape[2] for tensor in small) == 2
    assert np.linalg.norm(to_dense(small)) == pytest.approx(1, abs=1e-13)


def test_small_errors_of_the_norm_are_divided_out():
    tensors = site_tensors(np.array([1 + 5e-7, 0, 0, 0]))
    assert np.linalg.norm(to_dense(tensors)) == pytest.approx(1, abs=1e-15)


BELL = np.array([1, 0, 0, 1]) / np.sqrt(2)
PLUS = np.full((1, 2, 1), np.sqrt(0.5))
REFUSED = [
    (np.array([np.nan, 0, 0, 1]), "the vector of the state contains NaN or infinity"),
    ([PLUS, PLUS * np.inf], "site 1 of the state contains NaN or infinity"),
    (2 * BELL, "the state has norm 2, not 1; divide it by its norm"),
    (0 * BELL, "the state has norm 0"),
    ([2 * PLUS, PLUS], "the state has norm 2, not 1"),
    ([np.ones((1, 2, 3)), np.ones((2, 2, 1))], "the left bond of site 1 is 2; it must equal .* site 0, 3"),
    ([np.ones((2, 2, 1))], "the left bond of site 0 is 2; it must equal 1, as at an open end"),
    ([np.ones((1, 2, 2))], "the right bond of the last site is 2; it must be 1"),
    (
        [np.ones((1, 3, 1))],
        r"site 0 is float64 of shape \(1, 3, 1\); give numbers of shape \(left, 2, right\)",
    ),
    ([np.array([[["a"], ["b"]]])], "give numbers of shape"),
    (np.ones(3) / np.sqrt(3), "the state is an array of shape .3,.; give a quimb MatrixProductState"),
    (np.eye(4), "the state is an array of shape .4, 4."),
    (np.ones(1), "the state is an array of shape .1,."),
    ([], "the state"),
    ("mps.npz", "the state is a str; give a quimb"),
    (None, "the state is None"),
]


@pytest.mark.parametrize(("state", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_state_is_refused(state, message):
    with pytest.raises(UsageError, match=message):
        site_tensors(state)


def test_a_periodic_state_is_refused_with_the_reason():
    with pytest.raises(
        UsageError, match="periodic: a bond joins its last site to its first.*open boundaries"
    ):
        site_tensors(qtn.MPS_rand_state(6, 3, cyclic=True, seed=0))


def test_sites_that_are_no_qubits_are_refused():
    with pytest.raises(UsageError, match="site 0 is .* give numbers of shape"):
        site_tensors(qtn.MPS_rand_state(4, 2, phys_dim=3, seed=0))
