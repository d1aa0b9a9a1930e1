"""The unmodified client of IBM Quantum against the service on this machine."""

import os
from datetime import datetime, timedelta

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import (
    Batch,
    EstimatorV2,
    Executor,
    QiskitRuntimeService,
    RuntimeInvalidStateError,
    RuntimeJobNotFound,
    SamplerV2,
    Session,
)
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_mitigation import TREX, GateFolding

from bondwise import backends
from bondwise.backends.ibm.loopback import LoopbackService
from bondwise.backends.ibm.service import on_device
from bondwise.runs import UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


@pytest.fixture
def service(loopback_ibm):
    return QiskitRuntimeService()


@pytest.fixture
def manila(service):
    return service.backend("ibm_manila")


def pair(backend, *, measure=False):
    """A circuit with one angle for the device, and the observables ZZ and XX on it."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    if measure:
        circuit.measure_all()
    isa = on_device(backend).transpile(circuit)
    return isa, [SparsePauliOp(word).apply_layout(isa.layout) for word in ("ZZ", "XX")]


def submit(mode, *, tags=(), shots=100, primitive=Sampler, backend=None):
    sampler = primitive(mode=mode)
    sampler.options.environment.job_tags = list(tags)
    isa, _ = pair(backend or mode, measure=True)
    return sampler.run([(isa, [0.7])], shots=shots)


def counts(job):
    return job.result(poll_interval=0.1)[0].data["meas"].get_counts()


def assert_near(found, wanted, sigmas=4.0):
    """Extrapolated values are compared before extrapolation, which understates its error."""
    kind = "_noise_factors" if "evs_noise_factors" in found.data else ""
    one, other = found.data, wanted.data
    spread = np.sqrt(one["stds" + kind] ** 2 + other["stds" + kind] ** 2)
    assert np.all(np.abs(one["evs" + kind] - other["evs" + kind]) < sigmas * spread)


def test_a_sampler_job_runs_with_noise_and_is_found_again(manila, loopback_ibm):
    job = submit(manila, tags=["run-42", "other"], shots=2000)
    seen = counts(job)
    assert sum(seen.values()) == 2000
    assert seen["11"] / 2000 == pytest.approx(np.sin(0.35) ** 2, abs=0.04)
    assert 0 < seen["01"] + seen["10"] < 300
    later = QiskitRuntimeService()
    assert counts(later.job(job.job_id())) == seen
    assert later.job(job.job_id()).inputs["quantum_program"].shots == 2000
    assert [found.job_id() for found in later.jobs(job_tags=["run-42"])] == [job.job_id()]
    assert later.jobs(job_tags=["run-42", "missing"]) == []
    [record] = loopback_ibm.jobs
    assert (record.id, record.program, record.device) == (job.job_id(), "executor", "ibm_manila")
    assert (record.tags, record.status, record.session) == (("run-42", "other"), "Completed", None)
    assert job.usage() == job.metrics()["usage"]["quantum_seconds"] == pytest.approx(1.5)
    assert later.usage()["usage_consumed_seconds"] == 2
    assert job.update_tags(["new"]) == ["new"]
    later.delete_job(job.job_id())
    assert loopback_ibm.jobs == ()
    with pytest.raises(RuntimeJobNotFound):
        later.job(job.job_id())


@pytest.mark.parametrize("level", [0, 1, 2])
def test_estimates_are_those_of_local_mode(manila, loopback_ibm, level):
    results = []
    for backend in (manila, FakeManilaV2()):
        estimator = Estimator(mode=backend)
        estimator.options.resilience_level = level
        estimator.options.simulator.seed_simulator = 5
        isa, observables = pair(manila)
        pub = isa, [[word] for word in observables], [[0.3], [1.2]]
        results.append(estimator.run([pub], precision=0.03).result()[0])
    assert results[0].data.evs.shape == (2, 2)
    assert_near(*results)
    [record] = loopback_ibm.jobs
    again = QiskitRuntimeService().job(record.id).result()[0]  # post-processed by another process
    assert np.array_equal(again.data.evs, results[0].data.evs)
    assert np.array_equal(again.data.stds, results[0].data.stds)


def test_mitigation_of_the_client_runs_through_its_executor(manila):
    results = []
    for backend in (manila, FakeManilaV2()):
        isa, observables = pair(manila)
        task, trex = GateFolding(), TREX()
        program = QuantumProgram(shots=64, items=[])
        task.prepare(
            isa,
            observables,
            np.array([0.4]),
            shots_per_randomization=64,
            num_randomizations=32,
            trex=trex,
            quantum_program=program,
        )
        trex.prepare(32, program)
        executor = Executor(mode=backend)
        executor.options.simulator.seed_simulator = 5
        result = executor.run(program).result()
        results.append(task.postprocess(result, extrapolator=["linear"]))
    assert_near(*results)
    assert abs(results[0].data["evs"][0] - 1) < 0.1  # mitigated; ⟨ZZ⟩ is 1 without noise


@pytest.mark.parametrize("device", ["manila", "torino"])
def test_the_older_programs_run_too(loopback_ibm, device, monkeypatch, recwarn):
    with LoopbackService(devices=(device,), seed=2) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        backend = QiskitRuntimeService().backend(f"ibm_{device}")
        seen = counts(submit(backend, primitive=SamplerV2, shots=1000))
        assert seen["11"] / 1000 == pytest.approx(np.sin(0.35) ** 2, abs=0.06)
        isa, observables = pair(backend)
        result = EstimatorV2(mode=backend).run([(isa, observables, [0.7])]).result(poll_interval=0.1)
        assert [job.program for job in server.jobs] == ["sampler", "estimator"]
    assert np.abs(result[0].data.evs - [1, np.sin(0.7)]).max() < 0.25


def test_a_large_device_measures_what_all_its_qubits_do(loopback_ibm, monkeypatch):
    with LoopbackService(devices=("torino",), seed=2) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        backend = QiskitRuntimeService().least_busy()
        assert backend.num_qubits == 133
        estimator = Estimator(mode=backend)
        estimator.options.resilience_level = 1
        isa, observables = pair(backend)
        found = estimator.run([(isa, observables, [0.7])], precision=0.03).result()[0].data
        program = server._store.params(server.jobs[0])["quantum_program"]
    assert np.abs(found.evs - [1, np.sin(0.7)]).max() < 5 * found.stds.max() + 0.05
    assert len(program["items"]) == 2  # the job brings its own calibration of the readout


def test_the_backends_of_this_package_run_on_it(loopback_ibm):
    found = backends.estimate(pairless(), ["ZZ", "XX"], [0.7], backend="ibm:ibm_manila", shots=1000)
    assert np.abs(found.value - [1, np.sin(0.7)]).max() < 0.25
    assert found.job_ids == (loopback_ibm.jobs[0].id,)


def test_shots_by_weight_are_refused_before_a_job_is_sent(loopback_ibm):
    """IBM's client takes one number of shots for all circuits of a job."""
    uneven = {"ZZ": 5.0, "XX": 0.1}
    with pytest.raises(UsageError, match="one number of shots for all of its circuits; leave out shot_al"):
        backends.estimate(
            pairless(), uneven, [0.7], backend="ibm:ibm_manila", shots=500, shot_allocation="weighted"
        )
    assert not loopback_ibm.jobs


