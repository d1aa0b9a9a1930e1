"""What `decompose` and `fit` take as a state, against dense states of Qiskit, and what they refuse."""

import numpy as np
import pytest
import quimb.tensor as qtn
from helpers import prepared, random_tensors, up_to_phase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.circuit.library import DiagonalGate, PauliEvolutionGate, get_standard_gate_name_mapping
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector, random_statevector, random_unitary

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
from bondwise.tn.states.circuit_state import circuit_tensors
from bondwise.tn.states.sources import read_state

ISING = SparsePauliOp.from_sparse_list(
    [*(("ZZ", [i, i + 1], -1.0) for i in range(3)), *(("X", [i], -0.7) for i in range(3)), ("Z", [3], 0.3)], 4
)

RING = qtn.MPS_rand_state(5, 3, cyclic=True)


def quick(state, **options):
    return decompose(state, **{"layers": 1, "restarts": 0, "seed": 0, **options})


def dense_of(state, max_bond=32):
    return to_dense(read_state(state, max_bond=max_bond, seed=0)[0])


class TestBitstrings:
    """|0011> + |0110>, written as columns 0, 1, 2, 3: qubits 2 and 3, and 1 and 2."""

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
            tensors, _, _ = read_state(every, max_bond=bond, seed=0)
            assert max(tensor.shape[2] for tensor in tensors) <= bond

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
            (np.array([[0], [1], [1]]), "one bit; a chain needs at least 2 columns"),
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
            (SparsePauliOp(["ZZ", "XI"], [np.nan, 1]), "no finite number"),
            (SparsePauliOp(["ZZ", "XI"], [1j, 1]), "not Hermitian"),
            (SparsePauliOp(["ZZ"], np.array([Parameter("a")], object)), "bind its parameters"),
        ],
    )
    def test_refused(self, operator, message):
        with pytest.raises(UsageError, match=message):
            decompose(operator, seed=0)


def random_circuit(sites, gates, rng):
    """Standard gates of one to three qubits anywhere, with numbers."""
    known = [
        gate for name, gate in get_standard_gate_name_mapping().items() if gate.num_qubits <= min(3, sites)
    ]
    known = [gate for gate in known if gate.name not in ("measure", "reset", "delay", "global_phase")]
    circuit = QuantumCircuit(sites, global_phase=rng.normal())
    for qubit in range(sites):
        circuit.u(*rng.normal(size=3), qubit)
    for k in rng.integers(len(known), size=gates):
        qubits = [int(q) for q in rng.choice(sites, known[k].num_qubits, replace=False)]
        circuit.append(type(known[k])(*rng.normal(size=len(known[k].params))), qubits)
    return circuit


def composite(sites):
    inner = QuantumCircuit(sites, name="inner")
    inner.h(0)
    for qubit in range(sites - 1):
        inner.cx(qubit, qubit + 1)
        inner.ry(0.3, qubit)
    return inner.to_gate()


