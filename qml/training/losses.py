"""Evaluations of a loss, one point with its gradient or many points at once, checked to be finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from bondwise.runs import UsageError

# a number, or a number and its standard error; with a gradient for optimizers that need one
Loss: TypeAlias = Callable[[torch.Tensor], Any]


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or the point itself is infinite or NaN."""


class Losses:
    """A loss as optimizers evaluate it.

    Args:
        loss: Function from a float64 tensor of the shape of a point to a number, or to a number and its
            standard error.
        batched: Whether the loss also takes points (N, *shape) and then returns N of each.
    """

    def __init__(self, loss: Loss, batched: bool = False) -> None:
        self._loss = loss
        self._batched = batched

    def differentiated(self, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Loss, gradient and standard error of the loss at one point, a leaf that requires a gradient.

        Raises:
            NotFiniteError: If the point, the loss or the gradient is not finite.
            UsageError: If the loss is not one number that depends on the point.
        """
        if not torch.isfinite(point).all():  # a step too large for float64
            raise NotFiniteError("the point is not finite")
        with torch.enable_grad():
            value, error = _pair(self._loss(point))
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
            raise UsageError(
                "the loss must return one number, as a torch tensor that depends on the parameters; "
                "optimizer='spsa' or 'cmaes' needs no gradient."
            )
        (gradient,) = torch.autograd.grad(value.reshape(()), point)
        for name, tensor in [("loss", value), ("gradient", gradient)]:
            if not torch.isfinite(tensor).all():
                raise NotFiniteError(f"the {name} is not finite")
        return value.detach().reshape(()), gradient, float(error)

    def values(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses and their standard errors, both float64 (N,), at points (N, *shape), without gradients.

        Raises:
            NotFiniteError: If a point or a loss is not finite.
            UsageError: If the loss is not one number per point.
        """
        if not np.isfinite(points).all():
            raise NotFiniteError("the point is not finite")
        tensors = torch.from_numpy(np.array(points, dtype=float))
        with torch.no_grad():
            if self._batched:
                values, errors = map(_numbers, _pair(self._loss(tensors)))
            else:
                pairs = [[float(one) for one in _pair(self._loss(point))] for point in tensors]
                values, errors = np.array(pairs).reshape(-1, 2).T
        if values.shape != (len(points),):
            raise UsageError(
                f"the loss must return one number per point: {len(points)} points gave {values.shape}."
            )
        if not np.isfinite(values).all():
            raise NotFiniteError("the loss is not finite")
        return values, np.broadcast_to(errors, values.shape)


def _pair(answer: Any) -> tuple[Any, Any]:
    return answer if isinstance(answer, tuple) else (answer, 0.0)


def _numbers(numbers: Any) -> np.ndarray:
    return np.asarray(numbers, dtype=float)
