"""A plan counts what is then really submitted, and submits nothing."""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BaseSamplerV2, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from bondwise import qml
from bondwise.backends import (
    Backend,
    Journal,
    Waiting,
    estimate,
    expectation,
    get_backend,
    plan,
    record,
    sample,
)
from bondwise.backends.ibm.connection import shots_of
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import RunError, UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


class Counting(BaseSamplerV2):
    """Qiskit's sampler, which remembers its jobs."""

    def __init__(self):
        self.jobs = []

    def run(self, pubs, *, shots=None):
        held = [(circuit, np.asarray(values), each or shots) for circuit, values, each in map(full, pubs)]
        self.jobs.append(held)
        return StatevectorSampler(seed=1).run(held)


class Failing(BaseSamplerV2):
    """A sampler that must not run."""

    def run(self, pubs, *, shots=None):
        raise AssertionError("a job was submitted")


def full(pub):
    if hasattr(pub, "circuit"):
        return pub.circuit, pub.parameter_values.as_array(pub.circuit.parameters), pub.shots
    return (*pub, None, None)[:3]


def device(sampler):
    """A noisy backend with the gates and couplings of a device."""
    return Backend("device", sampler=sampler, target=FakeManilaV2().target, noisy=True)


def layered(sets=None, seed=0):
    circuit = efficient_su2(3, reps=1)
    shape = circuit.num_parameters if sets is None else (sets, circuit.num_parameters)
    return circuit, np.random.default_rng(seed).uniform(-3, 3, shape)


def values(place):
    circuit, angles = layered(sets=4)
    return estimate(circuit, ["ZZI", "XXI + 0.5*IZZ", "III"], angles, shots=90, backend=place, seed=1)


def broadcast(place):
    """Observables that need each parameter set in other bases."""
    circuit, angles = layered(sets=3)
    isa = place.transpile(circuit)
    words = [SparsePauliOp(word).apply_layout(isa.layout) for word in ("ZII", "XXI", "IYZ")]
    return place.run([(isa, words, angles)], shots=70)


def bits(place):
    circuit, angles = layered(sets=2)
    circuit.measure_all()
    return sample(circuit, angles, shots=300, backend=place)


def gradient(place):
    circuit, angles = layered()
    theta = torch.tensor(angles, requires_grad=True)
    expectation(circuit, ["ZZI", "IXX"], theta, place, shots=60).sum().backward()


def spsa(place):
    circuit, angles = layered()
    theta = torch.tensor(angles, requires_grad=True)
    expectation(circuit, "ZZI", theta, place, gradient="spsa", shots=60, seed=1).backward()


def mitigated(**how):
    def work(place):
        estimator = MitigatedEstimator(place, shots=200, seed=1, **how)
        circuit, angles = layered(sets=2)
        observable = SparsePauliOp(["ZZI", "XIX", "IIY"], [1, 0.5, 2])
        for _ in range(2):  # the second finds the calibration of the first
            estimator.run([(circuit, observable, angles)]).result()

    return work


def training(place):
    hamiltonian = SparsePauliOp(["ZZI", "IZZ", "XII", "IXI", "IIX"], [-1, -1, -0.5, -0.5, -0.5])
    circuit, angles = layered()
    qml.VQE(hamiltonian, circuit, backend=place, shots=50, optimizer="adam").run(angles, steps=3, seed=0)


WORK = {
    "values": values,
    "broadcast": broadcast,
    "samples": bits,
    "gradient": gradient,
    "spsa": spsa,
    "mitigated": mitigated(),
    "by gates": mitigated(folding="gates", extrapolation="linear"),
    "readout only": mitigated(extrapolation=None),
    "no readout": mitigated(readout=False, extrapolation="richardson"),
    "training": training,
}


