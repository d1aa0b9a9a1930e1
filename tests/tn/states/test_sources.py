"""What `decompose` and `fit` take as a state, against dense states of Qiskit, and what they refuse."""

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import prepared, random_tensors, up_to_phase
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector, random_statevector

from bondwise.runs import UsageError
from bondwise.tn import (
    Tree,
    decompose,
    fit,
    ground_state,
    site_tensors,
    to_dense,
    to_quimb,
    train_born,
    tree_state,
)
from bondwise.tn.states.sources import read_state

ISING = SparsePauliOp.from_sparse_list(
    [*(("ZZ", [i, i + 1], -1.0) for i in range(3)), *(("X", [i], -0.7) for i in range(3)), ("Z", [3], 0.3)], 4
)

RING = qtn.MPS_rand_state(5, 3, cyclic=True)


def quick(state, **options):
    return decompose(state, **{"layers": 1, "restarts": 0, "seed": 0, **options})


def dense_of(state):
    return to_dense(read_state(state, max_bond=32, seed=0)[0].tensors)


class TestBitstrings:
    """|0011⟩ + |0110⟩, written as columns 0, 1, 2, 3: qubits 2 and 3, and 1 and 2."""

    strings = ("0011", "0110", "0110", "0011")
    bits = np.array([[int(bit) for bit in string] for string in strings])

    @pytest.mark.parametrize(
        "data",
        [
            list(strings),
            strings,
            bits,
            bits.astype(np.uint8),
            bits.astype(bool),
            bits.astype(float),
            np.asfortranarray(bits)[::-1],
        ],
        ids=["list", "tuple", "int", "uint8", "bool", "float", "strides"],
    )
    def test_are_trained_and_column_is_qubit(self, data):
        found = quick(data)
        probabilities = np.abs(prepared(found)) ** 2
        assert probabilities[0b1100] == pytest.approx(0.5, abs=1e-3)
        assert probabilities[0b0110] == pytest.approx(0.5, abs=1e-3)
        assert found.message.startswith("BornState: train NLL 0.69")
        assert np.isrealobj(dense_of(data))

    def test_one_string_is_a_product_state(self):
        found = decompose(["0111"], seed=0)
        assert found.cx_count == 0
        assert abs(prepared(found)[0b1110]) ** 2 == pytest.approx(1, abs=1e-6)

    def test_the_bond_is_the_one_given(self):
        every = np.array([[int(b) for b in f"{k:06b}"] for k in range(64) if f"{k:06b}".count("1") == 3])
        for bond in (1, 2, 3):
            chain, _, _ = read_state(every, max_bond=bond, seed=0)
            assert chain.largest_bond <= bond

    def test_the_result_of_training_is_taken(self):
        trained = train_born(self.bits, 4, seed=0)
        assert up_to_phase(dense_of(trained), to_dense(trained.tensors)) < 1e-12
        assert up_to_phase(dense_of(trained.state), to_dense(trained.tensors)) < 1e-12
        assert read_state(trained, max_bond=1)[1] == ""
        found = quick(trained)
        exact = 1 - abs(np.vdot(to_dense(trained.tensors), prepared(found))) ** 2
        assert found.infidelity == pytest.approx(exact, abs=1e-12)

    def test_seeds_reproduce(self):
        first, second = (quick(self.bits, seed=5) for _ in range(2))
        assert np.array_equal(first.parameters, second.parameters)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (np.array([[0, 2], [1, 0]]), "holds 2 in row 0, column 1; give an array of 0 and 1"),
            (np.array([[0, -1], [1, 0]]), "holds -1 in row 0, column 1"),
            (np.array([[0, 0.5], [1, 0]]), "holds 0.5 in row 0, column 1"),
            (np.array([[0, np.nan], [1, 0]]), "holds nan in row 0, column 1"),
            (np.array([[0.6, 0.8, 0, 0]]), "the state is a row of shape .1, 4."),
            (np.array([[0], [1], [1]]), "a single bit; give at least 2 columns"),
            (np.array([[0.6, 0, 1], [0, 1, 1]]), "holds 0.6 in row 0, column 0"),
            (np.zeros((0, 4)), "is empty"),
            (["01", "0"], "1 bits in string 1 and 2 in string 0"),
            (["01", "0x"], "give an array of 0 and 1"),
            ([""], "bitstrings"),
        ],
    )
    def test_refused(self, data, message):
        with pytest.raises(UsageError, match=message) as caught:
            decompose(data, seed=0)
        assert "\n" not in str(caught.value)

    def test_a_vector_of_0_and_1_is_a_state(self):
        """One axis: amplitudes, not bits."""
        assert up_to_phase(prepared(decompose(np.array([0, 0, 1, 0]))), np.eye(4)[2]) < 1e-12
        with pytest.raises(UsageError, match="the state has norm 1.41"):
            decompose(np.array([0, 1, 1, 0]))


