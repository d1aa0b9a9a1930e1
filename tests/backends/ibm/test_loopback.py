"""The unmodified client of IBM Quantum against the service on this machine."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_sampler import Sampler

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


@pytest.fixture
def service(loopback_ibm):
    return QiskitRuntimeService()


def measured(backend, angle=0.7):
    """A Bell-like circuit for the device; qubit 1 copies qubit 0."""
    from bondwise.backends.ibm.service import on_device

    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return on_device(backend).transpile(circuit)


def test_a_sampler_job_runs_with_noise_and_is_found_again(service, loopback_ibm):
    backend = service.backend("ibm_manila")
    assert backend.num_qubits == 5
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = ["run-42"]
    job = sampler.run([(measured(backend),)], shots=2000)
    counts = job.result()[0].data["meas"].get_counts()
    assert sum(counts.values()) == 2000
    assert counts["11"] / 2000 == pytest.approx(np.sin(0.35) ** 2, abs=0.04)
    assert 0 < counts["01"] + counts["10"] < 300
    other = QiskitRuntimeService()
    assert other.job(job.job_id()).result()[0].data["meas"].get_counts() == counts
    assert [found.job_id() for found in other.jobs(job_tags=["run-42"])] == [job.job_id()]
    assert other.jobs(job_tags=["run-43"]) == []
    [record] = loopback_ibm.jobs
    assert (record.id, record.tags, record.status) == (job.job_id(), ("run-42",), "Completed")
    assert job.metrics()["usage"]["quantum_seconds"] == pytest.approx(1.5)
