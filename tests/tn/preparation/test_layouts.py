"""The pairs of a layer, their contraction with chains and trees, and circuits on them in three simulators."""

import re
from itertools import pairwise

import numpy as np
import pennylane as qml
import pytest
import quimb.tensor as qtn
from helpers import applied, dense_state, prepared, random_gates, random_tensors, up_to_phase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import transpile
from qiskit.quantum_info import Operator

from bondwise.backends import to_pennylane
from bondwise.runs import UsageError
from bondwise.tn import ExactOverlap, decompose, site_tensors, to_dense, tree_state
from bondwise.tn.preparation.layouts import layer_pairs, layer_root

LAYOUTS = ("staircase", "bidirectional", "brickwall", "tree")


def random_tree(sites, bond, rng, *, real=True, degree=None):
    """One tensor per qubit or, without a degree, a binary tree over the qubits in any order."""
    dtype = "float64" if real else "complex128"
    if degree:
        seed = int(rng.integers(2**30))
        network = qtn.TN_rand_tree(sites, bond, phys_dim=2, max_degree=degree, seed=seed, dtype=dtype)
        return network / network.norm()
    open_, tensors = [(f"k{i}", 2) for i in rng.permutation(sites)], []
    while len(open_) > 1:
        (a, size_a), (b, size_b) = (open_.pop(rng.integers(len(open_))) for _ in range(2))
        up = (bond,) if open_ else ()
        array = rng.normal(size=(size_a, size_b, *up))
        if not real:
            array = array + 1j * rng.normal(size=array.shape)
        tensors.append(qtn.Tensor(array, [a, b, f"b{len(tensors)}"][: array.ndim]))
        if open_:
            open_.append((f"b{len(tensors) - 1}", bond))
        else:
            break
    network = qtn.TensorNetwork(tensors)
    return network / network.norm()


def vector_of(network, sites):
    return network.to_dense([f"k{i}" for i in reversed(range(sites))]).ravel()


class TestPairs:
    def test_of_six_qubits(self):
        assert layer_pairs("staircase", 6) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
        assert layer_pairs("bidirectional", 6) == [(2, 3), (3, 4), (4, 5), (1, 2), (0, 1)]
        assert layer_pairs("brickwall", 6) == [(0, 1), (2, 3), (4, 5), (1, 2), (3, 4)]
        assert layer_pairs("tree", 6) == [(0, 3), (0, 2), (0, 1), (3, 5), (3, 4)]

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_of_two_qubits(self, layout):
        assert layer_pairs(layout, 2) == [(0, 1)]

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("sites", [3, 4, 7, 8, 17])
    def test_connect_all_qubits(self, layout, sites):
        pairs = layer_pairs(layout, sites)
        assert len(pairs) == sites - 1
        reached = {0}
        for _ in pairs:
            reached |= {qubit for pair in pairs if reached & set(pair) for qubit in pair}
        assert reached == set(range(sites))

    @pytest.mark.parametrize("layout", ["staircase", "bidirectional", "tree"])
    @pytest.mark.parametrize("sites", [3, 6, 13])
    def test_trees_bring_one_fresh_qubit_with_every_gate(self, layout, sites):
        pairs = layer_pairs(layout, sites)
        touched = set(pairs[0])
        for a, b in pairs[1:]:
            assert a in touched or b in touched
            assert not {a, b} <= touched
            touched |= {a, b}

    def test_depths(self):
        """Depth in gates for 16 qubits: n - 1, n / 2, 2 and log2(n)."""
        depths = {}
        for layout in LAYOUTS:
            busy = [0] * 16
            for a, b in layer_pairs(layout, 16):
                busy[a] = busy[b] = max(busy[a], busy[b]) + 1
            depths[layout] = max(busy)
        assert depths == {"staircase": 15, "bidirectional": 8, "brickwall": 2, "tree": 4}

    def test_follow_the_branches_of_a_tree(self):
        """((k2, k0), (k3, k1)): the root first, then each pair of leaves."""
        rng = np.random.default_rng(0)
        tensors = [
            qtn.Tensor(rng.normal(size=(2, 2, 3)), ["k2", "k0", "a"]),
            qtn.Tensor(rng.normal(size=(2, 2, 3)), ["k3", "k1", "b"]),
            qtn.Tensor(rng.normal(size=(3, 3)), ["a", "b"]),
        ]
        network = qtn.TensorNetwork(tensors)
        tree = tree_state(network / network.norm())
        pairs = layer_pairs("tree", 4, tree)
        assert {frozenset(pair) for pair in pairs[1:]} == {frozenset((0, 2)), frozenset((1, 3))}
        assert len(set(pairs[0]) & {0, 2}) == len(set(pairs[0]) & {1, 3}) == 1

    def test_roots(self):
        assert [layer_root(layout, 8) for layout in LAYOUTS] == [0, 3, None, None]
        assert layer_root("bidirectional", 7) == 2

    @pytest.mark.parametrize("layout", ["stairs", "", "Tree", 3])
    def test_other_names_are_refused(self, layout):
        for refuse in (
            lambda: layer_pairs(layout, 4),
            lambda: layer_root(layout, 4),
            lambda: decompose(np.eye(8)[0], layers=0, layout=layout or "x"),
            lambda: decompose(np.array([1.0, 0]), layout=layout or "x"),
        ):
            with pytest.raises(UsageError, match="unknown layout .* Known: .*brickwall, staircase, tree"):
                refuse()


