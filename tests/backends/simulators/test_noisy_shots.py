"""Noisy shots: the method of Aer that suits the circuit, the noise and the number of shots."""

import time

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import CU1Gate, RYGate, efficient_su2
from qiskit.quantum_info import DensityMatrix, SparsePauliOp
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    amplitude_damping_error,
    coherent_unitary_error,
    pauli_error,
)

from bondwise.backends import estimate, get_backend, sample
from bondwise.backends.simulators.aer_runs import needs_products, trajectory_bits


def pairs_of_qubits(count: int) -> QuantumCircuit:
    circuit = QuantumCircuit(2 * count)
    circuit.ry(0.7, range(0, 2 * count, 2))
    circuit.cx(range(0, 2 * count, 2), range(1, 2 * count, 2))
    circuit.ry(0.4, range(2 * count))
    return circuit


@pytest.mark.parametrize("name", ["aer:depolarizing=0.2", "aer:density_matrix,depolarizing=0.2"])
def test_noisy_circuits_of_any_width_are_sampled(name: str) -> None:
    """As matrix product states: a state vector of 40 qubits would not fit."""
    exact = estimate(pairs_of_qubits(1), ["ZZ", "XX"], backend=name)
    assert not exact.std.any()
    wide = pairs_of_qubits(20)
    observables = [SparsePauliOp.from_sparse_list([(word, [18, 19], 1.0)], 40) for word in ("ZZ", "XX")]
    found = estimate(wide, observables, shots=2000, backend=name, seed=1)
    assert (np.abs(found.value - exact.value) < 4 * found.std).all()
    assert sample(wide, shots=5, backend=name, seed=1).shots == 5


def test_the_method_of_noisy_shots_suits_the_circuit() -> None:
    shallow, deep = efficient_su2(16, reps=2), efficient_su2(16, reps=12, entanglement="reverse_linear")
    assert needs_products(shallow.decompose(), 1000)
    assert not needs_products(deep.decompose(), 1000)
    assert trajectory_bits(deep.decompose()) == 2 * 8 + 6  # no bond is larger than half of the qubits allow
    assert trajectory_bits(pairs_of_qubits(20)) == 2 + 6
    assert needs_products(pairs_of_qubits(13), 10)


@pytest.mark.parametrize("name", ["aer:depolarizing=0.01", "fake:torino"])
def test_many_shots_of_few_qubits_share_a_density_matrix(name: str) -> None:
    """So many trajectories would take minutes of CPU time, a density matrix less than a second."""
    circuit = pairs_of_qubits(4)
    assert needs_products(circuit, 100)
    assert not needs_products(circuit, 200_000)
    begun = time.process_time()
    assert sample(circuit, shots=200_000, backend=name, seed=1).shots == 200_000
    assert time.process_time() - begun < 10


def noise_of(*gates: str, error: QuantumError) -> NoiseModel:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(error, list(gates))
    return noise


@pytest.mark.parametrize("error", [amplitude_damping_error(0.3), coherent_unitary_error(RYGate(0.5))])
def test_wide_clifford_circuits_with_other_noise_are_products(error: QuantumError) -> None:
    """Stabilizers cannot hold such noise, and no state vector has 40 qubits."""
    circuit = QuantumCircuit(40)
    circuit.x(range(0, 40, 2))
    circuit.cx(range(0, 40, 2), range(1, 40, 2))
    place = get_backend("aer", noise=noise_of("x", error=error))
    found = sample(circuit, shots=500, backend=place, seed=1).value["meas"].mean(axis=0)
    assert np.allclose(
        found[::2].mean(),
        DensityMatrix.from_label("1").evolve(error.to_quantumchannel()).probabilities()[1],
        atol=0.02,
    )
    assert np.array_equal(found[::2], found[1::2])


def test_errors_of_gates_that_products_lack_are_kept() -> None:
    """Aer's matrix product states take cu1 apart, and the model's error would not be applied."""
    circuit = pairs_of_qubits(7)
    circuit.append(CU1Gate(0.3), [0, 1])
    flip = noise_of("cu1", error=pauli_error([("IX", 1)]))
    flipped, plain = (
        sample(circuit, shots=300, backend=place, seed=1).value["meas"][:, :2].mean(axis=0)
        for place in (get_backend("aer", noise=flip), get_backend("aer"))
    )
    assert np.allclose(flipped, [1 - plain[0], plain[1]], atol=0.1)


def test_each_circuit_of_a_job_runs_by_its_own_method() -> None:
    """Beside a shallow one, a deep one would be a matrix product state of the largest bond."""
    deep = efficient_su2(16, reps=12, entanglement="reverse_linear").decompose()
    deep = deep.assign_parameters(np.linspace(0, 3, deep.num_parameters))
    place, word = get_backend("aer:depolarizing=0.2"), "I" * 14 + "ZZ"
    begun = time.process_time()
    found = place.run([(deep, word), (pairs_of_qubits(8), word)], shots=20, seed=3)
    assert time.process_time() - begun < 10
    exact = estimate(pairs_of_qubits(1), "ZZ", backend=place).value
    assert abs(found[1].data.evs - exact) < 4 / 20**0.5
