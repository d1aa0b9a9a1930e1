"""Hamiltonians in files: JSON, `[["ZZI", -1.0], ["IIX", 0.5]]`, or plain lines, `-1.0 ZZI`.

Qubit 0 is the rightmost letter of a Pauli string, as in Qiskit.
"""

from __future__ import annotations

import cmath
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from bondwise.circuits import Observable, as_operator, hermitian
from bondwise.runs import UsageError, read_json, read_text, require_within, write_atomically


def read_hamiltonian(path: str | os.PathLike[str]) -> SparsePauliOp:
    """Read a Hamiltonian from a JSON or plain-text file.

    Args:
        path: File to read; JSON is recognized by its first character. In plain text, empty lines and text
            after a `#` are skipped.

    Returns:
        The operator, with its terms in the order of the file.

    Raises:
        UsageError: If the file cannot be read, is malformed or empty, its strings differ in length, or a
            coefficient is not a finite real number, so that the operator would not be Hermitian. The message
            names the file and the line (JSON: the term).

    Example:
        >>> from pathlib import Path
        >>> from bondwise.qml import read_hamiltonian
        >>> _ = Path("h.txt").write_text("-1.0 ZZI\\n-1.0 IZZ  # couplings\\n0.5 IIX\\n")
        >>> read_hamiltonian("h.txt").paulis.to_labels()
        ['ZZI', 'IZZ', 'IIX']
    """
    path = Path(path)
    text = read_text(path)
    rows = _json_rows(path) if text.lstrip()[:1] in ("[", "{") else _plain_rows(path, text)
    require_within("terms", len(rows), path)
    terms: list[tuple[str, complex]] = []
    for place, pauli, coefficient in rows:
        if not isinstance(pauli, str) or not re.fullmatch("[IXYZ]+", pauli):
            raise UsageError(
                f"{place}: {repr(pauli)[:40]} is not a Pauli string; write letters I, X, Y, Z, such as 'ZZI'."
            )
        if not terms:
            require_within("qubits", len(pauli), path)
            require_within("array_bytes", 2 * len(pauli) * len(rows), path)
        if terms and len(pauli) != len(terms[0][0]):
            raise UsageError(
                f"{place}: {pauli[:40]!r} has {len(pauli)} letters, the first term has {len(terms[0][0])}; "
                "write one letter per qubit."
            )
        terms.append((pauli, _coefficient(place, coefficient)))
    if not terms:
        raise UsageError(f"{path} holds no terms; write lines such as '-1.0 ZZI'.")
    if not math.isfinite(sum(abs(coefficient) for _, coefficient in terms)):
        raise UsageError(f"{path}: the sum of the coefficients is infinite; scale them down.")
    return _with_real_coefficients(SparsePauliOp.from_list(terms), [place for place, _, _ in rows])


def write_hamiltonian(hamiltonian: Observable, path: str | os.PathLike[str]) -> Path:
    """Write a Hamiltonian as JSON, from which `read_hamiltonian` restores it to the last bit.

    Args:
        hamiltonian: Operator with real coefficients, of any kind that `estimate` takes.
        path: File to write.

    Returns:
        The path of the file.

    Raises:
        UsageError: If a coefficient is not a finite real number.
        RunError: If the disk is full or read-only.

    Example:
        >>> from bondwise.qml import ising, read_hamiltonian, write_hamiltonian
        >>> path = write_hamiltonian(ising(3), "ising.json")
        >>> read_hamiltonian(path) == ising(3)
        True
    """
    operator = as_operator(hamiltonian, what="Hamiltonian")
    operator = _with_real_coefficients(operator, [f"term {index}" for index in range(1, len(operator) + 1)])
    rows = [json.dumps([pauli, coefficient.real]) for pauli, coefficient in operator.to_list()]
    return write_atomically(path, "[\n " + ",\n ".join(rows) + "\n]\n")


def _json_rows(path: Path) -> list[tuple[str, Any, Any]]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UsageError(f'{path}: expected a list of terms such as [["ZZI", -1.0], ["IIX", 0.5]].')
    for index, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != 2:
            raise UsageError(f'{path}, term {index}: expected ["ZZI", -1.0], found {repr(row)[:60]}.')
    return [(f"{path}, term {index}", pauli, value) for index, (pauli, value) in enumerate(rows, start=1)]


def _plain_rows(path: Path, text: str) -> list[tuple[str, str, str]]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if words and len(words) != 2:
            raise UsageError(
                f"{path}, line {number}: expected a line such as '-1.0 ZZI', found {line[:60]!r}."
            )
        if words:
            rows.append((f"{path}, line {number}", words[1], words[0]))
    return rows


def _with_real_coefficients(operator: SparsePauliOp, places: Sequence[str]) -> SparsePauliOp:
    """The operator without rounding errors in imaginary parts; `places` are the names of its terms."""
    try:
        hermitian(operator)
    except UsageError:
        worst = int(np.abs(operator.coeffs.imag).argmax())
        raise UsageError(
            f"{places[worst]}: the coefficient {complex(operator.coeffs[worst])} is not real, so the "
            "operator is not Hermitian."
        ) from None
    return SparsePauliOp(operator.paulis, operator.coeffs.real)


def _coefficient(place: str, given: Any) -> complex:
    """A number, or the number that a text holds; it must be finite."""
    try:
        if isinstance(given, bool):
            raise ValueError
        value = complex(given)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{place}: {repr(given)[:40]} is not a coefficient; write a real number such as -1.0."
        ) from None
    if not cmath.isfinite(value):
        raise UsageError(f"{place}: the coefficient {repr(given)[:40]} is not a finite number.")
    return value
