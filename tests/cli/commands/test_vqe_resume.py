"""`bondwise vqe --resume`: runs that were killed, stopped, or are of other settings."""

import csv
import io
import os
import signal
import subprocess
import sys
import time

import pytest

SMALL = ("vqe", "--model", "heisenberg", "--size", 4, "--max-bond", 2, "--layers", 1, "--seed", 3)
LONG = ("--optimizer", "adam", "--steps", "600")
COMMAND = (sys.executable, "-m", "bondwise.cli.main")
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
NO_DEVICE = ("--backend", "statevector", "--mitigate", "none", "--shots", 0)


def trace(path):
    """The rows of a trace without their times."""
    with path if isinstance(path, io.StringIO) else path.open() as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


def test_resume_needs_the_same_hamiltonian_and_whole_files(bondwise, tmp_path):
    (tmp_path / "h.txt").write_text("-1 ZZI\n-1 IZZ\n-1 XII\n-1 IXI\n-1 IIX\n")
    words = ("vqe", "--model", "h.txt", *NO_DEVICE, "--layers", 1, "--steps", 3, "--quiet", "--out", "run")
    assert bondwise(*words).returncode == 0
    preparation = tmp_path / "run" / "preparation.safetensors"
    whole = preparation.read_bytes()
    preparation.write_bytes(whole[:100])
    done = bondwise(*words, "--resume")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "preparation" in done.stderr
    preparation.write_bytes(whole)
    assert bondwise(*words, "--resume").returncode == 0
    (tmp_path / "h.txt").write_text("-1 ZZI\n-1 IZZ\n-2 XII\n-1 IXI\n-1 IIX\n")
    done = bondwise(*words, "--resume")
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_run_of_an_earlier_release_is_refused_in_one_line(bondwise, tmp_path):
    words = (*SMALL, *NO_DEVICE, "--steps", 1, "--quiet", "--out", "run")
    assert bondwise(*words).returncode == 0
    (tmp_path / "run" / "settings.json").write_text('{"model": "heisenberg", "size": "4"}')
    done = bondwise(*words, "--resume")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "from another release of bondwise; start again with --overwrite" in done.stderr


def test_overwrite_with_wrong_use_leaves_the_earlier_run(bondwise, tmp_path):
    words = (*SMALL, *NO_DEVICE, "--steps", 2, "--quiet", "--out", "run")
    assert bondwise(*words).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    done = bondwise(*words, "--overwrite", "--max-bond", 0)
    assert done.returncode == 2
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def hear_interrupts():
    """A process started in the background of a script ignores Ctrl-C by inheritance."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_long_run(tmp_path):
    words = [*map(str, SMALL + NO_DEVICE), *LONG, "--out", "run", "--quiet"]
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=QUIET,
        preexec_fn=hear_interrupts,
    )
    checkpoint = tmp_path / "run" / "checkpoint-mps.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process, words


@pytest.mark.slow  # what is killed in the driver's tests resumes to the last bit too
def test_killed_run_resumes_bit_for_bit(bondwise, tmp_path):
    process, words = start_long_run(tmp_path)
    time.sleep(0.3)
    process.kill()
    process.wait()
    begun = (tmp_path / "run" / "trace.csv").read_text()
    assert begun.endswith("\n")
    assert [line.split(",")[:2] for line in begun.splitlines()[1:]] == [
        ["mps", str(step)] for step in range(begun.count("\n") - 1)
    ]
    for flag, message in (
        (("--steps", 20), "run was run with --steps 600, not 20; leave the flag out"),
        (("--size", "2x2"), "run was run with --size 4, not 2x2;"),
        (("--shots", 5), "run was run with --shots 0, not 5;"),
        (("--periodic",), "run was run without --periodic, not with --periodic;"),
        (("--learning-rate", 1), "run was run without --learning-rate, not with --learning-rate 1.0;"),
        (("--overwrite",), "--overwrite and --resume are mutually exclusive"),
    ):
        done = bondwise("vqe", "--out", "run", "--resume", *flag)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert message in done.stderr
    done = bondwise("vqe", "--resume", "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    whole = [word if word != "run" else "whole" for word in words]
    done = bondwise(*whole)
    assert done.returncode == 0, done.stderr
    rows = trace(tmp_path / "run" / "trace.csv")
    assert rows == trace(tmp_path / "whole" / "trace.csv")
    assert rows[: begun.count("\n") - 1] == trace(io.StringIO(begun))


def test_nothing_to_resume(bondwise, tmp_path):
    done = bondwise("vqe", "--out", "none", "--resume")
    assert (done.returncode, done.stderr) == (
        2,
        "bondwise: there is no run to resume in none; leave out --resume.\n",
    )
    assert not list(tmp_path.iterdir())
    (tmp_path / "h.qasm").write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nh q;\n')
    assert bondwise("run", "h.qasm", "--out", "other", "--quiet").returncode == 0
    done = bondwise("vqe", "--out", "other", "--resume", "--size", 4)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "other holds the run of another command" in done.stderr


def test_interrupted_run_keeps_its_checkpoint_and_its_lock(bondwise, tmp_path):
    process, words = start_long_run(tmp_path)
    process.send_signal(signal.SIGSTOP)  # so that it does not finish meanwhile
    in_use = bondwise(*words, "--overwrite")
    assert in_use.returncode == 2
    assert "in use by another run" in in_use.stderr
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    refused = bondwise(*words)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    checkpoint = tmp_path / "run" / "checkpoint-mps.safetensors"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    damaged = bondwise(*words, "--resume")
    assert damaged.returncode == 2
    assert "truncated or damaged" in damaged.stderr
    checkpoint.write_bytes(content)
    assert bondwise(*words, "--resume").returncode == 0
