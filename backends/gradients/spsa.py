"""Gradients by simultaneous perturbation (Spall 1992, doi:10.1109/9.119632), from two evaluations.

All parameters move at once along a random sign vector Δ. On average, [f(x + cΔ) - f(x - cΔ)] Δ / (2c) is the
gradient up to O(c²), with a variance that grows with the number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bondwise.runs import UsageError

STEP = 0.1  # radians: small compared with the period of a gate, large compared with the noise of shots

Evaluate = Callable[[np.ndarray], np.ndarray]


def perturbed_values(
    parameters: torch.Tensor, evaluate: Evaluate, generator: np.random.Generator
) -> torch.Tensor:
    """Expectation values that carry an estimate of their gradient.

    Args:
        parameters: float64 (B, P), radians. Without a gradient nothing is perturbed.
        evaluate: One job: parameter sets (N, P) → expectation values (N, K).
        generator: Random generator for the directions, one per set.

    Returns:
        float64 (B, K).

    Raises:
        UsageError: If differentiated twice.
    """
    # otherwise a leaf requires a gradient even under torch.no_grad()
    parameters = parameters if torch.is_grad_enabled() else parameters.detach()
    return _Perturbed.apply(parameters, evaluate, generator)


class _Perturbed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, parameters: torch.Tensor, evaluate: Evaluate, generator: np.random.Generator
    ) -> torch.Tensor:
        center = parameters.detach().numpy()
        batch, count = center.shape
        offsets = np.zeros((1, batch, count))
        if ctx.needs_input_grad[0]:
            directions = generator.choice([-1.0, 1.0], size=(batch, count))
            offsets = np.stack([np.zeros_like(directions), STEP * directions, -STEP * directions])
        sets = (center + offsets).reshape(len(offsets) * batch, count)
        values = evaluate(sets).reshape(len(offsets), batch, -1)
        if ctx.needs_input_grad[0]:
            ctx.slopes = torch.from_numpy((values[1] - values[2]) / (2 * STEP))
            ctx.directions = torch.from_numpy(directions)
        return torch.from_numpy(values[0].copy())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        if torch.is_grad_enabled():
            raise UsageError(
                "simultaneous perturbation only gives first derivatives; write gradient='backprop' with "
                "backend='statevector' for higher ones."
            )
        along = (gradients[0] * ctx.slopes).sum(-1, keepdim=True)
        return along * ctx.directions, None, None
