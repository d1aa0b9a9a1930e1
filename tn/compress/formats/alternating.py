"""Fit factors to a weight one after another, each by least squares (alternating least squares).

In each factor alone, the product is linear, and the loss ½ tr(G ΔW C ΔWᵀ) a quadratic form. Some steps of
conjugate gradients from where the factor is lower it without ever forming its matrix, so that the loss never
rises, whatever the factors are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.layers import Layer

_SWEEPS, _STEPS = 10, 5  # over all factors, and of conjugate gradients in each
_ENOUGH = 1e-2  # a sweep that lowers the loss by a smaller part ends the alternation
_FITTED = 5  # ranks that are fitted; the losses of those between are interpolated
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


class AlternatingFits:
    """Factors of one weight for all ranks, each fitted when it is asked for.

    Args:
        layer: What they will stand for.
        num_params: Numbers in the factors of a rank.
        fit: Gives factors of a rank in float64, and their loss.
        make: Makes the layer of a rank of factors in the dtype of its weight.

    Attributes:
        ranks: All ranks from 1 that need fewer numbers than the weight.
    """

    def __init__(
        self,
        layer: Layer,
        num_params: Callable[[Layer, int], int],
        fit: Callable[[int], tuple[list[Tensor], float]],
        make: Callable[[int, list[Tensor]], nn.Module],
    ) -> None:
        self._layer, self._fit, self._make = layer, fit, make
        self._known: dict[int, tuple[list[Tensor], float]] = {}
        most = 1
        while num_params(layer, most) < num_params(layer, most + 1) < layer.num_params:
            most += 1
        self.ranks: Sequence[int] = range(1, most + 1)

    @cached_property
    def losses(self) -> Sequence[float]:
        """What the metric predicts for each rank, never rising, interpolated between some that are fitted."""
        most = self.ranks[-1]
        fitted = sorted({round(most ** (step / (_FITTED - 1))) for step in range(_FITTED)})
        logs = [np.log(max(self._fitted(rank)[1], 1e-300)) for rank in fitted]
        losses: list[float] = np.minimum.accumulate(np.exp(np.interp(self.ranks, fitted, logs))).tolist()
        return losses

    def build(self, rank: int) -> nn.Module:
        """The layer of some rank."""
        dtype = self._layer.weight.dtype
        return self._make(rank, [factor.to(dtype) for factor in self._fitted(rank)[0]])

    def _fitted(self, rank: int) -> tuple[list[Tensor], float]:
        if rank not in self._known:
            self._known[rank] = self._fit(rank)
        return self._known[rank]
