"""Sweeps on threads, processes and Dask, whose workers die."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise import qml
from bondwise.qml.sweeps.scheduling import outcomes
from bondwise.runs import RunError, UsageError

POOL = partial(ProcessPoolExecutor, 2, mp_context=multiprocessing.get_context("spawn"))


def states(rows):
    return {json.loads(point)["x"]: state for point, state, _, _ in rows}


def test_a_pool_of_processes_that_break_is_replaced(study, stored):
    found = qml.sweep(study.deadly, {"x": range(12)}, executor=POOL)
    assert [row["value"] for row in found.rows] == [x * x for x in range(12) if x != 3]
    assert [(one["point"], one["tries"]) for one in found.failed] == [({"x": 3}, 2)]
    assert found.failed[0]["reason"].startswith("its worker died (killed, out of memory")
    assert states(stored()) == {x: "failed" if x == 3 else "done" for x in range(12)}
    done = len(study.calls())
    again = qml.sweep(study.deadly, {"x": [x for x in range(12) if x != 3]}, executor=POOL)
    assert again.rows == found.rows
    assert len(study.calls()) == done


def test_a_broken_pool_that_was_given_ends_the_sweep_and_loses_nothing(study, stored):
    (study.folder / "five").touch()
    with POOL() as pool:
        with pytest.raises(RunError, match="the executor is broken, .*executor=lambda: ProcessPoolExecutor"):
            qml.sweep(study.deadly, {"x": [0, 1, 3, *range(6, 30)]}, executor=pool)
        with pytest.raises(RunError, match="the executor is broken"):  # from the first point
            qml.sweep(study.deadly, {"x": [40]}, executor=pool)
    kept = states(stored())
    assert set(kept.values()) <= {"done"}
    assert 3 not in kept
    found = qml.sweep(study.deadly, {"x": [0, 1, *range(6, 30)]}, executor=ThreadPoolExecutor(2))
    assert found.column("value").tolist() == [row["x"] ** 2 for row in found.rows]
    assert len(found.rows) == 26
    assert all(study.calls().count(str(x)) == 1 for x in kept)


class Breaking(Executor):
    """A pool of three that breaks at some calls; as in a real one, all unfinished points are lost with it."""

    def __init__(self, breaks):
        self.breaks, self.queue = breaks, []

    def submit(self, fn, /, *args):
        if self.queue is None:
            raise BrokenProcessPool("broken")
        future = Future()
        self.queue.append((future, fn, args))
        if len(self.queue) == 1:
            ThreadPoolExecutor(1).submit(self.work)
        return future

    def work(self):
        time.sleep(0.001)
        while self.queue:
            future, fn, args = self.queue[0]
            if self.breaks(args[1]["x"]):
                lost, self.queue = self.queue, None
                for future, *_ in lost:
                    future.set_exception(BrokenProcessPool("broken"))
                return
            future.set_result(fn(*args))
            self.queue.pop(0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 2))
def test_only_points_that_kill_their_worker_fail(deaths, retries):
    """Each point kills its worker some number of times."""
    left = list(deaths)

    def breaks(x):
        left[x] -= 1
        return left[x] >= 0

    points = [{"x": x} for x in range(len(deaths))]
    ends = list(outcomes(float, points, lambda: Breaking(breaks), retries, lambda point: None))
    assert sorted(index for index, _, _ in ends) == list(range(len(deaths)))
    for index, outcome, tries in ends:
        assert tries <= retries + 1
        if "died" in outcome.text:
            assert deaths[index] > retries
        elif deaths[index] == 0:
            assert tries == retries + 1 or outcome.hopeless  # float takes no x: an ordinary failure


def test_threads(study, stored):
    with ThreadPoolExecutor(4) as pool:
        found = qml.sweep(study.square, {"x": range(50)}, executor=pool)
        assert found.column("square").tolist() == [x * x for x in range(50)]
        assert len(stored()) == 50
        assert pool.submit(int).result() == 0  # it is still the caller's
    with pytest.raises(UsageError, match="the executor takes no points .*shutdown"):
        qml.sweep(study.square, {"x": [100]}, executor=pool)


def test_an_executor_that_cannot_start_ends_the_sweep(study):
    with pytest.raises(RunError, match="the executor is broken"):
        qml.sweep(study.square, {"x": [1, 2]}, executor=partial(Unstarted))


class Unstarted(Executor):
    def submit(self, fn, /, *args):
        raise BrokenProcessPool("no memory")


def test_what_a_process_cannot_load_is_a_failure_with_a_reason(study):
    def local(x):
        return x

    found = qml.sweep(local, {"x": [1]}, executor=POOL, retries=0)
    assert "local" in found.failed[0]["reason"]
    assert "\n" not in found.failed[0]["reason"]


PARENT = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import work
from bondwise import qml

if __name__ == "__main__":
    make = lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1]))
    found = qml.sweep(work.slow, {"x": range(30)}, executor=make)
    print(len(found.rows), len(set(found.column("x"))))
"""
WORK = """
import time

def slow(x):
    time.sleep(0.05)
    with open("calls.log", "a") as file:
        file.write(f"{x}\\n")
    return x
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_kill_9_of_the_process_with_a_pool(tmp_path, monkeypatch, stored, method):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "work.py").write_text(WORK)
    log = tmp_path / "calls.log"
    process = subprocess.Popen([sys.executable, "parent.py", method], start_new_session=True)
    while not log.exists() or log.read_text().count("\n") < 8:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = set(states(stored()))
    assert done
    # the workers of the first wait for more; forked ones have its files open
    try:
        again = [sys.executable, "parent.py", method]
        last = subprocess.run(again, capture_output=True, text=True, check=True)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert last.stdout.split() == ["30", "30"]
    calls = log.read_text().split()
    assert all(calls.count(str(x)) == 1 for x in done)
    assert len(stored()) == 30


def test_dask_on_threads(study, stored):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as client:
        found = qml.sweep(study.square, {"x": range(20)}, executor=client.get_executor())
        assert found.column("square").tolist() == [x * x for x in range(20)]

        def moody(x):
            study.called(x)
            if study.calls().count(str(x)) < 3:
                raise ValueError("not yet")
            return x

        # Dask takes a call with the same arguments for the same one; a second try must be a second call
        again = qml.sweep(moody, {"x": [100, 101]}, executor=client.get_executor(), retries=2)
    assert (again.column("value").tolist(), again.failed) == ([100, 101], [])
    assert len(stored()) == 22


@pytest.mark.slow
def test_dask_with_a_worker_that_is_killed(study, stored):
    """Two workers on 127.0.0.1; one is killed from outside, and one point kills each that takes it."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            host="127.0.0.1", n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = qml.sweep(study.deadly, {"x": range(12)}, executor=client.get_executor(), retries=0)
        assert [row["value"] for row in found.rows] == [x * x for x in range(12) if x != 3]
        assert [one["point"] for one in found.failed] == [{"x": 3}]
        assert found.failed[0]["reason"].startswith("KilledWorker: ")
        assert found.failed[0]["tries"] == 1

        with ThreadPoolExecutor(1) as other:

            def kill_one():
                begun = len(study.calls())
                while len(study.calls()) < begun + 5:
                    time.sleep(0.01)
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

            killing = other.submit(kill_one)
            later = qml.sweep(study.square, {"x": range(100, 300)}, executor=client.get_executor())
            killing.result()
    assert later.column("square").tolist() == [x * x for x in range(100, 300)]
    assert later.failed == []
    kept = states(stored())
    assert len(kept) == len(stored())
    assert set(kept) == {*range(12), *range(100, 300)}


def test_a_pool_that_breaks_while_a_point_is_handed_over_is_replaced(study):
    """A pool of processes whose pipes are being closed raises OSError instead of BrokenProcessPool."""
    made = []

    class Closing(ThreadPoolExecutor):
        def submit(self, *call):
            if made[0] is self and len(made) == 1:
                raise OSError("handle is closed")
            return super().submit(*call)

    def pool():
        made.append(Closing(2))
        return made[-1]

    def size(x):
        return abs(x)

    found = qml.sweep(size, {"x": [-1, -2, -3]}, executor=pool)
    assert sorted(found.column("value")) == [1, 2, 3]
    assert len(made) == 2
