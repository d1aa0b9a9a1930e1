"""quimb's states are read by site, whatever their storage; dense vectors by quimb's own contraction."""

import numpy as np
import pytest
import quimb.tensor as qtn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.runs import UsageError
from bondwise.tn import decompose, fit, site_tensors, to_dense, tree_state
from tests.tn.states.test_trees import dense_tree


def little_endian(network, names):
    """quimb's vector, its first index the lowest bit."""
    return network.to_dense(names[::-1]).ravel()


def same_up_to_phase(found, right):
    return abs(np.vdot(found, right)) == pytest.approx(1, abs=1e-10)


def shuffled(network, rng):
    """The same network with its tensors in another order, and the axes of each permuted."""
    tensors = [tensor.copy() for tensor in network.tensors]
    for tensor in tensors:
        tensor.transpose_(*rng.permutation(tensor.inds))
    order = rng.permutation(len(tensors))
    return qtn.TensorNetwork([tensors[i] for i in order]).view_like_(network)


@settings(max_examples=25, deadline=None)
@given(
    sites=st.integers(2, 7),
    seed=st.integers(0, 1000),
    flip=st.booleans(),
    renamed=st.booleans(),
    dtype=st.sampled_from(["float64", "complex128"]),
)
def test_a_chain_in_any_storage(sites, seed, flip, renamed, dtype):
    rng = np.random.default_rng(seed)
    state = qtn.MPS_rand_state(sites, 3, dtype=dtype, seed=seed)
    if flip:
        state = state.flip()
    state = shuffled(state, rng)
    if renamed:
        state.reindex_all_("q{}")
        state.retag_({state.site_tag(i): f"S{i}" for i in range(sites)})
        state._site_tag_id = "S{}"
    right = little_endian(state, [state.site_ind(i) for i in range(sites)])
    assert same_up_to_phase(to_dense(site_tensors(state)), right)


@settings(max_examples=25, deadline=None)
@given(sites=st.integers(3, 7), seed=st.integers(0, 1000), renamed=st.booleans())
def test_a_tree_in_any_storage(sites, seed, renamed):
    rng = np.random.default_rng(seed)
    edges = [(int(rng.integers(i)), i) for i in range(1, sites)]
    state = qtn.TN_rand_from_edges(edges, D=2, phys_dim=2, seed=seed, dtype="complex128")
    state = qtn.TensorNetworkGenVector.from_TN(
        state, sites=range(sites), site_tag_id="I{}", site_ind_id="k{}"
    )
    state /= state.norm()
    state = shuffled(state, rng)
    if renamed:
        state.reindex_all_("q{}")
    right = little_endian(state, [state.site_ind(i) for i in range(sites)])
    assert same_up_to_phase(dense_tree(tree_state(state)), right)


def test_a_tensor_taken_out_and_put_back():
    state = qtn.MPS_rand_state(5, 3, seed=1)
    right = little_endian(state, [f"k{i}" for i in range(5)])
    tensor = state.pop_tensor(next(iter(state.tag_map["I2"])))
    state.add_tensor(tensor)
    assert same_up_to_phase(to_dense(state), right)


def test_a_chain_with_a_gate_left_apart_is_a_tree():
    state = qtn.MPS_rand_state(4, 2, seed=2).gate(np.array([[0, 1], [1, 0]]), 1, contract=False)
    right = little_endian(state, [f"k{i}" for i in range(4)])
    with pytest.raises(UsageError, match="not an open chain"):
        site_tensors(state)
    assert decompose(state, infidelity=1e-9).converged
    assert same_up_to_phase(dense_tree(tree_state(state)), right)


def test_periodic_chains_are_refused():
    with pytest.raises(UsageError, match="periodic"):
        decompose(qtn.MPS_rand_state(5, 2, cyclic=True, seed=1))


@pytest.mark.parametrize("backend", ["torch", "gradients"])
def test_tensors_of_torch(backend):
    state = qtn.MPS_rand_state(4, 3, dtype="complex128", seed=3)
    right = little_endian(state.H, [f"k{i}" for i in range(4)])
    state.apply_to_arrays(lambda array: torch.tensor(array, requires_grad=backend == "gradients"))
    assert same_up_to_phase(to_dense(state.H), right)  # torch conjugates lazily


