"""The journal keeps every job, in whatever order processes come and go."""

import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from bondwise.backends import Journal
from bondwise.runs import RunError, UsageError


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "deep" / "jobs.sqlite")


def test_a_job_from_intent_to_result(journal):
    assert journal.intend("t1", run="r", backend="aer", about={"shots": 7}) is None
    known = journal.intend("t1", run="r", backend="aer", about={"shots": 8})
    assert (known.state, known.job_ids, known.about, known.qpu_seconds) == (
        "intended",
        (),
        {"shots": 7},
        None,
    )
    assert journal.result("t1") is None
    journal.submitted("t1", ["d1", "d2"])
    assert Journal(journal.path).record("t1").job_ids == ("d1", "d2")
    journal.ended("t1", "failed", "no luck")
    assert (journal.record("t1").state, journal.record("t1").message) == ("failed", "no luck")
    journal.done("t1", b"\0bits", 2.5)
    found = Journal(journal.path).record("d2")  # by an identifier too
    assert (found.tag, found.state, found.message, found.qpu_seconds) == ("t1", "done", "", 2.5)
    assert journal.result("t1") == b"\0bits"
    assert found.created <= found.changed


def test_jobs_are_listed_latest_first_by_run_and_state(journal):
    for index in range(5):
        journal.intend(f"t{index}", run=f"r{index % 2}", backend="aer", about={})
    journal.done("t1", b"")
    assert [one.tag for one in journal.records()] == ["t4", "t3", "t2", "t1", "t0"]
    assert [one.tag for one in journal.records(run="r1")] == ["t3", "t1"]
    assert [one.tag for one in journal.records(state="done")] == ["t1"]
    assert [one.tag for one in journal.records(limit=2)] == ["t4", "t3"]


def test_a_job_is_looked_up_by_its_beginning(journal):
    journal.intend("abc-1", run="r", backend="aer", about={})
    journal.intend("abc", run="r", backend="aer", about={})
    journal.intend("xyz", run="r", backend="aer", about={})
    assert journal.record("x").tag == "xyz"
    assert journal.record("abc").tag == "abc"
    for wrong, why in (("ab", "several"), ("nothing", "knows no job"), ("%", "knows no job")):
        with pytest.raises(UsageError, match=why):
            journal.record(wrong)


def test_names_and_circuits_are_kept_as_they_were_first(journal):
    assert journal.name("r", "ibm:least_busy") is None
    assert journal.name("r", "ibm:least_busy", "ibm:one") == "ibm:one"
    assert journal.name("r", "ibm:least_busy", "ibm:two") == "ibm:one"
    journal.keep_circuit("r", "ibm:one", "f", b"first")
    journal.keep_circuit("r", "ibm:one", "f", b"second")
    assert journal.circuit("r", "ibm:one", "f") == b"first"
    assert journal.circuit("other", "ibm:one", "f") is None


def test_only_the_owner_reads_it(journal):
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600


def test_it_is_written_ahead_where_the_file_system_can(journal):
    with sqlite3.connect(journal.path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_system_without_shared_memory_gets_a_rollback_journal(tmp_path, monkeypatch):
    real = sqlite3.connect

    class Elsewhere(sqlite3.Connection):
        def execute(self, sql, *args):
            if sql == "PRAGMA journal_mode=WAL":
                raise sqlite3.OperationalError("disk I/O error")  # what SQLite says on such file systems
            return super().execute(sql, *args)

    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **options: real(*args, factory=Elsewhere, **options)
    )
    journal = Journal(tmp_path / "jobs.sqlite")
    journal.intend("t", run="r", backend="aer", about={})
    assert journal.record("t").state == "intended"
    monkeypatch.undo()
    with sqlite3.connect(journal.path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("content", [b"not a database, but a text that is long enough" * 40, b"x" * 4096])
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a journal") as caught:
        Journal(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_newer_journal_is_refused(journal):
    with sqlite3.connect(journal.path) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(UsageError, match="newer release"):
        Journal(journal.path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="BONDWISE_JOURNAL"):
        Journal(tmp_path / "file" / "jobs.sqlite")


def test_the_user_chooses_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "mine.sqlite"))
    assert Journal().path == tmp_path / "mine.sqlite"
    monkeypatch.delenv("BONDWISE_JOURNAL")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Journal().path == tmp_path / "data" / "bondwise" / "jobs.sqlite"