class TestHamiltonians:
    def test_their_ground_state_is_prepared(self):
        found = decompose(ISING, infidelity=1e-6, seed=0)
        exact = np.linalg.eigh(ISING.to_matrix())
        assert 1 - abs(np.vdot(exact[1][:, 0], prepared(found))) ** 2 < 2e-6
        assert found.message.startswith(f"ground state of energy {exact[0][0]:.8g}")

    def test_the_result_of_the_search_is_taken(self):
        ground = ground_state(ISING, seed=0)
        for state in (ground, ground.state, ground.tensors, list(ground.tensors)):
            assert up_to_phase(dense_of(state), to_dense(ground.tensors)) < 1e-12

    def test_a_single_qubit(self):
        assert up_to_phase(prepared(decompose(SparsePauliOp("X", -1.0), seed=0)), np.sqrt([0.5, 0.5])) < 1e-12

    def test_a_complex_ground_state(self):
        words = SparsePauliOp(["XY", "ZI", "IY"], [1.0, 0.5, 0.3])
        found = quick(words)
        assert up_to_phase(prepared(found), np.linalg.eigh(words.to_matrix())[1][:, 0]) < 1e-9

    @pytest.mark.parametrize(
        ("operator", "message"),
        [
            (SparsePauliOp(["ZZ", "XI"], [np.nan, 1]), "not finite"),
            (SparsePauliOp(["ZZ", "XI"], [1j, 1]), "not Hermitian"),
            (SparsePauliOp(["ZZ"], np.array([Parameter("a")], object)), "bind its parameters"),
        ],
    )
    def test_refused(self, operator, message):
        with pytest.raises(UsageError, match=message):
            decompose(operator, seed=0)


class TestTrees:
    def test_of_quimb_and_read_before(self):
        network = qtn.TN_rand_tree(5, 2, phys_dim=2, seed=1, dtype="complex128")
        network /= network.norm()
        vector = network.to_dense([f"k{i}" for i in reversed(range(5))]).ravel()
        tree, origin, _ = read_state(network, max_bond=1)
        assert isinstance(tree, Tree)
        assert origin == ""
        for state in (network, tree_state(network)):
            found = quick(state)
            exact = 1 - abs(np.vdot(vector, prepared(found))) ** 2
            assert found.infidelity == pytest.approx(exact, abs=1e-12)
            assert len(found.history) == 2

    def test_what_quimb_keeps_as_an_exponent_belongs_to_the_state(self):
        """quimb may store part of the norm as a power of ten."""
        network = qtn.TN_rand_tree(4, 2, phys_dim=2, seed=1)
        network /= network.norm()
        chain = qtn.MPS_rand_state(4, 3, seed=1)
        for state in (network, chain):
            vector = state.to_dense([f"k{i}" for i in reversed(range(4))]).ravel()
            state.equalize_norms_(1.0)
            assert state.exponent != 0
            found = quick(state)
            exact = 1 - abs(np.vdot(vector, prepared(found))) ** 2
            assert found.infidelity == pytest.approx(exact, abs=1e-9)

    def test_no_other_networks(self):
        for network in (qtn.MPO_rand(4, 3), qtn.PEPS.rand(2, 2, 2, seed=1)):
            with pytest.raises(UsageError, match="outer indices .*; give a state of at least two qubits"):
                decompose(network)

    def test_real_up_to_a_phase_is_real(self):
        """As for vectors and chains, gates of two CX suffice."""
        network = qtn.TN_rand_tree(4, 2, phys_dim=2, seed=1)
        network = network / network.norm() * np.exp(0.3j)
        vector = network.to_dense([f"k{i}" for i in reversed(range(4))]).ravel()
        counts = [quick(state, layers=2).cx_count for state in (network, vector)]
        assert counts == [11, 11]  # 1 + 2 + 2, and 2 for each of the second layer

    def test_real_gates_for_a_complex_tree_are_refused(self):
        network = qtn.TN_rand_tree(4, 2, phys_dim=2, seed=1, dtype="complex128")
        with pytest.raises(UsageError, match='the state is complex; give real=False or "auto"'):
            decompose(network / network.norm(), real=True)

    def test_complex_gates_for_a_real_tree(self):
        network = qtn.TN_rand_tree(4, 2, phys_dim=2, seed=1)
        found = quick(network / network.norm(), layers=2, real=False)
        assert found.cx_count == 1 + 2 + 2 + 3 * 3