class TestCircuits:
    @settings(max_examples=15, deadline=None)
    @given(sites=st.integers(2, 6), gates=st.integers(0, 12), seed=st.integers(0, 2**16))
    def test_of_standard_gates(self, sites, gates, seed):
        circuit = random_circuit(sites, gates, np.random.default_rng(seed))
        tensors, lost = circuit_tensors(circuit, 8)
        assert up_to_phase(to_dense(tensors), Statevector(circuit).data) < 1e-10
        assert lost < 1e-10
        assert np.linalg.norm(to_dense(tensors)) == pytest.approx(1, abs=1e-12)

    def test_become_shallower(self):
        circuit = random_circuit(5, 10, np.random.default_rng(0))
        found = decompose(circuit, infidelity=1e-6, seed=0)
        exact = 1 - abs(np.vdot(Statevector(circuit).data, prepared(found))) ** 2
        assert found.infidelity == pytest.approx(exact, abs=1e-9)
        assert found.message.startswith("state of the circuit, bond ")
        assert "left out" not in found.message

    BUILDS = {
        "measured": lambda c: (c.h(0), c.cx(0, 2), c.measure_all()),
        "partly measured": lambda c: (c.h(0), c.cx(0, 2), c.barrier(), c.measure(1, 0), c.ry(0.3, 0)),
        "toffoli": lambda c: (c.h(0), c.h(3), c.ccx(3, 0, 2), c.cswap(0, 1, 2)),
        "unitaries": lambda c: (
            c.unitary(random_unitary(4, seed=1), [3, 0]),
            c.unitary(random_unitary(8, seed=2), [1, 3, 0]),
            c.unitary(random_unitary(16, seed=3), [1, 3, 0, 2]),
        ),
        "composite of 3": lambda c: (c.append(composite(3), [2, 0, 3]), c.append(composite(3), [3, 1, 2])),
        "composite of 2": lambda c: (c.append(composite(2), [2, 0]), c.append(composite(2), [0, 1])),
        "composite of 1": lambda c: (c.append(composite(1), [2]), c.cx(2, 0)),
        "state preparation": lambda c: c.prepare_state([0.6, 0, 0, 0.8j], [0, 2]),
        "diagonal": lambda c: (c.h(0), c.h(1), c.append(DiagonalGate([1, -1, 1j, 1]), [0, 1])),
        "idle": lambda c: (c.h(1), c.cx(1, 3), c.delay(100, 0), c.barrier()),
        "no gates": lambda c: None,
        "far": lambda c: (c.h(3), c.cx(3, 0), c.cu(0.1, 0.2, 0.3, 0.4, 0, 3), c.ecr(3, 1)),
    }

    @pytest.mark.parametrize("name", BUILDS)
    def test_of_all_kinds(self, name):
        circuit = QuantumCircuit(QuantumRegister(2, "b"), QuantumRegister(2, "a"), ClassicalRegister(4))
        self.BUILDS[name](circuit)
        plain = circuit.remove_final_measurements(inplace=False)
        assert up_to_phase(dense_of(circuit), Statevector(plain).data) < 1e-12

    @pytest.mark.parametrize("sites", [2, 3])
    def test_evolutions_are_the_product_formula_whatever_their_size(self, sites):
        """The words do not commute: what a device runs is not the exact evolution."""
        words = SparsePauliOp.from_sparse_list(
            [("ZZ", [0, sites - 1], 1.0), *(("X", [i], 1.0) for i in range(sites))], sites
        )
        circuit = QuantumCircuit(4)
        circuit.append(PauliEvolutionGate(words, 0.7), range(sites))
        formula = Statevector(circuit.decompose("PauliEvolution", reps=3)).data
        assert up_to_phase(dense_of(circuit), formula) < 1e-12

    @pytest.mark.parametrize("sites", [1, 2])
    def test_of_few_qubits(self, sites):
        circuit = QuantumCircuit(sites)
        circuit.ry(0.3, 0)
        circuit.rx(0.4, sites - 1)
        assert up_to_phase(prepared(decompose(circuit, seed=0)), Statevector(circuit).data) < 1e-12

    def test_parameters_that_are_bound(self):
        circuit = QuantumCircuit(3)
        circuit.rx(2 * Parameter("x"), 0)
        circuit.cp(Parameter("y"), 0, 2)
        with pytest.raises(UsageError, match="has 2 free parameters; bind them with assign_parameters"):
            decompose(circuit)
        bound = circuit.assign_parameters([0.3, 0.4])
        assert up_to_phase(dense_of(bound), Statevector(bound).data) < 1e-12

    def test_what_a_small_bond_leaves_out_is_said(self):
        """Bell pairs across the middle: bond 4 holds them, bond 2 half of their weight."""
        circuit = QuantumCircuit(4)
        circuit.h([0, 1])
        circuit.cx([0, 1], [2, 3])
        whole, half = (quick(circuit, max_bond=bond) for bond in (4, 2))
        assert whole.exact
        assert "left out" not in whole.message
        assert "bond 2, which leaves out a weight of 5.0e-01" in half.message
        assert not half.exact  # the infidelity is that of another state than the circuit's

    @pytest.mark.parametrize("max_bond", [0, -1, 1.5, True, "8"])
    def test_bonds_that_are_none(self, max_bond):
        circuit = QuantumCircuit(2)
        circuit.h(0)
        circuit.cx(0, 1)
        with pytest.raises(UsageError, match="max_bond is .*; give a whole number of at least 1"):
            decompose(circuit, max_bond=max_bond)

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda c: c.reset(0), "holds 'reset'.*; remove it"),
            (lambda c: (c.ccx(0, 1, 2), c.reset(0)), "holds 'reset'.*; remove it"),
            (lambda c: (c.measure(0, 0), c.x(0)), "holds 'measure'.*; remove it"),
            (lambda c: c.initialize([0.6, 0.8], 0), "holds '(initialize|reset)'.*; remove it"),
            (lambda c: c.initialize(np.full(8, 8**-0.5)), "holds '(initialize|reset)'.*; remove it"),
            (
                lambda c: c.if_test((c.clbits[0], 1), QuantumCircuit(1), [0], []),
                "holds 'if_else'.*; remove it",
            ),
        ],
        ids=["reset", "reset and toffoli", "measurement in the middle", "initialize", "initialize 3", "if"],
    )
    def test_what_is_not_a_gate_is_refused(self, build, message):
        circuit = QuantumCircuit(3, 1)
        build(circuit)
        with pytest.raises(UsageError, match=message) as caught:
            decompose(circuit)
        assert "\n" not in str(caught.value)

    def test_numbers_that_are_not_finite_are_refused(self):
        circuit = QuantumCircuit(2)
        circuit.rx(np.nan, 1)
        circuit.cx(1, 0)
        with pytest.raises(UsageError, match="NaN|finite"):
            decompose(circuit)

    def test_no_qubits_are_refused(self):
        with pytest.raises(UsageError, match="qubit"):
            decompose(QuantumCircuit(0))

    def test_the_circuit_stays_as_it_was(self):
        circuit = random_circuit(3, 5, np.random.default_rng(1))
        circuit.measure_all()
        before = circuit.copy()
        decompose(circuit, layers=1, restarts=0, seed=0)
        assert circuit == before


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
        """quimb may put the norm aside as a power of ten."""
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
        """As for vectors and chains: gates of two CX will do."""
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
            (qtn.TensorNetwork(RING.tensors), "has a loop, so it is no tree"),
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
            ({"00": 3, "11": 1}, "the state is a dict"),
            (None, "the state is None"),
            (3, "the state is an int; give a quimb"),
            (DensityMatrix.from_label("01"), r"an array of shape \(4, 4\)"),
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
        with pytest.raises(UsageError, match="the state is a dict") as caught:
            decompose({"00": 3})
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


def test_deep_circuits_of_simple_states_are_exact():
    """A Fourier transform of a basis state is a product state, whatever its bonds on the way."""
    from qiskit.circuit.library import QFTGate

    circuit = QuantumCircuit(10)
    circuit.x([0, 3])
    circuit.append(QFTGate(10), range(10))
    found = decompose(circuit.decompose(reps=3), max_bond=2, seed=0)
    assert (found.cx_count, found.exact, found.converged) == (0, True, True)
    exact = Statevector(circuit).data
    assert (
        abs(np.vdot(exact, Statevector(found.circuit.assign_parameters(found.parameters)).data)) > 1 - 1e-10
    )


def test_what_is_left_out_of_a_circuit_counts():
    circuit = QuantumCircuit(4)
    for qubit in (0, 1):
        circuit.h(qubit)
        circuit.cx(qubit, qubit + 2)
    found = decompose(circuit, infidelity=1e-3, max_bond=1, seed=0)
    assert not found.converged
    assert not found.exact
    assert "(approximate)" in str(found)
    assert "raise max_bond" in found.message