def test_the_state_of_a_quimb_circuit():
    simulation = qtn.CircuitMPS(3)
    simulation.h(0)
    simulation.cnot(0, 2)
    right = np.zeros(8)
    right[[0b000, 0b101]] = 1 / np.sqrt(2)
    assert same_up_to_phase(to_dense(simulation), right)
    assert decompose(simulation, infidelity=1e-9).converged


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.longdouble, np.clongdouble, np.int8])
def test_vectors_of_any_kind(dtype):
    vector = np.zeros(8, dtype)
    vector[3] = 1
    vector.flags.writeable = False
    doubled = np.zeros((8, 2), dtype)
    doubled[:, 0] = vector
    for given_ in (vector, vector[:, None], doubled[:, 0], np.asfortranarray(vector[:, None])):
        assert same_up_to_phase(to_dense(given_), vector.astype(complex))


def test_vectors_of_torch_with_gradients():
    vector = torch.tensor([0.6, 0, 0, 0.8], dtype=torch.float64, requires_grad=True)
    assert same_up_to_phase(to_dense(vector.conj()), np.array([0.6, 0, 0, 0.8]))
    assert decompose(vector, infidelity=1e-9).converged


@settings(max_examples=15, deadline=None)
@given(sites=st.integers(1, 6), seed=st.integers(0, 1000))
def test_the_order_of_a_vector(sites, seed):
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=2**sites) + 1j * rng.normal(size=2**sites)
    vector /= np.linalg.norm(vector)
    turned = [vector[int(f"{i:0{sites}b}"[::-1], 2)] for i in range(2**sites)]
    assert same_up_to_phase(to_dense(site_tensors(vector, order="big")), np.array(turned))


def test_the_order_reaches_decompose_and_fit():
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import Statevector

    state = qtn.MPS_rand_state(3, 2, seed=5)
    vector = state.to_dense()  # quimb's kets are big-endian columns
    found = decompose(vector, order="big", infidelity=1e-9)
    right = little_endian(state, ["k0", "k1", "k2"])
    prepared = Statevector(found.circuit.assign_parameters(found.parameters)).data
    assert abs(np.vdot(prepared, right)) ** 2 > 1 - 1e-8
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    assert fit(circuit, [0, 0, 1, 0], order="big", seed=0).infidelity < 1e-9  # qubit 0 is 1
    assert fit(circuit, [0, 1, 0, 0], seed=0).infidelity < 1e-9


@pytest.mark.parametrize(
    ("state", "order", "message"),
    [
        ([1, 0], "middle", "order is 'middle'"),
        (qtn.MPS_rand_state(3, 2), "big", "is for vectors"),
        (["01", "11"], "big", "is for vectors"),
        ({"ZZ": 1.0}, "big", "is for vectors"),
    ],
)
def test_orders_that_mean_nothing(state, order, message):
    with pytest.raises(UsageError, match=message):
        decompose(state, order=order)


def test_rows():
    with pytest.raises(UsageError, match="row of shape .1, 4."):
        decompose(np.full((1, 4), 0.5))
    with pytest.raises(UsageError, match="one string of 4 bits or a basis state of 2 qubits"):
        decompose(np.array([[0, 1, 0, 0]]))
    assert decompose(np.array([[0, 1, 1, 0]]), infidelity=1e-6).circuit.num_qubits == 4


def test_a_norm_left_by_truncation():
    state = qtn.MPS_rand_state(6, 4, seed=1) * 0.9999983
    with pytest.warns(UserWarning, match="norm 0.9999983, not 1; it is divided by it"):
        tensors = site_tensors(state)
    assert np.linalg.norm(to_dense(tensors)) == pytest.approx(1, abs=1e-12)
    with pytest.raises(UsageError, match="norm 0.99"):
        site_tensors(state * 0.999)


@pytest.mark.parametrize("given_", [5, None, "tree.npz"])
def test_what_is_no_network_is_one_line(given_):
    with pytest.raises(UsageError, match="^the network is (an int|None|a str); give a quimb TensorNetwork"):
        tree_state(given_)
