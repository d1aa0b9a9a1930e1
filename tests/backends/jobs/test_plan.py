"""A plan counts what is then really submitted, and submits nothing."""

from math import exp, prod

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
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
    estimate,
    expectation,
    get_backend,
    plan,
    record,
    sample,
)
from bondwise.backends.ibm.connection import shots_of
from bondwise.backends.jobs.circuit_costs import circuit_cost
from bondwise.backends.simulators.reduced_device import scheduled
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


def test_success_is_the_product_of_what_the_target_reports():
    backend = get_backend("fake:torino")
    circuit, _ = layered()
    circuit.measure_all()
    isa = backend.transpile(circuit)
    target = backend.target
    kept = []
    timed = scheduled(isa, target)
    for step in timed.data:  # the delays of Qiskit's own scheduler
        where = tuple(timed.find_bit(qubit).index for qubit in step.qubits)
        if step.name in ("barrier", "delay"):
            continue
        kept.append(1 - (target[step.name][where].error or 0))
    bare = prod(kept)
    cost = circuit_cost(isa, target)
    waits = prod(waiting(timed, target))
    assert cost.success == pytest.approx(bare * waits, rel=1e-9)
    assert cost.seconds == pytest.approx(
        timed.estimate_duration(target)
        + max(target["reset"][(place,)].duration for place in isa.layout.final_index_layout()),
        rel=1e-9,
    )
    assert waits < 1
    one = plan(backend, lambda place: sample(circuit, layered()[1], shots=10, backend=place))
    assert one.success == one.least_success == cost.success


def waiting(timed, target):
    """Fidelities of the delays that Qiskit's scheduler inserts after a qubit's first gate."""
    started, last = set(), {}
    steps = list(timed.data)
    for place, step in enumerate(steps):
        if step.name not in ("barrier", "delay"):
            for qubit in step.qubits:
                last[qubit] = place
    for place, step in enumerate(steps):
        if step.name == "delay" and step.qubits[0] in started and last[step.qubits[0]] > place:
            seconds = step.operation.duration * target.dt
            known = target.qubit_properties[timed.find_bit(step.qubits[0]).index]
            yield 0.5 + exp(-seconds / known.t1) / 6 + exp(-seconds / min(known.t2, 2 * known.t1)) / 3
        elif step.name != "barrier":
            started.update(step.qubits)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_success_is_near_the_survival_on_the_snapshot(depth):
    """A circuit and its inverse return to zero; the shots that do not are those with an error."""
    rng = np.random.default_rng(depth)
    circuit = QuantumCircuit(4)
    for layer in range(depth):
        for qubit in range(4):
            circuit.u(*rng.uniform(-3, 3, 3), qubit)
        for qubit in range(layer % 2, 3, 2):
            circuit.cx(qubit, qubit + 1)
    circuit.barrier()
    mirror = circuit.compose(circuit.inverse())
    mirror.measure_all()
    found = plan("fake:torino", lambda place: sample(mirror, shots=1, backend=place))
    projector = SparsePauliOp(["I", "Z"], [0.5, 0.5])
    all_zero = projector.tensor(projector).tensor(projector).tensor(projector)
    backend = get_backend("fake:torino")
    isa = backend.transpile(mirror)
    bare = isa.remove_final_measurements(inplace=False)
    place = isa.layout.final_index_layout()
    moved = SparsePauliOp.from_sparse_list(
        [
            (word, [place[index] for index in where], weight)
            for word, where, weight in all_zero.to_sparse_list()
        ],
        isa.num_qubits,
    )
    survived = float(backend.run([(bare, moved)])[0].data.evs)
    assert 0.6 < np.log(survived) / np.log(found.success) < 1.2


def test_simple_circuits_survive_as_planned():
    """One X and a measurement: nothing else can go wrong."""
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    found = plan("fake:manila", lambda place: sample(circuit, shots=1, backend=place))
    backend = get_backend("fake:manila")
    isa = backend.transpile(circuit)
    target = backend.target
    where = (isa.layout.final_index_layout()[0],)
    assert found.success == pytest.approx(
        (1 - target["x"][where].error) * (1 - target["measure"][where].error)
    )
    seen = sample(circuit, shots=100_000, backend=backend, seed=1).counts["meas"]["1"] / 100_000
    assert seen == pytest.approx(found.success, abs=0.003)


def test_branches_count_with_the_worst_block():
    target = get_backend("fake:manila").target
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.cx(0, 1)
        circuit.cx(0, 1)
    with otherwise:
        circuit.x(1)
    cost = circuit_cost(circuit, target)
    pair = target["cx"][(0, 1)]
    assert cost.two_qubit_gates == 2
    x, read = target["x"][(0,)], target["measure"][(0,)]
    assert cost.success == pytest.approx((1 - x.error) * (1 - read.error) * (1 - pair.error) ** 2)
    reset = max(target["reset"][(qubit,)].duration for qubit in (0, 1))
    assert cost.seconds == pytest.approx(x.duration + read.duration + 2 * pair.duration + reset)


@pytest.mark.parametrize("delay", [("dt", 3600), ("us", 0.8), ("parameter", None)])
def test_delays_take_time_and_cost_coherence(delay):
    target = get_backend("fake:manila").target
    unit, length = delay
    seconds = {"dt": 3600 * target.dt, "us": 0.8e-6, "parameter": 0.0}[unit]
    circuit = QuantumCircuit(5, 1)
    circuit.delay(5000, 0, "dt")  # in the initial state, which costs nothing
    circuit.sx(0)
    if unit == "parameter":
        circuit.delay(Parameter("t"), 0, "dt")
    else:
        circuit.delay(length, 0, unit)
    circuit.measure(0, 0)
    known = target.qubit_properties[0]
    kept = 0.5 + exp(-seconds / known.t1) / 6 + exp(-seconds / known.t2) / 3
    gates = (1 - target["sx"][(0,)].error) * (1 - target["measure"][(0,)].error)
    assert circuit_cost(circuit, target).success == pytest.approx(gates * kept)


def test_a_target_that_reports_nothing():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    cost = circuit_cost(circuit, None)
    assert (cost.two_qubit_gates, cost.two_qubit_depth, cost.seconds, cost.success) == (1, 1, None, None)


def test_a_timedprints_itself():
    found = plan("fake:manila", bits)
    lines = str(found).splitlines()
    assert lines[0] == "Plan for fake:manila"
    assert lines[1] == "  submits: 1 job, 1 PUB, 2 circuits, 600 shots"
    assert lines[-1].startswith("  QPU time: none, simulated")
    assert "600 shots" in found._repr_html_()
