"""Ground states against exact diagonalization and known energies."""

import re

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import heisenberg, staircase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse.linalg import eigsh

from bondwise.runs import UsageError
from bondwise.tn import GroundState, ground_state, to_dense
from bondwise.tn.states.operators import matrix_product, read_operator


@st.composite
def operators(draw):
    sites = draw(st.integers(1, 8))
    letters = draw(st.sampled_from(["IXYZ", "IZ", "XZ", "IXY"]))
    words = draw(st.lists(st.text(letters, min_size=sites, max_size=sites), min_size=1, max_size=10))
    coefficients = draw(st.lists(st.floats(-2, 2), min_size=len(words), max_size=len(words)))
    return SparsePauliOp(words, coefficients)


@settings(max_examples=40, deadline=None)
@given(operator=operators())
def test_any_pauli_sum_is_solved_exactly(operator):
    found = ground_state(operator, 32, seed=1)
    matrix = operator.to_matrix()
    state = to_dense(found.tensors)
    assert found.value == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-8)
    assert np.vdot(state, matrix @ state).real == pytest.approx(found.value, abs=1e-9)
    assert np.linalg.norm(state) == pytest.approx(1, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(operator=operators())
def test_the_matrix_product_operator_is_the_sum_of_words(operator):
    words, coefficients, constant = read_operator(operator)
    if len(words) == 0:
        return
    total = np.ones((1, 1, 1))
    for tensor in matrix_product(words, coefficients):  # later sites are more significant
        total = np.einsum("lrab,lcd->racbd", tensor, total)
        total = total.reshape(total.shape[0], total.shape[1] * total.shape[2], -1)
    matrix = total[0] + constant * np.eye(len(total[0]))
    np.testing.assert_allclose(matrix, operator.to_matrix(), atol=1e-11)


def test_bonds_of_the_operator_are_as_small_as_possible():
    operator = heisenberg(staircase(30), 30)
    words, coefficients, _ = read_operator(operator)
    shuffled = np.random.default_rng(0).permutation(len(words))
    tensors = matrix_product(words[shuffled], coefficients[shuffled])
    assert max(tensor.shape[1] for tensor in tensors) == 5
    # all pairs at equal strength: X, Y and Z each pass on one sum
    everywhere = heisenberg([(a, b) for a in range(12) for b in range(a + 1, 12)], 12)
    assert max(tensor.shape[1] for tensor in matrix_product(*read_operator(everywhere)[:2])) == 5


def test_heisenberg_chains(heisenberg12):
    assert heisenberg12.value == pytest.approx(-5.1420906328, abs=2e-9)
    assert heisenberg12.converged
    assert heisenberg12.std == 0
    assert all(tensor.dtype == np.float64 for tensor in heisenberg12.tensors)
    longer = ground_state(heisenberg(staircase(20), 20), 32, seed=0)
    assert longer.value == pytest.approx(-8.6824733, abs=1e-6)


def test_snake_of_a_grid_long_range_and_complex_operators():
    grid = [(3 * r + c, 3 * r + c + 1) for r in range(4) for c in range(2)]
    grid += [(3 * r + c, 3 * r + c + 3) for r in range(3) for c in range(3)]
    long_range = [("ZZ", [a, b], (b - a) ** -2.0) for a in range(12) for b in range(a + 1, 12)]
    long_range += [("X", [a], -1.0) for a in range(12)]
    twisted = [("XY", [a, a + 1], 1.0) for a in range(11)] + [("YX", [a, a + 1], -0.8) for a in range(11)]
    twisted += [("XYZ", [a, a + 1, a + 2], 0.4) for a in range(10)]
    for operator in (
        heisenberg(grid, 12),
        SparsePauliOp.from_sparse_list(long_range, 12),
        SparsePauliOp.from_sparse_list(twisted, 12),
    ):
        found = ground_state(operator, 64, seed=0)
        exact = eigsh(operator.to_matrix(sparse=True), 1, which="SA")[0][0]
        assert found.value == pytest.approx(exact, abs=1e-8)
        assert found.converged


@pytest.mark.parametrize("letters", ["IXYZ", "IIXZ", "IIZ", "IXXYY"])
@pytest.mark.parametrize("count", [3, 15, 40])
def test_random_sums_of_more_sites(letters, count):
    """Long-range, frustrated and degenerate sums, real and complex; a search may end in a local minimum."""
    rng = np.random.default_rng(count)
    words = ["".join(rng.choice(list(letters), 9)) for _ in range(count)]
    operator = SparsePauliOp(words, rng.normal(size=count))
    matrix = operator.to_matrix()
    exact = np.linalg.eigvalsh(matrix)[0]
    found = [ground_state(operator, 32, seed=k) for k in range(3)]
    assert min(each.value for each in found) == pytest.approx(exact, abs=1e-6)
    for each in found:
        state = to_dense(each.tensors)
        assert each.value >= exact - 1e-10
        assert np.vdot(state, matrix @ state).real == pytest.approx(each.value, abs=1e-9)


@pytest.mark.parametrize("twist", [pytest.param(0.0, marks=pytest.mark.slow), 0.4])
def test_chains_reach_the_energies_of_quimb(twist):
    sites, bond = 24, 16
    terms = [(letter * 2, [i, i + 1], 1.0) for i in range(sites - 1) for letter in "XYZ"]
    terms += [("Z", [i], 0.1 * (-1) ** (i // 3)) for i in range(sites)]
    if twist:
        terms += [("XY", [i, i + 1], twist) for i in range(sites - 1)]
        terms += [("YX", [i, i + 1], -twist) for i in range(sites - 1)]
    operator = SparsePauliOp.from_sparse_list(terms, sites)
    words, coefficients, constant = read_operator(operator)
    arrays = [np.ascontiguousarray(w.transpose(0, 1, 3, 2)) for w in matrix_product(words, coefficients)]
    arrays[0], arrays[-1] = arrays[0][0], arrays[-1][:, 0]
    solver = qtn.DMRG2(qtn.MatrixProductOperator(arrays, shape="lrud"), bond_dims=bond, cutoffs=0.0)
    solver.solve(tol=1e-9, max_sweeps=30, verbosity=0)
    found = ground_state(operator, bond, seed=0)
    assert found.value == pytest.approx(float(np.real(solver.energy)) + constant, abs=2e-6)
    assert found.tensors[0].dtype == (np.complex128 if twist else np.float64)


@pytest.mark.parametrize("word", ["ZIIIIIIIIIII", "YYYYYYYYYYYY", "IIIIIXIIIIII", "ZIIIIIIIIIIZ"])
def test_single_words(word):
    assert ground_state(SparsePauliOp([word], [0.7]), 32, seed=0).value == pytest.approx(-0.7, abs=1e-10)


def test_large_constants_and_small_scales_do_not_spoil_the_accuracy():
    operator = heisenberg(staircase(10), 10)
    exact = eigsh(operator.to_matrix(sparse=True), 1, which="SA")[0][0]
    shifted = (1e-6 * operator + SparsePauliOp(["I" * 10], [100.0])).simplify(atol=0)
    assert ground_state(shifted, 32, seed=0).value == pytest.approx(100 + 1e-6 * exact, abs=1e-13)


def test_the_bond_is_kept_and_the_energy_is_that_of_the_state():
    operator = heisenberg(staircase(10), 10)
    energies = []
    for bond in (1, 2, 4, 8):
        found = ground_state(operator, bond, seed=0)
        assert max(tensor.shape[2] for tensor in found.tensors) <= bond
        state = to_dense(found.tensors)
        assert np.vdot(state, operator.to_matrix(sparse=True) @ state) == pytest.approx(
            found.value, abs=1e-10
        )
        energies.append(found.value)
    assert energies == sorted(energies, reverse=True)


def test_seeds_reproduce_and_results_are_stored(tmp_path):
    operator = heisenberg(staircase(9), 9)
    first, second = (ground_state(operator, 8, seed=5) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.tensors, second.tensors, strict=True))
    first.save(tmp_path / "ground")
    again = GroundState.load(tmp_path / "ground")
    assert again.value == first.value
    assert isinstance(again.state, qtn.MatrixProductState)
    assert abs(again.state.H @ first.state) == pytest.approx(1, abs=1e-12)


def test_too_few_sweeps_are_said_not_raised():
    found = ground_state(heisenberg(staircase(12), 12), 32, sweeps=2, seed=0)
    assert not found.converged
    assert "not converged after 2 sweeps; raise sweeps" in found.message


XX = SparsePauliOp(["XX"])
REFUSED = [
    (XX, {"max_bond": 0}, "max_bond is 0; give a whole number of at least 1"),
    (XX, {"max_bond": -3}, "max_bond is -3"),
    (XX, {"max_bond": 2.5}, "max_bond is 2.5"),
    (XX, {"max_bond": True}, "max_bond is True"),
    (XX, {"sweeps": 0}, "sweeps is 0"),
    (SparsePauliOp(["XX"], [1j]), {}, "Hamiltonian is not Hermitian"),
    (SparsePauliOp(["XX"], [np.nan]), {}, "not finite"),
    (SparsePauliOp(["XX"], np.array([Parameter("a")])), {}, "bind its parameters first"),
    (np.eye(4), {}, "the Hamiltonian is a matrix"),
]


@pytest.mark.parametrize(("operator", "options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_use_is_refused(operator, options, message):
    with pytest.raises(UsageError, match=message):
        ground_state(operator, **options)


def test_a_hamiltonian_is_read_from_what_it_is_written_in():
    exact = ground_state(SparsePauliOp(["ZZ", "XI"], [1.0, 0.5])).value
    for written in ({"ZZ": 1.0, "XI": 0.5}, [("ZZ", 1.0), ("XI", 0.5)]):
        assert ground_state(written).value == pytest.approx(exact, abs=1e-12)


def test_the_progress_bar_shows_the_energy(capsys):
    # the largest coefficient is not 1 and there is a constant
    terms = [(letter * 2, [i, i + 1], 0.25) for i in range(7) for letter in "XYZ"]
    operator = SparsePauliOp.from_sparse_list([*terms, ("", [], 5.0)], 8)
    found = ground_state(operator, 8, seed=0, progress=True)
    shown = re.findall(r"energy (\S+), bond 8", capsys.readouterr().err)
    assert float(shown[-1]) == pytest.approx(found.energy, abs=1e-4)
    assert found.energy == pytest.approx(np.linalg.eigvalsh(operator.to_matrix())[0], abs=1e-4)
