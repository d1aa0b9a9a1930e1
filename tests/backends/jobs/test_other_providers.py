"""Jobs on devices of other providers, which cannot be searched by tags: none is paid for twice."""

import threading

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendSamplerV2
from qiskit.providers import BackendV2, JobV1, Options
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends import Journal, Waiting, estimate, record
from bondwise.backends.jobs.tracking import TrackedJob
from bondwise.runs import RunError, UsageError


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "jobs.sqlite")


def circuit_and_angles(seed=0, sets=3):
    circuit = efficient_su2(3, reps=1)
    return circuit, np.random.default_rng(seed).uniform(-3, 3, (sets, circuit.num_parameters))


class Remote(GenericBackendV2):
    """A vendor's device: jobs have identifiers, by which it finds them, and run when they are let."""

    def __init__(self, **options):
        super().__init__(3, seed=0, **options)
        self.kept, self.go = {}, threading.Event()
        self.go.set()

    def run(self, circuits, **options):
        job = super().run(circuits, **options)
        identifier = f"job-{len(self.kept)}"
        self.kept[identifier] = Kept(self, identifier, job)
        return self.kept[identifier]

    def retrieve_job(self, identifier):
        return self.kept[identifier]


class Kept(JobV1):
    def __init__(self, device, identifier, job):
        super().__init__(device, identifier)
        self.inner = job

    def submit(self):
        pass

    def status(self):
        from qiskit.providers import JobStatus

        return JobStatus.DONE if self._backend.go.is_set() else JobStatus.QUEUED

    def result(self):
        self._backend.go.wait(30)
        return self.inner.result()


class Vendor(Remote):
    """The same, not known to Qiskit's simulators."""


def remote(journal, device, **options):
    from bondwise.backends.backend import Backend
    from bondwise.backends.devices import AnyDeviceSampler

    place = Backend("vendor", sampler=AnyDeviceSampler(device, local=False), target=device.target, noisy=True)
    return record(place, "run", journal=journal, **options)


def test_jobs_of_any_provider_are_recorded_with_their_identifiers(journal):
    device = Vendor()
    circuit, angles = circuit_and_angles()
    first = estimate(circuit, ["ZII", "XXI"], angles, shots=20, backend=remote(journal, device))
    [job] = journal.records()
    assert job.job_ids == first.job_ids == ("job-0",)
    again = estimate(circuit, ["ZII", "XXI"], angles, shots=20, backend=remote(journal, device))
    assert np.array_equal(again.value, first.value)
    assert list(device.kept) == ["job-0"]


def test_a_run_that_does_not_wait_submits_and_says_so(journal):
    device = Vendor()
    device.go.clear()
    circuit, angles = circuit_and_angles()

    def ask(**options):
        return estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device, **options))

    with pytest.raises(Waiting, match="queued") as caught:
        ask(wait=False)
    assert caught.value.job_ids == ("job-0",)
    assert journal.records()[0].state == "submitted"
    with pytest.raises(Waiting):
        ask(wait=False)
    device.go.set()
    assert ask(wait=False).job_ids == ("job-0",)
    assert list(device.kept) == ["job-0"]


def test_a_provider_without_tags_is_not_asked_twice_for_an_unknown_job(journal):
    """The process ended before the identifier was stored: only the user knows whether the job arrived."""
    device = Vendor()
    circuit, angles = circuit_and_angles()
    place = remote(journal, device)

    def killed(circuits, **options):
        raise Killed

    device.run, kept = killed, device.run
    with pytest.raises(Killed):
        estimate(circuit, "ZII", angles, shots=20, backend=place)
    device.run = kept
    assert [one.state for one in journal.records()] == ["intended"]
    with pytest.raises(RunError, match="settle"):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    assert device.kept == {}


class Killed(BaseException):
    pass


