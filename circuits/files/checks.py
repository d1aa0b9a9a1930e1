"""Checks of circuits from files: finite numbers, and a moderate size once definitions are written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlledGate,
    ForLoopOp,
    Gate,
    Instruction,
    ParameterExpression,
)
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info.operators.predicates import is_unitary_matrix

from bondwise.runs import UsageError, one_line, require_within

_DEEPEST = 100  # nested definitions; each level takes several frames of Python's stack later

_OF_USERS = (Gate, Instruction, ControlledGate, AnnotatedOperation)  # they may have definitions of any size


def check_circuit(circuit: QuantumCircuit, name: object) -> None:
    """Refuse a circuit that contains invalid numbers or is too large; see `require_sound`.

    Args:
        circuit: The circuit.
        name: Start of the message, usually the path of the file.
    """
    require_within("qubits", circuit.num_qubits, name)
    require_within("clbits", circuit.num_clbits, name)
    require_within("operations", _operations(circuit, name, {}, 0), name)


def check_matrix(operation: Any, start: str = "") -> None:
    """Refuse a `UnitaryGate` that is not unitary, which Qiskit makes with `check_input=False`.

    Args:
        operation: Any operation.
        start: Start of the message.
    """
    if isinstance(operation, UnitaryGate) and not is_unitary_matrix(operation.params[0]):
        raise UsageError(
            f"{start}the matrix of {one_line(operation.name, 40)!r} is not unitary; "
            "give one whose conjugate transpose is its inverse, as in UnitaryGate([[0, 1], [1, 0]])."
        )


def _operations(circuit: QuantumCircuit, name: object, known: dict[Any, int], depth: int) -> int:
    """Number of operations of a circuit when written out; a gate of Qiskit's library counts as 1.

    `known` remembers definitions. A gate from OpenQASM 2 makes a new definition on every access, so it is
    identified by its name and angles, which are unique within a file; others are identified by the object.
    """
    if depth > _DEEPEST:
        raise UsageError(f"{name} has definitions nested deeper than {_DEEPEST}; write some of them out.")
    _require_finite(circuit.global_phase, "the global phase", name)
    total = 0
    for instruction in circuit.data:
        if instruction.is_standard_gate():
            for value in instruction.params:
                _require_finite(value, f"an angle of {instruction.name!r}", name)
            total += 1
            continue
        operation = instruction.operation
        blocks = getattr(operation, "blocks", None)
        for value in getattr(operation, "params", ()):
            if not (blocks and isinstance(value, QuantumCircuit)):
                _require_finite(value, f"a number of {one_line(operation.name, 40)!r}", name)
        _require_finite(getattr(operation, "duration", None), "a duration", name)
        check_matrix(operation, f"{name}: ")
        if blocks:
            repeats = len(operation.params[0]) if isinstance(operation, ForLoopOp) else 1
            total += repeats * (1 + sum(_operations(block, name, known, depth + 1) for block in blocks))
            continue
        kind = getattr(operation, "base_class", type(operation))  # measurements have a singleton class each
        if kind.__module__.startswith("qiskit.circuit.") and kind not in _OF_USERS:
            total += 1  # a library gate: its definition is made on demand, and moderate in size
            continue
        base = getattr(operation, "base_op", None)
        definition = base.definition if base is not None else operation.definition
        if definition is None:
            total += 1
            continue
        lazy = getattr(operation, "_bytecode", None) is not None
        key = (operation.name, tuple(map(repr, operation.params))) if lazy else id(definition)
        if key not in known:
            known[key] = _operations(definition, name, known, depth + 1)
        total += max(1, known[key])
    return total


def _require_finite(value: Any, what: str, name: object) -> None:
    if isinstance(value, ParameterExpression):
        if value.parameters:
            return
        value = complex(value)
    if isinstance(value, np.ndarray):
        finite = value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    elif isinstance(value, complex):
        finite = math.isfinite(value.real) and math.isfinite(value.imag)
    else:
        finite = not isinstance(value, float | np.floating) or math.isfinite(value)
    if not finite:
        raise UsageError(f"{name}: {what} is NaN or infinite; every number in a circuit must be finite.")
