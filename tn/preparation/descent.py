"""L-BFGS for losses that cost less than the bookkeeping of a general optimizer.

The step is -H g, where the inverse Hessian H follows from the last changes s of the point and y of the
gradient. In compact form it takes a few products of matrices (Byrd, Nocedal, Schnabel, Math. Program. 63,
129, equation 3.2): with rows s in S and y in Y, the upper triangle R of S Yᵀ, its diagonal D, and a scale γ,

    H g = γ g + Sᵀ v - γ Yᵀ u    with    u = R⁻¹ S g    and    v = R⁻ᵀ ((D + γ Y Yᵀ) u - γ Y g).

A line search by cubic interpolation finds the length of the step (strong Wolfe conditions).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

_Vector = NDArray[np.float64]
_Loss = Callable[[_Vector], tuple[float, _Vector]]
_PAIRS = 20
_DECREASE, _CURVATURE = 1e-3, 0.9  # of the Wolfe conditions
_TRIALS = 20  # evaluations of one line search


def descend(
    loss: _Loss,
    start: _Vector,
    *,
    iterations: int,
    change: float,
    slope: float,
    after: Callable[[], bool],
) -> None:
    """Minimize a function whose caller keeps the best point it is called with.

    Args:
        loss: Returns value and gradient at a point.
        start: Point of shape (P,).
        iterations: Maximum number of steps; there are at most twice as many evaluations.
        change: Stop after a step that lowers the value by less than this fraction of it, at least of 1.
        slope: Stop where no derivative is larger.
        after: Called after every step; True stops.
    """
    x = start
    value, gradient = loss(x)
    used, memory = 1, _Memory(x.size)
    for _ in range(iterations):
        if np.abs(gradient).max(initial=0) <= slope or used > 2 * iterations:
            return
        direction = -memory.times(gradient)
        steepness = float(gradient @ direction)
        if not steepness < 0:
            return
        length = 1.0 if memory.count else 1 / sqrt(-steepness)
        length, lower, fresh, trials = _search(loss, x, value, direction, steepness, length)
        used += trials
        if not lower < value:  # with a fresh memory, the direction is that of steepest descent
            if not memory.count:
                return
            memory = _Memory(x.size)
            continue
        step = length * direction
        memory.add(step, fresh - gradient)
        done = value - lower <= change * max(abs(value), abs(lower), 1.0)
        x, value, gradient = x + step, lower, fresh
        if after() or done:
            return


class _Memory:
    """The last changes of point and gradient, and their products, oldest first."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self._rows = np.empty((2, 4 * _PAIRS, size))  # a window of them moves down and jumps back
        self._end = 0
        self._inverse = self._squares = np.empty((0, 0))  # R⁻¹ and Y Yᵀ
        self._diagonal = np.empty(0)
        self._scale = 1.0

    def add(self, step: _Vector, turn: _Vector) -> None:
        """Add a pair; without positive curvature it is left out."""
        curvature, square = float(step @ turn), float(turn @ turn)
        if curvature <= 1e-16 * square:
            return
        if self._end == self._rows.shape[1]:
            kept = _PAIRS - 1
            self._rows[:, :kept] = self._rows[:, self._end - kept :]
            self._end = kept
        count = min(self.count, _PAIRS - 1)
        steps, turns = self._rows[:, self._end - count : self._end]
        inverse, squares = np.zeros((2, count + 1, count + 1))
        if count:
            inverse[:-1, :-1] = self._inverse[-count:, -count:]
            inverse[:-1, -1] = inverse[:-1, :-1] @ (steps @ turn) / -curvature
            squares[:-1, :-1] = self._squares[-count:, -count:]
            squares[-1, :-1] = squares[:-1, -1] = turns @ turn
        inverse[-1, -1], squares[-1, -1] = 1 / curvature, square
        self._inverse, self._squares = inverse, squares
        self._diagonal = np.append(self._diagonal[self._diagonal.size - count :], curvature)
        self._rows[:, self._end] = step, turn
        self._end += 1
        self.count, self._scale = count + 1, curvature / square

    def times(self, gradient: _Vector) -> _Vector:
        """The inverse Hessian times a vector."""
        if not self.count:
            return gradient
        steps, turns = self._rows[:, self._end - self.count : self._end]
        scale = self._scale
        u = self._inverse @ (steps @ gradient)
        v = (self._diagonal * u + scale * (self._squares @ u - turns @ gradient)) @ self._inverse
        return scale * (gradient - u @ turns) + v @ steps


def _search(
    loss: _Loss, x: _Vector, value: float, direction: _Vector, steepness: float, length: float
) -> tuple[float, float, _Vector, int]:
    """A length along a direction, with value and gradient there, and the number of evaluations."""
    low, high = (0.0, value, steepness), None  # the best length so far, and the other end of the interval
    gradient, trials = np.zeros(0), 0
    while trials < _TRIALS:
        trials += 1
        reached, fresh = loss(x + length * direction)
        here = (length, reached, float(fresh @ direction))
        if not reached <= value + _DECREASE * length * steepness or reached >= low[1]:
            high = here
        else:
            gradient = fresh
            if abs(here[2]) <= -_CURVATURE * steepness:
                low = here
                break
            if here[2] * (length - low[0]) >= 0:
                high = low
            low = here
        length = 4 * length if high is None else _between(low, high)
    return low[0], low[1], gradient, trials


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """Minimum of the cubic through two points with their slopes, kept away from both ends."""
    (a, fa, ga), (b, fb, gb) = low, high
    one = ga + gb - 3 * (fb - fa) / (b - a)
    root = one * one - ga * gb
    part = 0.5
    if root >= 0:
        two = sqrt(root) * (1 if b > a else -1)
        part = 1 - (gb + two - one) / (gb - ga + 2 * two) if gb - ga + 2 * two else 0.5
    part = min(max(part, 0.1), 0.9) if np.isfinite(part) else 0.5
    return a + part * (b - a)
