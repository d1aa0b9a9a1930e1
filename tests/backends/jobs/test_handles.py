"""Jobs are submitted at once and collected later, and give what `run` and `sample` give."""

import threading

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import (
    BackendSamplerV2,
    BaseSamplerV2,
    PrimitiveJob,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.providers import JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Handle, get_backend
from bondwise.runs import RunError, UsageError

PLACES = {
    "statevector": lambda: "statevector",
    "aer": lambda: "aer",
    "noise": lambda: "aer:depolarizing=0.02",
    "fake": lambda: "fake:manila",
    "device": lambda: GenericBackendV2(4, seed=0),
    "simulator": BasicSimulator,
    "estimator": lambda: StatevectorEstimator(seed=1),
    "sampler": lambda: StatevectorSampler(seed=1),
    "device-sampler": lambda: BackendSamplerV2(
        backend=GenericBackendV2(4, seed=0), options={"seed_simulator": 1}
    ),
}


def pubs_for(backend, seed=0, number=2):
    """PUBs with local and joint observables, in batches."""
    rng = np.random.default_rng(seed)
    pubs = []
    for _ in range(number):
        circuit = efficient_su2(3, reps=1)
        isa = backend.transpile(circuit)
        observables = backend.estimator and [["ZII", "XXI", "IYZ"]]
        array = np.array([[{word: 1.0} for word in row] for row in observables])
        if isa.layout is not None:
            from qiskit.primitives.containers.observables_array import ObservablesArray

            array = ObservablesArray.coerce(array).apply_layout(isa.layout)
        pubs.append((isa, array, rng.uniform(-3, 3, (4, 1, circuit.num_parameters))))
    return pubs


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shots", [None, 64])
def test_collected_values_are_those_of_run(place, shots):
    wanted = get_backend(PLACES[place]())
    wanted = wanted.run(pubs_for(wanted), shots=shots, seed=3)
    backend = get_backend(PLACES[place]())
    handle = backend.submit(pubs_for(backend), shots=shots, seed=3)
    assert isinstance(handle, Handle)
    found = handle.collect()
    assert handle.collect() is found
    assert handle.status() == "done"
    assert handle.job_ids == found.metadata["job_ids"]
    assert found.metadata["shots"] == wanted.metadata["shots"]
    for one, other in zip(found, wanted, strict=True):
        assert one.data.evs.shape == (4, 3)
        np.testing.assert_allclose(one.data.evs, other.data.evs, atol=1e-12)
        np.testing.assert_allclose(one.data.stds, other.data.stds, atol=1e-12)


@pytest.mark.parametrize("place", [name for name in PLACES if name != "estimator"])
def test_collected_samples_are_those_of_sample(place):
    circuit = efficient_su2(3, reps=1)
    circuit.measure_all()
    angles = np.random.default_rng(1).uniform(-3, 3, (2, circuit.num_parameters))
    wanted = get_backend(PLACES[place]())
    wanted = wanted.sample([(wanted.transpile(circuit), angles)], shots=50, seed=2)
    backend = get_backend(PLACES[place]())
    handles = [
        backend.submit_sample([(backend.transpile(circuit), angles)], shots=50, seed=2) for _ in range(2)
    ]
    found = [handle.collect() for handle in reversed(handles)][-1]
    assert np.array_equal(found[0].data["meas"].array, wanted[0].data["meas"].array)
    assert found.metadata["shots"] == wanted.metadata["shots"] == 100
    assert handles[0].job_ids == found.metadata["job_ids"]


class Waiting(BaseSamplerV2):
    """A sampler like that of a service: its jobs have identifiers, and run when they are let."""

    def __init__(self):
        self.jobs, self.go, self.asked = [], threading.Event(), 0

    def run(self, pubs, *, shots=None):
        pubs = list(pubs)

        def work():
            self.asked += 1
            self.go.wait(60)
            return StatevectorSampler(seed=0).run(pubs, shots=shots).result()

        job = PrimitiveJob(work)
        job._submit()
        self.jobs.append(job)
        return job


def test_a_job_of_a_service_is_submitted_before_anybody_waits():
    service = Waiting()
    backend = get_backend(service)
    handles = [backend.submit(pubs_for(backend, seed), shots=32) for seed in range(3)]
    assert [handle.job_ids for handle in handles] == [(job.job_id(),) for job in service.jobs]
    assert len(service.jobs) == 3
    assert {handle.status() for handle in handles} <= {"queued", "running"}
    assert "running" in repr(handles[0])
    assert handles[0].job_ids[0] in repr(handles[0])
    service.go.set()
    found = [handle.collect() for handle in handles]
    assert [handle.status() for handle in handles] == ["done"] * 3
    assert len(service.jobs) == service.asked == 3
    exact = get_backend("statevector")
    for seed, result in enumerate(found):
        wanted = exact.run(pubs_for(exact, seed))
        for one, other in zip(result, wanted, strict=True):
            assert np.abs(one.data.evs - other.data.evs).max() < 6 / np.sqrt(32)


def test_jobs_are_canceled_and_failures_told_when_collected():
    service = Waiting()
    backend = get_backend(service)
    handle = backend.submit(pubs_for(backend), shots=8)
    handle.cancel()  # which a thread that runs does not hear
    assert handle.status() == "running"
    service.go.set()
    handle.collect()

    class Failing(Waiting):
        def run(self, pubs, *, shots=None):
            job = PrimitiveJob(lambda: 1 / 0)
            job._submit()
            return job

    backend = get_backend(Failing())
    handle = backend.submit(pubs_for(backend), shots=8)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            handle.collect()
    assert handle.status() == "failed"
    follow_up = backend.estimator.run(pubs_for(backend), precision=0.1)
    with pytest.raises(ZeroDivisionError):
        follow_up.result()
    assert follow_up.status() is JobStatus.ERROR
    assert follow_up.in_final_state()
    assert [follow_up.done(), follow_up.running(), follow_up.cancelled()] == [False] * 3


def test_values_that_are_no_numbers_are_refused_when_collected():
    class Broken(StatevectorEstimator):
        def run(self, pubs, *, precision=None):
            [result] = super().run(pubs, precision=precision).result()
            result.data["evs"][...] = np.nan
            job = PrimitiveJob(lambda: [result])
            job._submit()
            return job

    backend = get_backend(Broken())
    handle = backend.submit(pubs_for(backend, number=1))
    with pytest.raises(RunError, match="nan, which is not a finite real number"):
        handle.collect()


def test_wrong_calls_are_refused_before_anything_is_submitted():
    service = Waiting()
    backend = get_backend(service)
    circuit = QuantumCircuit(1)
    for call, arguments in (
        (backend.submit, {"shots": 0}),
        (backend.submit_sample, {"shots": 0}),
    ):
        with pytest.raises(UsageError, match="shots"):
            call([(circuit, "Z")] if call == backend.submit else [(circuit,)], **arguments)
    with pytest.raises(UsageError, match="evaluates observables only"):
        get_backend(StatevectorEstimator()).submit_sample([(circuit,)])
    assert service.jobs == []


def test_nothing_to_measure_is_nothing_to_submit():
    service = Waiting()
    backend = get_backend(service)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    handle = backend.submit([(circuit, "II")], shots=10)
    assert handle.job_ids == ()
    assert handle.collect()[0].data.evs == 1.0
    assert service.jobs == []


def test_jobs_of_a_device_have_its_identifiers_and_counts_are_enough():
    class CountsOnly(GenericBackendV2):
        """A device that tells how often outcomes occurred, and no single shots."""

        seen = ()

        def run(self, run_input, *, memory=False, **options):
            job = super().run(run_input, **options)
            self.seen = (*self.seen, job.job_id())
            return job

    device = CountsOnly(4, seed=0)
    backend = get_backend(device)
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure([0, 2], [0, 1])
    pub = (backend.transpile(circuit),)
    handle = backend.submit_sample([(*pub, None, 20), (*pub, None, 30)], seed=1)
    assert handle.job_ids == device.seen
    assert len(device.seen) == 2  # a job has one number of shots
    few, many = handle.collect()
    assert few.data["c"].num_shots == 20
    counts = many.data["c"].get_counts()
    assert sum(counts.values()) == 30
    assert max(counts, key=counts.get) == "001"
    isa = backend.transpile(circuit.remove_final_measurements(inplace=False))
    values = backend.submit([(isa, SparsePauliOp("IIZ").apply_layout(isa.layout))])
    assert values.job_ids == device.seen[2:]
    assert values.collect()[0].data.evs < -0.8


def test_circuits_without_bits_are_sampled():
    backend = get_backend(GenericBackendV2(2, seed=0))
    result = backend.submit_sample([(QuantumCircuit(2),)], shots=5).collect()
    assert list(result[0].data) == []
