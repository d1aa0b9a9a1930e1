"""Trees read from quimb, and made from chains, against dense state vectors."""

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import random_gates, random_tensors, staircase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import random_statevector

from bondwise.runs import UsageError
from bondwise.tn import ExactOverlap, Tree, decompose, site_tensors, to_dense, to_quimb, tree_state
from bondwise.tn.states.chains import Chain


def numbers(shape, rng, real=True):
    array = rng.normal(size=shape)
    return array if real else array + 1j * rng.normal(size=shape)


def normalized(tensors):
    network = qtn.TensorNetwork(tensors)
    return network / network.norm()


def random_network(sites, tensors, rng, *, real=True, bare_ends=False):
    """A tree of any shape: tensors with many qubits and with none, bonds of 1 to 3, some of them double."""
    inds, sizes = [[] for _ in range(tensors)], {}
    for k, qubit in enumerate(rng.permutation(sites)):
        inds[rng.integers(tensors) if k or bare_ends else 0].append(f"k{qubit}")
        sizes[f"k{qubit}"] = 2
    for child in range(tensors - 1, 0, -1):
        parent = rng.integers(child)
        for copy in range(rng.integers(1, 3)) if inds[child] or bare_ends else ():
            name = f"b{child}.{copy}"
            sizes[name] = int(rng.integers(1, 4))
            inds[child].append(name)
            inds[parent].append(name)
    made = []
    for names in (inds[k] for k in rng.permutation(tensors) if inds[k]):
        names = [names[i] for i in rng.permutation(len(names))]
        made.append(qtn.Tensor(numbers([sizes[name] for name in names], rng, real), names))
    return normalized(made)


def dense(network, sites):
    """Little-endian, by quimb."""
    return network.to_dense([f"k{i}" for i in reversed(range(sites))]).ravel()


def dense_tree(tree):
    """Little-endian, node by node."""
    blocks = []
    for node in tree.nodes:
        left = np.eye(2) if node.left_is_qubit else blocks[node.left]
        right = np.eye(2) if node.right_is_qubit else blocks[node.right]
        joint = np.einsum("al,br,lru->abu", left, right, node.array)
        blocks.append(joint.reshape(-1, node.array.shape[2]))
    order = tree.qubits()[-1]
    axes = [order.index(qubit) for qubit in reversed(range(tree.sites))]
    return blocks[-1].reshape((2,) * tree.sites).transpose(axes).ravel()


def check(tree, sites):
    """A binary tree on all qubits, orthonormal towards the root and of norm 1."""
    assert isinstance(tree, Tree)
    assert tree.sites == sites
    assert sorted(tree.qubits()[-1]) == list(range(sites))
    for k, node in enumerate(tree.nodes):
        assert node.left_is_qubit or node.left < k
        assert node.right_is_qubit or node.right < k
        flat = node.array.reshape(-1, node.array.shape[2])
        np.testing.assert_allclose(flat.conj().T @ flat, np.eye(flat.shape[1]), atol=1e-12)
        for child, is_qubit, size in zip(
            (node.left, node.right),
            (node.left_is_qubit, node.right_is_qubit),
            node.array.shape[:2],
            strict=True,
        ):
            assert size == (2 if is_qubit else tree.nodes[child].array.shape[2])
    assert tree.nodes[-1].array.shape[2] == 1


@settings(max_examples=60, deadline=None)
@given(sites=st.integers(2, 8), tensors=st.integers(1, 9), real=st.booleans(), seed=st.integers(0, 2**20))
@pytest.mark.parametrize("bare_ends", [False, True], ids=["qubits at the ends", "bare ends"])
def test_any_tree_is_read(bare_ends, sites, tensors, real, seed):
    """Among them tensors without qubits and chains of matrices."""
    network = random_network(sites, tensors, np.random.default_rng(seed), real=real, bare_ends=bare_ends)
    tree = tree_state(network)
    check(tree, sites)
    assert tree.dtype == (np.float64 if real else np.complex128)
    np.testing.assert_allclose(dense_tree(tree), dense(network, sites), atol=1e-10)


