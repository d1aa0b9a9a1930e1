import os
import signal
import sys

import pytest

STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"}


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
