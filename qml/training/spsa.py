"""Simultaneous perturbation stochastic approximation (Spall 1998, doi:10.1109/7.705889).

A step compares the loss on both sides of the point along a random sign vector, however many parameters there
are: θ ← θ − a_k (L(θ + c_k Δ) − L(θ − c_k Δ)) / (2 c_k) Δ with a_k = a / (A + k + 1)^0.602 and
c_k = c / (k + 1)^0.101, the exponents of section III. The scale a follows from the slopes along some
directions at the start, so that the first step moves each parameter by about the learning rate, but on
average no further than to the minimum of the parabola along a direction. Near a stationary point, where
circuits from tensor networks start, a scale from slopes alone would be so large that the training diverges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bondwise.qml.training.losses import Losses

_GAIN, _STEP = 0.602, 0.101  # exponents
_WIDTH = 0.2  # c, in units of the parameters: radians
_STABILITY = 20  # A, a tenth of 200 steps as Spall advises; the gains do not depend on how many are asked for
_DIRECTIONS = 10  # along which the slope at the start is measured


class Perturbation:
    """A point that moves by simultaneous perturbation, with three evaluations a step in one call of the loss.

    Two of them make the step; the third is the loss at the point itself, for the history. The first call has
    those along the directions of the calibration too.

    Args:
        losses: The loss.
        start: First point, float64.
        learning_rate: Mean size of the first step of each parameter, unless the parabolas make it smaller.
        seed: Seed of the directions.
    """

    def __init__(self, losses: Losses, start: np.ndarray, learning_rate: float, seed: int) -> None:
        self.learning_rate = learning_rate
        self._losses = losses
        self._point = start.copy()
        self._generator = torch.Generator().manual_seed(seed)
        self._steps = 0
        self._scale = float("nan")
        self._direction = start
        self._slope = float("nan")

    @property
    def parameters(self) -> np.ndarray:
        """A copy of the point."""
        return self._point.copy()

    def evaluate(self) -> tuple[float, float, float]:
        """Loss, NaN for the norm of the gradient, and standard error; raises NotFiniteError."""
        width = _WIDTH / (self._steps + 1) ** _STEP
        directions = self._directions(1 if self._steps else 1 + _DIRECTIONS)
        moves = width * np.concatenate([0.0 * directions[:1], directions, -directions])
        values, errors = self._losses.values(self._point + moves)
        ahead, behind = values[1:].reshape(2, -1)
        slopes = (ahead - behind) / (2 * width)
        if not self._steps:
            steepness = np.abs(slopes[1:]).mean()
            curvature = ((ahead + behind - 2 * values[0]) / width**2)[1:].mean()
            gain = self.learning_rate / (steepness or 1.0)
            self._scale = (min(gain, 1 / curvature) if curvature > 0 else gain) * (_STABILITY + 1) ** _GAIN
        self._direction, self._slope = directions[0], float(slopes[0])
        return float(values[0]), float("nan"), float(errors[0])

    def update(self) -> bool:
        """Take a step from an evaluated point; always True, since the next direction may be steeper."""
        with np.errstate(over="ignore", invalid="ignore"):  # the next evaluation refuses such a point
            gain = self._scale / (_STABILITY + self._steps + 1) ** _GAIN
            self._point = self._point - gain * self._slope * self._direction
        self._steps += 1
        return True

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, including the evaluation of the point."""
        return {
            "point": self._point,
            "random": self._generator.get_state(),
            "steps": self._steps,
            "scale": self._scale,
            "direction": self._direction,
            "slope": self._slope,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._point, self._direction = state["point"], state["direction"]
        self._steps, self._scale, self._slope = state["steps"], state["scale"], state["slope"]
        self._generator.set_state(state["random"])

    def _directions(self, count: int) -> np.ndarray:
        signs = torch.randint(2, (count, *self._point.shape), generator=self._generator)
        return 2.0 * signs.numpy() - 1.0
