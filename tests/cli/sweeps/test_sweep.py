"""`bondwise sweep`: functions in files, grids in flags, tables, and processes that are killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from bondwise.cli.sweeps.grids import grid_of
from bondwise.runs import UsageError

STUDY = """
def run(chi, seed=0):
    with open("calls.log", "a") as file:
        file.write(f"{chi} {seed}\\n")
    if chi == 9:
        raise ValueError("too large")
    return {"energy": -chi + 0.5 * seed, "how": f"chi {chi}"}


def slow(x):
    import os, time
    with open("workers.log", "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.1)
    return x
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A file with a name of its own: modules of one name are loaded once."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    path = tmp_path / f"study_{abs(hash(tmp_path))}.py"
    path.write_text(STUDY)
    return path.name


def test_a_table_and_its_means(bondwise, study, tmp_path):
    flags = ("sweep", f"{study}:run", "--over", "chi=1,2", "--over", "seed=0..2", "--quiet")
    silent = bondwise(*flags)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")
    shown = bondwise(*flags[:-1])
    assert shown.returncode == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["chi", "seed", "energy", "how"] in lines
    assert ["2", "1", "-1.5", "chi", "2"] in lines
    assert ["1", "3", "-0.5", "±", "1.2"] in lines
    assert lines[-1] == ["stored", "in", "sweep.sqlite"]
    assert len((tmp_path / "calls.log").read_text().split("\n")) == 7  # the second time, none was called
    again = json.loads(bondwise(*flags, "--json", "--version", "2").stdout)
    assert again["rows"][5] == {"chi": 2, "seed": 2, "energy": -1.0, "how": "chi 2"}
    assert again["summary"][0]["energy"] == -0.5
    assert again["settings"]["over"] == ["chi=1,2", "seed=0..2"]
    assert len((tmp_path / "calls.log").read_text().split("\n")) == 13


def test_a_failed_point_is_named_and_the_exit_code_is_1(bondwise, study):
    done = bondwise("sweep", f"{study}:run", "--over", "chi=1,9", "--retries", 0)
    assert done.returncode == 1
    assert "failed: {'chi': 9}: ValueError: too large" in done.stdout
    assert "bondwise: 1 of 2 points failed; the same command tries again." in done.stderr
    assert "mean over seeds" not in done.stdout


def test_a_vqe(bondwise):
    flags = ("--over", "size=3", "--over", "model=ising", "--over", "max-bond=1,2", "--over", "steps=20")
    done = bondwise("sweep", "vqe", *flags, "--store", "vqe.sqlite", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout)["rows"]:
        assert row["exact_energy"] - 1e-9 <= row["energy"] <= row["start_energy"]
        assert row["energy"] == pytest.approx(row["exact_energy"], abs=0.01)


def test_a_vqe_refuses_what_the_command_refuses(bondwise):
    done = bondwise("sweep", "vqe", "--over", "size=30", "--over", "start=mps", "--json", "--quiet")
    assert (
        "30 qubits are too many to train on a state vector" in json.loads(done.stdout)["failed"][0]["reason"]
    )
    assert json.loads(done.stdout)["failed"][0]["tries"] == 1
    done = bondwise("sweep", "vqe", "--over", "sizes=4")
    assert (
        done.stderr
        == "bondwise: vqe() cannot be called at sizes=4: got an unexpected keyword argument 'sizes'.\n"
    )


def start(study, tmp_path):
    words = ("sweep", f"{study}:slow", "--over", "x=0..19", "--workers", "2", "--json", "--quiet")
    return subprocess.Popen(
        [sys.executable, "-m", "bondwise.cli.main", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("this takes too long")


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT])
def test_workers_end_with_the_command_and_the_next_one_goes_on(study, tmp_path, how):
    log = tmp_path / "workers.log"
    process = start(study, tmp_path)
    wait_for(lambda: log.exists() and log.read_text().count("\n") > 4)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()  # a terminal signals all
    _, error = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert (
            error.strip()
            == "bondwise: stopped; the same command goes on with what is not in sweep.sqlite yet."
        )
    workers = set(log.read_text().split())
    wait_for(lambda: not any(map(alive, workers)))
    with sqlite3.connect(tmp_path / "sweep.sqlite") as database:
        (done,) = database.execute("SELECT count(*) FROM points").fetchone()
    assert 0 < done < 20
    last = start(study, tmp_path)
    rows = json.loads(last.communicate()[0])["rows"]
    assert [row["value"] for row in rows] == list(range(20))
    calls = log.read_text().count("\n")
    assert calls <= 20 + 2 * 2 + 1  # what was under way when the command ended, in and before two workers


@pytest.mark.parametrize(
    ("flags", "grid"),
    [
        (["chi=1,2,4", "seed=0..4"], {"chi": [1, 2, 4], "seed": range(5)}),
        (["x=0.5,1e-3,-2"], {"x": [0.5, 0.001, -2]}),
        (["max-bond=4"], {"max_bond": [4]}),
        (["optimizer=adam, lbfgs"], {"optimizer": ["adam", "lbfgs"]}),
        (["size=2x3,8"], {"size": ["2x3", 8]}),
        (['sizes=[1,2],"3"', "on=true,null"], {"sizes": [[1, 2], "3"], "on": [True, None]}),
        (["a=b=c"], {"a": ["b=c"]}),
        (["n=-2..0"], {"n": range(-2, 1)}),
    ],
)
def test_grids(flags, grid):
    assert grid_of(flags) == grid


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["chi"], "--over 'chi' names no values; write --over NAME=VALUES, such as chi=1,2,4"),
        (["chi="], "names no values"),
        (["=1"], "names no values"),
        (["chi=1,,2"], "has a gap; write"),
        (["chi=4..1"], "--over 'chi=4..1' is empty; write the smaller number first"),
        (["chi=1", "chi=2"], "--over chi is given twice"),
    ],
)
def test_grids_that_are_refused(flags, message):
    with pytest.raises(UsageError, match=message):
        grid_of(flags)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vqf",), "'vqf' names no function; write FILE.py:FUNCTION, MODULE:FUNCTION, or vqe."),
        (("{study}",), "names no function; write FILE.py:FUNCTION"),
        (("{study}:ran",), ".py 'ran'. Did you mean 'run'? Known: run, slow."),
        (("none.py:run",), "none.py cannot be read: there is no such file."),
        (("broken.py:run",), "broken.py cannot be loaded: ZeroDivisionError: division by zero."),
        (("leaving.py:run",), "leaving.py cannot be loaded: SystemExit: 3."),
        (("json.py:run",), "json.py has the name of the module 'json'; rename the file."),
        (("no_such_module:run",), "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'."),
        (("json:nothing",), "unknown function of json 'nothing'."),
        (
            ("{study}:run", "--over", "ch=1"),
            "run() cannot be called at ch=1: missing a required argument: 'chi'.",
        ),
        (("{study}:run", "--over", "chi=1,1"), "the point chi=1 is in the grid twice"),
        (("{study}:run", "--over", "chi=NaN"), "the value 'chi' of a point is nan, which JSON cannot hold"),
        (
            ("{study}:run", "--over", "chi=0..9999999"),
            "the grid has 10,000,000 points; give from 1 to 1,000,000.",
        ),
        (
            ("{study}:run", "--over", "chi=1", "--workers", "0"),
            "--workers is 0; give a whole number from 1 to 1024.",
        ),
        (
            ("{study}:run", "--over", "chi=1", "--retries", "-1"),
            "--retries is -1; give a whole number of at least 0.",
        ),
        (
            ("{study}:run", "--over", "chi=1", "--store", "no/s.db"),
            "the store no/s.db cannot be used: No such file",
        ),
    ],
)
def test_refusals_are_one_line(bondwise, study, tmp_path, words, message):
    for name, content in {"broken": "1 / 0", "leaving": "raise SystemExit(3)", "json": ""}.items():
        (tmp_path / f"{name}.py").write_text(content)
    words = [word.format(study=study) for word in words]
    done = bondwise("sweep", *words, *([] if "--over" in words else ["--over", "chi=1"]))
    assert done.returncode in (1, 2)
    [line] = done.stderr.splitlines()
    assert message in line
    assert done.stdout == ""


def test_a_grid_is_required(bondwise, study):
    assert bondwise("sweep", f"{study}:run").stderr == "bondwise: Missing option '--over'.\n"
