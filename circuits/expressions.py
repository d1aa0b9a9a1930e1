"""Gate angles as affine functions of a circuit's parameters: angle = Σ cᵢ θᵢ + b."""

from __future__ import annotations

from typing import Any

from qiskit.circuit import CircuitError, Parameter, ParameterExpression

from bondwise.runs import UsageError

_AFFINE = {"ADD", "SUB", "MUL", "DIV", "RSUB", "CONJ"}


def affine(expression: ParameterExpression | float) -> tuple[dict[Parameter, float], float] | None:
    """Slopes cᵢ and offset b of an expression, or None if it is not affine.

    Raises:
        UsageError: The expression is complex.
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


def operation(step: Any) -> str:
    """Name of one operation in the history of an expression, such as "ADD"."""
    return str(step.op).rpartition(".")[2]


def _real(number: Any, expression: ParameterExpression) -> float:
    value = complex(number)
    if value.imag:
        raise UsageError(f"the angle '{expression}' is complex; gate angles are real numbers in radians.")
    return value.real
