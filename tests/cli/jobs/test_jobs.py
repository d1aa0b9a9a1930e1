"""`bondwise jobs`, and jobs on a device in other commands, against the service on this machine."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from bondwise.backends import Journal
from bondwise.cli.main import main

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

BELL = 'OPENQASM 3; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'


@pytest.fixture
def bondwise(tmp_path, monkeypatch, capsys):
    """The command in an empty folder, with a journal of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "jobs.sqlite"))
    (tmp_path / "bell.qasm").write_text(BELL)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code, out=printed.out, err=printed.err)

    return run


RUN = ("run", "bell.qasm", "--observable", "XX", "--shots", 50, "--backend", "ibm:least_busy", "--yes")


def test_a_run_that_does_not_wait_is_collected_later(bondwise, loopback_ibm, tmp_path):
    loopback_ibm.hold()
    done = bondwise(*RUN, "--no-wait")
    assert done.code == 0, done.err
    [job] = loopback_ibm.jobs
    assert job.id in done.out
    assert "bondwise jobs resume runs/bell" in done.out
    assert not (tmp_path / "runs" / "bell" / "result.json").exists()

    listed = json.loads(bondwise("jobs", "list", "--json").out)
    assert [(one["state"], one["job_ids"], one["backend"]) for one in listed] == [
        ("submitted", [job.id], "ibm:ibm_manila")
    ]
    [row] = [line for line in bondwise("jobs", "list").out.splitlines() if job.id in line]
    assert row.split()[2:] == [job.id, listed[0]["run"], "ibm:ibm_manila", "submitted", "1", "50"]
    shown = bondwise("jobs", "show", job.id)
    assert "queued" in shown.out
    assert "QPU time" not in shown.out  # nothing is charged yet
    assert "place in the queue" in shown.out
    loopback_ibm.release()
    collected = bondwise("jobs", "resume", "runs/bell", "--json")
    assert collected.code == 0, collected.err
    result = json.loads(collected.out)
    assert result["job_ids"] == [job.id]
    assert result["backend"] == "ibm:ibm_manila"  # where it ran
    assert 0.5 < result["values"][0] <= 1
    assert result == json.loads((tmp_path / "runs" / "bell" / "result.json").read_text())
    again = json.loads(bondwise("jobs", "resume", "runs/bell", "--json").out)
    assert again["values"] == result["values"]
    assert len(loopback_ibm.jobs) == 1
    assert "QPU time" in bondwise("jobs", "show", job.id).out


def test_a_job_is_waited_for_and_exported(bondwise, loopback_ibm, tmp_path):
    loopback_ibm.hold()
    bondwise(*RUN, "--no-wait")
    [job] = loopback_ibm.jobs
    early = bondwise("jobs", "export", job.id)
    assert (early.code, "bondwise jobs wait" in early.err) == (2, True)
    loopback_ibm.release()
    waited = bondwise("jobs", "wait", job.id)
    assert waited.code == 0, waited.err
    exported = json.loads(bondwise("jobs", "export", job.id).out)
    [part] = exported["result"]
    assert sum(part["basis"].values()) == 50
    assert exported["job"]["state"] == "done"
    bondwise("jobs", "export", job.id[:6], "--out", "raw.json")
    assert json.loads((tmp_path / "raw.json").read_text()) == exported
    collected = bondwise("jobs", "resume", "runs/bell")  # from the journal alone
    assert collected.code == 0
    assert "XX" in collected.out


def test_a_cancelled_job_is_submitted_again_by_its_run(bondwise, loopback_ibm):
    loopback_ibm.hold()
    bondwise(*RUN, "--no-wait")
    [job] = loopback_ibm.jobs
    assert bondwise("jobs", "cancel", job.id).code == 0
    assert loopback_ibm.jobs[0].status == "Cancelled"
    assert Journal().records()[0].state == "cancelled"
    waited, exported = bondwise("jobs", "wait", job.id), bondwise("jobs", "export", job.id)
    assert (waited.code, "was cancelled." in waited.err) == (1, True)
    assert (exported.code, "bondwise jobs resume DIR" in exported.err) == (2, True)
    twice = bondwise("jobs", "cancel", job.id)
    assert (twice.code, "is cancelled" in twice.err) == (2, True)
    loopback_ibm.release()
    for words in (("jobs", "resume", "runs/bell"), (*RUN[:-1], "--resume")):
        unasked = bondwise(*words)
        assert (unasked.code, "no terminal to ask" in unasked.err) == (2, True)
    assert len(loopback_ibm.jobs) == 1
    done = bondwise("jobs", "resume", "runs/bell", "--yes")
    assert (done.code, "1 job" in done.err) == (0, True)
    assert [one.status for one in loopback_ibm.jobs] == ["Cancelled", "Completed"]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_resumed_run_asks_only_if_its_job_never_arrived(bondwise, loopback_ibm, arrived):
    if not arrived:
        loopback_ibm.fail("error", status=400)
    bondwise(*RUN, "--no-wait")
    [record] = Journal().records()
    Journal().again(record.tag)  # as if it was killed before the answer
    done = bondwise("jobs", "resume", "runs/bell")
    assert (done.code, "no terminal to ask" in done.err) == ((0, False) if arrived else (2, True))
    assert len(loopback_ibm.jobs) == arrived


