"""Gradients of extension layers against shifted circuits on dense states, quimb, and exact values."""

import numpy as np
import pytest
import quimb as qu
from helpers import heisenberg, random_tensors, staircase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector

from bondwise.runs import UsageError
from bondwise.tn import extend, get_block, ground_state, to_dense, to_quimb
from bondwise.tn.trainability import GradientProfile, gradient_profile


def drawn_angles(gate, pairs, strength, samples, seed):
    """What `extend` draws, shape (samples, pairs, angles of a block)."""
    sites = 1 + max(max(pair) for pair in pairs)
    parameters = np.zeros((samples, 0))
    longer = extend(QuantumCircuit(sites), parameters, pairs, strength=strength, gate=gate, seed=seed)
    return longer.parameters.reshape(samples, len(pairs), -1)


def dense_energy(operator, vector, gate, pairs, angles, turn=None):
    """Energy after the blocks; `turn` = (k, word, angle) puts a rotation about a word after block k."""
    circuit = QuantumCircuit(operator.num_qubits)
    for k, (pair, values) in enumerate(zip(pairs, angles, strict=True)):
        get_block(gate).append(circuit, *pair, values)
        if turn is not None and turn[0] == k:
            word = Pauli(turn[1][::-1]).to_matrix()  # Qiskit's first qubit is the last letter
            circuit.unitary(np.cos(turn[2] / 2) * np.eye(4) - 1j * np.sin(turn[2] / 2) * word, pair)
    return Statevector(vector).evolve(circuit).expectation_value(operator).real


def mirrored(sites, letters, seed):
    """A random Hermitian operator of words of any range."""
    rng = np.random.default_rng(seed)
    words = ["".join(word) for word in rng.choice(list(letters), (6, sites))]
    return SparsePauliOp(words, rng.normal(size=6))


@st.composite
def layers(draw):
    sites = draw(st.integers(2, 6))
    pair = st.lists(st.integers(0, sites - 1), min_size=2, max_size=2, unique=True).map(tuple)
    pairs = draw(st.one_of(st.none(), st.lists(pair, min_size=1, max_size=3)))
    return sites, pairs