def pairless():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    return circuit


def test_jobs_are_listed_as_the_client_asks(service, manila, loopback_ibm):
    loopback_ibm.hold()
    before = datetime.now()
    ids = [submit(manila, tags=[f"n{place}"]).job_id() for place in range(3)]
    listed = [job.job_id() for job in service.jobs(limit=None)]
    assert listed == ids[::-1]
    assert [job.job_id() for job in service.jobs(limit=1, skip=1)] == [ids[1]]
    assert [job.job_id() for job in service.jobs(descending=False)] == ids
    assert len(service.jobs(pending=True)) == 3
    assert service.jobs(pending=False) == service.jobs(program_id="sampler") == []
    assert len(service.jobs(backend_name="ibm_manila", program_id="executor")) == 3
    assert len(service.jobs(created_after=before - timedelta(seconds=1))) == 3
    assert service.jobs(created_before=before - timedelta(seconds=1)) == []
    job = service.job(ids[2])
    assert (job.status(), job.metrics()["position_in_queue"]) == ("QUEUED", 3)
    assert manila.status().pending_jobs == 3
    job.cancel()
    assert job.cancelled()
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        service.job(ids[2]).result()
    with pytest.raises(RuntimeInvalidStateError, match="cannot be canceled"):
        service.job(ids[2]).cancel()
    loopback_ibm.release()
    assert all(sum(counts(service.job(name)).values()) == 100 for name in ids[:2])
    assert [record.status for record in loopback_ibm.jobs] == ["Completed", "Completed", "Cancelled"]


