"""Circuits from QPY, OpenQASM 2 and OpenQASM 3 files, with one-line errors.

A file is read in a child process first (`try_apart`): Qiskit's parsers can panic, hang or take all memory.
"""

from __future__ import annotations

import os
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.circuits.soundness import require_sound
from bondwise.circuits.sources import as_circuit
from bondwise.runs import (
    UsageError,
    is_file,
    one_line,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    try_apart,
)

_ORDER = "declared parameters"  # key of a circuit's metadata
_QASM2_INCLUDES = ("qelib1.inc", "stdgates.inc")


def read_circuit(path: Path) -> QuantumCircuit:
    """Read a circuit from a file.

    Args:
        path: A file in QPY (`.qpy`), or in OpenQASM 2 or 3 (`.qasm`, told apart by the first line). OpenQASM
            2 may include files from its own folder or from folders inside it.

    Returns:
        The circuit. `declared_parameters` gives its parameters in the order of the file.

    Raises:
        UsageError: If the file does not exist, does not hold a circuit (an unknown gate is named with its
            line), includes a file from elsewhere, contains a number that is not finite, or exceeds a limit
            (see `bondwise.runs.limit`).

    Example:
        >>> from pathlib import Path
        >>> from bondwise.circuits import read_circuit
        >>> _ = Path("bell.qasm").write_text(
        ...     'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0], q[1];'
        ... )
        >>> dict(read_circuit(Path("bell.qasm")).count_ops())
        {'h': 1, 'cx': 1}
    """
    path = Path(path)
    if not is_file(path):
        raise UsageError(f"there is no file {path}; give a circuit as .qpy or .qasm.")
    if path.suffix not in (".qpy", ".qasm"):
        raise UsageError(f"{path} ends in {path.suffix!r}; give a .qpy or .qasm file.")
    content = read_bytes(path) if path.suffix == ".qpy" else read_text(path)
    if isinstance(content, str):
        if not content.strip():
            raise UsageError(f"{path} cannot be read as a circuit: the file is empty.")
        if _is_qasm2(content):
            _check_includes(content, path)

    def attempt() -> None:
        try:
            circuit = _parse(content, path)
        except (UsageError, MemoryError, RecursionError):
            raise
        except BaseException as error:  # the parsers have their own exceptions, and Rust panics
            raise UsageError(f"{path} cannot be read as a circuit: {_reason(error)}") from error
        require_sound(circuit, path)

    try_apart(attempt, name=str(path), size=len(content))
    return _parse(content, path)


def declared_parameters(circuit: QuantumCircuit) -> list[Parameter]:
    """Return the parameters of a circuit in the order of a plain list of angles.

    For circuits that `read_circuit` read from OpenQASM 3, this is the order of the input declarations; for
    others it is the order of `circuit.parameters`.

    Args:
        circuit: The circuit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.circuits import declared_parameters
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.u(Parameter("b"), Parameter("a"), 0.1, 0)
        >>> [parameter.name for parameter in declared_parameters(circuit)]
        ['a', 'b']
    """
    circuit = as_circuit(circuit)
    names = (circuit.metadata or {}).get(_ORDER, [])
    place = {name: index for index, name in enumerate(names)}
    return sorted(circuit.parameters, key=lambda parameter: place.get(parameter.name, len(place)))


