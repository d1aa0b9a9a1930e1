"""The formats of circuit files by the endings of their names."""

from __future__ import annotations

import os
from pathlib import Path

from bondwise.runs import UsageError

_VERSIONS = {".qasm": 3, ".qasm3": 3, ".qasm2": 2}  # of OpenQASM, when written; read files say it themselves
SUFFIXES = (".qpy", *_VERSIONS)
ORDER = "declared parameters"  # key of a circuit's metadata: names of OpenQASM 3's inputs, in order


def is_circuit_file(given: object) -> bool:
    """Whether an object is a path with the ending of a circuit's file."""
    return isinstance(given, str | os.PathLike) and Path(given).suffix.lower() in SUFFIXES


def circuit_format(path: str | os.PathLike[str], qasm: int | None = None) -> int | None:
    """The version of OpenQASM that a path stands for; None for QPY.

    Raises:
        UsageError: If the path stands for no format, or for another than `qasm` says.
    """
    suffix = Path(path).suffix.lower()
    if suffix != ".qpy" and suffix not in _VERSIONS:
        raise UsageError(
            f"{path} is not a circuit file; give a name that ends in .qpy, .qasm (OpenQASM 3) or .qasm2."
        )
    if qasm is None:
        return _VERSIONS.get(suffix)
    if qasm not in (2, 3):
        raise UsageError(f"OpenQASM {qasm} is unknown; give 2 or 3.")
    if suffix != ".qasm" and qasm != _VERSIONS.get(suffix):
        raise UsageError(f"{path} cannot hold OpenQASM {qasm}; give a name that ends in .qasm.")
    return qasm
