"""Gradients by the parameter-shift rule, with all shifted circuits in one job.

For a rotation whose generator has two eigenvalues that differ by one (arXiv:1811.11184, eq. 10),
f' = [f(x + π/2) - f(x - π/2)] / 2. For a controlled rotation, with eigenvalues -1/2, 0, 1/2
(arXiv:2104.05695), f' = c₊ [f(x + π/2) - f(x - π/2)] - c₋ [f(x + 3π/2) - f(x - 3π/2)] with
c± = (√2 ± 1) / (4√2). Both hold under noise if the angle enters the circuit once, the second also if two
gates take half of it each, which is how devices write a controlled rotation. Each occurrence of an angle is
shifted separately; torch applies the chain rule from the angles to shared, scaled and summed parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from qiskit.circuit import ParameterVectorElement

from bondwise.circuits.splitting import CONTROLLED_ROTATIONS, SplitCircuit, closed_kind
from bondwise.runs import UsageError

_TWO_TERM = ((pi / 2, 0.5), (-pi / 2, -0.5))
_NEAR, _FAR = (sqrt(2) + 1) / (4 * sqrt(2)), (sqrt(2) - 1) / (4 * sqrt(2))
_FOUR_TERM = ((pi / 2, _NEAR), (-pi / 2, -_NEAR), (3 * pi / 2, -_FAR), (-3 * pi / 2, _FAR))

Evaluate = Callable[[np.ndarray], np.ndarray]


def shifted_values(parts: SplitCircuit, angles: torch.Tensor, evaluate: Evaluate) -> torch.Tensor:
    """Expectation values that carry their parameter-shift gradient.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians. Without a gradient nothing is shifted.
        evaluate: One job: angle sets (N, G) → expectation values (N, K).

    Returns:
        float64 (B, K).

    Raises:
        UsageError: If differentiated twice.
    """
    return _Shifted.apply(angles, _shifts(parts), evaluate)


def _shifts(parts: SplitCircuit) -> tuple[np.ndarray, np.ndarray]:
    """Shifts (S, G), and the coefficients (S, G) that turn the S shifted values into gradients."""
    rows: list[tuple[int, float, float]] = []
    for instruction in parts.circuit.data:
        gate = instruction.operation
        if gate.params and isinstance(gate.params[0], ParameterVectorElement):
            rule = _FOUR_TERM if closed_kind(gate) in CONTROLLED_ROTATIONS else _TWO_TERM
            rows += [(gate.params[0].index, shift, coefficient) for shift, coefficient in rule]
    shifts, coefficients = np.zeros((2, len(rows), parts.angles.count))
    for row, (angle, shift, coefficient) in enumerate(rows):
        shifts[row, angle] = shift
        coefficients[row, angle] = coefficient
    return shifts, coefficients


class _Shifted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, rule: tuple[np.ndarray, np.ndarray], evaluate: Evaluate
    ) -> torch.Tensor:
        shifts, coefficients = rule
        center = angles.detach().numpy()
        sets = center[:, None, :]
        if ctx.needs_input_grad[0]:
            sets = np.concatenate([sets, sets + shifts], axis=1)
        count = sets.shape[1]
        values = evaluate(sets.reshape(len(center) * count, center.shape[1])).reshape(len(center), count, -1)
        ctx.jacobian = torch.from_numpy(np.einsum("bsk,sg->bkg", values[:, 1:], coefficients[: count - 1]))
        return torch.from_numpy(np.ascontiguousarray(values[:, 0]))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        if torch.is_grad_enabled():
            raise UsageError(
                "the parameter-shift rule only gives first derivatives; write gradient='backprop' with "
                "backend='statevector' for higher ones."
            )
        return torch.einsum("bk,bkg->bg", gradients[0], ctx.jacobian), None, None
