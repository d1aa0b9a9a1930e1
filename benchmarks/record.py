"""The file that a benchmark writes with `--out`: command, package versions and results."""

import argparse
import json
import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bondwise", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "pennylane", "quimb", "lambeq", "torch")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the option `--out`."""
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")


def save(path: Path | None, results: Any) -> None:
    """Write the results, if there is a file to write them to."""
    if path is not None:
        versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
        words = [word for word in sys.argv[1:] if word not in ("--out", str(path))]
        script = Path(os.path.relpath(sys.argv[0], ROOT)).as_posix()
        command = shlex.join(["python", script, *words])
        document = {"command": command, "versions": versions, "results": results}
        path.write_text(json.dumps(document, indent=1) + "\n")
