"""PennyLane's own tests of devices, which come with it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pennylane
import pytest

SUITE = Path(pennylane.__file__).parent / "devices" / "tests"
ENTRY = "[pennylane.plugins]\nbondwise = bondwise.backends.pennylane.device:BondwiseDevice\n"


def run_suite(folder, *arguments):
    pytest.importorskip("flaky")  # which the suite needs, like pytest-mock
    pytest.importorskip("pytest_mock")
    package = folder / "bondwise_entry-0.dist-info"  # also where bondwise is not installed
    package.mkdir()
    (package / "entry_points.txt").write_text(ENTRY)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bondwise-entry\nVersion: 0\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-q", "--no-flaky-report", "-p", "no:cacheprovider"]
    command += ["-c", str(SUITE / "pytest.ini"), "--device=bondwise", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "least"),
    [(["--shots=None"], 389), (["--shots=20000", "--device-kwargs", "backend=aer", "seed=1"], 374)],
)
def test_the_suite_passes(tmp_path, arguments, least):
    assert run_suite(tmp_path, str(SUITE), *arguments) >= least
