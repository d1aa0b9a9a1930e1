"""`kill -9` at any point: no submitted job is lost, and none is paid for twice."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from bondwise.backends import Journal

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

# requests on the way of a study with two jobs: method, path, and how many of them have come when it is killed
REQUESTS = [
    ("POST", "/sessions", 1),
    ("POST", "/jobs", 1),
    ("POST", "/jobs", 2),
    ("GET", "/jobs", 1),
    ("GET", "/jobs", 2),
    ("GET", "/jobs/*", 1),
    ("GET", "/jobs/*/results", 1),
    ("GET", "/jobs/*/results", 2),
    ("GET", "/jobs/*/metrics", 1),
]
# lines of the files that matter: killed before the first and before the last time that they are come to
FILES = ("jobs/recorder.py", "jobs/journal.py", "jobs/recording.py", "ibm/connection.py", "ibm/primitives.py")


class Doomed:
    """The process that `doomed.py` runs in."""

    def __init__(self):
        self.child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("doomed.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self.process = threading.Event()

    def study(self, **order):
        """Exit status, and what was found, if anything."""
        self.process.clear()
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        answers = {}
        while "status" not in answers:
            line = self.child.stdout.readline()
            assert line, "the process of the studies has ended"
            answers |= json.loads(line)
            if "process" in answers and not self.process.is_set():
                self.number = answers["process"]
                self.process.set()
        return answers

    def kill(self):
        self.process.wait(30)
        os.kill(self.number, signal.SIGKILL)


@pytest.fixture
def doomed(loopback_ibm):
    one = Doomed()
    yield one
    one.child.stdin.close()
    one.child.wait(60)


def template(path):
    parts = path.split("/")
    if len(parts) > 2 and parts[1] in ("jobs", "sessions"):
        parts[2] = "*"
    return "/".join(parts)


def check(server, doomed, journal, run):
    """Resume a killed study: two jobs in all, both done, the numbers from the journal."""
    before = len(server.jobs)
    resumed = doomed.study(journal=str(journal), run=run)
    assert resumed["status"] == 0, run
    found = resumed["found"]
    records = Journal(journal).records(run=run)
    assert [one.state for one in records] == ["done", "done"], run
    assert found["job_ids"] == [one.job_ids[0] for one in reversed(records)], run
    often = Counter(job.tags[0] for job in server.jobs)
    assert all(often[one.tag] == 1 for one in records), run  # none twice, not even one that was cancelled
    assert before <= len(server.jobs)
    again = doomed.study(journal=str(journal), run=run)
    assert again["found"] == found, run
    return found


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_killed_at_a_request(loopback_ibm, doomed, tmp_path, when):
    journal, server = tmp_path / "jobs.sqlite", loopback_ibm
    for method, path, number in REQUESTS:
        run, seen = f"{when} {method} {path} {number}", []

        def hook(asked, where, method=method, path=path, number=number, seen=seen):
            if (asked, template(where)) == (method, path):
                seen.append(1)
                if len(seen) == number:
                    doomed.kill()

        setattr(server, when, hook)
        killed = doomed.study(journal=str(journal), run=run)
        setattr(server, when, None)
        assert killed["status"] == -signal.SIGKILL, run
        check(server, doomed, journal, run)
    assert {job.status for job in server.jobs} == {"Completed"}


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_where_an_answer_was_lost(loopback_ibm, doomed, tmp_path, number):
    """The client alone would have posted a second job by the second request."""
    journal, server, seen = tmp_path / "jobs.sqlite", loopback_ibm, []

    def hook(asked, where):
        if where == "/jobs":
            seen.append(asked)
            if len(seen) == number:
                doomed.kill()

    server.fail("error-after", "POST", "/jobs", status=500)
    server.after = hook
    assert doomed.study(journal=str(journal), run="lost")["status"] == -signal.SIGKILL
    server.after = None
    assert seen == ["POST", "GET"][:number]
    check(server, doomed, journal, "lost")


def lines_of_a_study(doomed, tmp_path):
    """Each line that a study comes to, with how often."""
    found = doomed.study(journal=str(tmp_path / "first.sqlite"), run="whole", stop_at=["", 0], list=True)
    return Counter(place for place in found["seen"] if place.partition(":")[0] in FILES)


def killed_at_lines(server, doomed, tmp_path, points):
    journal, killed = tmp_path / "jobs.sqlite", 0
    for place, number in points:
        run = f"{place} {number}"
        status = doomed.study(journal=str(journal), run=run, stop_at=[place, number])["status"]
        assert status in (0, -signal.SIGKILL), run  # lines of polling may be come to less often
        killed += status != 0
        check(server, doomed, journal, run)
    assert {job.status for job in server.jobs} == {"Completed"}
    return killed


@pytest.mark.slow
def test_killed_before_every_line(loopback_ibm, doomed, tmp_path):
    lines = lines_of_a_study(doomed, tmp_path)
    points = [(place, 1) for place in sorted(lines)]
    points += [(place, number) for place, number in sorted(lines.items()) if number > 1]
    assert killed_at_lines(loopback_ibm, doomed, tmp_path, points) >= len(lines)
