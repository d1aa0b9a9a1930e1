"""Faults on demand, and how the unmodified client takes them."""

import json
import threading
import time
from datetime import datetime

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobTimeoutError,
)
from qiskit_ibm_runtime.executor_sampler import Sampler

from bondwise.backends.ibm.loopback import LoopbackService
from bondwise.backends.ibm.service import on_device
from bondwise.backends.loopback.store import Job, Store, now
from bondwise.runs import RunError, UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


@pytest.fixture
def manila(loopback_ibm):
    return QiskitRuntimeService().backend("ibm_manila")


def submit(backend, tag="once"):
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    sampler = Sampler(mode=backend)
    sampler.options.environment.job_tags = [tag]
    return sampler.run([(on_device(backend).transpile(circuit),)], shots=50)


def posts(server):
    return [request.status for request in server.requests if request[:2] == ("POST", "/jobs")]


def ones(job):
    return job.result(poll_interval=0.1)[0].data["meas"].get_counts()["1"]


def test_an_error_of_the_server_is_retried_by_the_client(manila, loopback_ibm):
    loopback_ibm.fail("error", times=2)
    assert ones(submit(manila)) > 40
    assert posts(loopback_ibm) == [500, 500, 200]
    assert len(loopback_ibm.jobs) == 1


def test_a_retry_after_acceptance_makes_two_jobs_with_the_same_tags(manila, loopback_ibm):
    loopback_ibm.fail("error-after", status=504)
    job = submit(manila, "same")
    assert posts(loopback_ibm) == [504, 200]
    assert [record.tags for record in loopback_ibm.jobs] == [("same",)] * 2
    assert loopback_ibm.jobs[1].id == job.job_id()


@pytest.mark.parametrize(
    ("fault", "error", "accepted"),
    [
        ("busy", IBMRuntimeError, 0),
        ("drop", IBMRuntimeError, 0),
        ("drop-after", IBMRuntimeError, 1),
        ("expired", IBMNotAuthorizedError, 0),
        ("garbage", ValueError, 1),
        ("shape", KeyError, 1),
    ],
)
def test_other_faults_of_a_submission_are_not_retried(manila, loopback_ibm, fault, error, accepted):
    loopback_ibm.fail(fault)
    with pytest.raises(error):
        submit(manila, "lost")
    assert len(posts(loopback_ibm)) == 1
    found = manila.service.jobs(job_tags=["lost"])
    assert len(found) == len(loopback_ibm.jobs) == accepted
    assert all(ones(job) > 40 for job in found)
    assert ones(submit(manila)) > 40  # it struck once


@pytest.mark.parametrize("fault", ["error", "busy", "drop", "slow"])
@pytest.mark.parametrize("path", ["/jobs/*", "/jobs/*/results"])
def test_the_client_asks_again_for_status_and_result(manila, loopback_ibm, fault, path):
    job = submit(manila)
    loopback_ibm.fail(fault, "GET", path, seconds=0.3)
    began = time.perf_counter()
    assert ones(job) > 40
    assert time.perf_counter() - began > {"busy": 0.9, "slow": 0.3}.get(fault, 0)
    assert not loopback_ibm._faults.take("GET", path)


@pytest.mark.parametrize("fault", ["garbage", "shape"])
def test_malformed_results(manila, loopback_ibm, fault):
    job = submit(manila)
    loopback_ibm.fail(fault, "GET", "/jobs/*/results", times=None)
    for _ in range(2):
        with pytest.raises((TypeError, ValueError)):
            job.result(poll_interval=0.1)
    loopback_ibm.heal()
    assert ones(job) > 40


def test_jobs_fail_and_are_cancelled_by_the_service(manila, loopback_ibm):
    loopback_ibm.fail("failed", reason="The cryostat is warm.")
    job = submit(manila)
    with pytest.raises(RuntimeJobFailureError, match="The cryostat is warm"):
        job.result(poll_interval=0.1)
    assert "cryostat" in job.error_message()
    loopback_ibm.fail("cancelled")
    job = submit(manila)
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        job.result(poll_interval=0.1)
    assert [record.status for record in loopback_ibm.jobs] == ["Failed", "Cancelled"]
    assert all(record.quantum_seconds == 0 for record in loopback_ibm.jobs)


def test_a_program_that_cannot_run_fails_its_job_only(manila, loopback_ibm):
    sampler = Sampler(mode=manila)
    sampler.options.execution.meas_type = "kerneled"
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    job = sampler.run([(on_device(manila).transpile(circuit),)], shots=5)
    with pytest.raises(RuntimeJobFailureError, match="kerneled is not simulated"):
        job.result(poll_interval=0.1)
    assert ones(submit(manila)) > 40


