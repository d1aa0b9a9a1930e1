import os
import subprocess
import sys

import pytest


@pytest.fixture
def bondwise(tmp_path):
    """Runs the command in an empty folder, as a user would; returns the finished process."""

    def run(*words, timeout=240):
        return subprocess.run(
            [sys.executable, "-m", "bondwise.cli.main", *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )

    return run
