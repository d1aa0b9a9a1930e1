"""Orders of qubits: the information they come from, the search, and states in another order."""

import itertools
import math

import numpy as np
import pytest
from helpers import heisenberg, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Statevector, partial_trace, random_statevector
from qiskit.quantum_info import mutual_information as qiskit_mutual_information

from bondwise.runs import UsageError
from bondwise.tn import decompose, ground_state, to_dense, to_quimb
from bondwise.tn.states import ordering as module
from bondwise.tn.states.chains import inner
from bondwise.tn.states.ordering import block_order, mutual_information, order_qubits, permute, snake_order

SEEDS = st.integers(0, 2**16)


def cost(information, order):
    return sum(
        information[order[a], order[b]] ** 2 * (b - a)
        for a, b in itertools.combinations(range(len(order)), 2)
    )


def dense_permutation(vector, order):
    """Qubit k of the result is qubit order[k] of the vector, both little-endian."""
    sites = len(order)
    axes = [sites - 1 - order[sites - 1 - axis] for axis in range(sites)]
    return np.asarray(vector).reshape((2,) * sites).transpose(axes).ravel()


def infidelity(found, wanted):
    return abs(1 - abs(np.vdot(found, wanted)))


def ghz(sites):
    """(|0…0⟩ + |1…1⟩) / √2."""
    tensor = np.zeros((2, 2, 2))
    tensor[0, 0, 0] = tensor[1, 1, 1] = 1
    return [tensor.sum(0)[None] / np.sqrt(2), *[tensor] * (sites - 2), tensor.sum(2)[:, :, None]]


def decaying(sites):
    """Information of a chain: falls with the square of the distance."""
    places = np.arange(sites)
    information = 1 / (1.0 + np.abs(places[:, None] - places)) ** 2
    np.fill_diagonal(information, 0)
    return information


# ---------------------------------------------------------------- mutual information


@settings(max_examples=20, deadline=None)
@given(sites=st.integers(1, 7), real=st.booleans(), seed=SEEDS)
def test_information_is_that_of_qiskit(sites, real, seed):
    vector = random_statevector(2**sites, seed=seed).data
    if real:
        vector = vector.real / np.linalg.norm(vector.real)
    found = mutual_information(vector)
    assert found.shape == (sites, sites)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found.diagonal(), 0)
    for i, j in itertools.combinations(range(sites), 2):
        rest = [k for k in range(sites) if k not in (i, j)]
        pair = DensityMatrix(partial_trace(Statevector(vector), rest))
        wanted = qiskit_mutual_information(DensityMatrix(pair.data, dims=(2, 2)), base=math.e)
        assert found[i, j] == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(sites=st.integers(2, 7), bond=st.integers(1, 4), real=st.booleans(), seed=SEEDS)
def test_information_does_not_depend_on_how_the_state_is_given(sites, bond, real, seed):
    tensors = random_tensors(sites, bond, np.random.default_rng(seed), real=real)
    found = mutual_information(tensors)
    np.testing.assert_allclose(mutual_information(to_quimb(tensors)), found, atol=1e-12)
    np.testing.assert_allclose(mutual_information(to_dense(tensors)), found, atol=1e-12)


def test_information_of_known_states():
    bell = np.array([1, 0, 0, 1j]) / np.sqrt(2)
    np.testing.assert_allclose(mutual_information(bell), 2 * np.log(2) * (1 - np.eye(2)), atol=1e-14)
    product = random_statevector(2, seed=1).tensor(random_statevector(2, seed=2)).tensor(bell)
    found = mutual_information(product)
    assert found[0, 1] == pytest.approx(2 * np.log(2), abs=1e-13)
    assert np.count_nonzero(found) == 2  # for uncorrelated qubits it is 0, not a rounding error
    # far more sites than a vector could have
    np.testing.assert_allclose(mutual_information(ghz(60)), np.log(2) * (1 - np.eye(60)), atol=1e-13)


# ---------------------------------------------------------------- permutation


