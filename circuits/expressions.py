"""Gate angles as expressions of a circuit's parameters: which are affine, and which are really numbers.

An angle whose parameters cancel, such as `a - a - 2`, is an expression to Qiskit. Its transpiler fails on
such angles at its higher optimization levels, and Aer looks angles up by a hash that Qiskit cannot compute
for negative numbers.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitError, ControlFlowOp, Parameter, ParameterExpression

from bondwise.circuits.sources import as_circuit
from bondwise.runs import UsageError

_AFFINE = {"ADD", "SUB", "MUL", "DIV", "RSUB", "CONJ"}


def affine(expression: ParameterExpression | float) -> tuple[dict[Parameter, float], float] | None:
    """Find the slopes and the offset of an affine expression: angle = Σ cᵢ θᵢ + b.

    Args:
        expression: An expression or a number, in radians.

    Returns:
        The slopes cᵢ by parameter θᵢ, and the offset b; None if the expression is not affine.

    Raises:
        UsageError: If the expression is complex.
    """
    if not isinstance(expression, ParameterExpression):
        return {}, float(expression)
    if isinstance(expression, Parameter):
        return {expression: 1.0}, 0.0
    if any(operation(step) not in _AFFINE for step in expression._qpy_replay):
        return None  # the slope of a sign is 0, but a sign is not constant
    slopes = {}
    try:
        for parameter in expression.parameters:
            slope = expression.gradient(parameter)
            if isinstance(slope, ParameterExpression) and slope.parameters:
                return None
            slopes[parameter] = _real(slope, expression)
        return slopes, _real(expression.bind(dict.fromkeys(slopes, 0.0)), expression)
    except (RuntimeError, ArithmeticError, CircuitError):  # no derivative, or no value at zero
        return None


def with_constants(circuit: QuantumCircuit) -> QuantumCircuit:
    """Replace angles that do not depend on their parameters with numbers.

    Args:
        circuit: The circuit. Its branches are searched too, but definitions of its gates are not.

    Returns:
        The circuit itself if it has no such angles, otherwise a copy with the same registers and layout,
        without the parameters that nothing depends on.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.circuits import with_constants
        >>> a, circuit = Parameter("a"), QuantumCircuit(1)
        >>> _ = circuit.rx(a - a - 2, 0)
        >>> with_constants(circuit).data[0].operation.params
        [-2.0]
    """
    circuit = as_circuit(circuit)
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


def operation(step: Any) -> str:
    """Name of one operation in the history of an expression, such as "ADD"."""
    return str(step.op).rpartition(".")[2]


def _real(number: Any, expression: ParameterExpression) -> float:
    value = complex(number)
    if value.imag:
        raise UsageError(f"the angle '{expression}' is complex; gate angles are real numbers in radians.")
    return value.real


def _number(value: Any) -> Any:
    if not isinstance(value, ParameterExpression) or isinstance(value, Parameter):
        return value
    try:
        slopes = [value.gradient(parameter) for parameter in value.parameters]
    except RuntimeError:  # the sign function has no derivative
        return value
    if any(isinstance(slope, ParameterExpression) or slope for slope in slopes):
        return value
    number = complex(value.bind(dict.fromkeys(value.parameters, 0.7)))  # any point works
    return value if number.imag else number.real
