"""Angles of circuits from files, by name or in the order in which the circuit declares its parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import declared_parameters, with_order
from bondwise.runs import UsageError, kind_of, one_line, read_arrays, read_json
from bondwise.runs.text import counted


def read_parameters(path: str | os.PathLike[str], circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Read the angles of a circuit.

    Args:
        path: JSON or `.npy` file. It holds angles by name, as `{"name": angle}`, `{"x": [0.1, 0.2]}` for a
            vector of parameters or, for several sets, with a list of these for each name; or a plain list or
            array in the order of `declared_parameters`. A name that an exporter had to rewrite may be given
            in its original form, such as `x[0]` for `_x_0_`.
        circuit: Circuit with P parameters to which the angles belong, or the path of its file.

    Returns:
        Angles in radians, float64 of shape (P,), or (batch, P) if the file holds several sets, in the order
        in which they are passed along with `circuit`: that of `circuit.parameters` or, for the path of an
        OpenQASM 3 file, that of its declarations.

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
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"a path is expected, not {kind_of(path)}; give a file of angles, JSON or .npy.")
    path = Path(path)
    if path.suffix in (".csv", ".txt", ".npz"):
        raise UsageError(
            f"{path} is not a file of angles; give .npy, or JSON such as [0.3, 1.2] in a .json file."
        )
    content = read_arrays(path)["vector"] if path.suffix == ".npy" else read_json(path)
    return angles_from(content, circuit, path)


def angles_from(content: Any, circuit: QuantumCircuit, path: object) -> NDArray[np.float64]:
    """The angles in the content of a file; arguments, result and errors are those of `read_parameters`."""
    circuit, order = with_order(circuit)
    named, names = isinstance(content, dict), order.names
    try:
        if named:
            content = named_angles(content, order.parameters, "angles")
        values = _numbers(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read as angles ({one_line(error)}); "
            "give JSON (a list, or names with angles) or .npy."
        ) from error
    if values.ndim not in (1, 2) or values.shape[-1] != len(names):
        raise UsageError(
            f"{path} holds numbers of shape {values.shape}; the circuit has "
            f"{counted(len(names), 'parameter')}."
        )
    columns = names if named else [one.name for one in declared_parameters(circuit)]
    if not np.isfinite(values).all():
        column = int(np.argwhere(~np.isfinite(values))[0, -1])
        raise UsageError(
            f"{path} holds NaN or infinity for {columns[column]!r}; give finite angles in radians."
        )
    if named:
        return values
    return values[..., [columns.index(name) for name in names]]


def _numbers(content: Any) -> NDArray[np.float64]:
    array = np.asarray(content)
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"{array.dtype} instead of real numbers")
    return array.astype(np.float64)
