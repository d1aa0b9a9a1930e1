"""CMA-ES, evolution with an adapted covariance matrix (Hansen, arXiv:1604.00772), through the library `cma`.

A step is one generation. Its candidates are drawn from a normal distribution, whose mean is the point, and
are evaluated in one call of the loss together with the mean.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from bondwise.qml.training.losses import Losses
from bondwise.runs import UsageError


class Evolution:
    """A normal distribution that evolves downhill.

    What the library keeps is spread over many objects, so a checkpoint holds the losses of all candidates
    instead. They determine the candidates: the generations are drawn and told again, which evaluates nothing.

    Args:
        losses: The loss.
        start: First mean, float64, of at least two numbers.
        learning_rate: Standard deviation σ of the first generation, in units of the parameters.
        seed: Seed of the candidates.

    Raises:
        UsageError: If there is only one parameter.
    """

    def __init__(self, losses: Losses, start: np.ndarray, learning_rate: float, seed: int) -> None:
        if start.size < 2:
            raise UsageError("optimizer 'cmaes' needs two or more parameters; write optimizer='spsa'.")
        self.learning_rate = learning_rate
        self._losses = losses
        self._start = start
        self._seed = seed
        self._told: list[np.ndarray] = []  # losses of each generation
        self._begin()

    @property
    def parameters(self) -> np.ndarray:
        """A copy of the mean."""
        return self._mean().reshape(self._start.shape).copy()

    def evaluate(self) -> tuple[float, float, float]:
        """Loss of the mean, NaN for the norm of the gradient, and standard error; raises NotFiniteError."""
        points = np.array([self._mean(), *self._candidates]).reshape(-1, *self._start.shape)
        values, errors = self._losses.values(points)
        self._told.append(values[1:])
        return float(values[0]), float("nan"), float(errors[0])

    def update(self) -> bool:
        """Evolve from an evaluated generation; False if the mean did not move."""
        before = self._mean().copy()
        self._tell(self._told[-1])
        return not np.array_equal(before, self._mean())

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, including the evaluated generation."""
        return {"seed": self._seed, "start": self._start, "point": self._mean(), "told": np.array(self._told)}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            UsageError: If the library now draws other candidates.
        """
        self._seed, self._start, self._told = state["seed"], state["start"], list(state["told"])
        self._begin()
        for values in self._told[:-1]:
            self._tell(values)
        if not np.array_equal(self._mean(), state["point"]):
            raise UsageError(
                "the checkpoint was written with another version of cma or NumPy, which draws other "
                "candidates; install that version again, or start without resuming."
            )

    def _begin(self) -> None:
        from cma.evolution_strategy import CMAEvolutionStrategy  # loads Matplotlib: seconds

        draw = np.random.RandomState(self._seed).randn  # its own, not the global one
        options = {"verbose": -9, "randn": draw, "seed": np.nan}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            self._strategy = CMAEvolutionStrategy(self._start.ravel(), self.learning_rate, options)
            self._candidates = self._strategy.ask()

    def _tell(self, values: np.ndarray) -> None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            self._strategy.tell(self._candidates, values.tolist())
            self._candidates = self._strategy.ask()

    def _mean(self) -> np.ndarray:
        return np.asarray(self._strategy.mean, dtype=float)
