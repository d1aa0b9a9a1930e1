"""`pytest -n auto`: a worker for each core, and one thread in each worker.

More threads than cores wait for each other: on two cores the suite then takes several times as long. Without
`-n` the tests run in one process with the threads that a user has.
"""

import functools
import os
import signal
import sys

import pytest

MOST_WORKERS = 8  # each takes 1 to 2 GB
STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"}  # on files

if "PYTEST_XDIST_WORKER" in os.environ:  # before numpy and torch read it
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, MOST_WORKERS)


@pytest.fixture(autouse=True, scope="session")
def _journal(tmp_path_factory: pytest.TempPathFactory):
    """Jobs are recorded in a file of the test session, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BONDWISE_JOURNAL", str(tmp_path_factory.mktemp("journal") / "jobs.sqlite"))
        yield


@pytest.fixture
def assert_robust(tmp_path):
    """`assert_robust` of `fuzzing.py`, in a folder of the test."""
    import fuzzing  # loads numpy

    (tmp_path / "mutated").mkdir()
    return functools.partial(fuzzing.assert_robust, folder=tmp_path / "mutated")


@pytest.fixture
def kill_at():
    """Runs something in a process that is killed before its n-th step on the file system, if there is one."""

    def run(number, work):
        child = os.fork()
        if not child:
            left = number

            def hook(event, _):
                nonlocal left
                if event in STEPS:
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            code = 1
            try:
                sys.addaudithook(hook)
                work()
                code = 0
            finally:
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        return status != 0

    return run
