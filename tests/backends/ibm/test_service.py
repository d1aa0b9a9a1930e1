"""Devices of IBM's service by name: values, modes, and runs that find their jobs again."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.circuit.random import random_circuit
from qiskit.primitives import StatevectorEstimator
from qiskit_ibm_runtime import QiskitRuntimeService

from bondwise.backends import Journal, estimate, expectation, get_backend, record, sample
from bondwise.backends.ibm import connection, service
from bondwise.backends.ibm.loopback import LoopbackService
from bondwise.runs import UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

MANILA = "ibm:ibm_manila"
SNAPSHOT = "fake:manila"
JOINT = ["ZZI", "IXX", "YIY", "0.5*XYZ - 2*IIZ", "III"]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "jobs.sqlite")


@pytest.fixture(autouse=True)
def users_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "user.sqlite"))


@pytest.fixture
def server(loopback_ibm):
    return loopback_ibm


def bell():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def near(found, wanted, sigmas=4.5):
    """Whether values agree within their standard errors; those without an error exactly."""
    spread = np.hypot(found.std, getattr(wanted, "std", 0))
    np.testing.assert_array_less(np.abs(found.value - wanted.value), sigmas * spread + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_values_of_random_circuits_are_those_of_the_snapshot(server, seed):
    """Qubits that wait suffer noise on the snapshot only, so the circuits have no gaps."""
    circuit = efficient_su2(3, reps=1)
    angles = np.random.default_rng(seed).uniform(-3, 3, (2, circuit.num_parameters))
    device = estimate(circuit, JOINT, angles, shots=2000, backend=MANILA)
    snapshot = estimate(circuit, JOINT, angles, backend=SNAPSHOT)
    assert device.value.shape == (2, 5)
    assert np.all(np.abs(device.value - snapshot.value) < 4.5 * device.std + 0.03)
    [job] = server.jobs
    assert (device.job_ids, job.status) == ((job.id,), "Completed")
    assert device.shots % 2000 == 0
    local = estimate(circuit, "IIZ", angles, shots=2000, backend=MANILA)
    exact = estimate(circuit, "IIZ", angles, backend=SNAPSHOT)
    assert np.all(np.abs(local.value - exact.value) < 4.5 * local.std + 0.03)


@pytest.mark.parametrize("seed", range(3))
def test_random_gates_in_random_places(server, seed):
    circuit = random_circuit(4, 4, max_operands=2, seed=seed)
    words = ["ZIII", "IIXI", "YZIX", "XXXX"]
    device = estimate(circuit, words, shots=3000, backend=MANILA)
    snapshot = estimate(circuit, words, backend=SNAPSHOT)
    assert np.all(np.abs(device.value - snapshot.value) < 4.5 * device.std + 0.05)


def test_samples_are_those_of_the_snapshot(server):
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.cx(0, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    found = sample(circuit, shots=1000, backend=MANILA)
    assert found.shots == 1000
    assert max(found.counts["c"], key=found.counts["c"].get) == "101"
    wanted = sample(circuit, shots=4000, backend=SNAPSHOT, seed=1).counts["c"]["101"] / 4000
    assert found.counts["c"]["101"] / 1000 == pytest.approx(wanted, abs=4.5 * np.sqrt(0.25 / 1000))
    assert len(server.jobs) == 1


def test_a_gradient_of_20_parameters_is_one_job(server):
    circuit = efficient_su2(5, reps=1)
    angles = np.random.default_rng(0).uniform(-3, 3, circuit.num_parameters)
    gradients = {}
    for backend in (MANILA, SNAPSHOT):
        tensor = torch.tensor(angles, requires_grad=True)
        expectation(circuit, "ZZIIX", tensor, backend=backend, shots=1000, seed=1).backward()
        gradients[backend] = tensor.grad.numpy()
    assert circuit.num_parameters == 20
    assert len(server.jobs) == 1  # the value too
    # half a difference of two values with errors below 1/sqrt(1000), on both
    assert np.abs(gradients[MANILA] - gradients[SNAPSHOT]).max() < 4.5 / np.sqrt(1000) + 0.03


def test_jobs_carry_their_tags_and_are_found_again(server, journal):
    first = estimate(bell(), ["ZZ", "XX"], shots=100, backend=record(MANILA, "run", journal=journal))
    [entry], [job] = journal.records(), server.jobs
    assert job.tags == (entry.tag,)
    assert (entry.state, entry.job_ids, entry.backend) == ("done", (job.id,), MANILA)
    assert entry.qpu_seconds == job.quantum_seconds > 0
    before = len(server.requests)
    again = estimate(bell(), ["ZZ", "XX"], shots=100, backend=record(MANILA, "run", journal=journal))
    assert np.array_equal(again.value, first.value)
    assert again.job_ids == first.job_ids
    assert all(path.startswith("/backends") for _, path, _ in server.requests[before:])


def test_the_least_busy_device_is_chosen_once_per_run(tmp_path, server, journal, monkeypatch):
    with LoopbackService(
        devices=("manila", "quito", "guadalupe"), seed=1, folder=tmp_path / "three"
    ) as three:
        for name, value in three.environment().items():
            monkeypatch.setenv(name, value)
        three.hold()
        get_backend("ibm:ibm_manila,mode=job").submit([(QuantumCircuit(5), "ZIIII")], shots=1)
        assert get_backend("ibm:least_busy:6").name == "ibm:ibm_guadalupe"
        assert get_backend("ibm:least_busy:6,mode=job").name == "ibm:ibm_guadalupe,mode=job"
        chosen = record("ibm:least_busy", "run", journal=journal).name
        assert chosen == "ibm:ibm_quito"
        get_backend(f"{chosen},mode=job").submit([(QuantumCircuit(5), "ZIIII")], shots=1)
        assert get_backend("ibm:least_busy").name == "ibm:ibm_guadalupe"  # seen by the same process
        assert record("ibm:least_busy", "run", journal=journal).name == chosen
        assert record("ibm:least_busy", "other", journal=journal).name == "ibm:ibm_guadalupe"
        with pytest.raises(Exception, match="least_busy:500") as caught:
            get_backend("ibm:least_busy:500")
        assert "\n" not in str(caught.value)
        three.release()


@pytest.mark.parametrize(
    ("mode", "sessions"), [("job", []), ("batch", ["batch"]), ("session", ["dedicated"])]
)
def test_modes(server, journal, mode, sessions):
    backend = record(f"{MANILA},mode={mode}", "run", journal=journal)
    for _ in range(2):
        estimate(bell(), "ZZ", shots=20, backend=backend)
    assert [one.mode for one in server._store.sessions.values()] == sessions
    used = {job.session for job in server.jobs}
    assert used == (set(server._store.sessions) or {None})
    assert len(server.jobs) == 2


@pytest.mark.parametrize("mode", ["batch", "session"])
def test_a_batch_that_was_closed_meanwhile_is_replaced(server, journal, mode):
    backend = record(f"{MANILA},mode={mode}", "run", journal=journal)
    for index in range(3):
        estimate(bell(), "ZZ", shots=20, backend=backend)
        [*_, last] = server._store.sessions
        server._api._close(last, {"accepting_jobs": False})
        assert len(server._store.sessions) == index + 1
    assert len({job.session for job in server.jobs}) == 3
    assert Counter(tag for job in server.jobs for tag in job.tags).most_common(1)[0][1] == 1
    assert [entry.state for entry in journal.records()] == ["done"] * 3


def test_a_device_object_is_a_backend(server):
    device = QiskitRuntimeService().backend("ibm_manila")
    backend = get_backend(device)
    assert backend.name == MANILA
    assert get_backend(device) is backend
    assert estimate(bell(), "ZZ", shots=200, backend=backend).value > 0.6
    assert len(server.jobs) == 1
    for held in (backend, record(device, "run"), record(backend, "run")):
        with pytest.raises(UsageError, match="must not leave this process"):
            pickle.dumps(held)


def test_a_name_is_pickled_as_a_name(server, journal):
    backend = record(MANILA, "run", journal=journal)
    first = estimate(bell(), "ZZ", shots=20, backend=backend)
    data = pickle.dumps(backend)
    assert server.token.encode() not in data
    other = pickle.loads(data)
    assert (other.name, other.recorder.run) == (MANILA, "run")
    assert estimate(bell(), "ZZ", shots=20, backend=other).value == first.value
    assert len(server.jobs) == 1


def test_bits_keep_their_meaning_when_the_device_is_calibrated_anew(server, journal):
    circuit = QuantumCircuit(3)
    circuit.x([0, 1])
    circuit.cx(0, 2)
    circuit.cx(1, 2)
    words = ["IIZ", "IZI", "ZII"]
    server.fail("drift")  # between submission and run
    first = estimate(circuit, words, shots=500, backend=record(MANILA, "run", journal=journal))
    assert server.jobs[0].calibration == 1
    layouts = set()
    for calibration in range(2, 8):
        server.recalibrate()
        service._SERVICES.clear()  # as another process
        backend = record(MANILA, "run", journal=journal)
        layouts.add(tuple(get_backend(MANILA).transpile(circuit).layout.final_index_layout()))
        again = estimate(circuit, words, shots=500, backend=backend)
        assert np.array_equal(again.value, first.value)
        other = estimate(circuit, words, shots=500 + calibration, backend=backend)
        assert np.all(np.sign(other.value) == [-1, -1, 1])
    assert len(layouts) > 1  # it would have been compiled otherwise
    assert len(server.jobs) == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ibm:ibm_manila,resilience=3", r"resilience=3 in .* does not exist; give 1\|2"),
        ("ibm:ibm_manila,resilience=0", r"give 1\|2"),
        ("ibm:ibm_manila,mode=open", r"give batch\|job\|session"),
        ("ibm:ibm_manila,shots=100", "'shots=100' is not an option of"),
        ("ibm:ibm_manila,mode", "'mode' is not an option"),
        ("ibm:ibm_manila,mode=", "'mode=' is not an option"),
        ("ibm:ibm_manila,", "'' is not an option"),
        ("ibm:ibm_manila,mode=job,mode=job", "'mode' is given twice"),
        ("ibm:ibm_manila:5", "is not the name of a device; write ibm:least_busy:20"),
        ("ibm:least_busy:0", "write ibm:least_busy:20"),
        ("ibm:least_busy:²", "write ibm:least_busy:20"),
        ("ibm:least_busy:", "write ibm:least_busy:20"),
        ("ibm:,mode=job", "is not the name of a device"),
        ("fake:manila,mode=job", "'mode' has no effect in 'fake:manila,mode=job'; leave it out"),
        ("fake:manila,account=me", "'account' has no effect"),
        ("fake:manila,resilience=3", r"give 1\|2"),
        ("fake:manila,seed=3", "'seed=3' is not an option"),
        ("fake:nowhere,resilience=1", "nowhere"),
    ],
)
def test_wrong_names_send_nothing(server, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        get_backend(name)
    assert "\n" not in str(caught.value)
    assert server.requests == ()


def test_a_device_that_does_not_exist_is_one_line(server):
    with pytest.raises(Exception, match="ibm:nowhere") as caught:
        get_backend("ibm:nowhere")
    assert "\n" not in str(caught.value)
    assert "ibm_manila" in str(caught.value)  # what there is


def test_a_circuit_that_is_too_large_is_refused_before_anything_is_submitted(server):
    with pytest.raises(UsageError, match="6 qubits and ibm:ibm_manila has 5"):
        estimate(QuantumCircuit(6), "ZIIIII", backend=MANILA)
    assert server.jobs == ()


def test_the_journal_of_the_run_is_the_only_one(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_JOURNAL", "/proc/nowhere/jobs.sqlite")
    backend = record(MANILA, "run", journal=tmp_path / "mine.sqlite")
    assert estimate(bell(), "ZZ", shots=20, backend=backend).shots == 20
    assert len(server.jobs) == 1


def test_foreign_primitives_are_recorded_with_the_same_words(journal):
    """The estimator of a vendor beside IBM's: values, and no job to look for."""
    backend = record(StatevectorEstimator(seed=1), "run", journal=journal)
    assert estimate(bell(), "ZZ", backend=backend).value == pytest.approx(1)
    assert connection.Connection.remote