def read_parameters(path: str | os.PathLike[str], circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Read the angles of a circuit.

    Args:
        path: JSON or `.npy` file. It holds angles by name, as `{"name": angle}` or, for several sets, with a
            list of angles for each name; or a plain list or array in the order of `declared_parameters`. A
            name that an exporter had to rewrite may be given in its original form, such as `x[0]` for
            `_x_0_`.
        circuit: Circuit with P parameters to which the angles belong.

    Returns:
        Angles in radians, float64 of shape (P,), or (batch, P) if the file holds several sets, in the order
        of `circuit.parameters`.

    Raises:
        UsageError: If the file cannot be read, or its names or numbers do not fit the circuit.

    Example:
        >>> from pathlib import Path
        >>> from qiskit.circuit import Parameter
        >>> from qiskit.circuit.library import RZGate
        >>> from bondwise.circuits import as_circuit, read_parameters
        >>> _ = Path("angles.json").write_text('{"theta": 0.5}')
        >>> read_parameters("angles.json", as_circuit(RZGate(Parameter("theta"))))
        array([0.5])
    """
    path = Path(path)
    names = [parameter.name for parameter in circuit.parameters]
    content = read_arrays(path)["vector"] if path.suffix == ".npy" else read_json(path)
    columns = _by_name(path, content, names) if isinstance(content, dict) else None
    try:
        if columns is None:
            values = _numbers(content)
        else:
            values = np.stack([_numbers(column) for column in columns], axis=-1) if columns else np.zeros(0)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read as angles ({one_line(error)}); "
            "give JSON (a list, or names with angles) or .npy."
        ) from error
    if values.ndim not in (1, 2) or values.shape[-1] != len(names):
        raise UsageError(
            f"{path} holds numbers of shape {values.shape}; the circuit has {len(names)} parameters."
        )
    if not np.isfinite(values).all():
        raise UsageError(f"{path} holds NaN or infinity; give finite angles in radians.")
    if columns is not None:
        return values
    declared = [parameter.name for parameter in declared_parameters(circuit)]
    return values[..., [declared.index(name) for name in names]]


def _by_name(path: Path, content: dict[str, Any], names: list[str]) -> list[Any]:
    """The angles in the order of the names; a key may be a name before an exporter made it an identifier."""
    aliases: dict[str, Any] = {}
    for key, angles in content.items():
        alias = key if key in names else "_" + re.sub(r"\W", "_", key)
        if alias in aliases:
            raise UsageError(f"{path} gives the parameter {one_line(alias, 60)!r} twice.")
        aliases[alias if alias in names else key] = angles
    missing = [name for name in names if name not in aliases]
    if missing or len(aliases) != len(names):
        strange = sorted(aliases.keys() - set(names))
        what = f"lacks {missing[0]!r}" if missing else f"has {strange[0][:60]!r}, which is not in the circuit"
        raise UsageError(f"{path} {what}; give all {len(names)} parameters of the circuit by name.")
    return [aliases[name] for name in names]


def _numbers(content: Any) -> NDArray[np.float64]:
    array = np.asarray(content)
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"{array.dtype} instead of real numbers")
    return array.astype(np.float64)


def _parse(content: bytes | str, path: Path) -> QuantumCircuit:
    from qiskit import qasm2, qpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files of a newer Qiskit, which are either read or refused
        if isinstance(content, bytes):
            circuits = qpy.load(BytesIO(content))
            if len(circuits) != 1:
                raise UsageError(f"{path} holds {len(circuits)} circuits; give a file with one.")
            return circuits[0]
        if _is_qasm2(content):
            # with the gates that Qiskit writes although qelib1.inc lacks them
            return qasm2.loads(
                content,
                include_path=(str(path.parent),),
                custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            )
        return _qasm3(content)


def _qasm3(text: str) -> QuantumCircuit:
    import openqasm3
    import qiskit_qasm3_import

    program = openqasm3.parse(text)
    circuit = qiskit_qasm3_import.convert(program)
    declared = [
        statement.identifier.name
        for statement in program.statements
        if isinstance(statement, openqasm3.ast.IODeclaration)
    ]
    if declared:
        circuit.metadata = {_ORDER: declared}
    return circuit


def _is_qasm2(text: str) -> bool:
    return re.search(r"OPENQASM\s+2", text) is not None


def _check_includes(text: str, path: Path, seen: frozenset[Path] = frozenset()) -> None:
    """Refuse OpenQASM 2 that includes files from elsewhere; its strings are always file names."""
    folder = path.parent.resolve()
    for token in re.findall(r"""//[^\n]*|"[^"]*"|'[^']*'""", text):
        name = token[1:-1]
        if token.startswith("//") or name in _QASM2_INCLUDES:
            continue
        shown = one_line(name, 60)
        beside = Path(name)
        file = path
        inside = not beside.is_absolute() and ".." not in beside.parts and "\0" not in name
        if inside:
            try:
                file = (folder / beside).resolve()
                found, inside = file.is_file(), file.is_relative_to(folder)
            except (OSError, RuntimeError):  # a name that is too long, a link to itself
                found = False
        if not inside:
            raise UsageError(
                f"{path} includes {shown!r}, which is not in its folder; "
                f"move the file there, or include {_QASM2_INCLUDES[0]!r}."
            )
        if not found:
            raise UsageError(f"{path} includes {shown!r}, and there is no such file in its folder.")
        if file not in seen:
            seen = seen | {file}
            if len(seen) > 100:
                raise UsageError(f"{path} includes more than 100 files; merge some of them.")
            _check_includes(read_text(file), path, seen)


def _reason(error: BaseException) -> str:
    """The parser's complaint in one line, with the position that some parsers leave out."""
    message = one_line(error).strip("'\"")
    if not isinstance(error, Exception):  # a Rust panic
        return (
            f"Qiskit's parser crashes on it ({message}), as it does on sizes and numbers that are too large."
        )
    if str(error):
        return message if message.endswith(".") else f"{message}."
    cause = error.__cause__
    inner = cause.args[0] if cause is not None and cause.args else cause
    token = getattr(inner, "offendingToken", None)
    if token is None:
        return "it is not valid OpenQASM."
    return f"line {token.line}, column {token.column}: {one_line(token.text, 40)!r} is not expected here."
