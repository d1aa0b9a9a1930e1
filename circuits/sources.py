"""Conversion of circuits and gates to `QuantumCircuit`, with errors that say what to write instead."""

from __future__ import annotations

import os
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Instruction

from bondwise.circuits.files.circuit_files import read_circuit
from bondwise.circuits.files.includes import version_of
from bondwise.runs import UsageError, kind_of


def as_circuit(given: Any) -> QuantumCircuit:
    """Turn a circuit, a gate or a file into a circuit.

    Args:
        given: A circuit, which is returned itself; a gate or instruction of Qiskit, which becomes a circuit
            on its own qubits; or the path of a file for `read_circuit`.

    Raises:
        UsageError: If the file cannot be read, or the input is anything else; the message says how to make a
            circuit from it.

    Example:
        >>> from qiskit.circuit.library import CXGate
        >>> from bondwise.circuits import as_circuit
        >>> as_circuit(CXGate()).num_qubits
        2
    """
    if isinstance(given, QuantumCircuit):
        return given
    if isinstance(given, Instruction):
        circuit = QuantumCircuit(given.num_qubits, given.num_clbits, name=given.name)
        circuit.append(given, circuit.qubits, circuit.clbits)
        return circuit
    if isinstance(given, os.PathLike) or (isinstance(given, str) and not _is_program(given)):
        return read_circuit(given)
    raise UsageError(f"a circuit is expected, not {_described(given)}")


def _is_program(text: str) -> bool:
    return "OPENQASM" in text or "\n" in text


def _described(given: Any) -> str:
    kind, package = type(given).__name__, type(given).__module__.partition(".")[0]
    if isinstance(getattr(given, "circuit", None), QuantumCircuit):
        return f"{kind_of(given)}; pass its .circuit."
    if isinstance(given, str):
        version = version_of(given, "the text")
        return f"OpenQASM text; pass qiskit.qasm{version}.loads(text), or the path of a file."
    if package == "pennylane":
        return f"PennyLane's {kind}; pass bondwise.backends.from_pennylane(qnode, *arguments).circuit."
    if package == "lambeq":
        return f"lambeq's {kind}; pass bondwise.qml.from_lambeq(diagram).circuit."
    if isinstance(given, list | tuple):
        return f"{kind_of(given)} of {len(given)}; pass one circuit at a time."
    shown = f" {given!r}" if isinstance(given, int | float) else ""
    return f"{kind_of(given)}{shown}; pass a qiskit.QuantumCircuit, or the path of a file."
