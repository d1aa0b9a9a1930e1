"""Circuits, states, angles and observables from files and flags; what cannot be read is a one-line error."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise import circuits, qml, tn
from bondwise.runs import UsageError, is_file, one_line, read_arrays, read_json

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.tn.states.chains import Order

_STATES = (
    "give tensors as .npz, a vector or bit strings as .npy, bit strings as .csv or .txt, "
    "or a circuit as .qpy or .qasm"
)


def read_state(path: Path, order: Order = "little") -> QuantumCircuit | list[np.ndarray] | np.ndarray:
    """Read a state, or what it follows from. Nothing is unpickled.

    Args:
        path: `.npz` with one array (left, 2, right) for each site, called site0, site1, ... (or 0, 1, ... or,
            as numpy calls them, arr_0, arr_1, ...; the numbers give the order), or with one array `vector`;
            `.npy` with a vector of length 2**n, or with bit strings of shape (samples, n);
            `.csv` or `.txt` with bit strings, one a line; `.qpy` or `.qasm` with a circuit. Site i, column i
            and qubit i are the same.
        order: Of a vector's index: "little", qubit 0 is its lowest bit, or "big".

    Returns:
        A circuit without free parameters; canonical tensors, one (left, 2, right) for each site; or bit
        strings, uint8 of shape (samples, n).

    Raises:
        UsageError: There is no such file, it is of another kind, damaged, or not a state.
    """
    if not is_file(path):
        raise UsageError(f"there is no file {path}; {_STATES}.")
    if path.suffix in (".qpy", ".qasm"):
        circuit = circuits.read_circuit(path)
        if circuit.num_parameters:
            raise UsageError(
                f"{path} has {circuit.num_parameters} free parameters; give a circuit with its angles inside."
            )
        return circuit
    if order != "little" and path.suffix not in (".npy", ".npz"):
        raise UsageError(f"--order is for vectors; {path} holds none, so leave it out.")
    if path.suffix in (".csv", ".txt"):
        return tn.read_bitstrings(path)
    content: Any
    if path.suffix == ".npy":
        from bondwise.tn.states.bitstrings import is_bits

        content = read_arrays(path)["vector"]
        if content.dtype.kind == "U" or is_bits(content):
            return tn.read_bitstrings(path)
    elif path.suffix == ".npz":
        arrays = read_arrays(path)
        content = arrays["vector"] if arrays.keys() == {"vector"} else _in_order(path, arrays)
    else:
        if path.suffix in (".dmp", ".pkl", ".pickle", ".joblib"):
            raise UsageError(
                f"{path} is a pickle, as quimb saves states, and reading one may run any code; where it came "
                'from, write numpy.savez("state.npz", *bondwise.tn.site_tensors(state)).'
            )
        raise UsageError(f"{path} ends in {path.suffix!r}; {_STATES}.")
    try:
        return tn.site_tensors(content, order=order)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _in_order(path: Path, arrays: dict[str, Any]) -> list[Any]:
    """The arrays of the sites, by the numbers in their names."""
    numbers = {}
    for name in arrays:
        match = re.fullmatch(r"(?:site_?|arr_)?([0-9]{1,9})", name)
        if match is None:
            raise UsageError(
                f"{path} holds an array {name!r}; call the tensors site0, site1, ..., or one array 'vector'."
            )
        numbers[name] = int(match[1])
    names = sorted(arrays, key=numbers.__getitem__)
    for site, name in enumerate(names):
        if numbers[name] != site:
            what = "no tensor" if numbers[name] > site else "two tensors"
            number = site if numbers[name] > site else numbers[name]
            raise UsageError(f"{path} holds {what} of site {number}; number them from 0 to n - 1, each once.")
    return [arrays[name] for name in names]


def read_parameters(path: Path, circuit: QuantumCircuit) -> np.ndarray:
    """Read the angles of a circuit.

    Args:
        path: JSON or `.npy`. By name, `{"name": angle}` or, for several sets, `{"name": [angle, ...]}`; the
            names that an exporter had to rewrite may be given as they were, `x[0]` for `_x_0_`. Or a plain
            list or array, in the order of `bondwise.circuits.declared_parameters`.
        circuit: The circuit they are for.

    Returns:
        float64 of shape (P,), or (batch, P) if the file holds several sets; columns in the order of
        `circuit.parameters`.

    Raises:
        UsageError: The file cannot be read, or names or numbers do not fit the circuit.
    """
    import numpy as np

    names = [parameter.name for parameter in circuit.parameters]
    content = read_arrays(path)["vector"] if path.suffix == ".npy" else read_json(path)
    by_name = isinstance(content, dict)
    try:
        if isinstance(content, dict):
            columns = [_numbers(angles) for angles in _by_name(path, content, names)]
            values = np.stack(columns, axis=-1) if columns else np.zeros(0)
        else:
            values = _numbers(content)
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
    if by_name:
        return values
    declared = [parameter.name for parameter in circuits.declared_parameters(circuit)]
    return values[..., [declared.index(name) for name in names]]


def _by_name(path: Path, content: dict[str, Any], names: list[str]) -> list[Any]:
    """The angles in the order of the names; a key may be what a name was before it was made an identifier."""
    aliases: dict[str, Any] = {}
    for key, angles in content.items():
        alias = key if key in names else "_" + re.sub(r"\W", "_", key)
        if alias in aliases:
            raise UsageError(f"{path} gives the parameter {one_line(alias, 60)!r} twice.")
        aliases[alias if alias in names else key] = angles
    missing = [name for name in names if name not in aliases]
    if missing or len(aliases) != len(names):
        strange = sorted(aliases.keys() - set(names))
        what = f"lacks {missing[0]!r}" if missing else f"has {strange[0][:60]!r}, which the circuit has not"
        raise UsageError(f"{path} {what}; the circuit's {len(names)} parameters are to be given by name.")
    return [aliases[name] for name in names]


def _numbers(content: Any) -> np.ndarray:
    import numpy as np

    array = np.asarray(content)
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"an array of {array.dtype} where real numbers belong")
    return array.astype(np.float64)


def read_observable(text: str, num_qubits: int) -> SparsePauliOp:
    """Read an observable from a flag.

    Args:
        text: A sum of Pauli strings such as `ZZI` or `0.5*XX - ZZ` (rightmost letter: qubit 0), or a file.
        num_qubits: Of the circuit.

    Raises:
        UsageError: It is neither, or for another number of qubits.
    """
    from qiskit.quantum_info import SparsePauliOp

    if is_file(text):
        operator = qml.read_hamiltonian(text)
    else:
        compact = text.replace(" ", "")
        term = r"([+-]?)(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\*)?([IXYZ]+)"
        terms = re.findall(term, compact)
        if (
            not terms
            or "".join(sign + (number and number + "*") + word for sign, number, word in terms) != compact
        ):
            raise UsageError(f"{text!r} is no observable; write ZZI or '0.5*XX - ZZ', or give a file.")
        if len({len(word) for _, _, word in terms}) > 1:
            raise UsageError(
                f"the Pauli strings of {text!r} differ in length; write one letter for each qubit."
            )
        rows = [(word, float(number or 1) * (-1 if sign == "-" else 1)) for sign, number, word in terms]
        if not all(math.isfinite(coefficient) for _, coefficient in rows):
            raise UsageError(f"{text!r} has a coefficient that is too large; give at most 1e308.")
        operator = SparsePauliOp.from_list(rows)
    if operator.num_qubits != num_qubits:
        raise UsageError(
            f"the observable {text!r} has {operator.num_qubits} qubits and the circuit {num_qubits}; "
            "write one letter for each qubit."
        )
    return operator