@pytest.mark.parametrize(("kind", "mode"), [(Batch, "batch"), (Session, "dedicated")])
def test_sessions_and_batches(service, manila, loopback_ibm, kind, mode):
    with kind(backend=manila, max_time="10m") as session:
        jobs = [submit(session, backend=manila) for _ in range(2)]
        assert session.details()["mode"] == mode
        assert session.details()["accepting_jobs"]
        [counts(job) for job in jobs]
    assert session.status() == "Closed"
    assert session.usage() == sum(job.quantum_seconds for job in loopback_ibm.jobs) > 0
    assert {record.session for record in loopback_ibm.jobs} == {session.session_id}
    assert len(service.jobs(session_id=session.session_id)) == 2
    again = kind.from_id(session.session_id, service)
    with pytest.raises(Exception, match="closed"):
        submit(again, backend=manila)
    loopback_ibm.hold()
    with kind(backend=manila) as session:
        job = submit(session, backend=manila)
        session.cancel()
    assert job.cancelled()


def test_the_server_starts_again_on_its_folder(manila, loopback_ibm):
    done = submit(manila)
    seen = counts(done)
    loopback_ibm.hold()
    waiting = submit(manila, tags=["kept"])
    loopback_ibm.recalibrate()
    loopback_ibm.close()
    assert loopback_ibm.environment()["QISKIT_IBM_TOKEN"] == os.environ["QISKIT_IBM_TOKEN"]
    loopback_ibm.start()
    assert counts(waiting)  # of the same client, on the same port, with the same access token
    assert counts(QiskitRuntimeService().job(done.job_id())) == seen
    assert [(job.tags, job.status, job.calibration) for job in loopback_ibm.jobs] == [
        ((), "Completed", 0),
        (("kept",), "Completed", 1),
    ]


def test_a_wrong_key_gets_nothing(loopback_ibm, monkeypatch, recwarn):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong")
    service = QiskitRuntimeService()  # 0.51 only warns, and waits 60 s before it asks for a token again
    if not loopback_ibm.requests:  # 0.50 asks later
        with pytest.raises(IBMNotAuthorizedError):
            service.usage()
    assert any("Provided API key could not be found" in str(warning.message) for warning in recwarn)
    assert [request.status for request in loopback_ibm.requests] == [400, 401]


def test_nothing_but_this_machine_is_reached(loopback_ibm):
    assert QiskitRuntimeService.saved_accounts() == {}
    environment = loopback_ibm.environment()
    for name in ("QISKIT_IBM_URL", "IAM_URL"):
        assert environment[name].startswith("http://127.0.0.1:")
    assert loopback_ibm._http.server_address[0] == "127.0.0.1"
    assert "127.0.0.1" in environment["NO_PROXY"].split(",")