@pytest.mark.parametrize("work", WORK)
def test_counts_are_those_of_what_is_submitted(work):
    found = plan(device(Failing()), WORK[work])
    sampler = Counting()
    WORK[work](device(sampler))
    sizes = [(int(np.prod(values.shape[:-1])), shots) for job in sampler.jobs for _, values, shots in job]
    assert found.jobs == len(sampler.jobs) > 0
    assert found.pubs == len(sizes)
    assert found.circuits == sum(size for size, _ in sizes)
    assert found.shots == sum(size * shots for size, shots in sizes)
    gates = [
        (sum(len(step.qubits) == 2 for step in circuit.data if step.name == "cx"), int(np.prod(v.shape[:-1])))
        for job in sampler.jobs
        for circuit, v, _ in job
    ]
    assert found.two_qubit_gates == sum(number * sets for number, sets in gates)
    assert found.most_two_qubit_gates == max(number for number, _ in gates)
    assert found.complete
    assert not found.device


@pytest.mark.parametrize("place", ["statevector", "aer:depolarizing=0.02", "fake:manila"])
@pytest.mark.parametrize("shots", [None, 50])
def test_shots_of_simulators_are_those_of_their_results(place, shots):
    circuit, angles = layered(sets=3)

    def work(where):
        return estimate(circuit, ["ZZI", "XXI"], angles, shots=shots, backend=where, seed=1)

    found = plan(place, work)
    assert (found.jobs, found.pubs, found.shots) == (1, 1, work(place).shots)
    assert found.circuits == (3 if shots is None else 6)
    assert found.qpu_seconds == 0


def test_nothing_is_simulated(monkeypatch):
    from qiskit_aer import AerSimulator

    def run(*_, **__):
        raise AssertionError("a circuit was simulated")

    monkeypatch.setattr(AerSimulator, "run", run)
    for place in ("statevector", "aer", "aer:depolarizing=0.02", "fake:manila", "fake:manila,resilience=1"):
        assert plan(place, values).jobs == 1
    for place in ("statevector", "aer", "fake:manila"):
        assert plan(place, bits).shots == 600


class TwoAtATime(GenericBackendV2):
    """A device that takes two circuits in a job."""

    def __init__(self):
        super().__init__(3, seed=0)
        self.sizes = []

    @property
    def max_circuits(self):
        return 2

    def run(self, run_input, **options):
        self.sizes.append(len(run_input))
        return super().run(run_input, **options)


@pytest.mark.parametrize("work", [values, bits, mitigated()])
def test_jobs_of_a_device_that_takes_few_circuits(work):
    backend = TwoAtATime()
    found = plan(backend, work)
    assert backend.sizes == []
    work(get_backend(backend))
    assert (found.jobs, found.circuits) == (len(backend.sizes), sum(backend.sizes))


@pytest.mark.parametrize("options", ["", ",resilience=1", ",resilience=2"])
def test_counts_on_ibms_service(loopback_ibm, options):
    work = mitigated() if not options else values
    name = f"ibm:ibm_manila{options},mode=job"
    found = plan(name, work)
    assert loopback_ibm.jobs == ()
    work(get_backend(name))
    service = QiskitRuntimeService()
    programs = [service.job(job.id).inputs["quantum_program"] for job in loopback_ibm.jobs]
    assert found.jobs == len(programs)
    assert found.shots == sum(map(shots_of, programs))
    assert found.circuits == sum(item.size() for program in programs for item in program.items)
    assert found.device
    assert found.waiting_jobs == 0
    delays = found.shots * 250e-6 + 2 * found.jobs
    assert delays < found.qpu_seconds < delays + found.shots * 40e-6  # circuits of manila take microseconds
    charged = sum(job.quantum_seconds for job in loopback_ibm.jobs)  # the loopback service takes 1 s a job
    assert charged == pytest.approx(delays - found.jobs)
    assert "QPU time: about" in str(found)
    assert "0 jobs in the queue" in str(found)


def test_a_primitive_of_the_client_is_a_device(loopback_ibm):
    manila = QiskitRuntimeService().backend("ibm_manila")
    for primitive in (Sampler(mode=manila), Sampler(mode=FakeManilaV2())):
        found = plan(primitive, bits)
        assert found.device == (primitive.backend() is manila)
        assert (found.qpu_seconds > 2) == found.device
    assert loopback_ibm.jobs == ()


def test_the_shots_of_ibms_mitigation_on_snapshots():
    for level in (1, 2):
        name = f"fake:manila,resilience={level}"
        found = plan(name, values)
        assert found.shots == values(name).shots
        assert found.qpu_seconds == 0 < found.device_seconds