class TestChains:
    def test_all_forms_are_one_state(self):
        tensors = random_tensors(5, 4, np.random.default_rng(0), real=False)
        vector = to_dense(tensors)
        forms = [tensors, tuple(tensors), to_quimb(tensors), vector, list(vector), Statevector(vector)]
        for form in forms:
            assert up_to_phase(dense_of(form), vector) < 1e-12

    def test_names_of_indices_do_not_matter(self):
        state = qtn.MPS_rand_state(4, 3, seed=1)
        renamed = state.reindex({f"k{i}": f"q{i}" for i in range(4)})
        renamed._site_ind_id = "q{}"
        assert up_to_phase(dense_of(renamed), dense_of(state)) < 1e-12

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            (RING, "the matrix product state is periodic: .* give a state with open boundaries"),
            (qtn.TensorNetwork(RING.tensors), "has a loop, so it is not a tree"),
            ([np.ones((1, 2, 2)), np.ones((3, 2, 1))], "the left bond of site 1 is 3; it must equal"),
            ([np.ones((1, 2, 2)), np.ones((2, 2, 2))], "the right bond of the last site is 2; it must be 1"),
            ([np.ones((1, 3, 1))], r"site 0 is float64 of shape \(1, 3, 1\)"),
            ([np.full((1, 2, 1), np.nan)], "site 0 of the state contains NaN or infinity"),
            (np.array([np.inf, 0]), "the vector of the state contains NaN or infinity"),
            (np.array([np.nan, 0, 0, 1j]), "NaN or infinity"),
            (np.array([1.0, 1.0]), "the state has norm 1.41421, not 1; divide it by its norm"),
            (np.zeros(4), "the state has norm 0"),
            (np.ones(3), r"an array of shape \(3,\)"),
            (np.ones((2, 2, 2)), r"an array of shape \(2, 2, 2\)"),
            ([[0, 1], [1, 0]], "give numbers of shape"),
            ([], "the state has no sites"),
            ("0110", "the state is a str"),
            ({"00": 3.5, "11": 1}, "has 3.5 for the outcome '00'; give whole numbers"),
            (None, "the state is None"),
            (3, "the state is an int; give a quimb"),
            (
                DensityMatrix.from_label("01"),
                r"a DensityMatrix; if it is pure, pass state.to_statevector\(\)",
            ),
            (np.array(["00", "11"]), "the state is an ndarray"),
        ],
    )
    def test_refused(self, state, message):
        for take in (lambda: decompose(state), lambda: decompose(state, layers=0)):
            with pytest.raises(UsageError, match=message) as caught:
                take()
            assert "\n" not in str(caught.value)

    def test_nan_in_quimb_states_is_refused(self):
        state = qtn.MPS_rand_state(4, 3, seed=1)
        state[2].modify(data=state[2].data * np.nan)
        with pytest.raises(UsageError, match="site 2 of the state contains NaN or infinity"):
            decompose(state)

    def test_the_refusal_names_all_that_is_taken(self):
        with pytest.raises(UsageError, match="the state is a set") as caught:
            decompose({"00"})
        assert all(
            word in str(caught.value) for word in ("bitstrings", "SparsePauliOp", "QuantumCircuit", "tree")
        )

    @pytest.mark.parametrize("real", ["yes", 2])
    def test_other_words_for_real_are_refused(self, real):
        with pytest.raises(UsageError, match="real"):
            decompose(np.array([1, 0, 0, 1j]) / np.sqrt(2), layers=1, real=real)


def test_fits_take_the_same_states():
    circuit = QuantumCircuit(4)
    circuit.ry(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 1)
    circuit.cx(0, 2)
    circuit.cx(1, 3)
    data = ["0000", "1010", "0101", "1111"]
    sources = {
        "BornState": data,
        "ground state of energy": SparsePauliOp(["IZIZ", "ZIZI", "XIXI", "IXIX"], [-1, -1, -1, -1]),
        "state of the circuit": circuit.assign_parameters([np.pi / 2, np.pi / 2]),
        "infidelity": random_statevector(16, seed=0),
    }
    for origin, state in sources.items():
        found = fit(circuit, state, [1.2, 1.7], seed=0)
        assert found.message.startswith(origin)
        if origin != "infidelity":  # two Bell pairs
            assert found.infidelity < 1e-3
            assert up_to_phase(prepared(found), dense_of(state)) < 1e-3
    assert up_to_phase(to_dense(site_tensors(prepared(found))), prepared(found)) < 1e-12
