"""A VQE that trains on mitigated energies: one job for each gradient, and an energy near the true one."""

import numpy as np
import pytest
from helpers import real_circuit

from bondwise.backends import estimate
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import VQE, exact_ground_state, ising

DEVICE = "fake:manila"


@pytest.mark.parametrize(
    ("gradient", "extrapolation", "steps", "rate"),
    [("parameter-shift", "neural", 4, 0.3), ("spsa", "exponential", 20, 0.2)],
)
def test_a_vqe_trains_on_mitigated_energies(monkeypatch, gradient, extrapolation, steps, rate):
    hamiltonian, circuit = ising(2), real_circuit(2, 1)
    start = np.full(circuit.num_parameters, -0.3)
    zne = MitigatedEstimator(DEVICE, extrapolation=extrapolation, shots=2000, shares=(5, 1, 1), seed=2)
    jobs, submit = [], zne.backend.submit

    def counted(pubs, **more):
        jobs.append(len(pubs))
        return submit(pubs, **more)

    monkeypatch.setattr(zne.backend, "submit", counted)
    vqe = VQE(hamiltonian, circuit, backend=zne, learning_rate=rate, gradient=gradient)
    result = vqe.run(start, steps=steps, seed=2)
    # the energy and all shifts at once; the last measurement; the readout is calibrated in the first job
    assert len(jobs) == steps + 2
    assert jobs[0] > jobs[1] == jobs[steps]
    assert result.shots > 0
    ground, _ = exact_ground_state(hamiltonian)
    before, after = (estimate(circuit, hamiltonian, angles).value for angles in (start, result.parameters))
    raw = estimate(circuit, hamiltonian, result.parameters, backend=DEVICE).value  # exact, with noise
    assert after - ground < 0.5 * (before - ground)
    assert abs(result.value - after) < 5 * result.std
    assert abs(result.value - after) < abs(raw - after)
