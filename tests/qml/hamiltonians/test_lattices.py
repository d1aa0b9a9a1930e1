"""Spectra against formulas that were found without a computer, and lattices drawn by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from bondwise.qml import (
    exact_ground_state,
    heisenberg,
    ising,
    lattice_edges,
    lattice_size,
    model_hamiltonian,
    xxz,
)
from bondwise.runs import UsageError

constants = st.floats(-2, 2).map(lambda x: round(x, 3))


def spectrum(hamiltonian):
    return np.linalg.eigvalsh(hamiltonian.to_matrix())


@settings(max_examples=12, deadline=None)
@given(n=st.integers(2, 8), coupling=constants, field=constants)
def test_open_ising_is_free_fermions(n, coupling, field):
    # Jordan-Wigner: the single-particle energies are twice the singular values of a bidiagonal matrix
    hopping = np.diag(np.full(n, field)) + np.diag(np.full(n - 1, coupling), 1)
    energy, _ = exact_ground_state(ising(n, coupling=coupling, field=field))
    assert energy == pytest.approx(-np.linalg.svd(hopping, compute_uv=False).sum(), abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(n=st.sampled_from([4, 6, 8]), coupling=st.floats(0, 2), field=st.floats(0, 2))
def test_periodic_ising_is_free_fermions(n, coupling, field):
    momenta = np.pi * (2 * np.arange(n) + 1) / n  # antiperiodic fermions: even parity holds the ground state
    expected = -np.sqrt(coupling**2 + field**2 + 2 * coupling * field * np.cos(momenta)).sum()
    energy, _ = exact_ground_state(ising(n, coupling=coupling, field=field, periodic=True))
    assert energy == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "periodic", "energy"),
    [
        (2, False, -3 / 4),
        (2, True, -3 / 4),  # one bond, not two
        (3, False, -1),
        (4, False, -(3 + 2 * math.sqrt(3)) / 4),
        (4, True, -2),
        (6, True, -(2 + math.sqrt(13)) / 2),
        (12, False, -5.1420906328),
        ((1, 4), True, -2),
        ((2, 2), False, -2),  # the ring of four
        ((2, 2), True, -2),
        ((3, 4), False, -6.6916801935),
        ((4, 3), False, -6.6916801935),
    ],
)
def test_heisenberg_energies(size, periodic, energy):
    assert exact_ground_state(heisenberg(size, periodic=periodic))[0] == pytest.approx(energy, abs=1e-9)


def test_polarised_states_have_a_quarter_per_bond():
    assert spectrum(heisenberg((2, 4), periodic=True))[-1] == pytest.approx(12 / 4)
    assert spectrum(heisenberg(5, coupling=-2.0))[0] == pytest.approx(-2 * 4 / 4)


@settings(max_examples=20, deadline=None)
@given(coupling=constants, anisotropy=constants)
def test_xxz_pair(coupling, anisotropy):
    levels = np.array([anisotropy, anisotropy, 2 - anisotropy, -2 - anisotropy]) * coupling / 4
    assert spectrum(xxz(2, coupling=coupling, anisotropy=anisotropy)) == pytest.approx(np.sort(levels))


@pytest.mark.parametrize("n", [5, 8])
def test_xx_chain_is_free_fermions(n):
    levels = np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    assert exact_ground_state(xxz(n, anisotropy=0.0))[0] == pytest.approx(levels[levels < 0].sum())


def test_site_is_qubit_and_ising_signs():
    hamiltonian = ising(3, coupling=2.0, field=0.5)
    terms = dict(hamiltonian.to_list())
    assert terms == {"IZZ": -2, "ZZI": -2, "IIX": -0.5, "IXI": -0.5, "XII": -0.5}


def test_snake_along_the_shorter_side():
    tall = [(0, 1), (0, 5), (1, 2), (1, 4), (2, 3), (3, 4)]
    assert lattice_edges((2, 3)) == [(0, 1), (0, 3), (1, 2), (2, 3), (2, 5), (3, 4), (4, 5)]
    assert lattice_edges((3, 2)) == [(0, 1), (0, 3), (1, 2), (2, 3), (2, 5), (3, 4), (4, 5)]
    assert set(tall) <= set(lattice_edges((3, 4)))
    assert max(right - left for left, right in lattice_edges((2, 50))) == 3


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 6), cols=st.integers(2, 6), periodic=st.booleans())
def test_edges_are_a_lattice(rows, cols, periodic):
    edges = lattice_edges((rows, cols), periodic=periodic)
    across = rows * (cols if periodic and cols > 2 else cols - 1)
    down = cols * (rows if periodic and rows > 2 else rows - 1)
    assert len(edges) == len(set(edges)) == across + down
    assert all(0 <= left < right < rows * cols for left, right in edges)
    degrees = np.bincount(np.ravel(edges), minlength=rows * cols)
    if periodic and min(rows, cols) > 2:
        assert (degrees == 4).all()
    if not periodic:  # the spectrum of a product of two paths, whatever the numbering
        adjacency = np.zeros((rows * cols,) * 2)
        adjacency[tuple(zip(*edges, strict=True))] = 1
        levels = np.linalg.eigvalsh(adjacency + adjacency.T)
        path = [2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1)) for m in (rows, cols)]
        assert levels == pytest.approx(np.sort(np.add.outer(*path).ravel()), abs=1e-9)


@pytest.mark.parametrize(
    "size", [1, 0, -3, (1, 1), (0, 5), (3, -1), (2, 2, 2), "", "3x", "x4", "-8", 2.5, "a"]
)
def test_no_lattice(size):
    with pytest.raises(UsageError, match="is not a lattice; give"):
        lattice_size(size)
    with pytest.raises(UsageError):
        model_hamiltonian("heisenberg", size)


def test_models_by_name():
    assert model_hamiltonian("heisenberg", "3x4") == heisenberg((3, 4))
    assert model_hamiltonian("Ising", 4, periodic=True) == ising(4, periodic=True)
    with pytest.raises(UsageError, match="unknown model 'heisenburg'. Did you mean 'heisenberg'"):
        model_hamiltonian("heisenburg", 4)


@pytest.mark.parametrize("constant", [math.nan, math.inf])
def test_constants_are_finite(constant):
    with pytest.raises(UsageError, match="finite"):
        ising(4, field=constant)


def test_ground_state_vector_and_its_order():
    hamiltonian = SparsePauliOp.from_list([("IIIIIIIZ", 1.0), ("ZIIIIIII", -3.0), ("IXIIIIII", 0.5)])
    energy, states = exact_ground_state(hamiltonian)
    assert energy == pytest.approx(-4.5)
    assert states.shape == (256, 32)
    assert states.dtype == np.float64
    # qubit 0 is down, qubit 7 is up, qubit 6 is fixed and the other five are free
    weights = (states**2).sum(axis=1)
    index = np.arange(256)
    assert weights[(index % 2 == 1) & (index < 128)] == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(32)


@pytest.mark.parametrize(
    ("hamiltonian", "states"),
    [
        (heisenberg(5), 2),
        (heisenberg(11), 2),  # spin 1/2, found by Lanczos iteration
        (heisenberg(10), 1),
        (heisenberg(9, coupling=-1.0), 10),  # spin 9/2
        (ising(11, coupling=-1.0, field=0.0, periodic=True), 22),  # one wall on any bond, either way round
        (ising(12, field=0.01), 2),  # split by 1e-24 only
    ],
)
def test_the_whole_ground_level(hamiltonian, states):
    energy, basis = exact_ground_state(hamiltonian)
    assert basis.shape == (2**hamiltonian.num_qubits, states)
    assert basis.conj().T @ basis == pytest.approx(np.eye(states), abs=1e-12)
    assert hamiltonian.to_matrix(sparse=True) @ basis == pytest.approx(energy * basis, abs=1e-9)


def test_ground_level_of_too_many_states():
    found = exact_ground_state(SparsePauliOp(["Y" + "I" * 9, "I" * 10], [2.0, 1.0]))
    assert found == (pytest.approx(-1), None)


def test_infidelity_to_a_degenerate_level():
    """Spin up and spin down are as good as any mixture of them; a shift of all energies changes nothing."""
    hamiltonian = heisenberg(5) + SparsePauliOp(["I" * 5], [7.0])
    _, states = exact_ground_state(hamiltonian)
    levels, vectors = np.linalg.eigh(hamiltonian.to_matrix())
    mixed = vectors[:, :2] @ [0.6, 0.8j]
    assert levels[1] - levels[0] < 1e-10 < levels[2] - levels[1]
    assert np.linalg.norm(states.conj().T @ mixed) == pytest.approx(1)
    assert np.linalg.norm(states.conj().T @ vectors[:, 2]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [2, 10])
def test_ground_state_of_complex_and_constant_operators(n):
    assert exact_ground_state(SparsePauliOp(["Y" + "I" * (n - 1)], [2.0]))[0] == pytest.approx(-2)
    assert exact_ground_state(SparsePauliOp(["I" * n], [3.0]))[0] == pytest.approx(3)
    assert exact_ground_state(SparsePauliOp(["I" * n], [0.0]))[0] == 0
    assert exact_ground_state(SparsePauliOp(["Z" * n, "Z" * n], [1.0, -1.0]))[0] == 0
    assert exact_ground_state(SparsePauliOp(["Z" * n], [1e-9]))[0] == pytest.approx(-1e-9)


def test_ground_state_refuses():
    with pytest.raises(UsageError, match="at most 18 qubits"):
        exact_ground_state(heisenberg(19))
    with pytest.raises(UsageError, match="not Hermitian"):
        exact_ground_state(SparsePauliOp(["XX"], [1j]))
