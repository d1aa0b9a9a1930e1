"""Blocks: matrix to angles and back, and the circuits that they become."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator
from scipy.linalg import expm
from scipy.stats import special_ortho_group, unitary_group

from bondwise.runs import UsageError
from bondwise.tn import SO4, SU4, get_block
from bondwise.tn.preparation.blocks import ISOMETRY, PAIR, REAL_PAIR

SWAP = np.eye(4)[[0, 2, 1, 3]]
CZ = np.diag([1.0, 1, 1, -1])
CX = np.eye(4)[[0, 1, 3, 2]]
ISWAP = np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]])


def without_phase(found, wanted):
    phase = np.einsum("...ab,...ab->...", found.conj(), wanted)
    return found * (phase / abs(phase))[..., None, None]


def test_so4_round_trip_is_exact():
    gates = special_ortho_group.rvs(4, size=500, random_state=1)
    angles = SO4.angles(gates)
    assert angles.shape == (500, 6)
    assert angles.dtype == np.float64
    np.testing.assert_allclose(SO4.matrix(angles), gates, atol=1e-12, rtol=0)


def test_su4_round_trip_is_exact_up_to_a_phase():
    gates = np.concatenate(
        [
            unitary_group.rvs(4, size=250, random_state=2),
            special_ortho_group.rvs(4, size=250, random_state=3),
        ]
    )
    found = SU4.matrix(SU4.angles(gates))
    np.testing.assert_allclose(without_phase(found, gates), gates, atol=1e-12, rtol=0)


@pytest.mark.parametrize("gate", [SWAP, CZ, CX, ISWAP, np.eye(4), -np.eye(4), np.kron(CX[2:, 2:], np.eye(2))])
@pytest.mark.parametrize("noise", [0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_gates_at_and_near_the_corners_of_the_weyl_chamber(gate, noise):
    generator = np.random.default_rng(4).normal(size=(4, 4))
    gate = gate @ expm(1j * noise * (generator + generator.T))
    found = SU4.matrix(SU4.angles(gate))
    np.testing.assert_allclose(without_phase(found, gate), gate, atol=1e-12, rtol=0)


@pytest.mark.parametrize("block", [PAIR, REAL_PAIR, ISOMETRY], ids=lambda block: block.name)
@pytest.mark.parametrize("noise", [0, 1e-12, 1e-9, 1e-6, 1e-3, 1])
def test_blocks_on_fresh_qubits_agree_where_it_matters(block, noise):
    """Any gate, near special ones and far from them, in the columns of qubits that are |0⟩."""
    rng = np.random.default_rng(6)
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    special = [np.eye(4), -np.eye(4), SWAP, CZ, CX, np.eye(4)[::-1], np.kron(hadamard, hadamard)]
    special += [np.kron(hadamard, np.eye(2)), np.kron(np.eye(2), CX[2:, 2:])]
    if not block.real:
        special += [ISWAP, 1j * np.eye(4), np.kron(np.diag([1, 1j]), hadamard)]
    for gate in [*special, *special]:
        generator = rng.normal(size=(4, 4))
        turn = expm(noise * (generator - generator.T))
        if not block.real:
            turn = turn @ expm(1j * noise * (generator + generator.T))
        gate = (gate @ turn)[None]
        found = block.matrix(block.angles(gate))
        columns = list(block.columns)
        found, wanted = found[:, :, columns], gate[:, :, columns]
        if not block.real:
            found = without_phase(found, wanted)
        # the turn that saves a CX is ill conditioned near gates that need none; infidelities feel the square
        near = block is ISOMETRY and 0 < noise < 1
        np.testing.assert_allclose(found, wanted, atol=1e-6 if near else 1e-12, rtol=0)


@pytest.mark.parametrize("gate", [np.eye(4), -np.eye(4), SWAP @ CZ, np.diag([1.0, -1, -1, 1])])
@pytest.mark.parametrize("noise", [0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_so4_gates_at_and_near_special_ones(gate, noise):
    generator = np.random.default_rng(5).normal(size=(4, 4))
    gate = gate @ expm(noise * (generator - generator.T))
    np.testing.assert_allclose(SO4.matrix(SO4.angles(gate)), gate, atol=1e-12, rtol=0)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(["so4", "su4"]), seed=st.integers(0, 2**16), swapped=st.booleans())
def test_circuit_is_the_matrix_and_has_the_promised_gates(name, seed, swapped):
    block = get_block(name)
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, block.size)
    theta = ParameterVector("t", block.size)
    circuit = QuantumCircuit(2)
    first, second = (0, 1) if swapped else (1, 0)
    block.append(circuit, first, second, theta)
    found = Operator(circuit.assign_parameters(angles)).data
    # Qiskit's matrix has qubit 1 as the more significant bit
    wanted = SWAP @ block.matrix(angles) @ SWAP if swapped else block.matrix(angles)
    np.testing.assert_allclose(found, wanted, atol=1e-14, rtol=0)
    counts = circuit.count_ops()
    assert counts["cx"] == block.cx_count
    assert set(counts) <= {"cx", "rx", "ry", "rz", "h", "s", "sdg", "z"}
    assert sum(counts[rotation] for rotation in ("rx", "ry", "rz")) == block.size


@pytest.mark.parametrize("block", [SO4, SU4], ids=["so4", "su4"])
def test_zero_angles_are_the_identity(block):
    np.testing.assert_allclose(block.matrix(np.zeros((2, block.size))), [np.eye(4)] * 2, atol=1e-15)


def test_so4_moves_in_six_directions_at_the_identity():
    step = 1e-6
    moves = [(SO4.matrix(step * unit) - np.eye(4)).ravel() / step for unit in np.eye(6)]
    assert np.linalg.matrix_rank(np.array(moves), tol=1e-3) == 6


@pytest.mark.parametrize(
    ("block", "gate", "message"),
    [
        (SO4, SWAP, "determinant -1; SO4 makes gates with \\+1 only, use SU4"),
        (SO4, ISWAP, "complex; so4 makes real gates only, use SU4"),
        (SU4, 2 * np.eye(4), "not unitary"),
        (SU4, np.full((4, 4), np.nan), "not unitary"),
        (SU4, np.eye(2), "give matrices of shape"),
    ],
)
def test_matrices_that_a_block_cannot_make_are_refused(block, gate, message):
    with pytest.raises(UsageError, match=message):
        block.angles(gate)


def test_wrong_numbers_of_angles_and_wrong_names_are_refused():
    with pytest.raises(UsageError, match="so4 takes 6 angles"):
        SO4.matrix(np.zeros(15))
    with pytest.raises(UsageError, match="unknown gate 'so5'. Did you mean 'so4'"):
        get_block("so5")