@settings(max_examples=30, deadline=None)
@given(data=st.data(), sites=st.integers(1, 8), real=st.booleans(), seed=SEEDS)
def test_permutation_is_that_of_the_vector(data, sites, real, seed):
    order = data.draw(st.permutations(range(sites)))
    tensors = random_tensors(sites, 3, np.random.default_rng(seed), real=real)
    found = permute(tensors, order)
    wanted = dense_permutation(to_dense(tensors), order)
    assert infidelity(to_dense(found), wanted) < 1e-12
    for i, tensor in enumerate(found):
        flat = tensor.reshape(tensor.shape[0], -1)  # right-canonical
        np.testing.assert_allclose(flat @ flat.conj().T, np.eye(len(flat)), atol=1e-12)
        # bonds are as small as the state allows
        assert tensor.shape[0] == np.linalg.matrix_rank(wanted.reshape(-1, 2**i), tol=1e-10)
    back = permute(found, np.argsort(order))
    assert infidelity(to_dense(back), to_dense(tensors)) < 1e-12


def test_site_k_of_the_result_is_site_order_k():
    """|q3 q2 q1 q0⟩ = |0100⟩: the 1 of site 2 goes where the order has the 2."""
    found = permute(Statevector.from_label("0100"), [3, 2, 0, 1])
    assert np.flatnonzero(np.abs(to_dense(found)) > 0.5) == [0b0010]


@settings(max_examples=15, deadline=None)
@given(data=st.data(), sites=st.integers(2, 9))
def test_neighbors_are_exchanged_as_often_as_there_are_inversions(data, sites):
    order = data.draw(st.permutations(range(sites)))
    inversions = sum(a > b for a, b in itertools.combinations(order, 2))
    split, count = module.split, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "split", lambda *values: count.append(1) or split(*values))
        permute(ghz(sites), order)
    assert len(count) == inversions


def test_truncation():
    rng = np.random.default_rng(5)
    # the GHZ state is the same in every order and needs bond 2, also on the way
    order = rng.permutation(40).tolist()
    found = permute(ghz(40), order, max_bond=2)
    assert max(tensor.shape[2] for tensor in found) == 2
    assert abs(inner(found, ghz(40))) == pytest.approx(1, abs=1e-12)
    # the largest singular values of the exact state are kept
    tensors = random_tensors(4, 4, rng, real=False)
    wanted = dense_permutation(to_dense(tensors), [0, 2, 1, 3])
    values = np.linalg.svd(wanted.reshape(4, 4), compute_uv=False)
    for options in ({"max_bond": 3}, {"cutoff": values[3] / values[0] * (1 + 1e-9)}):
        found = permute(tensors, [0, 2, 1, 3], **options)
        assert [tensor.shape[0] for tensor in found] == [1, 2, 3, 2]
        assert np.linalg.norm(to_dense(found)) == pytest.approx(1, abs=1e-12)
        overlap = abs(np.vdot(to_dense(found), wanted)) ** 2
        assert overlap == pytest.approx(np.sum(values[:3] ** 2), abs=1e-12)
    tensors = random_tensors(8, 8, rng)
    found = permute(tensors, rng.permutation(8), max_bond=3)
    assert max(tensor.shape[2] for tensor in found) == 3
    assert np.linalg.norm(to_dense(found)) == pytest.approx(1, abs=1e-12)


# ---------------------------------------------------------------- search


def test_chains_come_back_as_they_are(heisenberg12):
    assert order_qubits(heisenberg12.tensors, seed=0) == list(range(12))
    ladder = [(i, i + 2) for i in range(8)] + [(2 * i, 2 * i + 1) for i in range(5)]
    ground = ground_state(heisenberg(ladder, 10), 32, seed=0)
    found = order_qubits(ground.tensors, seed=0)
    assert all({found[2 * i], found[2 * i + 1]} == {2 * i, 2 * i + 1} for i in range(5))  # rung by rung


def test_a_shuffled_chain_is_found(heisenberg12):
    shuffle = np.random.default_rng(4).permutation(12)
    shuffled = permute(heisenberg12.tensors, shuffle)
    assert max(tensor.shape[2] for tensor in shuffled) == 64
    order = order_qubits(shuffled, seed=0)
    assert shuffle[order].tolist() in (list(range(12)), list(range(12))[::-1])
    restored = permute(shuffled, order)
    assert max(tensor.shape[2] for tensor in restored) <= 32