@pytest.mark.parametrize("command", ["run", "vqe"])
def test_ctrl_c_while_waiting_says_how_to_go_on(bondwise, loopback_ibm, command):
    def look(method, path):
        if method == "GET" and path.startswith("/jobs/"):  # it asks for the status
            loopback_ibm.after = None
            os.kill(os.getpid(), signal.SIGINT)

    loopback_ibm.hold()
    loopback_ibm.after = look
    small = ("vqe", "--model", "ising", "--size", 2, "--steps", 1, "--mitigate", "none", "--out", "runs/bell")
    done = bondwise(*RUN if command == "run" else (*small, "--backend", "ibm:ibm_manila", "--yes", "--quiet"))
    assert done.code == 130
    assert "bondwise jobs resume runs/bell" in done.err
    loopback_ibm.release()
    assert bondwise("jobs", "resume", "runs/bell").code == 0
    assert len(loopback_ibm.jobs) == 1


@pytest.mark.parametrize("missing", ["service", "journal"])
def test_what_cannot_begin_leaves_nothing(bondwise, loopback_ibm, tmp_path, monkeypatch, missing):
    if missing == "service":
        monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong")
    else:
        monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "bell.qasm" / "jobs.sqlite"))
    done = bondwise(*RUN)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_failed_job_is_one_line(bondwise, loopback_ibm):
    loopback_ibm.fail("failed", reason="the fridge is warm")
    done = bondwise(*RUN)
    assert done.code == 1
    assert "the fridge is warm" in done.err
    assert "the fridge is warm" in bondwise("jobs", "show", loopback_ibm.jobs[0].id).out
    assert bondwise(*RUN, "--resume").code == 0


def test_a_run_is_resumed_where_it_was_begun(bondwise, loopback_ibm, tmp_path, monkeypatch):
    assert bondwise(*RUN, "--no-wait").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    elsewhere = bondwise("jobs", "resume", "../runs/bell")
    assert (elsewhere.code, elsewhere.out) == (2, "")
    assert "is a run of bell.qasm, which is not here; resume it where it was begun" in elsewhere.err


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("--out", "kept", "--overwrite"), id="overwrite"),
        pytest.param(("--out", "new"), id="new", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_where_the_user_is_asked_leaves_the_earlier_run(bondwise, loopback_ibm, tmp_path, more):
    assert bondwise(*RUN, "--out", "kept").code == 0
    before = (tmp_path / "kept" / "result.json").read_text()
    words = [sys.executable, "-m", "bondwise.cli.main", *map(str, RUN[:-1]), *more]
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, words)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # how a terminal ends
        while part := os.read(terminal, 4096):
            said += part
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert said.count(b"nothing was submitted") == 1
    assert (tmp_path / "kept" / "result.json").read_text() == before
    assert not [path for path in tmp_path.iterdir() if path.name == "new" or "replaced" in path.name]
    assert len(loopback_ibm.jobs) == 1


def test_a_changed_circuit_is_not_resumed(bondwise, loopback_ibm, tmp_path):
    bondwise(*RUN, "--no-wait")
    (tmp_path / "bell.qasm").write_text(BELL + " x q[0];")
    done = bondwise("jobs", "resume", "runs/bell")
    assert (done.code, "CIRCUIT" in done.err) == (2, True)
    assert len(loopback_ibm.jobs) == 1