@pytest.mark.parametrize("layout", [*LAYOUTS, "random"])
@pytest.mark.parametrize("shape", ["chain", "tree"])
@settings(max_examples=12, deadline=None)
@given(
    sites=st.integers(2, 10),
    layers=st.integers(0, 3),
    bond=st.integers(1, 5),
    real=st.booleans(),
    degree=st.sampled_from([None, 2, 3, 5]),
    seed=st.integers(0, 2**20),
)
def test_overlap_and_environments_equal_the_dense_state(
    layout, shape, sites, layers, bond, real, degree, seed
):
    rng = np.random.default_rng(seed)
    if shape == "chain":
        state, tree = random_tensors(sites, bond, rng, real=real), None
        target = to_dense(state).conj()
    else:
        network = random_tree(sites, bond, rng, real=real, degree=degree)
        state = tree = tree_state(network)
        target = vector_of(network, sites).conj()
    if layout == "random":
        pairs = [tuple(int(q) for q in rng.choice(sites, 2, replace=False)) for _ in range(4 * layers)]
    else:
        pairs = layer_pairs(layout, sites, tree) * layers
    mixed = rng.random() < 0.3  # complex gates on a real state, or vice versa
    gates = random_gates(len(pairs), rng, real=real != mixed)
    contraction = ExactOverlap(state, pairs)

    exact = target @ applied(gates, pairs, sites)
    overlap, environments = contraction.environments(gates)
    assert overlap == pytest.approx(exact, abs=1e-12)
    assert contraction.overlap(gates) == pytest.approx(exact, abs=1e-12)
    assert isinstance(overlap, float if real and not mixed else complex)
    for k in rng.permutation(len(pairs))[:3]:
        assert (gates[k] * environments[k]).sum() == pytest.approx(exact, abs=1e-12)
        for row, column in rng.integers(0, 4, (2, 2)):
            unit = gates.copy()
            unit[k] = np.eye(16).reshape(4, 4, 4, 4)[row, column]
            assert environments[k, row, column] == pytest.approx(
                target @ applied(unit, pairs, sites), abs=1e-12
            )


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=8, deadline=None)
@given(sites=st.integers(3, 8), real=st.booleans(), seed=st.integers(0, 2**16))
def test_sweeps_never_lower_the_overlap(layout, sites, real, seed):
    rng = np.random.default_rng(seed)
    pairs = layer_pairs(layout, sites) * 2
    contraction = ExactOverlap(random_tensors(sites, 4, rng, real=real), pairs)
    gates = random_gates(len(pairs), rng, real=real)
    reached = [abs(contraction.overlap(gates))]
    for _ in range(3):
        gates = contraction.sweep(gates)
        reached.append(abs(contraction.overlap(gates)))
    assert all(after >= before - 1e-12 for before, after in pairwise(reached))