@settings(max_examples=20, deadline=None)
@given(data=st.data(), sites=st.integers(1, 20), seed=SEEDS)
def test_shuffled_information_is_sorted(data, sites, seed):
    shuffle = np.array(data.draw(st.permutations(range(sites))))
    information = decaying(sites)
    order = order_qubits(information[np.ix_(shuffle, shuffle)], seed=seed)
    assert shuffle[order].tolist() in (list(range(sites)), list(range(sites))[::-1])


@settings(max_examples=20, deadline=None)
@given(sites=st.integers(1, 14), density=st.floats(0, 1), seed=SEEDS)
def test_no_order_costs_more_than_the_given_one(sites, density, seed):
    rng = np.random.default_rng(seed)
    information = np.triu(rng.random((sites, sites)) * (rng.random((sites, sites)) < density), 1)
    information += information.T
    order = order_qubits(information, seed=seed)
    assert sorted(order) == list(range(sites))
    assert all(type(qubit) is int for qubit in order)
    assert cost(information, order) <= cost(information, range(sites)) * (1 + 1e-9)
    assert order_qubits(information / 1024 + 7 * np.eye(sites), seed=seed) == order


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_orders_is_found(seed):
    rng = np.random.default_rng(seed)
    information = np.triu(rng.random((6, 6)), 1)
    information += information.T
    best = min(cost(information, order) for order in itertools.permutations(range(6)))
    assert cost(information, order_qubits(information, seed=0)) == pytest.approx(best, rel=1e-12)


def test_changes_of_the_cost_are_exact():
    rng = np.random.default_rng(2)
    sites = 7
    weights = np.triu(rng.random((sites, sites)), 1)
    weights += weights.T
    distance = np.abs(np.subtract.outer(np.arange(sites), np.arange(sites))).astype(float)
    exchanges = module.exchange_changes(weights, distance)
    insertions = module.insertion_changes(weights)
    for a, b in itertools.product(range(sites), repeat=2):
        order = np.arange(sites)
        before = cost(np.sqrt(weights), order)
        order[[a, b]] = order[[b, a]]
        assert exchanges[a, b] == pytest.approx(cost(np.sqrt(weights), order) - before, abs=1e-12)
        order = np.insert(np.delete(np.arange(sites), a), b, a)
        assert insertions[a, b] == pytest.approx(cost(np.sqrt(weights), order) - before, abs=1e-12)


def test_independent_parts_are_put_apart():
    information = np.zeros((24, 24))
    information[::2, ::2] = decaying(12)
    information[1::2, 1::2] = decaying(12)
    shuffle = np.random.default_rng(0).permutation(24)
    order = shuffle[order_qubits(information[np.ix_(shuffle, shuffle)], seed=3)]
    for half in (order[:12], order[12:]):
        assert np.all(np.abs(np.diff(half)) == 2)


def test_where_no_order_is_better_the_given_one_comes_back():
    vector = np.array([float(index.bit_count() == 4) for index in range(2**8)])
    assert order_qubits(vector / np.linalg.norm(vector)) == list(range(8))
    assert order_qubits(Statevector.from_label("01r10-")) == list(range(6))
    assert order_qubits(np.array([1.0, 0.0])) == [0]


def test_a_state_and_its_information_give_the_same_order():
    tensors = random_tensors(7, 3, np.random.default_rng(8))
    order = order_qubits(tensors, seed=1)
    assert order_qubits(mutual_information(tensors), seed=1) == order


def test_the_circuit_of_an_ordered_state_is_better_and_prepares_the_given_one():
    chain = ground_state(heisenberg([(i, i + 1) for i in range(7)], 8), 16, seed=0)
    shuffled = permute(chain.tensors, [3, 6, 0, 5, 2, 7, 1, 4])
    order = order_qubits(shuffled, seed=0)
    start = decompose(permute(shuffled, order), layers=1, seed=0)
    assert start.value < 0.5 * decompose(shuffled, layers=1, seed=0).value
    circuit = QuantumCircuit(8).compose(start.circuit.assign_parameters(start.parameters), order)
    overlap = abs(np.vdot(Statevector(circuit).data, to_dense(shuffled))) ** 2
    assert 1 - overlap == pytest.approx(start.value, abs=1e-10)