def test_a_vqe_is_measured_on_a_device_later(bondwise, loopback_ibm, tmp_path):
    loopback_ibm.hold()
    words = ("vqe", "--model", "ising", "--size", 3, "--steps", 3, "--shots", 40, "--mitigate", "linear")
    done = bondwise(*words, "--backend", "ibm:ibm_manila", "--out", "study", "--no-wait", "--quiet", "--yes")
    assert done.code == 0, done.err
    assert len(loopback_ibm.jobs) == 1
    loopback_ibm.release()
    unasked = bondwise("jobs", "resume", "study")  # the others have never been submitted
    assert (unasked.code, "no terminal to ask" in unasked.err) == (2, True)
    assert len(loopback_ibm.jobs) == 1
    for more in (["--yes"], []):
        done = bondwise("jobs", "resume", "study", "--json", *more)
        assert done.code == 0, done.err
        result = json.loads(done.out)
        assert [job for stage in result["stages"] for job in stage["job_ids"]] == [
            job.id for job in loopback_ibm.jobs
        ]
    assert {job.status for job in loopback_ibm.jobs} == {"Completed"}


@pytest.mark.parametrize("command", ["run", "vqe"])
def test_a_dry_run_submits_nothing_and_leaves_nothing(bondwise, loopback_ibm, tmp_path, command):
    words = {
        "run": RUN[:-1],
        "vqe": (
            "vqe",
            "--model",
            "ising",
            "--size",
            3,
            "--steps",
            3,
            "--shots",
            40,
            "--backend",
            "ibm:ibm_manila",
        ),
    }[command]
    before = sorted(tmp_path.glob("[!j]*"))  # without the journal
    done = bondwise(*words, "--dry-run", "--json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    assert plan["jobs"] >= 1
    assert plan["qpu_seconds"] > 2
    assert 0 < plan["success"] < 1
    assert sorted(tmp_path.glob("[!j]*")) == before
    over = bondwise(*words, "--yes", "--max-qpu-seconds", 1)
    assert (over.code, "--max-qpu-seconds" in over.err) == (2, True)
    refused = bondwise(*words)
    assert (refused.code, "no terminal to ask" in refused.err) == (2, True)
    assert loopback_ibm.jobs == ()


@pytest.mark.parametrize("command", [RUN[:4], ("vqe", "--model", "ising", "--size", 3)])
def test_a_device_has_no_exact_values(bondwise, tmp_path, command):
    done = bondwise(*command, "--backend", "ibm:ibm_manila", "--shots", 0, "--yes")
    assert done.code == 2
    assert "--shots 0 asks for exact values and ibm:ibm_manila is a device, which has none" in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("shots", [200_000, 999_999_999])
def test_too_many_shots_for_the_device_are_refused_before_anybody_is_asked(
    bondwise, loopback_ibm, tmp_path, shots
):
    words = ("run", "bell.qasm", "--backend", "ibm:ibm_manila", "--shots", shots)
    for more in (["--dry-run"], ["--yes"], ["--observable", "XX"]):
        done = bondwise(*words, *more)
        assert (done.code, "takes at most 100,000" in done.err or "bits of" in done.err) == (2, True), done
    assert Journal().records() == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("jobs", "show", "nothing"), "knows no job"),
        (("jobs", "show", "n"), "at least 4 characters"),
        (("jobs", "export", "n"), "at least 4 characters"),
        (("jobs", "list", "--state", "lost"), "unknown state"),
        (("jobs", "list", "--limit", 0), "--limit"),
        (("jobs", "resume", "nowhere"), "holds no run"),
        (("jobs", "settle", "x"), "--job-id"),
        (("run", "bell.qasm", "--observable", "XX", "--no-wait"), "--no-wait has no effect on statevector"),
        (("jobs", "loopback", "--device", "nowhere"), "unknown device"),
        (("jobs", "loopback", "--port", -1), "--port"),
    ],
)
def test_wrong_use_is_one_line(bondwise, words, message):
    done = bondwise(*words)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_an_empty_journal_is_an_empty_table(bondwise):
    assert bondwise("jobs", "list").code == 0
    assert json.loads(bondwise("jobs", "list", "--json").out) == []


def test_the_loopback_service_is_started_by_hand(tmp_path):
    """The printed lines are all that another process needs."""
    server = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "bondwise.cli.main",
            "jobs",
            "loopback",
            "--folder",
            str(tmp_path / "served"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        lines = []
        while "ibm:ibm_manila" not in (line := server.stdout.readline()):
            lines.append(line)
        given = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines if "export" in line)
        (tmp_path / "bell.qasm").write_text(BELL)
        done = subprocess.run(
            [sys.executable, "-m", "bondwise.cli.main", *map(str, RUN), "--json"],
            env={
                **os.environ,
                **given,
                "BONDWISE_JOURNAL": str(tmp_path / "j.sqlite"),
                "HOME": str(tmp_path),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["job_ids"]) == 1
    finally:
        server.terminate()
        server.wait(30)