class TestOddTrees:
    """Each against quimb's dense vector."""

    @staticmethod
    def same(network, sites):
        tree = tree_state(network)
        check(tree, sites)
        np.testing.assert_allclose(dense_tree(tree), dense(network, sites), atol=1e-12)
        return tree

    def test_all_qubits_on_one_tensor(self):
        rng = np.random.default_rng(0)
        tensor = qtn.Tensor(numbers((2,) * 5, rng, False), ["k3", "k0", "k4", "k1", "k2"])
        self.same(normalized([tensor]), 5)

    def test_an_end_without_qubits(self):
        rng = np.random.default_rng(1)
        network = normalized(
            [qtn.Tensor(numbers((2, 2, 3), rng), ["k0", "k1", "b"]), qtn.Tensor(numbers(3, rng), ["b"])]
        )
        self.same(network, 2)

    @pytest.mark.parametrize("root_last", [True, False])
    def test_a_chain_of_matrices_up_to_the_root(self, root_last):
        rng = np.random.default_rng(2)
        tensors = [qtn.Tensor(numbers((2, 3), rng), ["a", "c"]), qtn.Tensor(numbers((3, 3), rng), ["c", "d"])]
        ends = [
            qtn.Tensor(numbers((2, 2, 2), rng), ["k0", "a", "k2"]),
            qtn.Tensor(numbers((3, 2), rng), ["d", "k1"]),
        ]
        self.same(normalized(ends + tensors if root_last else tensors + ends), 3)

    def test_a_root_with_one_branch(self):
        """The tensor that is first has one neighbor and no qubit."""
        rng = np.random.default_rng(3)
        network = normalized(
            [
                qtn.Tensor(numbers((4, 2), rng), ["b", "c"]),
                qtn.Tensor(numbers((2, 2, 4), rng, False), ["k1", "k0", "b"]),
                qtn.Tensor(numbers((2, 2, 2), rng), ["c", "k2", "k3"]),
            ]
        )
        self.same(network, 4)

    def test_a_double_bond_is_one_bond(self):
        rng = np.random.default_rng(4)
        first = qtn.Tensor(numbers((2, 3, 2), rng), ["x", "y", "k0"])
        second = qtn.Tensor(numbers((2, 3, 2), rng), ["k1", "y", "x"])
        tree = self.same(normalized([first, second]), 2)
        assert len(tree.nodes) == 1

    def test_a_star_with_many_branches(self):
        rng = np.random.default_rng(5)
        names = [f"b{i}" for i in range(5)]
        leaves = [qtn.Tensor(numbers((2, 2), rng), [name, f"k{i}"]) for i, name in enumerate(names)]
        tree = self.same(normalized([qtn.Tensor(numbers((2,) * 5, rng), names), *leaves]), 5)
        assert all(node.left_is_qubit or node.right_is_qubit for node in tree.nodes)

    def test_a_bond_larger_than_what_is_below(self):
        rng = np.random.default_rng(6)
        network = normalized(
            [
                qtn.Tensor(numbers((2, 9), rng), ["k0", "b"]),
                qtn.Tensor(numbers((9, 2, 2), rng), ["b", "k1", "k2"]),
            ]
        )
        tree = self.same(network, 3)
        assert max(max(node.array.shape) for node in tree.nodes) <= 4

    def test_whole_numbers_become_floats(self):
        """|00⟩ + |11⟩, times a scalar that makes its norm 1."""
        half = qtn.Tensor(np.array([[1, 0], [0, 1]]), ["k0", "b"])
        other = qtn.Tensor(np.eye(2) * np.sqrt(0.5), ["b", "k1"])
        tree = self.same(qtn.TensorNetwork([half, other]), 2)
        assert tree.dtype == np.float64
        whole = qtn.TensorNetwork([qtn.Tensor(np.eye(2, dtype=int), ["b", "k0"]), qtn.Tensor([0, 1], ["k1"])])
        with pytest.raises(UsageError):  # b belongs to one tensor only
            tree_state(whole)

    @pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int64])
    def test_other_dtypes_are_widened(self, dtype):
        up = qtn.Tensor(np.array([[1, 0], [0, 0]], dtype), ["k0", "b"])
        down = qtn.Tensor(np.array([[0, 1], [0, 0]], dtype), ["b", "k1"])
        tree = self.same(qtn.TensorNetwork([up, down]), 2)
        assert tree.dtype in (np.float64, np.complex128)
        assert decompose(tree, layers=1, seed=0).infidelity < 1e-12

    def test_one_complex_tensor_makes_the_tree_complex(self):
        rng = np.random.default_rng(7)
        network = qtn.TN_rand_tree(5, 3, phys_dim=2, seed=1, dtype="float64")
        network["I2"].modify(data=numbers(network["I2"].shape, rng, False))
        assert self.same(network / network.norm(), 5).dtype == np.complex128

    def test_a_deep_tree_does_not_exhaust_the_stack(self):
        """A chain of 1500 tensors, longer than Python's limit of recursion."""
        tensors = [qtn.Tensor(np.array([1.0, 0.0]).reshape(1, 2), ["b0", "k0"])]
        for i in range(1, 1499):
            tensors.append(qtn.Tensor(np.array([1.0, 0.0]).reshape(1, 2, 1), [f"b{i - 1}", f"k{i}", f"b{i}"]))
        tensors.append(qtn.Tensor(np.array([1.0, 0.0]).reshape(1, 2), ["b1498", "k1499"]))
        tree = tree_state(qtn.TensorNetwork(tensors))
        gates = np.broadcast_to(np.eye(4), (1499, 4, 4)).copy()
        assert ExactOverlap(tree, staircase(1500)).overlap(gates) == pytest.approx(1)


