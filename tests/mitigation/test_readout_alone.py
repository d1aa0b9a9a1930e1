"""Readout errors undone without extrapolation."""

import copy

import numpy as np
import pytest
from helpers import two_qubits
from qiskit import QuantumCircuit
from qiskit_aer.noise import NoiseModel, depolarizing_error

from bondwise.backends import get_backend
from bondwise.mitigation import MitigatedEstimator


def test_readout_alone_is_undone():
    """The result is the value of the same device with perfect readout: only gate noise is left."""
    circuit, device = two_qubits(), NoiseModel()
    device.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])
    perfect = get_backend("aer", noise=device)
    misread = copy.deepcopy(device)
    misread.add_readout_error([[0.97, 0.03], [0.08, 0.92]], [0])
    misread.add_readout_error([[0.95, 0.05], [0.1, 0.9]], [1])
    backend = get_backend("aer", noise=misread)
    sets = np.random.default_rng(2).uniform(-1, 1, (5, 1, 6))
    pub = (circuit, ["ZZ", "XI", "II"], sets)
    estimator = MitigatedEstimator(backend, extrapolation=None)
    assert repr(estimator) == (
        f"MitigatedEstimator({backend.name}, no extrapolation, readout undone, circuits transpiled by "
        f"{backend.name})"
    )
    result = estimator.run([pub]).result()[0]
    expected = perfect.run([pub])[0].data.evs
    assert np.abs(backend.run([pub])[0].data.evs - expected).max() > 0.05
    np.testing.assert_allclose(result.data.evs, expected, atol=1e-12)
    assert result.metadata["scale_factors"] == (1.0,)
    assert result.metadata["extrapolation"] == "none"
    assert result.data.evs_noise_factors[..., 0].tolist() == result.data.evs.tolist()


def test_readout_alone_takes_circuits_that_cannot_be_folded():
    circuit = QuantumCircuit(1)
    result = MitigatedEstimator("fake:manila", extrapolation=None).run([(circuit, "Z")]).result()[0]
    assert result.data.evs == pytest.approx(1, abs=1e-12)


def test_a_sampled_broadcast_calibrates_once_and_knows_its_error():
    """The spread over seeds, with new calibrations, agrees with `stds`, which may be too large."""
    circuit = two_qubits()
    sets = np.random.default_rng(4).uniform(-1, 1, (40, 1, 6))
    pub = (circuit, ["ZI", "IZ", "ZZ"], sets)
    exact_values = MitigatedEstimator("fake:torino", extrapolation=None).run([pub]).result()[0].data.evs
    deviations, stds = [], []
    for seed in range(12):
        job = MitigatedEstimator("fake:torino", extrapolation=None, shots=500, seed=seed).run([pub]).result()
        assert job.metadata["calibration_shots"] == 500
        assert job.metadata["shots"] == 40 * 500 + 500
        deviations.append(job[0].data.evs - exact_values)
        stds.append(job[0].data.stds)
    ratio = np.sqrt(np.mean(np.square(deviations)) / np.mean(np.square(stds)))
    assert 0.75 < ratio < 1.1
