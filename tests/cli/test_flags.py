"""Messages of the commands name flags, where Python's name arguments; help and completion."""

import os
import subprocess
import sys

import pytest

from bondwise.cli.flags import in_flags

FLAGS = {"max_bond": "--max-bond", "seed": "--seed", "overwrite": "--overwrite", "size": "--size"}
PROTEIN = ("train", "predict", "benchmark", "fetch")
HELPS = (
    "",
    "vqe",
    "sweep",
    "decompose",
    "run",
    "mitigate",
    "mitigate benchmark",
    "backends",
    "protein",
    *(f"protein {name}" for name in PROTEIN),
)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("max_bond is 0; give more.", "--max-bond is 0; give more."),
        ("size '1' is not a lattice.", "--size '1' is not a lattice."),
        ("give overwrite=True, or max_bond.", "give --overwrite, or --max-bond."),
        ("pass seed=3 with max_bond=4.", "pass --seed 3 with --max-bond 4."),
        ("write seed= as well", "write --seed as well"),
        ("size='nothing' fits no lattice", "--size 'nothing' fits no lattice"),
        ("the seed of size 3 is overwrite", "the seed of size 3 is overwrite"),
        ("'max_bond is 0' and \"seed=1\"", "'max_bond is 0' and \"seed=1\""),
        ("runs/max_bond.json, other-max_bond", "runs/max_bond.json, other-max_bond"),
        ("size={'params': 10} is small", "--size params=10 is small"),
        ("raise size={'latency_ms': 2.5, 'batch': 8}", "raise --size latency_ms=2.5,batch=8"),
        ("xseed=1, x.seed=1, my_max_bond", "xseed=1, x.seed=1, my_max_bond"),
    ],
)
def test_arguments_become_flags(message, shown):
    assert in_flags(message, FLAGS) == shown


SMALL = ("--model", "ising", "--size", 3)
OUT_OF_RANGE = [
    ("vqe", *SMALL, "--max-bond", 0),
    ("vqe", *SMALL, "--layers", 0),
    ("vqe", *SMALL, "--extend", -1),
    ("vqe", *SMALL, "--steps", 0),
    ("vqe", *SMALL, "--learning-rate", 0),
    ("vqe", *SMALL, "--learning-rate", "nan"),
    ("vqe", *SMALL, "--shots", -1),
    ("vqe", *SMALL, "--shots", 1),
    ("vqe", *SMALL, "--shots", 10**30),
    ("vqe", *SMALL, "--seed", -1),
    ("vqe", "--model", "ising", "--size", "0"),
    ("decompose", *SMALL, "--max-bond", 0),
    ("decompose", *SMALL, "--layers", -1),
    ("decompose", *SMALL, "--max-cx", -1),
    ("decompose", *SMALL, "--infidelity", 1),
    ("decompose", *SMALL, "--restarts", -1),
    ("decompose", *SMALL, "--seed", 2**32),
    ("run", "h.qasm", "--shots", -1),
    ("run", "h.qasm", "--seed", -1),
    ("mitigate", "h.qasm", "--observable", "Z", "--shots", -1),
    ("mitigate", "h.qasm", "--observable", "Z", "--std", 0),
    ("mitigate", "h.qasm", "--observable", "Z", "--backend", "fake:manila", "--twins", -1),
    ("mitigate", "benchmark", "h.qasm", "--observable", "Z", "--twins", 7),
    ("protein", "train", "--qubits", 6),
    ("protein", "train", "--epochs", 0),
    ("protein", "train", "--learning-rate", 0),
    ("protein", "predict", "model", "data", "--out", "o.csv", "--shots", 0),
    ("protein", "benchmark", "--seeds", 0),
    ("protein", "fetch", "--location", "a=b", "--out", "o.csv", "--min-length", 0),
]


@pytest.mark.parametrize("words", OUT_OF_RANGE, ids=lambda words: " ".join(map(str, words)))
def test_numbers_out_of_range_are_named_by_their_flags(bondwise, tmp_path, words):
    (tmp_path / "h.qasm").write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nh q;\n')
    done = bondwise(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert [word for word in words if str(word).startswith("--")][-1] in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["h.qasm"]


@pytest.mark.parametrize("words", HELPS)
def test_help_fits_and_flags_have_no_type(bondwise, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    shown = bondwise(*words.split(), "--help")
    assert shown.returncode == 0
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "<bool>" not in shown.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bondwise de", "decompose"),
        ("bondwise vqe --max-b", "--max-bond"),
        ("bondwise protein b", "benchmark"),
    ],
)
def test_bash_completes(typed, offered):
    """As the script that --install-completion installs asks for it."""
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    call = "from bondwise.cli.main import main; main([])"
    environment = {**os.environ, **asked, "_BONDWISE_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [offered]


def test_completion_is_installed(tmp_path):
    words = [sys.executable, "-m", "bondwise.cli.main", "--install-completion"]
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([*words, "bash"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".bash_completions" / "bondwise.sh"
    assert "_BONDWISE_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
