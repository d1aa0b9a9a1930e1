"""The quick tests on every supported Python that is installed, and with the oldest supported dependencies.

Each row has a virtual environment and a log in `.venvs/`. The oldest dependencies are the lower bounds in
`pyproject.toml`; what those need in turn is the newest that fits.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venvs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Old releases call what newer releases of their own dependencies have deprecated, torch 2.6 extends sys.path,
# and the constraints are not those of constraints.txt.
OLDEST = (
    "-W ignore::DeprecationWarning "
    "--deselect tests/test_process_state.py::test_nothing_is_left_changed "
    "--deselect tests/test_packaging.py::test_constraints_name_what_the_tests_run_with"
)


def supported():
    """Python versions that `pyproject.toml` lists, such as "3.11"."""
    lines = "\n".join(PROJECT["classifiers"])
    return re.findall(r"^Programming Language :: Python :: (3\.\d+)$", lines, re.MULTILINE)


def interpreter(version):
    """A Python of this version that starts, from the PATH or from pyenv; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in (f"python{version}", *pyenv.glob(f"versions/{version}.*/bin/python")):
        if shutil.which(python) and not subprocess.run([python, "-c", ""], capture_output=True).returncode:
            return str(python)
    return None


def oldest():
    """A file of constraints with the lower bound of every dependency."""
    bounds = [re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in PROJECT["dependencies"]]
    path = FOLDER / "oldest.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in bounds))
    return path


def row(name, python, constraints, options=""):
    """Run the tests in an environment of their own, print how they ended, and return whether they passed."""
    if python is None:
        print(f"{name:8} not installed", flush=True)
        return True
    log = FOLDER / f"{name}.log"
    variables = [f"PYTHON={python}", f"VENV={FOLDER / name}", f"CONSTRAINTS={constraints}"]
    with log.open("w") as output:
        run = subprocess.run(
            ["make", "test", *variables],
            cwd=ROOT,
            env=os.environ | {"PYTEST_ADDOPTS": options},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    ends = [
        line for line in log.read_text().splitlines() if re.search(r"\d (passed|failed|error).* in ", line)
    ]
    end = ends[-1] if ends else "did not start"
    print(f"{name:8} {end}" if run.returncode == 0 else f"{name:8} FAILED: {end}, see {log}", flush=True)
    return run.returncode == 0


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    passed = [row(version, interpreter(version), ROOT / "constraints.txt") for version in supported()]
    passed.append(row("oldest", interpreter(supported()[0]), oldest(), OLDEST))
    sys.exit(not all(passed))
