"""Starting points: what state they are, and that they belong to one circuit."""

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from bondwise.qml import (
    brickwall,
    heisenberg,
    ising,
    lattice_edges,
    mps_start,
    near_identity_start,
    product_start,
    random_start,
)
from bondwise.runs import UsageError
from bondwise.tn import decompose, extend, ground_state, to_dense


def state_of(circuit, angles):
    return Statevector(circuit.assign_parameters(angles))


@pytest.mark.parametrize(("gate", "cx", "angles"), [("so4", 2, 6), ("su4", 3, 15)])
def test_brickwall(gate, cx, angles):
    circuit = brickwall(5, 3, gate=gate)
    assert circuit.count_ops()["cx"] == 6 * cx  # two blocks in each of three layers
    assert circuit.num_parameters == 6 * angles
    assert circuit.depth(lambda instruction: len(instruction.qubits) == 2) == 3 * cx
    state = state_of(circuit, np.zeros(circuit.num_parameters))
    assert abs(state.data[0]) == pytest.approx(1, abs=1e-12)


def test_random_start_fills_the_circle():
    circuit = brickwall(6, 20)
    angles = random_start(circuit, seed=1)
    assert angles.shape == (circuit.num_parameters,)
    assert angles.dtype == np.float64
    assert -np.pi <= angles.min() < -3
    assert 3 < angles.max() < np.pi
    assert np.array_equal(angles, random_start(circuit, seed=1))
    assert not np.array_equal(angles, random_start(circuit, seed=2))


def test_near_identity_start_is_near_the_identity():
    circuit = brickwall(6, 4)
    overlaps = [
        abs(state_of(circuit, near_identity_start(circuit, strength=s, seed=1)).data[0]) ** 2
        for s in (0.0, 0.01, 0.1)
    ]
    assert overlaps[0] == pytest.approx(1, abs=1e-12)
    assert 1 > overlaps[1] > 0.99 > overlaps[2] > 0.3
    with pytest.raises(UsageError, match="strength"):
        near_identity_start(circuit, strength=-1.0)


@pytest.mark.parametrize(
    ("hamiltonian", "energy"),
    [
        (heisenberg((2, 3)), -7 / 4),  # antiparallel neighbors: -1/4 a bond
        (ising(5, field=0.0), -4.0),
        (ising(5, coupling=0.0), -5.0),
    ],
)
def test_product_start_has_the_energy_of_the_best_product(hamiltonian, energy):
    circuit, angles = product_start(hamiltonian, layers=2, pairs=[(0, 3), (1, 2)], strength=0.0, seed=0)
    state = state_of(circuit, angles)
    assert state.expectation_value(hamiltonian).real == pytest.approx(energy, abs=1e-6)


def test_product_start_shares_the_circuit_of_larger_bonds():
    hamiltonian, pairs = heisenberg((2, 3)), lattice_edges((2, 3))
    state = ground_state(hamiltonian, max_bond=4, seed=0)
    circuit, _ = mps_start(2, state, pairs=pairs, seed=0)
    product, angles = product_start(hamiltonian, layers=2, pairs=pairs, seed=0)

    def gates(circuit):
        return [
            (i.operation.name, tuple(map(circuit.qubits.index, i.qubits)), str(i.operation.params))
            for i in circuit.data
        ]

    assert gates(circuit) == gates(product)
    assert angles.shape == (circuit.num_parameters,)


def test_mps_start_is_a_decomposition_with_room_to_learn():
    state, pairs = ground_state(heisenberg(5), max_bond=4, seed=0), [(0, 3), (1, 4)]
    found = decompose(state, layers=2, seed=1)
    circuit, angles = mps_start(2, state, pairs=pairs, strength=0.02, seed=1)
    longer, start = extend(found.circuit, found.parameters, pairs, strength=0.02, seed=1)
    assert circuit.assign_parameters(angles) == longer.assign_parameters(start)
    assert angles.tobytes() == start.tobytes()


def test_mps_start_fits_a_circuit_of_ones_own():
    state = ground_state(ising(4), max_bond=4, seed=0)
    circuit, angles = mps_start(brickwall(4, 4), state, pairs=[(0, 3)], strength=0.0, seed=1)
    assert circuit.num_parameters == brickwall(4, 4).num_parameters + 6
    overlap = np.vdot(to_dense(state.state), state_of(circuit, angles).data)
    assert abs(overlap) ** 2 > 0.9999


@pytest.mark.parametrize(
    ("vector", "gate", "cx"),
    [([1, 0, 0, 1], "so4", 1 + 2), ([1j, 0, 0, 1j], "so4", 1 + 2), ([1, 0, 0, 1j], "su4", 1 + 3)],
)
def test_mps_start_keeps_real_states_real(vector, gate, cx):
    vector = np.array(vector) / np.sqrt(2)
    circuit, angles = mps_start(1, vector, pairs=[(0, 1)], seed=0)
    assert circuit.count_ops()["cx"] == cx
    again = mps_start(1, vector, pairs=[(0, 1)], gate=gate, seed=0)
    assert again[1].tobytes() == angles.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 2), "num_qubits is 1; give a whole number of at least 2"), ((4, 0), "layers is 0")],
)
def test_no_brickwall(arguments, message):
    with pytest.raises(UsageError, match=message):
        brickwall(*arguments)
    with pytest.raises(UsageError, match="unknown gate"):
        brickwall(4, 2, gate="so5")
