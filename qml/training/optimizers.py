"""The optimizers by name, and torch's for one function, with all that their next update depends on.

Torch optimizers are driven by `step(closure)`. L-BFGS calls the closure several times; a point that it
returns to is not evaluated again, nor is the end of a line search, where the next update starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from bondwise.qml.training.evolution import Evolution
from bondwise.qml.training.losses import Losses
from bondwise.qml.training.natural_gradient import NaturalGradient
from bondwise.qml.training.spsa import Perturbation
from bondwise.runs import UsageError, real_number, unknown_name

Metric: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

# One step is one iteration, with at most 25 evaluations in the line search; only our stopping rules apply.
_LBFGS = {
    "max_iter": 1,
    "max_eval": 26,
    "tolerance_grad": 0.0,
    "tolerance_change": 0.0,
    "history_size": 20,
    "line_search_fn": "strong_wolfe",
}
# Name: optimizer, default learning rate, settings.
_BY_GRADIENT: dict[str, tuple[Callable[..., torch.optim.Optimizer], float, dict[str, Any]]] = {
    "adam": (torch.optim.Adam, 0.02, {}),
    "nadam": (torch.optim.NAdam, 0.02, {}),
    "rmsprop": (torch.optim.RMSprop, 0.01, {}),
    "sgd": (torch.optim.SGD, 0.05, {}),
    "lbfgs": (torch.optim.LBFGS, 1.0, _LBFGS),
    "qng": (NaturalGradient, 0.1, {}),
}
_BY_VALUES: dict[str, tuple[Callable[..., Perturbation | Evolution], float]] = {
    "spsa": (Perturbation, 0.1),
    "cmaes": (Evolution, 0.1),
}
# Name: default learning rate.
OPTIMIZERS: dict[str, float] = {name: kind[1] for name, kind in (_BY_GRADIENT | _BY_VALUES).items()}


def check_optimizer(optimizer: str, learning_rate: float | None = None) -> float:
    """Check the name of an optimizer and its learning rate before a run.

    Args:
        optimizer: Name of an optimizer, see `minimize`.
        learning_rate: Learning rate; None for the default of the optimizer.

    Returns:
        The learning rate that will be used.

    Raises:
        UsageError: If the optimizer is unknown, or the learning rate is not a finite number above zero.

    Example:
        >>> from bondwise.qml import check_optimizer
        >>> check_optimizer("adam"), check_optimizer("sgd", 0.3)
        (0.02, 0.3)
    """
    if optimizer not in OPTIMIZERS:
        raise unknown_name("optimizer", optimizer, OPTIMIZERS)
    return real_number("learning_rate", OPTIMIZERS[optimizer] if learning_rate is None else learning_rate)


def needs_gradient(optimizer: str) -> bool:
    """Whether an optimizer of this name asks for gradients."""
    return optimizer in _BY_GRADIENT


def descent_by(
    optimizer: str,
    losses: Losses,
    start: np.ndarray,
    learning_rate: float | None,
    *,
    metric: Metric | None = None,
    generator: torch.Generator | None = None,
) -> Descent | Perturbation | Evolution:
    """A point that an optimizer moves downhill.

    Args:
        optimizer: Name of the optimizer.
        losses: The loss.
        start: First point, float64.
        learning_rate: Learning rate; None for the default of the optimizer.
        metric: Metric of "qng", see `NaturalGradient`.
        generator: Where the seed of "spsa" and "cmaes" is drawn from; by default, a new one.

    Raises:
        UsageError: As for `check_optimizer`, or if "qng" has no metric.
    """
    rate = check_optimizer(optimizer, learning_rate)
    if optimizer in _BY_VALUES:
        if generator is None:
            generator = torch.Generator()
            generator.seed()
        seed = int(torch.randint(2**31, (), generator=generator))
        return _BY_VALUES[optimizer][0](losses, start, rate, seed)
    make, _, settings = _BY_GRADIENT[optimizer]
    if optimizer == "qng":
        if metric is None:
            raise UsageError(
                "optimizer 'qng' needs the metric of a circuit; write bondwise.qml.VQE(…, optimizer='qng'), "
                "or optimizer='lbfgs' here."
            )
        settings = {"metric": metric}
    return Descent(losses, start, make, rate, settings)


class Descent:
    """A point that a torch optimizer moves downhill.

    Args:
        losses: The loss, differentiable.
        start: First point, float64.
        make: Class of the optimizer.
        learning_rate: Learning rate.
        settings: Further arguments of the optimizer.
    """

    def __init__(
        self,
        losses: Losses,
        start: np.ndarray,
        make: Callable[..., torch.optim.Optimizer],
        learning_rate: float,
        settings: dict[str, Any],
    ) -> None:
        self.learning_rate = learning_rate
        self._losses = losses
        self._point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        self._optimizer = make([self._point], lr=learning_rate, **settings)
        self._known: dict[bytes, tuple[torch.Tensor, torch.Tensor, float]] = {}

    @property
    def parameters(self) -> np.ndarray:
        """A copy of the point."""
        return self._point.detach().numpy().copy()

    def evaluate(self) -> tuple[float, float, float]:
        """Loss, norm of the gradient and standard error of the loss; raises NotFiniteError."""
        self._closure()
        here = self._point.detach().numpy().tobytes()
        self._known = {here: self._known[here]}
        value, gradient, error = self._known[here]
        return float(value), float(torch.linalg.vector_norm(gradient)), error

    def update(self) -> bool:
        """Take a step of the optimizer from an evaluated point; False if the point did not move."""
        before = self._point.detach().clone()
        self._optimizer.step(self._closure)  # type: ignore[arg-type] # torch types it as returning float
        return not torch.equal(before, self._point)

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, including the evaluation of the point."""
        (evaluation,) = self._known.values()
        return {
            "point": self._point.detach().clone(),
            "evaluation": evaluation[:2],
            "optimiser": self._optimizer.state_dict()["state"],  # as in the files of earlier releases
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        with torch.no_grad():
            self._point.copy_(state["point"])
        # the error of this point is in the history already
        self._known = {self._point.detach().numpy().tobytes(): (*state["evaluation"], 0.0)}
        # not by load_state_dict, which casts: NAdam keeps a float32 product beside float64 moments
        self._optimizer.state[self._point] = state["optimiser"].get(0, {})

    def _closure(self) -> torch.Tensor:
        key = self._point.detach().numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._losses.differentiated(self._point)
        value, gradient, _ = self._known[key]
        self._point.grad = gradient.clone()
        return value