def test_a_device_drifts_between_submission_and_run(manila, loopback_ibm):
    before = manila.properties()
    loopback_ibm.fail("drift")
    job = submit(manila)
    ones(job)
    after = manila.properties(refresh=True)
    assert before.last_update_date < after.last_update_date
    assert all(before.readout_error(qubit) != after.readout_error(qubit) for qubit in range(5))
    assert before.gate_error("cx", [0, 1]) != after.gate_error("cx", [0, 1])
    assert job.properties().readout_error(0) == after.readout_error(0)
    assert loopback_ibm.jobs[0].calibration == 1
    with pytest.raises(UsageError, match="unknown device 'manila'. Did you mean 'ibm_manila'"):
        loopback_ibm.recalibrate("manila")


def test_jobs_wait_until_they_are_released(manila, loopback_ibm):
    loopback_ibm.hold()
    job = submit(manila)
    with pytest.raises(RuntimeJobTimeoutError):
        job.result(timeout=0.3, poll_interval=0.1)
    assert job.status() == "QUEUED"
    loopback_ibm.release()
    assert ones(job) > 40


def test_jobs_wait_as_long_as_was_asked_for(loopback_ibm, monkeypatch):
    with LoopbackService(delay=0.6) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        ones(submit(QiskitRuntimeService().backend("ibm_manila")))
        [job] = server.jobs
        waited = datetime.fromisoformat(job.running) - datetime.fromisoformat(job.created)
    assert waited.total_seconds() >= 0.6


def test_hooks_see_each_request_before_and_after(manila, loopback_ibm):
    seen = []
    loopback_ibm.before = lambda *asked: seen.append(("before", *asked, len(loopback_ibm.jobs)))
    loopback_ibm.after = lambda *asked: seen.append(("after", *asked, len(loopback_ibm.jobs)))
    submit(manila)
    assert seen[-2:] == [("before", "POST", "/jobs", 0), ("after", "POST", "/jobs", 1)]
    assert len(seen) % 2 == 0


def test_access_tokens_expire(tmp_path, loopback_ibm, monkeypatch):
    with LoopbackService(token_life=2, folder=tmp_path / "short") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        service = QiskitRuntimeService()
        stale = service._active_api_client._session.auth.get_headers()
        time.sleep(2.1)
        assert service.jobs() == []  # the client has fetched another
        reply = server._api.answer("GET", "/jobs", {}, b"", {"authorization": stale["Authorization"]})
        assert reply.status == 401
        forged = stale["Authorization"][:-4] + "AAAA"
        assert server._api.answer("GET", "/jobs", {}, b"", {"authorization": forged}).status == 401


def test_it_serves_until_it_is_closed():
    server = LoopbackService()
    server.start()
    waiting = threading.Thread(target=server.serve_forever)
    waiting.start()
    server.close()
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(UsageError, match="not running"):
        server.hold()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": ("manilla",)}, "unknown device 'manilla'. Did you mean 'manila'"),
        ({"devices": ()}, "name at least one"),
        ({"port": -1}, "port is -1; give a whole number from 0 to 65535"),
        ({"delay": -1}, "delay is -1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        LoopbackService(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eror",), "unknown fault 'eror'. Did you mean 'error'"),
        (("error", "post"), "unknown method 'post'"),
        (("error", "GET", "jobs"), "path is 'jobs'; write it as in '/jobs'"),
        (("failed", "GET", "/jobs/*"), "failed is a fault of jobs"),
        (("error", "GET", "/jobs", 0), "times is 0; give a whole number of at least 1, or None"),
    ],
)
def test_wrong_faults(arguments, message):
    with pytest.raises(UsageError, match=message):
        LoopbackService().fail(*arguments)


def test_a_port_or_folder_in_use_and_a_folder_that_cannot_be_read(tmp_path):
    with LoopbackService(folder=tmp_path) as server:
        with pytest.raises(UsageError, match="another loopback server is using"):
            LoopbackService(folder=tmp_path).start()
        port = server._port
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            LoopbackService(port=port).start()
    (tmp_path / "x.job.json").write_text("{")
    with pytest.raises(RunError, match=r"x\.job\.json cannot be read"):
        LoopbackService(folder=tmp_path).start()


def test_a_job_that_was_running_when_the_server_was_killed_waits_again(tmp_path):
    store = Store(tmp_path)
    job = Job("d1", "executor", "ibm_manila", (), None, now(), 0)
    store.add(job, {"some": "params"})
    store.update(job, status="Running", running=now())
    store.close()
    again = Store(tmp_path)
    assert again.jobs == {"d1": job}
    assert again.params(job) == {"some": "params"}
    again.close()


def test_a_service_that_never_answers_is_given_up(loopback_ibm, manila):
    job = submit(manila)
    loopback_ibm.fail("expired", "GET", "/jobs/*")
    with pytest.raises(IBMNotAuthorizedError):
        job.status()
    loopback_ibm.fail("error", "GET", "/jobs/*", status=501)
    with pytest.raises(RequestsApiError, match="501"):
        job.status()


def test_nothing_secret_is_kept(tmp_path, loopback_ibm, manila):
    ones(submit(manila))
    kept = [path.read_text() for path in (tmp_path / "service").iterdir()]
    assert len(kept) == 4
    assert not any(loopback_ibm.token in text for text in kept)
    assert loopback_ibm.token not in json.dumps([str(job) for job in loopback_ibm.jobs])
