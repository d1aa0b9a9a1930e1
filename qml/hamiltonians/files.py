"""Hamiltonians in files: read in every format of `bondwise.circuits.observables.text`, written as JSON."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from qiskit.quantum_info import SparsePauliOp

from bondwise.circuits import Observable, as_operator
from bondwise.circuits.observables.hermiticity import with_real_coefficients
from bondwise.circuits.observables.text import names_file, operator_in, read_operator
from bondwise.runs import UsageError, is_file, write_atomically

_log = logging.getLogger(__name__)


def read_hamiltonian(path: str | os.PathLike[str]) -> SparsePauliOp:
    """Read a Hamiltonian from a file, whose format is recognized from its content.

    In a label such as `ZZI` the rightmost letter is qubit 0. Letters that come with a number act on the qubit
    of that number, and the largest one gives the number of qubits. The format and the place of qubit 0 are
    logged (`logging.basicConfig(level="INFO")` shows them).

    Args:
        path: Text file with one of
            - a term on each line, `-1.0 ZZI`, `ZZI -1.0`, `ZZI: -1.0` or `-1.0 Z1 Z2`, or a sum,
              `0.5*XX - 0.25*ZZ`; comments start with `#` or `//`;
            - a printed operator of OpenFermion (`-0.5 [X0 Y1] +`), PennyLane (`-1.0 * (Z(0) @ Z(1))`) or
              Qiskit (`SparsePauliOp([…], coeffs=[…])`);
            - JSON: `[["ZZI", -1.0]]`, `{"ZZI": -1.0}`, `{"paulis": ["ZZI"], "coeffs": [-1.0]}`, or what
              Qiskit Runtime's encoder writes; a coefficient is a number, text (`"1+0j"`) or `[re, im]`;
            - CSV with the columns `pauli` and `coefficient`, optionally `qubits` and `imag`, or the first two
              without a header.

            A string that is not the name of a file may be a sum itself, "0.5*XX - ZZ".

    Returns:
        The operator, with its terms in the order of the file.

    Raises:
        UsageError: If the file cannot be read, is malformed or empty, its labels differ in length, or a
            coefficient is not a finite real number, so that the operator would not be Hermitian. The message
            names the file and the line (JSON: the term).

    Example:
        >>> from pathlib import Path
        >>> from bondwise.qml import read_hamiltonian
        >>> _ = Path("h.txt").write_text("-1.0 ZZI\\n-1.0 IZZ  # couplings\\n0.5 IIX\\n")
        >>> read_hamiltonian("h.txt").paulis.to_labels()
        ['ZZI', 'IZZ', 'IIX']
    """
    if isinstance(path, str) and not is_file(path):
        shown = repr(path[:60])
        if names_file(path):
            raise UsageError(f"there is no file {shown}; give one, or a sum such as '0.5*XX - ZZ'.")
        return with_real_coefficients(operator_in(path, shown), lambda _: shown)
    operator, read = read_operator(path)
    _log.info("read %s", read)
    return operator


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
    operator = with_real_coefficients(operator, lambda index: f"term {index + 1}")
    rows = [json.dumps([pauli, coefficient.real]) for pauli, coefficient in operator.to_list()]
    return write_atomically(path, "[\n " + ",\n ".join(rows) + "\n]\n")