@pytest.mark.parametrize("bond", [1, 3])
def test_matrix_product_states_and_tree_agree(bond):
    tensors = random_tensors(6, bond, np.random.default_rng(bond), real=False)
    network = qtn.TensorNetwork(to_quimb(tensors).tensors)
    np.testing.assert_allclose(dense_tree(tree_state(network)), to_dense(tensors), atol=1e-12)


def test_quimb_random_trees_of_all_degrees():
    for degree in (2, 3, None):
        network = qtn.TN_rand_tree(7, 3, phys_dim=2, max_degree=degree, seed=2, dtype="complex128")
        network /= network.norm()
        np.testing.assert_allclose(dense_tree(tree_state(network)), dense(network, 7), atol=1e-12)


def test_reading_leaves_the_network_as_it_was():
    network = random_network(5, 4, np.random.default_rng(0))
    before = [tensor.data.copy() for tensor in network.tensors]
    tree_state(network)
    for tensor, data in zip(network.tensors, before, strict=True):
        assert np.array_equal(tensor.data, data)


class TestRefused:
    @staticmethod
    def network(*tensors):
        rng = np.random.default_rng(0)
        return normalized([qtn.Tensor(numbers([2] * len(inds), rng), list(inds)) for inds in tensors])

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ([("k0", "a", "b"), ("k1", "b", "c"), ("k2", "c", "a")], "has a loop, so it is not a tree"),
            ([("k0", "a"), ("k1", "a"), ("k2", "b"), ("k3", "b")], "has disconnected parts"),
            (
                [("k0", "a"), ("k2", "a")],
                "outer indices k0, k2; give a state of at least two qubits with indices named k0, k1",
            ),
            ([("k0", "a"), ("k01", "a")], "outer indices k0, k01"),
            ([("k0", "a"), ("b0", "a")], "outer indices b0, k0"),
            ([("k0", "a"), ("a",)], "single outer index; give a state of at least two"),
            ([("a", "b"), ("a", "b")], "outer indices none"),
            ([("k0", "a"), ("k1", "a"), ("k2", "a")], "index a of the network joins 3 tensors"),
        ],
        ids=["loop", "parts", "gap", "zero", "name", "one", "none", "hyper"],
    )
    def test_what_is_no_tree_of_qubits(self, tensors, message):
        network = qtn.TensorNetwork(
            [qtn.Tensor(numbers([2] * len(inds), np.random.default_rng(0)), list(inds)) for inds in tensors]
        )
        for read in (tree_state, decompose):
            with pytest.raises(UsageError, match=message):
                read(network)

    def test_sites_that_are_no_qubits(self):
        rng = np.random.default_rng(0)
        network = normalized(
            [qtn.Tensor(numbers((3, 2), rng), ["k0", "b"]), qtn.Tensor(numbers((2, 2), rng), ["b", "k1"])]
        )
        with pytest.raises(UsageError, match="does not have dimension 2; give a state of qubits"):
            tree_state(network)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_nan_and_infinity(self, value):
        network = self.network(("k0", "a"), ("k1", "a"))
        network.tensors[0].data[0, 0] = value
        with pytest.raises(UsageError, match="contains NaN or infinity; every number must be finite"):
            tree_state(network)

    @pytest.mark.parametrize("factor", [0.0, 1.001, 3.0])
    def test_other_norms(self, factor):
        network = self.network(("k0", "a"), ("k1", "a", "k2"))
        network.tensors[0].data[:] *= factor
        with pytest.raises(UsageError, match="the state has norm .*, not 1; divide it by its norm"):
            tree_state(network)

    def test_a_little_off_is_divided_out(self):
        network = self.network(("k0", "a"), ("k1", "a", "k2"))
        tree = tree_state(network * (1 + 5e-7))
        assert np.linalg.norm(dense_tree(tree)) == pytest.approx(1, abs=1e-14)

    @pytest.mark.parametrize("factor", [np.nan, 2.0])
    def test_a_tree_is_checked_like_every_other_state(self, factor):
        tree = tree_state(self.network(("k0", "a"), ("k1", "a", "k2")))
        last = tree.nodes[-1]
        damaged = type(last)(
            last.left, last.right, last.array * factor, last.left_is_qubit, last.right_is_qubit
        )
        with pytest.raises(UsageError, match="NaN" if np.isnan(factor) else "norm 2"):
            decompose(Tree((*tree.nodes[:-1], damaged)), layers=1, seed=0)


