"""Conversion of circuits and gates to `QuantumCircuit`, with errors that say what to write instead."""

from __future__ import annotations

import os
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Instruction

from bondwise.runs import UsageError, kind_of


def as_circuit(given: Any) -> QuantumCircuit:
    """Turn a circuit or a gate into a circuit.

    Args:
        given: A circuit, which is returned itself, or a gate or instruction of Qiskit, which becomes a
            circuit on its own qubits.

    Raises:
        UsageError: If the input is anything else; the message says how to make a circuit from it.

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
    raise UsageError(f"a circuit is expected, not {_described(given)}")


def _described(given: Any) -> str:
    kind, package = type(given).__name__, type(given).__module__.partition(".")[0]
    if isinstance(getattr(given, "circuit", None), QuantumCircuit):
        return f"{kind_of(given)}; pass its .circuit."
    if isinstance(given, str) and "OPENQASM" in given:
        return "OpenQASM text; pass qiskit.qasm2.loads(text), or qiskit.qasm3.loads(text) for version 3."
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        return (
            f"the text or path {path!r}; read the file first, with qiskit.qasm2.load, qiskit.qasm3.load or "
            "qiskit.qpy.load."
        )
    if package == "pennylane":
        return (
            f"PennyLane's {kind}; pass qiskit.qasm2.loads(text) with the text of pennylane.to_openqasm, wire "
            "i as qubit i."
        )
    if package == "lambeq":
        return f"lambeq's {kind}; pass bondwise.qml.from_lambeq(diagram).circuit."
    if isinstance(given, list | tuple):
        return f"{kind_of(given)} of {len(given)}; pass one circuit at a time."
    shown = f" {given!r}" if isinstance(given, int | float) else ""
    return f"{kind_of(given)}{shown}; pass a qiskit.QuantumCircuit."
