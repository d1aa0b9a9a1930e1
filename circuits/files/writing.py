"""Circuits as QPY, OpenQASM 3 and OpenQASM 2."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qiskit import QuantumCircuit, qasm2, qasm3, transpile

from bondwise.circuits.files.formats import circuit_format
from bondwise.circuits.naming import true_names
from bondwise.circuits.sources import as_circuit
from bondwise.runs import UsageError, one_line, qpy_bytes, write_atomically

# gates of the paper on OpenQASM 2, which every reader knows; those that Qiskit adds need its own reader
_UNREADABLE = re.compile(r"(?<=[(+\-*/, ])(?:a?(?:sin|cos|tan)|exp|log|abs|sign|conj)\(|\*\*")
_QELIB1 = "id x y z h s sdg t tdg rx ry rz u1 u2 u3 cx cy cz ccx crz cu1 cu3".split()


def write_circuit(circuit: QuantumCircuit, path: str | os.PathLike[str], *, qasm: int | None = None) -> Path:
    """Write a circuit to a file.

    QPY keeps everything; OpenQASM keeps the circuit up to a global phase. In OpenQASM 3, a parameter whose
    name is not an identifier is renamed (`w[0]` becomes `_w_0_`; `read_parameters` accepts both). OpenQASM 2
    has neither free parameters nor loops; its gates are those of the original `qelib1.inc`, which Qiskit's
    `qasm2.load`, quimb and other programs read.

    Args:
        circuit: The circuit.
        path: Path that ends in `.qpy`, `.qasm` (OpenQASM 3) or `.qasm2`; its folder must exist.
        qasm: Version of OpenQASM, 2 or 3, for a path that ends in `.qasm`; None for 3.

    Returns:
        Path of the file.

    Raises:
        UsageError: If the path has another ending, or the format cannot hold the circuit.
        RunError: If the file cannot be written.

    Example:
        >>> from qiskit.circuit.library import CXGate
        >>> from bondwise.circuits import read_circuit, write_circuit
        >>> path = write_circuit(CXGate(), "cx.qasm2")
        >>> print(path.read_text().splitlines()[0], read_circuit(path).num_qubits)
        OPENQASM 2.0; 2
    """
    return write_atomically(path, circuit_content(as_circuit(circuit), path, qasm=qasm))


def circuit_content(
    circuit: QuantumCircuit, path: str | os.PathLike[str], *, qasm: int | None = None
) -> bytes | str:
    """What `write_circuit` writes."""
    version = circuit_format(path, qasm)
    if re.fullmatch(r"circuit-\d+(-\d+)?", circuit.name):  # counts up: the same circuit, another file
        circuit = circuit.copy("circuit")
    try:
        if version is None:
            return qpy_bytes(circuit)
        if version == 3:
            # Qiskit writes gphase as a gate of its own, with a definition that no reader takes
            text = qasm3.dumps(circuit).replace("gate global_phase(p0) {\n}\n", "")
            if match := _UNREADABLE.search(text):
                raise ValueError(f"no reader takes {match[0].rstrip('(')} of a parameter in OpenQASM 3")
            return re.sub(r"\bglobal_phase\((.*)\) ;", r"gphase(\1);", text)
        known = transpile(true_names(circuit), basis_gates=_QELIB1, optimization_level=0)
        return qasm2.dumps(known)
    except Exception as error:  # each exporter has its own, and some operations raise others
        way = "write .qasm (OpenQASM 3) or .qpy" if version == 2 else "write .qpy"
        if version == 2 and circuit.parameters:
            way = f"bind its parameters, or {way}"
        raise UsageError(
            f"{path} cannot hold the circuit ({one_line(error, 120).rstrip('.')}); {way}."
        ) from error
