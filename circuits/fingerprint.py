"""The exact content of a circuit, and its hash.

Qiskit's own comparison of circuits is not exact: it ignores labels and small differences of matrices (1e-6)
and angles (1e-11), so finite differences of a fixed angle would vanish. Here two circuits are equal only if
their gates, labels and numbers are the same to the last bit.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    CircuitError,
    ClassicalRegister,
    Clbit,
    ControlFlowOp,
    Delay,
    Gate,
    Instruction,
    Measure,
    Parameter,
    ParameterExpression,
    ParameterVectorElement,
    Reset,
)
from qiskit.circuit.library import UnitaryGate

from bondwise.circuits.sources import as_circuit
from bondwise.runs import UsageError

_Places: TypeAlias = dict[Any, int]
PLAIN = (float, ParameterVectorElement, Parameter)  # what nearly all angles are


class UnknownContent(UsageError):
    """Raised for a circuit with an operation whose content cannot be read from its fields."""


def fingerprint(circuit: QuantumCircuit) -> str:
    """Hash everything in a circuit that matters, with the same result in every process.

    Numbers of qubits and classical bits, gates, labels, definitions, names of parameters, and numbers to the
    last bit matter. The name and the metadata of a circuit, names of registers, and the running numbers that
    Qiskit puts into names do not.

    Args:
        circuit: A circuit without classical variables.

    Returns:
        A SHA-256 hash, 64 hexadecimal digits.

    Raises:
        UsageError: If the circuit has an operation whose content cannot be read; the message names it.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import fingerprint
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.rx(0.5, 0)
        >>> fingerprint(circuit)[:16]
        'f1f2be998f8b3fe6'
    """
    # to_gate() and to_instruction() number their results by a counter of the process
    return sha256(
        re.sub(r"circuit-\d+(-\d+)?", "circuit", repr(content(as_circuit(circuit)))).encode()
    ).hexdigest()


def content(
    circuit: QuantumCircuit,
    qubits: _Places | None = None,
    clbits: _Places | None = None,
    *,
    numbered: bool = True,
) -> Hashable:
    """Nested tuples, equal for two circuits only if their operations are; parameters stay objects.

    Args:
        circuit: The circuit.
        qubits: Number of each qubit; None for its index.
        clbits: Number of each classical bit; None for its index.
        numbered: Whether the qubits of gates are given by these numbers or by the objects themselves, which
            is faster.

    Raises:
        UnknownContent: If the circuit has classical variables, or an operation whose content cannot be read.
    """
    if circuit.num_identifiers:
        raise UnknownContent("a circuit with classical variables or stretches has no fingerprint.")
    if qubits is None or clbits is None:
        qubits = {bit: index for index, bit in enumerate(circuit.qubits)}
        clbits = {bit: index for index, bit in enumerate(circuit.clbits)}
    steps: list[Hashable] = []
    for step in circuit.data:
        wires = tuple([qubits[bit] for bit in step.qubits]) if numbered else step.qubits
        if step.is_standard_gate():  # described by its name, label and numbers
            params = [one if type(one) in PLAIN else _value(one) for one in step.params]
            steps.append((step.name, step.label, tuple(params), wires))
            continue
        bits = tuple([clbits[bit] for bit in step.clbits])
        if isinstance(step.operation, ControlFlowOp):
            wires = tuple([qubits[bit] for bit in step.qubits])
            steps.append(_branches(step.operation, wires, bits, clbits))
        else:
            steps.append((_operation(step.operation), wires, bits))
    return len(qubits), len(clbits), _value(circuit.global_phase), tuple(steps)


def _operation(operation: Any) -> Hashable:
    kind = type(operation)
    if kind is AnnotatedOperation:
        return "annotated", _operation(operation.base_op), repr(operation.modifiers)
    definition: QuantumCircuit | None = None
    try:
        values = tuple(map(_value, operation.params))
        # the definition of these adds nothing to their class and numbers
        if not isinstance(operation, Barrier | Delay | Measure | Reset | UnitaryGate):
            definition = operation.definition
            if definition is None and kind not in (Gate, Instruction):
                raise TypeError
    except (AttributeError, CircuitError, TypeError):  # some definitions cannot be made with free parameters
        raise UnknownContent(f"the circuit holds '{operation.name}', which has no fingerprint.") from None
    return (
        getattr(operation, "base_class", kind),
        operation.name,
        operation.label,
        operation.num_qubits,
        getattr(operation, "unit", None),
        getattr(operation, "ctrl_state", None),
        values,
        None if definition is None else content(definition),
    )


def _branches(operation: Any, wires: tuple[int, ...], bits: tuple[int, ...], clbits: _Places) -> Hashable:
    """Content of control flow, with the circuit's numbers: its own order of bits varies between processes."""
    cases = [label for label, _ in operation.cases_specifier()] if operation.name == "switch_case" else []
    fields = ("label", "condition", "target", "duration", "unit", "annotations")
    said = [getattr(operation, field, None) for field in fields]
    numbers = [value for value in operation.params if not isinstance(value, QuantumCircuit)]
    blocks = tuple(
        content(
            block, dict(zip(block.qubits, wires, strict=True)), dict(zip(block.clbits, bits, strict=True))
        )
        for block in operation.blocks
    )
    return operation.name, _condition([*said, cases, numbers], clbits), blocks


def _condition(node: Any, clbits: _Places) -> Hashable:
    if isinstance(node, Clbit):
        return clbits[node]
    if isinstance(node, list | tuple | ClassicalRegister):
        return tuple(_condition(part, clbits) for part in node)
    return int(node) if isinstance(node, int) else repr(node)


def _value(value: Any) -> Hashable:
    if isinstance(value, ParameterExpression):
        if isinstance(value, Parameter):
            return value
        if not value.parameters:
            return value.numeric()
        return tuple((str(step.op), step.lhs, step.rhs) for step in value._qpy_replay)
    if isinstance(value, np.number):  # numpy's float64 is a float that is printed differently
        return value.item()
    if value is None or isinstance(value, float | int | complex | str | range):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return tuple(map(_value, value))
    raise TypeError
