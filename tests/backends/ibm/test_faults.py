"""Whatever goes wrong at the service: it is tried again, or one line says so; no job is lost or doubled."""

import time
from itertools import count

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.api.session import PostForcelistRetry
from urllib3.util.retry import Retry

from bondwise.backends import Journal, Waiting, estimate, record
from bondwise.backends.ibm import accounts, asking, connection, deadlines, posting, service
from bondwise.backends.ibm.loopback import LoopbackService
from bondwise.backends.loopback.faults import FAULTS, JOB_FAULTS
from bondwise.runs import RunError, UsageError

MANILA = "ibm:ibm_manila"
OF_REQUESTS = [name for name in FAULTS if name not in JOB_FAULTS]
CONNECT = {
    "token": ("POST", "/identity/token"),
    "devices": ("GET", "/backends"),
    "configuration": ("GET", "/backends/*/configuration"),
    "properties": ("GET", "/backends/*/properties"),
}
STEPS = {
    "open": ("POST", "/sessions"),
    "usage": ("GET", "/instances/usage"),
    "device": ("GET", "/backends/*/status"),
    "submit": ("POST", "/jobs"),
    "lookup": ("GET", "/jobs"),
    "status": ("GET", "/jobs/*"),
    "result": ("GET", "/jobs/*/results"),
    "metrics": ("GET", "/jobs/*/metrics"),
}
RUNS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests of this file, which is much quicker."""
    patch = pytest.MonkeyPatch()
    with LoopbackService(seed=1) as server:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield server
    patch.undo()


@pytest.fixture(autouse=True)
def impatient(monkeypatch, server):
    """Waits without which nothing would change but the time."""
    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: 0)  # of the client
    monkeypatch.setattr(accounts, "_AGAIN", (0.0, 0.0))
    monkeypatch.setattr(asking, "_AGAIN", (0.0, 0.0, 0.0))
    monkeypatch.setattr(connection, "_PAUSES", (0.0,) * 6)
    monkeypatch.setattr(connection, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(connection, "_PATIENCE", 0.2)
    yield
    server.heal()
    server.release()


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "jobs.sqlite")


@pytest.fixture
def run():
    return f"run-{next(RUNS)}"


def flipped():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    return circuit


def ask(run, journal, options="", shots=20):
    backend = record(f"{MANILA}{options}", run, journal=journal)
    return estimate(flipped(), "Z", shots=shots, backend=backend)


def attempt(server, *args, **options):
    """The result, or the one line that says why there is none."""
    began = time.perf_counter()
    try:
        found = ask(*args, **options)
    except (RunError, UsageError) as error:
        line = str(error)
        assert "\n" not in line
        assert server.token not in line
        assert len(line) < 700
        assert "Traceback" not in line
        found = line
    assert time.perf_counter() - began < 10
    return found


def settled(server, journal, run):
    """Whether the run has exactly one job that counts; others were at least asked to be cancelled."""
    [entry] = journal.records(run=run)
    assert entry.state == "done"
    cancelled = {path.split("/")[2] for method, path, _ in server.requests if path.endswith("/cancel")}
    of_run = [job for job in server.jobs if entry.tag in job.tags and job.status != "Failed"]
    return [job.id for job in of_run if job.id not in cancelled] == list(entry.job_ids)


@pytest.mark.parametrize("times", [1, pytest.param(None, marks=pytest.mark.slow)], ids=["once", "always"])
@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(fault, step, marks=[] if "submit" == step or "error" in fault else [pytest.mark.slow])
        for fault in OF_REQUESTS
        for step in STEPS
    ],
)
def test_every_fault_at_every_step(server, journal, run, fault, step, times):
    record(MANILA, run, journal=journal)  # connected before anything goes wrong
    server.fail(fault, *STEPS[step], times=times, seconds=0.0 if fault == "busy" else 0.05)
    found = attempt(server, run, journal)
    if times == 1 or step == "metrics" or fault == "slow":
        assert not isinstance(found, str), found
    server.heal()
    again = attempt(server, run, journal)  # as the next process
    assert again.value < -0.5
    assert isinstance(found, str) or found.value == again.value
    assert settled(server, journal, run)


@pytest.mark.parametrize("times", [1, pytest.param(None, marks=pytest.mark.slow)], ids=["once", "always"])
@pytest.mark.parametrize("step", CONNECT)
@pytest.mark.parametrize("fault", OF_REQUESTS)
def test_every_fault_while_connecting(server, journal, run, fault, step, times):
    service._SERVICES.clear()
    server.fail(fault, *CONNECT[step], times=times, seconds=0.0 if fault == "busy" else 0.05)
    found = attempt(server, run, journal)
    if times == 1 or fault == "slow":
        assert not isinstance(found, str), found
    else:
        assert isinstance(found, str)
        assert MANILA in found
    server.heal()
    service._SERVICES.clear()
    assert attempt(server, run, journal).value < -0.5
    assert settled(server, journal, run)


@pytest.mark.parametrize("status", [500, 503, 504])
def test_nothing_is_posted_again_before_it_was_looked_for(server, journal, run, status):
    """The client itself would post again after these, although the first job was accepted."""
    server.fail("error-after", status=status)
    before = len(server.requests)
    assert attempt(server, run, journal).value < -0.5
    assert [(method, path) for method, path, _ in server.requests[before:]].count(("POST", "/jobs")) == 1
    assert settled(server, journal, run)


@pytest.fixture
def repeating(monkeypatch):
    """A client that posts again by itself."""
    monkeypatch.setattr(posting._PostsOnce, "is_retry", PostForcelistRetry.is_retry)


def test_elsewhere_the_client_is_as_it_was(server, monkeypatch):
    service._SERVICES.clear()
    connected = record(MANILA, "run").recorder.place._service
    with posting.posted_once(connected):
        pass
    [adapter, *_] = connected._active_api_client._session.adapters.values()
    assert adapter.max_retries.is_retry("POST", 504)
    with posting.posted_once(connected):
        assert not adapter.max_retries.new().is_retry("POST", 504)
        assert adapter.max_retries.is_retry("GET", 504)
    assert (adapter.max_retries.total, adapter.max_retries.connect) == (5, 3)


def test_extra_jobs_are_cancelled_before_they_run(server, journal, run, repeating):
    server.hold()
    server.fail("error-after", status=504)
    backend = record(MANILA, run, journal=journal, wait=False)
    with pytest.raises(Waiting):
        estimate(flipped(), "Z", shots=20, backend=backend)
    [entry] = journal.records()
    states = [(job.id in entry.job_ids, job.status) for job in server.jobs if entry.tag in job.tags]
    assert states == [(True, "Queued"), (False, "Cancelled")]
    server.release()
    assert ask(run, journal).job_ids == entry.job_ids


@pytest.mark.parametrize("fault", OF_REQUESTS)
def test_faults_while_an_extra_job_is_cancelled(server, journal, run, fault, repeating):
    server.hold()
    server.fail("error-after", status=504)
    server.fail(fault, "POST", "/jobs/*/cancel", seconds=0.05)
    with pytest.raises(Waiting):
        estimate(flipped(), "Z", shots=20, backend=record(MANILA, run, journal=journal, wait=False))
    [entry] = journal.records()
    assert [job.status for job in server.jobs if entry.tag in job.tags] == ["Queued", "Cancelled"]


@pytest.mark.parametrize("fault", OF_REQUESTS)
def test_faults_while_a_job_is_cancelled_from_here(server, journal, run, fault):
    server.hold()
    backend = record(MANILA, run, journal=journal)
    handle = backend.submit([(backend.transpile(flipped()), "IIIIZ")], shots=20)
    server.fail(fault, "POST", "/jobs/*/cancel", seconds=0.05)
    server.fail(fault, "GET", "/jobs/*", seconds=0.05)
    handle.cancel()
    assert handle.status() == "cancelled"
    assert [entry.state for entry in journal.records()] == ["cancelled"]
    server.release()
    with pytest.raises(RunError, match="was cancelled"):
        handle.collect()


@pytest.mark.parametrize("fault", ["failed", "cancelled"])
def test_a_job_that_ends_without_a_result_is_submitted_again_by_the_next_process(server, journal, run, fault):
    server.fail(fault, reason="The cryostat is warm.")
    assert "The cryostat is warm" in attempt(server, run, journal) or fault == "cancelled"
    [entry] = journal.records()
    assert entry.state == fault
    assert attempt(server, run, journal).value < -0.5
    after, before = journal.records()
    assert (after.tag, after.state, after.message) == (entry.tag, "done", "")
    assert (before.tag, before.state, before.job_ids) == (f"{entry.tag}~1", fault, entry.job_ids)
    assert after.job_ids != entry.job_ids
    assert journal.record(entry.tag[:-1]) == after
    assert journal.record(entry.job_ids[0]) == before


@pytest.mark.parametrize("step", ["submit", "lookup", "status", "result", "open"])
def test_a_service_that_hangs_is_given_up_and_its_job_found_later(server, journal, run, step, monkeypatch):
    record(MANILA, run, journal=journal)
    with monkeypatch.context() as patch:
        patch.setattr(deadlines, "DEADLINE", 0.3)
        server.fail("slow", *STEPS[step], times=None, seconds=1.0)
        assert "answer" in attempt(server, run, journal)
    server.heal()
    time.sleep(1.1)  # what hangs may still arrive
    assert attempt(server, run, journal).value < -0.5
    assert settled(server, journal, run)


def test_an_access_token_that_is_refused_is_replaced_without_a_new_connection(server, journal, run):
    backend = record(MANILA, run, journal=journal)
    handle = backend.submit([(backend.transpile(flipped()), "IIIIZ")], shots=20)
    before = len(server.requests)
    for path in ("/jobs/*", "/jobs/*/results", "/jobs/*/metrics"):
        server.fail("expired", "GET", path)
    handle.collect()
    asked = [path for _, path, _ in server.requests[before:]]
    assert "/identity/token" in asked
    assert not any(path.startswith("/backends") for path in asked)
    assert journal.records()[0].qpu_seconds > 0


def test_a_wrong_key_is_one_line_at_once(server, journal, run, monkeypatch):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "another-key-that-is-wrong")
    began = time.perf_counter()
    with pytest.raises(
        RunError, match="does not accept the API key in QISKIT_IBM_TOKEN: .*not be found"
    ) as caught:
        record(MANILA, run, journal=journal)
    assert "another-key" not in str(caught.value)
    assert time.perf_counter() - began < 5


def test_an_address_where_nobody_answers(journal, run, monkeypatch, server):
    monkeypatch.setenv("QISKIT_IBM_URL", "http://127.0.0.1:9/experimental")
    monkeypatch.setenv("IAM_URL", "http://127.0.0.1:9")
    assert "cannot be reached" in attempt(server, run, journal)
