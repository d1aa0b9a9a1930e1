"""Fit factors to a weight one after another, each by least squares (alternating least squares).

In each factor alone, the product is linear, and the loss ½ tr(G ΔW C ΔWᵀ) a quadratic form. Some steps of
conjugate gradients from where the factor is lower it without ever forming its matrix, so that the loss never
rises, whatever the factors are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import Metric

_SWEEPS, _STEPS = 10, 5  # over all factors, and of conjugate gradients in each
_ENOUGH = 1e-2  # a sweep that lowers the loss by a smaller part ends the alternation
_EXACT = 1e-24  # of the loss without factors: only rounding is left


def alternate(
    factors: Sequence[Tensor],
    compose: Callable[[list[Tensor]], Tensor],
    weight: Tensor,
    metric: Metric,
    sweeps: int = _SWEEPS,
) -> tuple[list[Tensor], float]:
    """Lower the loss of factors.

    Args:
        factors: Where to start, float64.
        compose: Their product, in the shape of the weight and linear in each of them.
        weight: What it should be, float64, in the shape that the metric is for.
        metric: The loss.
        sweeps: At most so many.

    Returns:
        The factors, and their loss, which is no larger than that of the start.
    """
    found = [factor.detach().double() for factor in factors]
    whole = 0.5 * float((weight * metric.pulled(weight)).sum())
    change = weight - compose(found)
    loss = 0.5 * float((change * metric.pulled(change)).sum())
    for _ in range(sweeps):
        before = loss
        for index in range(len(found)):
            loss = _descend(found, index, compose, weight, metric)
        if before - loss <= _ENOUGH * before or loss <= _EXACT * whole:
            break
    return found, max(loss, 0.0)


def _descend(
    factors: list[Tensor],
    index: int,
    compose: Callable[[list[Tensor]], Tensor],
    weight: Tensor,
    metric: Metric,
) -> float:
    """Conjugate gradients in one factor, which is replaced; gives the loss."""

    def product(factor: Tensor) -> Tensor:
        return compose([*factors[:index], factor, *factors[index + 1 :]])

    with torch.enable_grad():
        place = factors[index].clone().requires_grad_()
        output = product(place)

    def adjoint(change: Tensor) -> Tensor:
        return torch.autograd.grad(output, place, change, retain_graph=True)[0]

    change = weight - output.detach()
    pulled = metric.pulled(change)
    factor = factors[index]
    residual = adjoint(pulled)
    direction, square = residual, float(residual.square().sum())
    for _ in range(_STEPS):
        step = product(direction)
        pulled_step = metric.pulled(step)
        curvature = float((step * pulled_step).sum())
        if not curvature > 0 or not square > 0:
            break
        length = square / curvature
        factor = factor + length * direction
        change, pulled = change - length * step, pulled - length * pulled_step
        residual = residual - length * adjoint(pulled_step)
        before, square = square, float(residual.square().sum())
        direction = residual + square / before * direction
    factors[index] = factor
    return 0.5 * float((change * pulled).sum())