# ---------------------------------------------------------------- grids


def test_orders_of_the_grid_3_x_4():
    assert snake_order(3, 4) == [0, 4, 8, 9, 5, 1, 2, 6, 10, 11, 7, 3]
    assert snake_order(4, 3) == [0, 1, 2, 5, 4, 3, 6, 7, 8, 11, 10, 9]
    assert block_order(3, 4) == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert block_order(4, 4) == [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15]


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 9), cols=st.integers(1, 9))
def test_snakes_join_neighbors_and_blocks_are_rectangles(rows, cols):
    snake = np.array(snake_order(rows, cols))
    assert sorted(snake) == list(range(rows * cols))
    np.testing.assert_array_equal(
        np.abs(np.diff(snake // cols)) + np.abs(np.diff(snake % cols)), np.ones(rows * cols - 1)
    )

    def check(part):
        row, col = np.divmod(part, cols)
        assert (np.ptp(row) + 1) * (np.ptp(col) + 1) == len(part)
        if len(part) % 2 == 0:
            check(part[: len(part) // 2])
            check(part[len(part) // 2 :])

    block = np.array(block_order(rows, cols))
    assert sorted(block) == list(range(rows * cols))
    check(block)


# ---------------------------------------------------------------- wrong use

ASYMMETRIC = np.array([[0, 0.25], [0.5, 0]])
REFUSED = [
    (lambda: permute(ghz(3), [0, 1]), r"order is \[0, 1\]; give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), [0, 1, 1]), "give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), [0, 1, 3]), "give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), [-1, 0, 1]), "give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), [0.0, 1.0, 2.0]), "give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), [[0], [1, 2]]), "give each of the sites 0 to 2 once"),
    (lambda: permute(ghz(3), None), "order is None"),
    (lambda: permute(ghz(3), [2, 1, 0], max_bond=0), "max_bond is 0; give a whole number of at least 1"),
    (lambda: permute(ghz(3), [2, 1, 0], max_bond=1.5), "max_bond is 1.5"),
    (lambda: permute(ghz(3), [2, 1, 0], cutoff=1.0), "cutoff is 1.0; give a number of at least 0 and below"),
    (lambda: permute(ghz(3), [2, 1, 0], cutoff=float("nan")), "cutoff is nan"),
    (lambda: permute("state", [0]), "the state is a str"),
    (lambda: mutual_information(np.ones(4)), "the state has norm 2, not 1"),
    (lambda: mutual_information(np.ones((4, 4)) / 4), r"the state is an array of shape \(4, 4\)"),
    (lambda: order_qubits(np.zeros((2, 3))), r"the information is float64 of shape \(2, 3\)"),
    (lambda: order_qubits(np.zeros((0, 0))), r"the information is float64 of shape \(0, 0\)"),
    (lambda: order_qubits(1j * np.ones((2, 2))), "the information is complex128"),
    (lambda: order_qubits(-np.ones((2, 2))), "entries that are negative or not finite"),
    (lambda: order_qubits(np.full((2, 2), np.nan)), "entries that are negative or not finite"),
    (lambda: order_qubits(ASYMMETRIC), r"0.25 at \(0, 1\) and 0.5 at \(1, 0\); give real, symmetric"),
    (lambda: order_qubits(np.ones(3)), r"the state is an array of shape \(3,\)"),
    (lambda: snake_order(0, 3), "rows is 0; give a whole number of at least 1"),
    (lambda: block_order(3, 2.0), "cols is 2.0; give a whole number of at least 1"),
]


@pytest.mark.parametrize(("use", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_use_is_refused_in_one_line(use, message):
    with pytest.raises(UsageError, match=message) as refused:
        use()
    assert "\n" not in str(refused.value)
