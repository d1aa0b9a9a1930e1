"""Angles whose parameters cancel, such as `a - a - 2`: expressions to Qiskit, but really numbers.

Qiskit's transpiler fails on them at its higher optimization levels, and Aer looks angles up by a hash that
Qiskit cannot compute for negative numbers.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Parameter, ParameterExpression


def with_constants(circuit: QuantumCircuit) -> QuantumCircuit:
    """Replace angles that do not depend on their parameters by numbers.

    Args:
        circuit: The circuit. Its branches are searched too, definitions of its gates are not.

    Returns:
        The circuit itself if it has no such angles, else a copy with the same registers and layout, without
        the parameters that nothing depends on.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.circuits import with_constants
        >>> a, circuit = Parameter("a"), QuantumCircuit(1)
        >>> _ = circuit.rx(a - a - 2, 0)
        >>> with_constants(circuit).data[0].operation.params
        [-2.0]
    """
    changes: dict[int, Any] = {}
    for index, step in enumerate(circuit.data):
        if isinstance(step.operation, ControlFlowOp):
            blocks = [with_constants(block) for block in step.operation.blocks]
            if any(new is not old for new, old in zip(blocks, step.operation.blocks, strict=True)):
                changes[index] = step.operation.replace_blocks(blocks)
            continue
        given = step.params
        params = list(map(_number, given))
        if any(new is not old for new, old in zip(params, given, strict=True)):
            changes[index] = step.operation.to_mutable()
            changes[index].params = params
    phase = _number(circuit.global_phase)
    if not changes and phase is circuit.global_phase:
        return circuit
    changed = circuit.copy_empty_like()
    changed.global_phase = phase
    for index, step in enumerate(circuit.data):
        changed.append(changes.get(index, step.operation), step.qubits, step.clbits)
    return changed


def _number(value: Any) -> Any:
    if not isinstance(value, ParameterExpression) or isinstance(value, Parameter):
        return value
    try:
        slopes = [value.gradient(parameter) for parameter in value.parameters]
    except RuntimeError:  # the sign function has no derivative
        return value
    if any(isinstance(slope, ParameterExpression) or slope for slope in slopes):
        return value
    number = complex(value.bind(dict.fromkeys(value.parameters, 0.7)))  # any point will do
    return value if number.imag else number.real