@settings(max_examples=30, deadline=None)
@given(
    layer=layers(),
    gate=st.sampled_from(["so4", "su4"]),
    strength=st.sampled_from([0.0, 0.05, 1.5]),
    letters=st.sampled_from(["IXYZ", "IIZ", "IXZ", "XY"]),
    real=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_layer_equals_shifted_circuits(layer, gate, strength, letters, real, seed):
    sites, pairs = layer
    operator = mirrored(sites, letters, seed)
    rng = np.random.default_rng(seed)
    tensors = random_tensors(sites, int(rng.integers(1, 4)), rng, real=real)
    options = {"gate": gate, "pairs": pairs, "strength": strength, "samples": 2, "seed": seed}
    found = gradient_profile(operator, tensors, **options)
    pairs = staircase(sites) if pairs is None else pairs
    vector = to_dense(tensors)
    draws = drawn_angles(gate, pairs, strength, 2, seed)[: len(found.gradients)]
    energies = [dense_energy(operator, vector, gate, pairs, angles) for angles in draws]
    assert found.energy == pytest.approx(np.mean(energies), abs=1e-10)
    assert found.gradients.shape == (1 if strength == 0 else 2, len(pairs), 6 if gate == "so4" else 15)
    for _ in range(4):
        draw, k, word = (int(rng.integers(size)) for size in found.gradients.shape)
        # exp(-iθP/2) obeys the two-term shift rule, which is exact
        up, down = (
            dense_energy(operator, vector, gate, pairs, draws[draw], (k, found.words[word], shift))
            for shift in (np.pi / 2, -np.pi / 2)
        )
        assert found.gradients[draw, k, word] == pytest.approx((up - down) / 2, abs=1e-10)


@pytest.mark.parametrize("strength", [0.0, 0.3])
@pytest.mark.parametrize("gate", ["so4", "su4"])
def test_all_derivatives_equal_finite_differences(gate, strength):
    pairs = [(1, 2), (3, 0), (0, 1), (2, 3)]
    tensors = random_tensors(4, 4, np.random.default_rng(1), real=gate == "so4")
    operator = mirrored(4, "IXYZ", 2)
    found = gradient_profile(operator, tensors, gate=gate, pairs=pairs, strength=strength, seed=3)
    angles = drawn_angles(gate, pairs, strength, 1, 3)[0]
    expected = np.empty(found.gradients.shape[1:])
    for k, word in np.ndindex(expected.shape):
        up, down = (
            dense_energy(operator, to_dense(tensors), gate, pairs, angles, (k, found.words[word], step))
            for step in (1e-4, -1e-4)
        )
        expected[k, word] = (up - down) / 2e-4
    np.testing.assert_allclose(found.gradients[0], expected, atol=1e-7)
    assert np.abs(expected).max() > 0.1
    assert found.value == pytest.approx((expected**2).mean(), rel=1e-5)
    np.testing.assert_allclose(found.per_bond, (found.gradients[0] ** 2).mean(axis=1), rtol=1e-12)


def test_single_rotations_and_the_order_of_letters():
    # Y takes |0⟩ to cos |0⟩ + sin |1⟩, where X has the slope 1; Z on the other qubit changes nothing
    operator = SparsePauliOp.from_sparse_list([("X", [2], 1.0)], 3)
    zero = np.eye(8)[0]
    for pair, slopes in [((2, 0), {"YI": 1, "YZ": 1}), ((0, 2), {"IY": 1, "ZY": 1}), ((0, 1), {})]:
        for gate, count in [("so4", 6), ("su4", 15)]:
            found = gradient_profile(operator, zero, gate=gate, pairs=[pair])
            assert len(set(found.words)) == count
            expected = [slopes.get(word, 0) for word in found.words]
            np.testing.assert_allclose(found.gradients[0, 0], expected, atol=1e-15)


def test_the_neel_state_has_the_same_gradient_on_every_bond_of_any_chain():
    # on its bond XY turns up-down towards down-up: ⟨[S·S, XY]⟩ = i, slope 1/2; likewise YX
    for sites in (6, 100):
        neel = [np.eye(2)[i % 2].reshape(1, 2, 1) for i in range(sites)]
        found = gradient_profile(heisenberg(staircase(sites), sites), neel)
        np.testing.assert_allclose(found.per_bond, np.full(sites - 1, 1 / 30), rtol=1e-12)
        assert found.energy == pytest.approx(-(sites - 1) / 4, rel=1e-12)
        assert found.std == 0


def test_an_eigenstate_has_no_gradient_until_the_blocks_leave_it():
    operator = heisenberg(staircase(8), 8)
    state = ground_state(operator, 16, seed=0).state
    assert np.abs(gradient_profile(operator, state).gradients).max() < 1e-6
    assert gradient_profile(operator, state, strength=0.1, seed=0).value > 1e-4


def test_a_hundred_qubits_against_quimb():
    sites, pairs = 100, staircase(100)
    tensors = random_tensors(sites, 4, np.random.default_rng(4))
    operator = heisenberg(pairs, sites) + SparsePauliOp.from_sparse_list([("X", [7], 0.3)], sites)
    spin = sum(np.kron(qu.spin_operator(s), qu.spin_operator(s)) for s in "xyz")
    terms = {pair: spin for pair in pairs} | {(7,): 0.3 * qu.pauli("x")}

    def energy(strength, turn=None):
        state = to_quimb(tensors)
        for k, (pair, angles) in enumerate(
            zip(pairs, drawn_angles("so4", pairs, strength, 1, 5)[0], strict=True)
        ):
            if strength:
                state.gate_split_(get_block("so4").matrix(angles), pair, cutoff=1e-14)
            if turn is not None and turn[0] == k:
                word = np.kron(qu.pauli(turn[1][0]), qu.pauli(turn[1][1]))
                rotation = np.cos(turn[2] / 2) * np.eye(4) - 1j * np.sin(turn[2] / 2) * word
                state.gate_split_(rotation, pair, cutoff=1e-14)
        state /= np.sqrt((state.H @ state).real)
        return np.real(state.compute_local_expectation(terms, method="envs"))

    for strength, k, word in [(0.0, 98, "XY"), (0.3, 6, "IY")]:
        found = gradient_profile(operator, tensors, gate="so4", strength=strength, seed=5)
        assert found.energy == pytest.approx(energy(strength), abs=1e-9)
        slope = (energy(strength, (k, word, np.pi / 2)) - energy(strength, (k, word, -np.pi / 2))) / 2
        assert found.gradients[0, k, found.words.index(word)] == pytest.approx(slope, abs=1e-9)
        assert abs(slope) > 1e-3


def test_draws_give_the_error_and_seeds_reproduce(tmp_path):
    operator, tensors = mirrored(4, "IXYZ", 0), random_tensors(4, 2, np.random.default_rng(0))
    first, second, other = (
        gradient_profile(operator, tensors, strength=0.2, samples=5, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.gradients, second.gradients)
    assert not np.array_equal(first.gradients, other.gradients)
    draws = (first.gradients**2).mean(axis=(1, 2))
    assert first.value == pytest.approx(draws.mean())
    assert first.std == pytest.approx(draws.std(ddof=1) / np.sqrt(5))
    single = gradient_profile(operator, tensors, strength=0.2, seed=1)
    assert np.array_equal(single.gradients[0], first.gradients[0])
    assert single.std == pytest.approx(single.per_bond.std(ddof=1) / np.sqrt(3))
    assert np.isnan(gradient_profile(operator, tensors, strength=0.2, pairs=[(0, 1)]).std)
    first.save(tmp_path / "profile")
    again = GradientProfile.load(tmp_path / "profile")
    assert np.array_equal(again.gradients, first.gradients)
    assert again.words == first.words
    assert str(again) == str(first)


def test_a_constant_hamiltonian_has_no_gradient():
    tensors = random_tensors(3, 2, np.random.default_rng(0))
    found = gradient_profile(SparsePauliOp(["III"], [1.5]), tensors)
    assert found.value == 0
    assert found.energy == 1.5


def test_bonds_beyond_the_limit_are_refused_and_up_to_it_accepted():
    operator, tensors = mirrored(6, "IXYZ", 0), random_tensors(6, 3, np.random.default_rng(0))
    pairs = [(0, 5), (2, 3), (4, 1)]  # three blocks pass between 2 and 3
    gradient_profile(operator, tensors, pairs=pairs, max_bond=1)
    gradient_profile(operator, tensors, pairs=pairs, strength=0.1, max_bond=3 * 4**3)
    with pytest.raises(UsageError, match="bond dimension 192, max_bond is 191; raise it"):
        gradient_profile(operator, tensors, pairs=pairs, strength=0.1, max_bond=191)


XX, ZERO = SparsePauliOp(["XX"]), np.eye(4)[0]
REFUSED = [
    (XX, np.eye(8)[0], {}, "the state has 3 sites and the Hamiltonian 2 qubits"),
    (SparsePauliOp(["X"]), np.eye(2)[0], {}, "a single site; a layer of two-qubit blocks needs at least 2"),
    (XX, 2 * ZERO, {}, "the state has norm 2, not 1"),
    (np.eye(4), ZERO, {}, "the Hamiltonian is a matrix"),
    (1j * XX, ZERO, {}, "not Hermitian"),
    (XX, ZERO, {"gate": "cz"}, "unknown gate 'cz'.*Known: so4, su4"),
    (XX, ZERO, {"pairs": []}, "pairs is empty; give at least one pair"),
    (XX, ZERO, {"pairs": [(0, 2)]}, "pair .0, 2. is not two different qubits out of 0 to 1"),
    (XX, ZERO, {"pairs": [(1, 1)]}, "pair .1, 1. is not two different"),
    (XX, ZERO, {"pairs": (0, 1)}, "pairs is .0, 1.; give pairs of qubits"),
    (XX, ZERO, {"pairs": [(0, 1.5)]}, "pairs is .*1.5.*; give pairs of qubits"),
    (XX, ZERO, {"strength": -0.1}, "strength is -0.1; give a number of at least 0"),
    (XX, ZERO, {"strength": np.nan}, "strength is nan"),
    (XX, ZERO, {"samples": 0}, "samples is 0; give a whole number of at least 1"),
    (XX, ZERO, {"samples": 2.5}, "samples is 2.5"),
    (XX, ZERO, {"max_bond": True}, "max_bond is True"),
]


@pytest.mark.parametrize(("operator", "state", "options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_use_is_refused(operator, state, options, message):
    with pytest.raises(UsageError, match=message):
        gradient_profile(operator, state, **options)