def _write(path, writer, number):
    journal = Journal(path)
    for index in range(number):
        tag = f"{writer}-{index}"
        assert journal.intend(tag, run=str(writer), backend="aer", about={"index": index}) is None
        with journal.alone("shared"):
            shared = journal.intend("shared", run="all", backend="aer", about={})
            count = 0 if shared is None or not shared.job_ids else int(shared.job_ids[0])
            journal.submitted("shared", [str(count + 1)])  # no other process between reading and writing
        journal.done(tag, tag.encode())


def test_four_writers_lose_nothing(tmp_path):
    path, number = tmp_path / "jobs.sqlite", 50
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, writer, number)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    journal = Journal(path)
    assert len(journal.records(state="done")) == 4 * number
    assert journal.record("shared").job_ids == (str(4 * number),)
    assert all(journal.result(one.tag) == one.tag.encode() for one in journal.records(state="done"))


def test_a_second_journal_of_a_process_does_not_release_the_locks_of_the_first(journal):
    journal.intend("t0", run="r", backend="aer", about={})
    Journal(journal.path)  # closing any handle of a file releases all locks that a process has on it
    look = f"from bondwise.backends import Journal; Journal({str(journal.path)!r}).records()"
    subprocess.run([sys.executable, "-c", look], check=True)  # the last one to close it, as far as it can see
    journal.intend("t1", run="r", backend="aer", about={})
    with sqlite3.connect(journal.path) as database:
        assert database.execute("SELECT tag FROM jobs ORDER BY tag").fetchall() == [("t0",), ("t1",)]


def test_a_journal_that_is_deleted_while_in_use_is_told(journal):
    journal.intend("t0", run="r", backend="aer", about={})
    for path in journal.path.parent.iterdir():
        path.unlink()
    with pytest.raises(RunError, match="was deleted or replaced"):
        journal.intend("t1", run="r", backend="aer", about={})
    assert not journal.path.exists()
    journal.close()
    assert journal.intend("t1", run="r", backend="aer", about={}) is None


def test_of_two_results_the_first_is_kept(journal):
    journal.intend("t", run="r", backend="aer", about={})
    journal.done("t", b"first")
    journal.done("t", b"second")
    assert journal.result("t") == b"first"


def test_a_fork_waits_for_other_threads_and_both_processes_go_on(journal):
    begun, go = threading.Event(), threading.Event()

    def write():
        with journal._writing():
            begun.set()
            go.wait(0.5)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        journal.intend("child", run="r", backend="aer", about={})
        with journal.alone("child"):
            os._exit(0)
    journal.intend("parent", run="r", backend="aer", about={})
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert {one.tag for one in journal.records()} == {"child", "parent"}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs limits of file sizes")
def test_a_full_disk_is_one_line_and_the_journal_goes_on_afterwards(journal):
    code = (
        "import resource, signal, sys\n"
        "from bondwise.backends import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal, most = Journal(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "journal.intend('t', run='r', backend='aer', about={})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most[1]))\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        journal.done('t', bytes(400_000))\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
        "print(journal.record('t').state)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, most)\n"
        "journal.done('t', bytes(400_000))\n"
        "print(journal.record('t').state)\n"
    )
    command = [sys.executable, "-c", code, str(journal.path)]
    first, second, before, after = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert first == second
    assert first.startswith("RunError the journal")
    assert (before, after) == ("intended", "done")
