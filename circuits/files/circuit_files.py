"""Circuits from QPY, OpenQASM 2 and OpenQASM 3 files, with one-line errors.

A file is read in a child process first (`try_apart`): Qiskit's parsers can panic, hang or take all memory.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO

from qiskit import QuantumCircuit, qpy

from bondwise.circuits.files.checks import check_circuit
from bondwise.circuits.files.formats import SUFFIXES
from bondwise.circuits.files.includes import Expansion, version_of
from bondwise.runs import UsageError, is_file, kind_of, one_line, read_bytes, read_text, try_apart

_ACCEPTED = "give a circuit as .qpy (QPY) or .qasm (OpenQASM 2 or 3)"


def read_circuit(path: str | os.PathLike[str], *, index: int | None = None) -> QuantumCircuit:
    """Read a circuit from a file.

    Args:
        path: A file in QPY (`.qpy`), or in OpenQASM 2 or 3 (`.qasm`, `.qasm2`, `.qasm3`; the version is that
            of the first statement). OpenQASM may include files from its own folder or from folders inside it.
        index: Which circuit of a QPY file with several, from 0.

    Returns:
        The circuit. `declared_parameters` gives its parameters in the order of the file.

    Raises:
        UsageError: If the file does not exist, does not hold a circuit (the message has the line, and what to
            add for an unknown gate), includes a file from elsewhere, holds several circuits and no `index` is
            given, contains a number that is not finite, or exceeds a limit (see `bondwise.runs.limit`).

    Example:
        >>> from pathlib import Path
        >>> from bondwise.circuits import read_circuit
        >>> _ = Path("bell.qasm").write_text(
        ...     'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0], q[1];'
        ... )
        >>> dict(read_circuit("bell.qasm").count_ops())
        {'h': 1, 'cx': 1}
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"a path is expected, not {kind_of(path)}; {_ACCEPTED}.")
    path = Path(path)
    if not is_file(path):
        raise UsageError(f"there is no file {path}; {_ACCEPTED}.")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} ends in {path.suffix!r}; {_ACCEPTED}.")
    if path.suffix.lower() == ".qpy":
        content = read_bytes(path)

        def load() -> QuantumCircuit:
            return _from_qpy(content, path, index)

        try_apart(lambda: check_circuit(load(), path), name=str(path), size=len(content))
        return load()
    if index is not None:
        raise UsageError(f"index is for QPY files; {path} holds one circuit, so leave it out.")
    from bondwise.circuits.files.openqasm import parse  # the parsers take 0.1 s to import

    text = read_text(path)
    if not text.strip():
        raise UsageError(f"{path} cannot be read as a circuit: the file is empty.")
    version = version_of(text, path)
    program = Expansion(text, path, version)
    with tempfile.TemporaryFile() as parsed:
        try_apart(lambda: _try(program, version, path, parsed), name=str(path), size=len(program.text))
        parsed.seek(0)
        if content := parsed.read():  # much faster than the OpenQASM 3 parser
            return qpy.load(BytesIO(content))[0]
    return parse(program, version, path)


def _try(program: Expansion, version: int, path: Path, parsed: IO[bytes]) -> None:
    """Parse and check a program, and store the circuit if that takes less time than parsing again."""
    from bondwise.circuits.files.openqasm import parse

    circuit = parse(program, version, path)
    check_circuit(circuit, path)
    if version == 3:
        try:
            buffer = BytesIO()
            qpy.dump(circuit, buffer)
        except Exception:  # something that QPY cannot hold
            return
        parsed.write(buffer.getvalue())
        parsed.flush()


def _from_qpy(content: bytes, path: Path, index: int | None) -> QuantumCircuit:
    if not content.startswith(b"QISKIT"):
        raise UsageError(
            f"{path} cannot be read as a circuit: it is not a QPY file, as qiskit.qpy.dump writes; the name "
            "of an OpenQASM file ends in .qasm."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files of a newer Qiskit, which are either read or refused
        try:
            circuits = qpy.load(BytesIO(content))
        except (MemoryError, RecursionError):
            raise
        except BaseException as error:  # of many kinds, Rust panics too
            reason = one_line(error).strip("'\"").rstrip(".")
            raise UsageError(f"{path} cannot be read as a circuit: {reason}.") from error
    if index is None and len(circuits) == 1:
        return circuits[0]
    if index is None or not 0 <= index < len(circuits):
        which = "" if index is None else f", and there is no index {index}"
        raise UsageError(
            f"{path} holds {len(circuits)} circuits{which}; pass one of them, as in "
            f"bondwise.circuits.read_circuit({str(path)!r}, index=0)."
        )
    return circuits[index]
