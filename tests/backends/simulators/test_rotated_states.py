"""Sampling in several bases from one final state, against Qiskit's states and circuits."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector
from qiskit_aer import AerSimulator

from bondwise.backends import estimate, get_backend
from bondwise.backends.sampled import SampledEstimator, ideal_rotations
from bondwise.backends.simulators import aer_primitives
from bondwise.backends.simulators.rotated_states import state_distributions

BACKENDS = ["statevector", "aer", AerSimulator(), AerSimulator(method="statevector", precision="single")]


@pytest.mark.parametrize("seed", range(12))
def test_distributions_are_those_of_rotated_circuits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 7))
    measured = np.sort(rng.choice(qubits, int(rng.integers(1, qubits + 1)), replace=False)).tolist()
    letters = dict(zip(measured, rng.choice(list("XYZ"), len(measured)).tolist(), strict=True))
    states = [random_statevector(2**qubits, seed=rng) for _ in range(3)]
    wanted = [state.evolve(ideal_rotations(letters, qubits)).probabilities(measured) for state in states]
    found = state_distributions(np.array([state.data for state in states]), letters)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def random_sum(qubits: int, number: int, seed: int) -> SparsePauliOp:
    rng = np.random.default_rng(seed)
    labels = ["".join(rng.choice(list("IIXYZ"), qubits)) for _ in range(number)]
    return SparsePauliOp(labels, rng.normal(size=number)).simplify()


@pytest.mark.parametrize("backend", BACKENDS, ids=str)
def test_values_scatter_around_the_exact_ones_by_their_errors(backend) -> None:
    circuit, shots = efficient_su2(4, reps=1), 3000
    wide = QuantumCircuit(7)
    wide.compose(circuit, [5, 0, 3, 6], inplace=True)  # three idle qubits
    observables = [random_sum(7, 12, seed) for seed in range(3)]
    angles = np.random.default_rng(2).uniform(-2, 2, (4, 2, wide.num_parameters))
    found = estimate(wide, observables, angles, shots=shots, seed=5, backend=backend)
    exact = [
        [
            [Statevector(wide.assign_parameters(set_)).expectation_value(o).real for o in observables]
            for set_ in row
        ]
        for row in angles
    ]
    pulls = (found.value - exact) / found.std
    assert np.abs(pulls).max() < 4.5
    assert 0.6 < np.std(pulls) < 1.5
    again = estimate(wide, observables, angles, shots=shots, seed=5, backend=backend)
    np.testing.assert_array_equal(found.value, again.value)
    other = estimate(wide, observables, angles, shots=shots, seed=6, backend=backend)
    assert (found.value != other.value).all()


def test_errors_and_shots_are_those_of_measured_circuits() -> None:
    circuit, observable = efficient_su2(4, reps=1), random_sum(4, 30, 1)
    angles = np.random.default_rng(3).uniform(-2, 2, circuit.num_parameters)
    place = get_backend("statevector")
    measured = SampledEstimator(place.sampler, ideal_rotations).run(
        [(circuit, observable, angles)], precision=0.02
    )
    drawn = place.estimator.run([(circuit, observable, angles)], precision=0.02)
    one, other = (job.result()[0] for job in (measured, drawn))
    assert one.metadata["shots"] == other.metadata["shots"]
    assert one.data.stds == pytest.approx(other.data.stds, rel=0.05)
    assert abs(one.data.evs - other.data.evs) < 5 * np.hypot(one.data.stds, other.data.stds)


def test_all_bases_come_from_one_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, evolve = [], aer_primitives.evolve
    monkeypatch.setattr(aer_primitives, "evolve", lambda *a: runs.append(1) or evolve(*a))
    circuit = efficient_su2(3, reps=1)
    angles = np.zeros((5, circuit.num_parameters))
    estimate(circuit, ["XXI", "YZI", "ZZZ", "IYY"], angles, shots=20, seed=1)
    assert runs == [1]


def test_circuits_that_branch_are_still_measured() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.h(0)
    found = estimate(circuit, ["IX", "ZZ"], shots=4000, seed=1)
    np.testing.assert_allclose(found.value, 0, atol=0.1)
    assert found.shots == 8000
