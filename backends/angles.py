"""Gate angles as a function of the circuit's parameters.

An angle is a Qiskit `ParameterExpression`. Nearly all are affine, angle = sum_j c_j theta_j + b; they become
one gather and one multiplication for the whole circuit. The others (`theta * phi`, `theta.sin()`) are
translated through sympy. Either way the angles can be differentiated by whatever holds the parameters, torch
or autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pennylane as qml
import sympy
import torch
from qiskit.circuit import CircuitError, Parameter, ParameterExpression

from bondwise.runs import UsageError

_FUNCTIONS = ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "sqrt", "abs", "sign", "conj")


class Angles:
    """All angles of a circuit at once.

    Args:
        expressions: One per angle, radians; plain numbers are constants.
        parameters: The variables, in the order of the columns that `__call__` gets.

    Raises:
        UsageError: An expression is complex.
    """

    def __init__(
        self, expressions: Sequence[ParameterExpression | float], parameters: Sequence[Parameter]
    ) -> None:
        column = {parameter: index for index, parameter in enumerate(parameters)}
        rows: list[tuple[dict[Parameter, float], float]] = []
        affine: list[int] = []
        curved: list[int] = []
        self._curved: list[Callable[[Any], Any]] = []
        for index, expression in enumerate(expressions):
            row = _affine(expression)
            if row is None:
                curved.append(index)
                self._curved.append(_function(expression, column))
            else:
                affine.append(index)
                rows.append(row)
        # rows are padded to the longest sum: nearly always one parameter an angle
        width = max((len(slopes) for slopes, _ in rows), default=0)
        columns = np.zeros((len(rows), width), dtype=np.int64)
        scales = np.zeros((len(rows), width))
        for index, (slopes, _) in enumerate(rows):
            columns[index, : len(slopes)] = [column[parameter] for parameter in slopes]
            scales[index, : len(slopes)] = list(slopes.values())
        self._affine: list[Any] = [columns, scales, np.array([offset for _, offset in rows])]
        self._torch = [torch.from_numpy(array) for array in self._affine]
        self._order = np.argsort(affine + curved)
        self.count = len(expressions)

    def __call__(self, parameters: Any) -> Any:
        """Evaluate all angles.

        Args:
            parameters: (*batch, P) array or tensor of any interface PennyLane knows, radians.

        Returns:
            (*batch, G) of the same kind.
        """
        columns, slopes, offsets = self._affine
        if isinstance(parameters, torch.Tensor):
            columns, slopes, offsets = self._torch  # the same, converted once
        if columns.shape[1] == 1:  # the common case, without the sum over one element
            affine = parameters[..., columns[:, 0]] * slopes[:, 0] + offsets
        else:
            affine = qml.math.sum(parameters[..., columns] * slopes, axis=-1) + offsets
        if not self._curved:
            return affine
        curved = qml.math.stack([function(parameters) for function in self._curved], axis=-1)
        return qml.math.concatenate([affine, curved], axis=-1)[..., self._order]


def _affine(expression: ParameterExpression | float) -> tuple[dict[Parameter, float], float] | None:
    """Slopes and offset of an expression, or None where a slope is not a constant."""
    if not isinstance(expression, ParameterExpression):
        return {}, float(expression)
    if isinstance(expression, Parameter):
        return {expression: 1.0}, 0.0
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


def _real(number: Any, expression: ParameterExpression) -> float:
    value = complex(number)
    if value.imag:
        raise UsageError(f"the angle '{expression}' is complex; gate angles are real numbers in radians.")
    return value.real


def _function(expression: ParameterExpression, column: dict[Parameter, int]) -> Callable[[Any], Any]:
    """An expression that is not affine, as a function of (*batch, P)."""
    used = sorted(expression.parameters, key=column.__getitem__)
    namespace = {name: getattr(qml.math, name) for name in _FUNCTIONS}
    # a parameter may be called "sin" or "lambda"; a dummy cannot be mistaken for anything
    dummies = {sympy.Symbol(parameter.name): sympy.Dummy() for parameter in used}
    body = sympy.lambdify(
        list(dummies.values()), expression.sympify().xreplace(dummies), modules=[namespace, "numpy"]
    )
    columns = [column[parameter] for parameter in used]
    return lambda parameters: body(*(parameters[..., index] for index in columns))
