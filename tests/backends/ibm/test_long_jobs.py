"""A study that is interrupted while it waits goes on with the job that it has submitted."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit

from bondwise import qml
from bondwise.backends import BondwiseDevice, Journal, estimate, get_backend, record, sample
from bondwise.backends.ibm import accounts
from bondwise.runs import RunError, UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupt():
    """Interrupts this process, wherever it is, as Ctrl-C does."""

    def handler(number, frame):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_a_vqe_interrupted_while_waiting_attaches_again(loopback_ibm, interrupt, tmp_path, monkeypatch, seed):
    """Also before its first checkpoint, and without a seed."""
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "jobs.sqlite"))
    circuit = qml.brickwall(2, 1)
    start = qml.random_start(circuit, seed=1)

    def train(resume):
        vqe = qml.VQE(qml.heisenberg(2), circuit, backend="ibm:ibm_manila", shots=30, optimizer="adam")
        options = {"checkpoint": tmp_path / "state.safetensors", "checkpoint_every": 2, "resume": resume}
        return vqe.run(start, steps=2, seed=seed, **options)

    def look(method, path):
        if method == "GET" and path.startswith("/jobs/"):  # it asks for the status
            loopback_ibm.after = None
            interrupt()

    loopback_ibm.hold()
    loopback_ibm.after = look
    with pytest.raises(Interrupted):
        train(False)
    assert len(loopback_ibm.jobs) == 1
    loopback_ibm.release()
    result = train(True)
    assert len(loopback_ibm.jobs) == len(result.losses) + 1  # a job a step, and the final measurement
    assert np.isfinite(result.losses).all()
    again = train(True)
    np.testing.assert_array_equal(again.losses, result.losses)
    assert again.value == result.value
    assert len(loopback_ibm.jobs) == len(result.losses) + 1
    assert len({one.run for one in Journal().records()}) == 1
    (tmp_path / "state.safetensors").unlink()
    train(False)  # a new run
    assert len(loopback_ibm.jobs) == 2 * (len(result.losses) + 1)


def test_the_least_busy_device_is_the_same_one_when_a_run_is_resumed(loopback_ibm, monkeypatch, tmp_path):
    journal = Journal(tmp_path / "jobs.sqlite")
    assert record("ibm:least_busy", "study", journal=journal).name == "ibm:ibm_manila"
    asked = []
    monkeypatch.setattr(
        "bondwise.backends.jobs.named_runs.get_backend", lambda name: asked.append(name) or get_backend(name)
    )
    assert record("ibm:least_busy", "study", journal=journal).name == "ibm:ibm_manila"
    record("ibm:least_busy", "other", journal=journal)
    assert asked == ["ibm:ibm_manila", "ibm:least_busy"]


def test_a_gradient_of_pennylane_is_one_job_of_the_service(loopback_ibm, tmp_path):
    import pennylane
    from pennylane import numpy as pnp

    journal = Journal(tmp_path / "jobs.sqlite")

    def gradient():
        device = BondwiseDevice(2, backend=record("ibm:ibm_manila", "study", journal=journal))

        @pennylane.set_shots(50)
        @pennylane.qnode(device, diff_method="device")
        def energy(angles):
            for layer in range(10):
                pennylane.RY(angles[2 * layer], 0)
                pennylane.RY(angles[2 * layer + 1], 1)
                pennylane.CNOT([0, 1])
            return pennylane.expval(pennylane.Z(0) @ pennylane.Z(1))

        return pennylane.grad(energy)(pnp.array(np.linspace(0, 1, 20), requires_grad=True))

    first = gradient()
    assert first.shape == (20,)
    assert len(loopback_ibm.jobs) == 1
    np.testing.assert_array_equal(gradient(), first)
    assert len(loopback_ibm.jobs) == 1


def test_a_session_is_closed_when_the_process_ends(loopback_ibm, tmp_path):
    script = """
from qiskit import QuantumCircuit
from bondwise.backends import sample
print(sample(QuantumCircuit(1), shots=5, backend="ibm:ibm_manila,mode=session").shots)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert [one.path.count("/") for one in loopback_ibm.requests if one.method in ("PATCH", "DELETE")] == [2]


def test_more_shots_than_the_device_takes_are_refused_before_they_are_submitted(
    loopback_ibm, tmp_path, monkeypatch
):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "jobs.sqlite"))
    with pytest.raises(UsageError, match="takes at most 100,000") as caught:
        estimate(QuantumCircuit(1), "Z", shots=10**9, backend="ibm:ibm_manila")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="takes at most 100,000"):
        sample(QuantumCircuit(1), shots=200_000, backend="ibm:ibm_manila")
    assert loopback_ibm.jobs == ()
    assert Journal().records() == []


def test_an_account_that_is_not_saved_is_named(loopback_ibm):
    with pytest.raises(UsageError, match="no saved account 'work'"):
        get_backend("ibm:ibm_manila,account=work")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INSTANCE", "crn:foo", "QISKIT_IBM_INSTANCE is 'crn:foo', which is no complete CRN"),
        ("URL", "nonsense", "QISKIT_IBM_URL is 'nonsense', which is no URL"),
        (
            "CHANNEL",
            "ibm_cloudy",
            "unknown QISKIT_IBM_CHANNEL 'ibm_cloudy'.* Known: ibm_cloud, ibm_quantum_pl",
        ),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(loopback_ibm, monkeypatch, name, value, message):
    monkeypatch.setenv(f"QISKIT_IBM_{name}", value)
    with pytest.raises(UsageError, match=message):
        get_backend("ibm:ibm_manila")
    assert loopback_ibm.requests == ()


def test_an_instance_without_devices_is_named(loopback_ibm, monkeypatch):
    other = loopback_ibm.instance.replace("0000-4000", "1111-4000")
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", other)
    with pytest.raises(RunError, match="no device .* available now; QISKIT_IBM_INSTANCE is 'crn:v1.*1111-40"):
        get_backend("ibm:ibm_manila")


def test_a_service_that_is_not_there_is_named_by_its_address(loopback_ibm, monkeypatch):
    monkeypatch.setattr(accounts, "_AGAIN", ())
    monkeypatch.setenv("IAM_URL", "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"no connection to 127\.0\.0\.1:9 \(connection refused\)$"):
        get_backend("ibm:ibm_manila")


@pytest.mark.parametrize("content", ["{bad", "[]", "\xff"])
def test_a_damaged_file_of_accounts_is_named(loopback_ibm, monkeypatch, content):
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    path = accounts._file()
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(UsageError, match=f"the file of accounts {path} cannot be read"):
        get_backend("ibm:ibm_manila")
