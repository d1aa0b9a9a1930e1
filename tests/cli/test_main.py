"""The command as a process: Ctrl-C at any moment, terminals that know few characters, pipes nobody reads."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3

from bondwise.cli.main import main

COMMAND = (sys.executable, "-m", "bondwise.cli.main")
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
QUIET.pop("PYTHONUNBUFFERED", None)  # users have a buffer
BEGUN = "import sys; print('begun', flush=True); from bondwise.cli.main import main; main(sys.argv[1:])"


@pytest.fixture
def circuit(tmp_path):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.measure_all()
    (tmp_path / "c.qasm").write_text(qasm3.dumps(circuit))
    return tmp_path / "c.qasm"


def hear_interrupts():
    """A process started in the background of a script ignores Ctrl-C by inheritance."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(folder, seconds):
    """A command that is interrupted so long after its first line; None if it was done before."""
    words = [sys.executable, "-c", BEGUN, "run", "c.qasm", "--quiet", "--out", "out"]
    with subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=QUIET,
        preexec_fn=hear_interrupts,
    ) as process:
        process.stdout.readline()
        time.sleep(seconds)
        if process.poll() is not None:
            return None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors


def test_interrupted_while_it_imports(circuit, tmp_path):
    assert interrupted(tmp_path, 0.3) == (130, "bondwise: stopped.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [0, 1, 5, 9])
def test_interrupted_at_its_first_imports(number):
    """Those of Python itself, before it comes to the file of the command, are out of reach."""
    script = (
        "import builtins, sys\n"
        f"real, left = builtins.__import__, {number}\n"
        "def interrupting(name, *rest, **more):\n"
        "    global left\n"
        "    ours = rest and str((rest[0] or {}).get('__name__')).startswith('bondwise')\n"
        "    left -= bool(ours) and name.partition('.')[0] not in ('bondwise', 'sys', '__future__')\n"
        "    if left < 0:\n"
        "        builtins.__import__ = real\n"
        "        raise KeyboardInterrupt\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = interrupting\n"
        "from bondwise.cli.main import main\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "bondwise: stopped.\n")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", np.arange(0.1, 6, 0.1).round(1))
def test_interrupted_at_any_moment(circuit, tmp_path, seconds):
    code, errors = interrupted(tmp_path, seconds) or (0, "")
    assert (code, errors) in ((130, "bondwise: stopped.\n"), (0, "")) or code == -signal.SIGINT


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminal_that_knows_few_characters(bondwise, circuit, tmp_path, monkeypatch, encoding):
    out = os.fsdecode(b"runs/\xff\xe6")  # no UTF-8
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding=encoding))
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(SystemExit, match="0"):
        main(["run", "c.qasm", "--observable", "ZZ", "--shots", "10", "--out", out])
    assert b"result: runs/" in printed.getvalue()
    assert json.loads((tmp_path / out / "result.json").read_text())["shots"] == 10


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_locale_that_knows_few_characters(circuit, tmp_path, encoding):
    out = os.fsdecode(b"runs/\xff\xe6")  # no UTF-8
    words = [*COMMAND, "run", "c.qasm", "--observable", "ZZ", "--shots", "10", "--out", out]
    env = QUIET | {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    assert b"result: runs/" in done.stdout
    assert json.loads((tmp_path / out / "result.json").read_text())["shots"] == 10


RUN = ("run", "c.qasm", "--out", "out")


@pytest.mark.parametrize("words", [("--help",), pytest.param(RUN, marks=pytest.mark.slow)])
def test_nobody_reads_what_is_printed(circuit, tmp_path, words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, env=QUIET)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    assert (tmp_path / "out" / "result.json").exists() == (words == RUN)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        words = [*COMMAND, "--help"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=QUIET)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["bondwise: [Errno 28] No space left on device"]


@pytest.mark.parametrize("error", [ImportError("half a module"), RuntimeError("callback")])
def test_libraries_that_turn_an_interrupt_into_an_error(bondwise, monkeypatch, error):
    def interrupted(*_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise error  # noqa: B904

    monkeypatch.setattr("bondwise.backends.list_backends", interrupted)
    done = bondwise("backends")
    assert (done.returncode, done.stderr) == (130, "bondwise: stopped.\n")


@pytest.mark.filterwarnings("default")
def test_what_libraries_say_is_one_line_or_nothing(bondwise, circuit, monkeypatch):
    monkeypatch.setattr("sys.warnoptions", [])
    done = bondwise("run", "c.qasm", "--observable", "1e400*ZZ", "--shots", 0)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)

    def listed():
        logging.getLogger("qiskit_aer").warning("a\nb")
        for kind in (RuntimeWarning, DeprecationWarning, UserWarning):
            warnings.warn(f"{kind.__name__} of a\nlibrary", kind, stacklevel=1)
        return []

    monkeypatch.setattr("bondwise.backends.list_backends", listed)
    done = bondwise("backends")
    assert (done.returncode, done.stderr) == (0, "bondwise: UserWarning of a library\n")


def test_messages_are_short(bondwise):
    done = bondwise("run", "a" * 100_000 + ".qpy")
    assert done.returncode == 2
    assert "there is no file" in done.stderr
    assert len(done.stderr) < 3000


class Interrupted:
    def __del__(self):
        raise KeyboardInterrupt


def test_an_interrupt_in_a_destructor_is_not_lost(bondwise, monkeypatch):
    def work():
        Interrupted()
        time.sleep(0.1)
        pytest.fail("it went on")

    monkeypatch.setattr("bondwise.backends.list_backends", work)
    done = bondwise("backends")
    assert (done.returncode, done.stderr) == (130, "bondwise: stopped.\n")


@pytest.mark.parametrize("out", ["a" * 300, "c.qasm", "c.qasm/deeper", "/proc/run"])
def test_places_that_cannot_be_are_said_before_the_work(bondwise, circuit, monkeypatch, out):
    monkeypatch.setattr("bondwise.backends.sample", pytest.fail)
    done = bondwise("run", "c.qasm", "--out", out)
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1
    assert "(BONDWISE_TRACEBACK" not in done.stderr
