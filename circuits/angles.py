"""All gate angles of a circuit as one function of its parameters.

An angle is a Qiskit `ParameterExpression`. Nearly all are affine, angle = Σ cᵢ θᵢ + b; for these, one gather
and one multiplication serve the whole circuit. The others (`theta * phi`, `theta.sin()`) are computed
operation by operation. Either way, torch or autograd can differentiate the angles. Tensors of torch are
handled by torch itself, everything else by PennyLane, which takes seconds to import.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression

from bondwise.circuits.expressions import affine, operation
from bondwise.runs import UsageError

_UNARY = {
    "SIN": "sin", "COS": "cos", "TAN": "tan", "ASIN": "arcsin", "ACOS": "arccos", "ATAN": "arctan",
    "EXP": "exp", "LOG": "log", "ABS": "abs", "SIGN": "sign", "CONJ": "conj",
}  # fmt: skip
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
    "DIV": operator.truediv,
    "POW": lambda left, right: _power(left, right),
    "RSUB": lambda left, right: right - left,
    "RDIV": lambda left, right: right / left,
    "RPOW": lambda left, right: _power(right, left),
}


class Angles:
    """The angles of a circuit.

    Args:
        expressions: One expression or number per angle, in radians.
        parameters: The circuit's parameters, in the order of the columns that `__call__` takes.

    Raises:
        UsageError: If an expression is complex, or uses an operation without a gradient.
    """

    def __init__(
        self, expressions: Sequence[ParameterExpression | float], parameters: Sequence[Parameter]
    ) -> None:
        column = {parameter: index for index, parameter in enumerate(parameters)}
        rows: list[tuple[dict[Parameter, float], float]] = []
        plain: list[int] = []
        curved: list[int] = []
        self._curved: list[Callable[[Any], Any]] = []
        for index, expression in enumerate(expressions):
            row = affine(expression)
            if row is None:
                curved.append(index)
                self._curved.append(_function(expression, column))
            else:
                plain.append(index)
                rows.append(row)
        # rows are padded to the longest sum, which is nearly always one parameter per angle
        width = max((len(slopes) for slopes, _ in rows), default=0)
        columns = np.zeros((len(rows), width), dtype=np.int64)
        scales = np.zeros((len(rows), width))
        for index, (slopes, _) in enumerate(rows):
            columns[index, : len(slopes)] = [column[parameter] for parameter in slopes]
            scales[index, : len(slopes)] = list(slopes.values())
        self._affine: list[Any] = [columns, scales, np.array([offset for _, offset in rows])]
        self._torch = [torch.from_numpy(array) for array in self._affine]
        self._order = np.argsort(plain + curved)
        self._are_parameters = not curved and width == 1 and bool((scales == 1).all())
        self._are_parameters = self._are_parameters and not self._affine[2].any()
        self._are_all = self._are_parameters and columns[:, 0].tolist() == list(range(len(parameters)))
        self.count = len(expressions)

    def __call__(self, parameters: Any) -> Any:
        """Evaluate all angles.

        Args:
            parameters: Array or tensor of any interface that PennyLane supports, of shape (*batch, P), in
                radians.

        Returns:
            The angles, of the same kind and of shape (*batch, G).

        Raises:
            UsageError: If an expression that is not affine is complex or not finite for these parameters.
        """
        columns, slopes, offsets = self._affine
        if isinstance(parameters, torch.Tensor):
            columns, slopes, offsets = self._torch  # converted once
        if self._are_all:  # the most common case: nothing to do
            return parameters
        if self._are_parameters:
            return parameters[..., columns[:, 0]]
        if columns.shape[1] == 1:  # the common case, without the sum over one element
            values = parameters[..., columns[:, 0]] * slopes[:, 0] + offsets
        else:
            values = _functions(parameters).sum(parameters[..., columns] * slopes, axis=-1) + offsets
        if not self._curved:
            return values
        math = _functions(parameters)
        curved = math.stack([function(parameters) for function in self._curved], axis=-1)
        return math.concatenate([values, curved], axis=-1)[..., self._order]


def _function(expression: ParameterExpression, column: dict[Parameter, int]) -> Callable[[Any], Any]:
    """An expression that is not affine, as a function of parameters of shape (*batch, P).

    It is replayed from the operations that built it, which Qiskit keeps for its files; Qiskit's translation
    to sympy lacks some operations. An operand that is not recorded is a previous result.
    """
    program = [(operation(step), step.lhs, step.rhs) for step in expression._qpy_replay]
    if unknown := {name for name, _, _ in program} - _UNARY.keys() - _BINARY.keys():
        raise UsageError(
            f"the angle '{expression}' uses {', '.join(sorted(unknown))}, which has no gradient."
        )

    def evaluate(parameters: Any) -> Any:
        math = _functions(parameters)
        stack: list[Any] = []

        def operand(given: Any) -> Any:
            if given is None:
                return stack.pop()
            return parameters[..., column[given]] if isinstance(given, Parameter) else given

        for name, left, right in program:
            if name in _UNARY:
                value = operand(left)
                if isinstance(value, float | int):  # what is left of a - a; torch's functions want tensors
                    value = parameters[..., 0] * 0 + value
                stack.append(getattr(math, _UNARY[name])(value))
            else:
                second = operand(right)  # of two previous results, the later is the right operand
                stack.append(_BINARY[name](operand(left), second))
        return _real_values(stack.pop(), expression)

    return evaluate


def _power(base: Any, exponent: Any) -> Any:
    # the power of a negative number is complex, and may be real again later, as in |(-1.5)^a|
    return (complex(base) if isinstance(base, float | int) and base < 0 else base) ** exponent


def _real_values(values: Any, expression: ParameterExpression) -> Any:
    math = _functions(values)
    if isinstance(values, torch.Tensor):
        known: Any = values.detach().cpu().resolve_conj().numpy()
    elif isinstance(values, np.ndarray | np.number) or "complex" in math.get_dtype_name(values):
        known = math.toarray(values)
    else:  # a box of autograd, whose numbers may not be known yet
        return values
    if not np.isfinite(known).all():
        raise UsageError(
            f"the angle '{expression}' is not a finite real number for these parameters; change them or the "
            "expression."
        )
    if not np.iscomplexobj(known):
        return values
    if np.any(np.abs(known.imag) > 1e-12 * (1 + np.abs(known.real))):
        raise UsageError(f"the angle '{expression}' is complex; gate angles are real numbers in radians.")
    return math.real(values)


def _functions(values: Any) -> Any:
    """The module whose functions take these values."""
    if isinstance(values, torch.Tensor):
        return torch
    import pennylane

    return pennylane.math
