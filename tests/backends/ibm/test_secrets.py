"""Keys and access tokens are in no message, no log and no file."""

import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from qiskit import QuantumCircuit, qasm3
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.accounts import management

from bondwise.backends import estimate, get_backend, record
from bondwise.backends.ibm import asking, connection, deadlines, service
from bondwise.backends.ibm.accounts import without_secrets
from bondwise.backends.loopback.replies import Tokens
from bondwise.runs import RunError, UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

MANILA = "ibm:ibm_manila"


@pytest.fixture
def secrets_of(loopback_ibm, monkeypatch, tmp_path):
    """The key, and the access tokens that are handed out from now on."""
    found = [loopback_ibm.token]
    signed = Tokens._signed

    def noted(self, claims):
        found.append(signed(self, claims))
        return found[-1]

    monkeypatch.setattr(Tokens, "_signed", noted)
    monkeypatch.setattr(asking, "_AGAIN", (0.0,))
    monkeypatch.setattr(connection, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(connection, "_PATIENCE", 0.1)
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "jobs.sqlite"))
    return found


def flipped():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    return circuit


def without(text, tokens):
    for token in tokens:
        for part in (token, *(piece for piece in token.split(".") if len(piece) > 20)):
            assert part not in text


def written(folder):
    """Everything in a folder but what the service itself keeps and the client's own file of accounts."""
    paths = [
        path
        for path in Path(folder).rglob("*")
        if path.is_file() and path.name != "qiskit-ibm.json" and path.parent != Path(folder) / "service"
    ]
    return "\n".join(path.read_bytes().decode("latin-1") for path in paths)


def test_no_failure_shows_a_secret(loopback_ibm, secrets_of, tmp_path, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG, logger="bondwise")
    said = []
    for index, (fault, method, path) in enumerate(
        [
            ("expired", "POST", "/jobs"),
            ("garbage", "GET", "/jobs"),
            ("error", "GET", "/jobs"),
            ("shape", "GET", "/jobs/*/results"),
            ("drop", "GET", "/jobs/*"),
            ("failed", "POST", "/jobs"),
            ("slow", "POST", "/jobs"),
        ]
    ):
        backend = record(MANILA, f"run {index}")
        said += [repr(backend), repr(backend.sampler), repr(backend.estimator), repr(backend.recorder.place)]
        with monkeypatch.context() as patch:
            patch.setattr(deadlines, "DEADLINE", 0.5 if fault == "slow" else 60.0)
            patch.setattr("urllib3.util.retry.Retry.get_backoff_time", lambda self: 0)
            options = {"reason": f"no {loopback_ibm.token}"} if fault == "failed" else {}
            loopback_ibm.fail(fault, method, path, times=None, seconds=0.8, **options)
            with pytest.raises((RunError, UsageError)) as caught:
                estimate(flipped(), "Z", shots=10, backend=backend)
        loopback_ibm.heal()
        said += [str(caught.value), repr(caught.value)]
        assert "\n" not in str(caught.value)
    handle = backend.submit([(backend.transpile(flipped()), "IIIIZ")], shots=10)
    said += [repr(handle), repr(handle.collect())]
    assert len(secrets_of) > 1  # access tokens too
    output = capfd.readouterr()
    without("\n".join([*said, caplog.text, output.out, output.err, written(tmp_path)]), secrets_of)


@pytest.mark.parametrize(
    "case",
    [
        "wrong-key",
        pytest.param("works", marks=pytest.mark.slow),
        pytest.param("nobody", marks=pytest.mark.slow),
    ],
)
def test_the_command_line_shows_no_secret(loopback_ibm, secrets_of, tmp_path, case):
    isa = flipped()
    isa.measure_all()
    (tmp_path / "flip.qasm").write_text(qasm3.dumps(isa))
    environment = dict(os.environ)
    if case == "wrong-key":
        environment["QISKIT_IBM_TOKEN"] = "wrong-key-of-mine"
        secrets_of.append("wrong-key-of-mine")
    if case == "nobody":
        environment |= {"IAM_URL": "http://127.0.0.1:9", "QISKIT_IBM_URL": "http://127.0.0.1:9/experimental"}
    arguments = ["run", "flip.qasm", "--backend", f"{MANILA},mode=job", "--shots", "20", "--json", "--yes"]
    done = subprocess.run(
        [sys.executable, "-c", "from bondwise.cli.main import main; main()", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) == (case == "works"), done.stderr
    assert "Traceback" not in done.stderr
    assert not any(token in " ".join(arguments) for token in secrets_of)
    without(done.stdout + done.stderr + written(tmp_path), secrets_of)


def save_account(server, name="mine", **options):
    QiskitRuntimeService.save_account(
        token=server.token,
        url=server.url,
        instance=server.instance,
        channel="ibm_quantum_platform",
        name=name,
        **options,
    )
    path = Path(management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE)
    path.chmod(0o600)
    return path


def test_a_saved_account_by_name(loopback_ibm, secrets_of, tmp_path, monkeypatch):
    path = save_account(loopback_ibm)
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    backend = record(f"{MANILA},account=mine", "run")
    assert backend.name == f"{MANILA},account=mine"
    assert estimate(flipped(), "Z", shots=20, backend=backend).value < -0.5
    assert get_backend(MANILA).name == MANILA  # the only one is the default
    assert "account=mine" in written(tmp_path)
    without(written(tmp_path), secrets_of)
    assert without_secrets(f"no {loopback_ibm.token}") == "no ***"
    with pytest.raises(UsageError, match="unknown account 'min'. Did you mean 'mine'"):
        get_backend(f"{MANILA},account=min")
    before = len(loopback_ibm.requests)
    path.chmod(0o644)
    with pytest.raises(UsageError, match=rf"run `chmod 600 {re.escape(str(path))}` first"):
        get_backend(f"{MANILA},account=other")
    path.chmod(0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    service._SERVICES.clear()
    with pytest.raises(UsageError, match="no saved account 'mine'"):
        get_backend("ibm:other,account=mine")
    assert len(loopback_ibm.requests) == before


def test_a_key_that_only_the_user_knows(loopback_ibm, secrets_of, monkeypatch):
    mine = QiskitRuntimeService(
        token=loopback_ibm.token, url=loopback_ibm.url, instance=loopback_ibm.instance
    )
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    get_backend(mine.backend("ibm_manila"))
    assert loopback_ibm.token not in without_secrets(f"refused: {loopback_ibm.token}")