@settings(max_examples=30, deadline=None)
@given(sites=st.integers(2, 8), bond=st.integers(1, 6), real=st.booleans(), seed=st.integers(0, 2**16))
def test_chains_have_a_root_at_every_bond(sites, bond, real, seed):
    tensors = random_tensors(sites, bond, np.random.default_rng(seed), real=real)
    for root in range(sites - 1):
        tree = Chain(tensors).tree(root)
        assert (tree.sites, tree.dtype) == (sites, tensors[0].dtype)
        assert sorted(tree.qubits()[-1]) == list(range(sites))
        np.testing.assert_allclose(dense_tree(tree), to_dense(tensors), atol=1e-12)


def test_complex_copy_is_the_same_state():
    tree = tree_state(random_network(5, 3, np.random.default_rng(1)))
    assert tree.astype(np.complex128).dtype == np.complex128
    np.testing.assert_allclose(dense_tree(tree.astype(np.complex128)), dense_tree(tree))


def padded_product(vectors, rng, real):
    """A product state on a balanced tree of four qubits whose bonds have a superfluous dimension."""
    first, second = np.kron(*vectors[:2]), np.kron(*vectors[2:])
    turns = [np.linalg.qr(numbers((2, 2), rng, real))[0] for _ in range(2)]
    parts = []
    for k, (vector, turn) in enumerate(zip((first, second), turns, strict=True)):
        other = numbers(4, rng, real)
        other -= vector * np.vdot(vector, other)
        both = np.stack([vector, other / np.linalg.norm(other)], axis=1) @ turn
        parts.append(qtn.Tensor(both.reshape(2, 2, 2), [f"k{2 * k}", f"k{2 * k + 1}", f"b{k}"]))
    top = np.outer(turns[0].conj().T[:, 0], turns[1].conj().T[:, 0])
    return qtn.TensorNetwork([*parts, qtn.Tensor(top, ["b0", "b1"])])


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_product_near_a_product_is_itself(real, seed):
    rng = np.random.default_rng(seed)
    vectors = [numbers(2, rng, real) for _ in range(4)]
    vectors = [vector / np.linalg.norm(vector) for vector in vectors]
    network = padded_product(vectors, rng, real)
    expected = np.array([1.0])
    for vector in vectors:
        expected = np.kron(vector, expected)
    assert abs(np.vdot(dense(network, 4), expected)) == pytest.approx(1, abs=1e-12)
    product = tree_state(network).nearest_product()
    assert [tensor.shape for tensor in product] == [(1, 2, 1)] * 4
    assert abs(np.vdot(to_dense(product), expected)) == pytest.approx(1, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(real=st.booleans(), seed=st.integers(0, 2**16))
def test_the_product_near_two_qubits_is_the_first_schmidt_pair(real, seed):
    vector = random_statevector(4, seed=seed).data
    vector = vector / np.linalg.norm(vector) if not real else vector.real / np.linalg.norm(vector.real)
    tree = Chain(site_tensors(vector)).tree(0)
    overlap = abs(np.vdot(vector, to_dense(tree.nearest_product())))
    assert overlap == pytest.approx(np.linalg.svd(vector.reshape(2, 2))[1][0], abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(sites=st.integers(3, 8), tensors=st.integers(1, 6), real=st.booleans(), seed=st.integers(0, 2**20))
def test_sweeps_never_lower_the_overlap_on_trees(sites, tensors, real, seed):
    """With joins of branches."""
    rng = np.random.default_rng(seed)
    state = tree_state(random_network(sites, tensors, rng, real=real))
    pairs = [tuple(rng.choice(sites, 2, replace=False)) for _ in range(7)]
    gates = random_gates(len(pairs), rng, real=real)
    contraction = ExactOverlap(state, pairs)
    before = abs(contraction.overlap(gates))
    for _ in range(3):
        gates = contraction.sweep(gates)
        after = abs(contraction.overlap(gates))
        assert after >= before - 1e-12
        before = after
    np.testing.assert_allclose(gates @ gates.conj().transpose(0, 2, 1), [np.eye(4)] * len(pairs), atol=1e-12)
    if real:
        np.testing.assert_allclose(np.linalg.det(gates), 1, atol=1e-12)


def test_one_sweep_makes_the_best_of_every_gate_that_it_meets_last():
    """The gate at the root is met last and cannot be improved: |sum(G E)| is the trace norm of E."""
    rng = np.random.default_rng(3)
    state = tree_state(qtn_ttn(8, rng))
    pairs = [(0, 4), (0, 2), (4, 6), (0, 1), (2, 3), (4, 5), (6, 7)]
    contraction = ExactOverlap(state, pairs)
    gates = contraction.sweep(np.linalg.qr(numbers((7, 4, 4), rng, False))[0])
    overlap, environments = contraction.environments(gates)
    assert abs(overlap) == pytest.approx(np.linalg.svd(environments[0])[1].sum(), abs=1e-12)


def qtn_ttn(sites, rng):
    """A balanced binary tree tensor network of bond 3."""
    layer, tensors, count = [(f"k{i}", 2) for i in range(sites)], [], 0
    while len(layer) > 2:
        above = []
        for (a, size_a), (b, size_b) in zip(layer[::2], layer[1::2], strict=True):
            above.append((f"b{count}", 3))
            tensors.append(qtn.Tensor(numbers((size_a, size_b, 3), rng), [a, b, f"b{count}"]))
            count += 1
        layer = above
    (a, size_a), (b, size_b) = layer
    return normalized([*tensors, qtn.Tensor(numbers((size_a, size_b), rng), [a, b])])