SHAPES = [(shape, layout) for shape in ("chain", "tree") for layout in LAYOUTS]


@pytest.mark.parametrize(("shape", "layout"), SHAPES)
@settings(max_examples=4, deadline=None)
@given(sites=st.integers(3, 7), bond=st.integers(2, 4), real=st.booleans(), seed=st.integers(0, 2**16))
def test_no_layer_raises_the_infidelity(layout, shape, sites, bond, real, seed):
    rng = np.random.default_rng(seed)
    chain = shape == "chain"
    state = random_tensors(sites, bond, rng, real=real) if chain else random_tree(sites, bond, rng, real=real)
    found = decompose(state, layers=2, layout=layout, restarts=1, seed=seed)
    exact = [entry["infidelity"] for entry in found.history]
    target = to_dense(state) if chain else vector_of(state, sites)
    reached = [*exact[:-1], 1 - abs(np.vdot(target, prepared(found))) ** 2]
    assert len(reached) == 3
    assert reached[-1] == pytest.approx(exact[-1], abs=1e-12)
    assert all(after <= before + 1e-12 for before, after in pairwise(reached))


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("sites", [2, 5, 8])
def test_the_product_state_of_a_tree_is_what_it_says(real, sites):
    """No layer at all: the infidelity is that of the tree, not of the product with itself."""
    network = random_tree(sites, 3, np.random.default_rng(sites), real=real, degree=3)
    found = decompose(network, layers=0, seed=0)
    exact = 1 - abs(np.vdot(vector_of(network, sites), prepared(found))) ** 2
    assert found.infidelity == pytest.approx(exact, abs=1e-12)
    assert found.infidelity > 1e-3
    assert found.cx_count == 0


def test_a_tree_gets_as_many_layers_as_the_default_target_needs():
    network = random_tree(6, 3, np.random.default_rng(2), degree=3)
    found = decompose(network, seed=0)
    assert found.converged
    assert 1 - abs(np.vdot(vector_of(network, 6), prepared(found))) ** 2 <= 1e-3
    assert found.cx_count > 0


def pennylane_state(circuit, parameters):
    sites = circuit.num_qubits
    device = qml.device("lightning.qubit", wires=sites)

    @qml.qnode(device)
    def state():
        to_pennylane(circuit)(parameters)
        return qml.state()

    return np.asarray(state()).reshape((2,) * sites).transpose().ravel()  # wire 0 is the highest bit


def quimb_state(circuit, parameters):
    """Gate by gate from Qiskit's matrices, whose first qubit is the lowest bit."""
    simulation = qtn.Circuit(circuit.num_qubits)
    for step in circuit.assign_parameters(parameters).data:
        qubits = [circuit.find_bit(qubit).index for qubit in reversed(step.qubits)]
        simulation.apply_gate_raw(Operator(step.operation).data, qubits)
    return simulation.psi.to_dense([f"k{i}" for i in reversed(range(circuit.num_qubits))]).ravel()


@pytest.mark.parametrize(("shape", "layout"), SHAPES)
@pytest.mark.parametrize(("sites", "real"), [(2, False), (3, True), (6, False), (7, True)])
def test_three_simulators_make_the_same_state(layout, shape, sites, real):
    rng = np.random.default_rng(sites)
    if shape == "chain":
        state = random_tensors(sites, 4, rng, real=real)
        target = to_dense(state)
    else:
        state = random_tree(sites, 3, rng, real=real)
        target = vector_of(state, sites)
    found = decompose(state, layers=2, layout=layout, restarts=0, seed=0)
    states = [make(found.circuit, found.parameters) for make in (dense_state, pennylane_state, quimb_state)]
    for other in states[1:]:
        np.testing.assert_allclose(other, states[0], atol=1e-10)
    assert found.infidelity == pytest.approx(1 - abs(np.vdot(target, states[0])) ** 2, abs=1e-10)
    assert found.cx_count == found.circuit.count_ops()["cx"]
    assert found.depth == found.circuit.depth(lambda step: step.operation.name == "cx")
    assert found.parameters.shape == (found.circuit.num_parameters,)
    basis = transpile(
        found.circuit, basis_gates=["cx", "rz", "sx", "x"], optimization_level=1, seed_transpiler=0
    )
    assert basis.count_ops()["cx"] <= found.cx_count