def test_jobs_of_the_journal_are_not_counted(tmp_path):
    journal = Journal(tmp_path / "jobs.sqlite")

    def work(place):
        values(place)
        return bits(place)

    bare = get_backend(TwoAtATime())
    fresh = plan(record(bare, "run", journal=journal), work)
    assert (fresh.known_jobs, journal.records()) == (0, [])
    values(record(bare, "run", journal=journal))
    known = journal.records()
    resumed = plan(record(bare, "run", journal=journal), work)
    assert resumed.known_jobs == len(known)
    assert resumed.jobs + resumed.known_jobs == fresh.jobs
    assert journal.records() == known
    assert f"in the journal: {len(known)} jobs" in str(resumed)


def test_jobs_that_are_still_in_the_queue_are_not_counted(loopback_ibm, tmp_path):
    journal = Journal(tmp_path / "jobs.sqlite")
    loopback_ibm.hold()
    with pytest.raises(Waiting):
        values(record("ibm:ibm_manila", "run", journal=journal, wait=False))
    found = plan(record("ibm:ibm_manila", "run", journal=journal), values)
    assert (found.jobs, found.known_jobs, found.qpu_seconds, found.waiting_jobs) == (0, 1, 0.0, 1)
    assert found.device
    assert len(loopback_ibm.jobs) == 1


def test_a_computation_that_made_up_results_end():
    circuit = QuantumCircuit(12)
    circuit.h(range(12))

    def work(place):
        return sample(circuit, shots=100, backend=place, post_select={"meas": "0" * 12})

    found = plan("aer", work)
    assert not found.complete
    assert "at least 1 job" in str(found)
    with pytest.raises(RunError, match="none to begin with"):
        plan("aer", lambda place: (_ for _ in ()).throw(RunError("none to begin with")))
    with pytest.raises(UsageError, match="acts on 3 qubits"):
        plan("aer", lambda place: estimate(QuantumCircuit(2), "ZZZ", backend=place))


def test_nothing_at_all():
    found = plan("fake:manila", lambda place: None)
    assert (found.jobs, found.qpu_seconds, found.success) == (0, 0.0, None)


def test_a_plan_prints_itself():
    found = plan("fake:manila", bits)
    lines = str(found).splitlines()
    assert lines[0] == "Plan for fake:manila"
    assert lines[1] == "  submits: 1 job, 1 PUB, 2 circuits, 600 shots"
    assert lines[-1].startswith("  QPU time: none, simulated")
    assert "600 shots" in found._repr_html_()


@pytest.mark.parametrize(
    ("work", "message"),
    [(3, "work is an int"), (lambda: None, "<lambda>, which does not take"), (None, "work is None")],
)
def test_what_is_no_function_of_the_backend_is_refused(work, message):
    with pytest.raises(UsageError, match=f"{message}.*; give a function of the backend"):
        plan("statevector", work)


@pytest.mark.parametrize("options", ["", ",resilience=1"])
def test_more_shots_than_the_device_takes_are_refused_in_the_plan(loopback_ibm, options):
    def work(place):
        circuit, angles = layered()
        return estimate(circuit, "ZZZ", angles, shots=10**7, backend=place)

    with pytest.raises(UsageError, match=r"ibm:ibm_manila.* takes at most 100,000 of a circuit"):
        plan(f"ibm:ibm_manila{options}", work)


@pytest.mark.parametrize("place", ["statevector", "aer", "fake:manila"])
def test_shots_that_do_not_fit_into_memory_are_refused(place):
    circuit, angles = layered()
    circuit.measure_all()

    def work(place):
        return sample(circuit, angles, shots=10**9, backend=place)

    for attempt in (work, lambda place: plan(place, work)):
        with pytest.raises(UsageError, match="the bits of 1,000,000,000 shots would take .* ask for fewer"):
            attempt(get_backend(place))


def test_a_matrix_product_state_holds_all_shots_that_it_counts():
    circuit, angles = layered()
    with pytest.raises(UsageError, match="the bits of 1,000,000,000 shots would take"):
        estimate(circuit, "ZZZ", angles, shots=10**9, backend="aer:matrix_product_state")