def before(device, act, times=1):
    """Let a device do something after it has taken a job."""
    run, left = type(device).run, [times]

    def changed(circuits, **options):
        job = run(device, circuits, **options)
        left[0] -= 1
        if left[0] >= 0:
            act()
        return job

    device.run = changed


def fail(error):
    raise error


@pytest.mark.parametrize("error", [ConnectionError("reset by peer"), TimeoutError("no answer")])
def test_a_broken_connection_does_not_pay_twice(journal, error):
    device = Vendor()
    before(device, lambda: fail(error))
    circuit, angles = circuit_and_angles()
    with pytest.raises(OSError, match=str(error)):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    with pytest.raises(RunError, match="settle"):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    assert list(device.kept) == ["job-0"]
    TrackedJob(journal, journal.records()[0].tag).settle("job-0")
    assert estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device)).job_ids == ("job-0",)
    assert list(device.kept) == ["job-0"]


def test_a_second_attempt_is_an_intent_too(journal):
    device = Vendor()
    circuit, angles = circuit_and_angles()
    device.run = lambda *args, **options: fail(RuntimeError("out of helium"))
    with pytest.raises(RuntimeError, match="helium"):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    assert journal.records()[0].state == "failed"
    before(device, lambda: fail(Killed()))
    with pytest.raises(Killed):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    with pytest.raises(RunError, match="settle"):
        estimate(circuit, "ZII", angles, shots=20, backend=remote(journal, device))
    assert list(device.kept) == ["job-0"]


def test_a_job_that_fails_on_a_device_is_submitted_again_by_the_next_process(journal):
    from qiskit.providers import JobStatus

    device = Vendor()
    circuit, angles = circuit_and_angles()
    handle = sampled(remote(journal, device))
    broken = device.kept["job-0"]
    broken.status, broken.result = lambda: JobStatus.ERROR, lambda: fail(RuntimeError("out of helium"))
    with pytest.raises(RunError, match="ended as failed: out of helium"):
        handle.collect()
    assert journal.records()[0].state == "failed"
    assert sampled(remote(journal, device)).collect().metadata["job_ids"] == ("job-1",)


def test_a_job_that_a_device_has_lost_is_settled(journal):
    device = Vendor()
    sampled(remote(journal, device))
    del device.kept["job-0"]
    with pytest.raises(KeyError):
        sampled(remote(journal, device))
    TrackedJob(journal, "job-0").settle(None)
    assert len(sampled(remote(journal, device)).collect()) == 1
    with pytest.raises(UsageError, match="is done; nothing is left to settle"):
        TrackedJob(journal, journal.records()[0].tag).settle(None)


def sampled(backend):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.measure_all()
    return backend.submit_sample([(backend.transpile(circuit),)], shots=10)


class Hardware(BackendV2):
    """A device that Qiskit does not know as a simulator."""

    def __init__(self):
        super().__init__(name="hardware")
        self.inside, self.asked = GenericBackendV2(3, seed=0), 0

    target = property(lambda self: self.inside.target)
    max_circuits = None

    @classmethod
    def _default_options(cls):
        return Options(shots=100)

    def run(self, circuits, **options):
        self.asked += 1
        return self.inside.run(circuits, **options)


def test_a_primitive_on_a_device_does_not_pay_twice(journal):
    """Its job is a thread of this process, so that nobody finds the jobs of the device later."""
    device = Hardware()
    backend = record(BackendSamplerV2(backend=device), "run", journal=journal)
    assert backend.remote
    sampled(backend)._job._job.result()  # the process ends before the result is stored
    with pytest.raises(RunError, match="settle"):
        sampled(record(BackendSamplerV2(backend=device), "run", journal=journal))
    assert device.asked == 1
    TrackedJob(journal, journal.records()[0].tag).settle(None)
    sampled(record(BackendSamplerV2(backend=device), "run", journal=journal)).collect()
    sampled(record(BackendSamplerV2(backend=device), "run", journal=journal)).collect()
    assert device.asked == 2
