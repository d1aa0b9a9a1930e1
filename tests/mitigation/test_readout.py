"""Readout errors: the corrected observable, measured through them, gives the true mean."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector, random_pauli_list, random_statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError

from bondwise.backends import get_backend
from bondwise.mitigation import ReadoutCalibration
from bondwise.runs import RunError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:ReadoutCalibration goes")

ROTATE = {  # to the eigenbasis of the letter
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
    "I": np.eye(2),
}


def calibration_of(wrong):
    """A calibration without error bars from `(p(1|0), p(0|1))` of each qubit."""
    p10, p01 = np.array(wrong, dtype=float).T
    return ReadoutCalibration(
        tuple(range(len(p10))),
        p01 - p10,
        1 - p01 - p10,
        np.zeros(len(p10)),
        shots=0,
        total_shots=0,
        job_ids=(),
    )


def measured_mean(state, operator, wrong):
    """Mean of Pauli measurements whose outcomes pass through the confusion matrices, from the definition."""
    confusion = [np.array([[1 - p10, p01], [p10, 1 - p01]]) for p10, p01 in wrong]
    total = 0.0
    for label, coefficient in operator.to_list():
        rotation = reduce(np.kron, [ROTATE[letter] for letter in label])
        outcomes = np.abs(rotation @ state.data) ** 2
        outcomes = reduce(np.kron, confusion[::-1]) @ outcomes
        signs = reduce(np.kron, [np.array([1, 1 if letter == "I" else -1]) for letter in label])
        total += coefficient.real * (signs @ outcomes)
    return total


def noisy_estimator(wrong, seed):
    model = NoiseModel()
    for qubit, (p10, p01) in enumerate(wrong):
        model.add_readout_error(ReadoutError([[1 - p10, p10], [p01, 1 - p01]]), [qubit])
    simulator = AerSimulator(noise_model=model)
    return BackendEstimatorV2(backend=simulator, options={"seed_simulator": seed})


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)), min_size=3, max_size=3), st.integers(0, 10**6)
)
def test_corrected_observable_is_unbiased(wrong, seed):
    paulis = random_pauli_list(3, 5, seed=seed, phase=False)
    operator = SparsePauliOp(paulis, np.random.default_rng(seed).normal(size=5))
    state = random_statevector(8, seed=seed)
    corrected = calibration_of(wrong).correct(operator)
    assert measured_mean(state, corrected, wrong) == pytest.approx(
        state.expectation_value(operator).real, abs=1e-10
    )


def test_a_pauli_of_weight_w_becomes_two_to_the_w_terms():
    calibration = calibration_of([(0.01, 0.05)] * 4)
    for label, terms in (("XYZX", 16), ("IZZI", 4), ("IIII", 1)):
        assert len(calibration.correct(SparsePauliOp(label))) == terms


def test_a_perfect_readout_changes_nothing():
    operator = SparsePauliOp(["XXI", "IZY"], [0.5, -2])
    assert calibration_of([(0, 0)] * 3).correct(operator).equiv(operator)


def test_weight_limit():
    calibration = calibration_of([(0.01, 0.05)] * 13)
    with pytest.raises(UsageError, match="weight 13 .* pass readout=False"):
        calibration.correct(SparsePauliOp("Z" * 13))
    symmetric = calibration_of([(0.02, 0.02)] * 13)  # no offsets, so nothing to expand
    assert len(symmetric.correct(SparsePauliOp("Z" * 13))) == 1


def test_measures_the_probabilities_that_were_set():
    wrong, shots = [(0.02, 0.08), (0.0, 0.0), (0.1, 0.03)], 40000
    calibration = ReadoutCalibration.measure(get_backend(noisy_estimator(wrong, 4)), [0, 2], 3, shots=shots)
    assert calibration.qubits == (0, 2)
    assert calibration.offset == pytest.approx([0.06, -0.07], abs=4 * calibration.std.max())
    assert calibration.slope == pytest.approx([0.90, 0.87], abs=4 * calibration.std.max())
    assert calibration.std == pytest.approx(np.sqrt([1 - 0.84**2, 1 - 0.80**2]) / np.sqrt(shots), rel=0.05)
    assert calibration.shots == shots
    assert calibration.total_shots == 2 * shots
    assert len(calibration.job_ids) == 1


def test_exact_backends_show_no_readout_error():
    calibration = ReadoutCalibration.measure(get_backend(StatevectorEstimator()), [0, 1], 2, shots=10**8)
    assert calibration.slope == pytest.approx(1, abs=1e-3)
    calibration = ReadoutCalibration.measure(get_backend("statevector"), [0, 1], 2, shots=None)
    assert np.all(calibration.slope == 1)
    assert np.all(calibration.offset == 0)


def test_a_dead_qubit_is_named():
    with pytest.raises(RunError, match="qubit 1 reads 0 and 1 almost alike"):
        ReadoutCalibration.measure(
            get_backend(noisy_estimator([(0, 0), (0.5, 0.5)], 1)), [0, 1], 2, shots=1000
        )


def test_error_bound_holds_for_the_spread_of_repeated_calibrations():
    """The spread of corrected means over noisy calibrations stays below the bound, and not far below."""
    rng = np.random.default_rng(2)
    wrong, shots = [(0.03, 0.07)] * 3, 2000
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    operator, state = SparsePauliOp(["ZZI", "XXX"], [1.0, 0.5]), Statevector(circuit)
    values = []
    for _ in range(300):
        of_zero = 1 - 2 * rng.binomial(shots, 0.03, 3) / shots
        of_one = -1 + 2 * rng.binomial(shots, 0.07, 3) / shots
        std = np.full(3, np.sqrt(1 - 0.86**2) / np.sqrt(shots))
        one = ReadoutCalibration((0, 1, 2), (of_zero + of_one) / 2, (of_zero - of_one) / 2, std, shots, 0, ())
        values.append(measured_mean(state, one.correct(operator), wrong))
    bound = one.error_bound(operator)
    assert 0.2 * bound < np.std(values) < bound