@pytest.mark.parametrize("layout", ["staircase", "bidirectional", "tree"])
@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("sites", [2, 3, 6, 9])
def test_one_exact_layer_is_recovered(layout, real, sites):
    pairs = layer_pairs(layout, sites)
    state = applied(random_gates(len(pairs), np.random.default_rng(sites), real=real), pairs, sites)
    found = decompose(state, layers=1, layout=layout, seed=1)
    assert found.infidelity < 1e-12
    assert up_to_phase(prepared(found), state) < 1e-10
    assert found.cx_count == 2 * sites - 3  # one CX for the first gate, two for the others


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("sites", [2, 3, 6, 9])
def test_one_layer_makes_every_tree_of_bond_two(real, sites):
    network = random_tree(sites, 2, np.random.default_rng(sites), real=real)
    found = decompose(network, layers=1, seed=1)
    assert found.infidelity < 1e-12
    assert up_to_phase(prepared(found), vector_of(network, sites)) < 1e-10
    assert found.cx_count == 2 * sites - 3


def test_one_layer_of_a_brickwall_is_recovered():
    pairs = layer_pairs("brickwall", 6)
    state = applied(random_gates(len(pairs), np.random.default_rng(0)), pairs, 6)
    assert decompose(state, layers=1, layout="brickwall", seed=1).infidelity < 1e-12


def test_layers_of_the_bidirectional_layout_are_half_as_deep():
    tensors = random_tensors(10, 2, np.random.default_rng(0))
    depths = {
        layout: decompose(tensors, layers=1, layout=layout, restarts=0, seed=0).depth
        for layout in ("staircase", "bidirectional")
    }
    assert depths == {"staircase": 1 + 2 * 8, "bidirectional": 1 + 2 * 4}


def test_ghz_states_are_one_layer_of_every_tree():
    for sites in (3, 8):
        state = np.zeros(2**sites)
        state[[0, -1]] = np.sqrt(0.5)
        for layout in ("staircase", "bidirectional", "tree"):
            assert decompose(state, layers=1, layout=layout, seed=0).infidelity < 1e-12


@pytest.mark.parametrize("layout", LAYOUTS)
def test_targets_that_cannot_be_met_say_why(layout):
    """A random state of bond 16 does not fit in a few layers."""
    tensors = random_tensors(12, 16, np.random.default_rng(0))
    found = decompose(tensors, layers=1, infidelity=1e-3, layout=layout, restarts=0, seed=0)
    assert not found.converged
    assert found.infidelity > 0.1
    assert re.search("the target of 0.001 .*raise layers", found.message)


def test_layers_that_are_not_worth_their_cx_end_the_search():
    tensors = random_tensors(12, 16, np.random.default_rng(0))
    found = decompose(tensors, max_cx=44, infidelity=1e-3, restarts=0, seed=0)
    assert not found.converged
    assert found.cx_count <= 44
    assert "the target of 0.001" in found.message
    assert "raise max_cx" in found.message or "not worth their CX" in found.message


def test_layers_beyond_an_exact_contraction_say_so(monkeypatch):
    monkeypatch.setenv("BONDWISE_MAX_CONTRACTION_NUMBERS", str(2**12))
    tensors = site_tensors(random_tensors(8, 16, np.random.default_rng(0)))
    found = decompose(tensors, infidelity=1e-3, restarts=0, seed=0)
    assert not found.converged
    assert 1 <= len(found.history) - 1 < 8
    assert re.search("the target of 0.001 .*too many to be exact; give fewer layers", found.message)
    with pytest.raises(UsageError, match="too many to be exact"):
        decompose(tensors, layers=6, restarts=0, seed=0)


def test_many_cx_cost_nothing_to_count():
    """The number allowed is a limit, not a number of loops."""
    state = np.zeros(8)
    state[[0, 7]] = np.sqrt(0.5)
    found = decompose(state, max_cx=10**7, infidelity=1e-3, restarts=0, seed=0)
    assert found.cx_count == 3
