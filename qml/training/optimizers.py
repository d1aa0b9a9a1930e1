"""A torch optimizer for one function, which can save everything that its next update depends on.

All optimizers are driven by `step(closure)`. L-BFGS calls the closure several times; a point that it
returns to is not evaluated again, nor is the end of a line search, where the next update starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bondwise.runs import UsageError, real_number, unknown_name

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
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], float, dict[str, Any]]] = {
    "adam": (torch.optim.Adam, 0.02, {}),
    "nadam": (torch.optim.NAdam, 0.02, {}),
    "rmsprop": (torch.optim.RMSprop, 0.01, {}),
    "sgd": (torch.optim.SGD, 0.05, {}),
    "lbfgs": (torch.optim.LBFGS, 1.0, _LBFGS),
}


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or the point itself is infinite or NaN."""


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
    default = OPTIMIZERS[optimizer][1]
    return real_number("learning_rate", default if learning_rate is None else learning_rate)


class Descent:
    """A point that an optimizer moves downhill.

    Args:
        loss: Function from a float64 tensor of the shape of `start` to a scalar tensor.
        start: First point, float64.
        optimizer: Key of `OPTIMIZERS`.
        learning_rate: Learning rate; None for the default of the optimizer.
    """

    def __init__(
        self,
        loss: Callable[[torch.Tensor], torch.Tensor],
        start: np.ndarray,
        optimizer: str,
        learning_rate: float | None,
    ) -> None:
        self.learning_rate = check_optimizer(optimizer, learning_rate)
        make, _, settings = OPTIMIZERS[optimizer]
        self._loss = loss
        self._point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        self._optimizer = make([self._point], lr=self.learning_rate, **settings)
        self._known: dict[bytes, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def parameters(self) -> np.ndarray:
        """A copy of the point."""
        return self._point.detach().numpy().copy()

    def evaluate(self) -> tuple[float, float]:
        """Loss and norm of the gradient at the point; raises NotFiniteError if one is not finite."""
        self._closure()
        here = self._point.detach().numpy().tobytes()
        self._known = {here: self._known[here]}
        value, gradient = self._known[here]
        return float(value), float(torch.linalg.vector_norm(gradient))

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
            "evaluation": evaluation,
            "optimiser": self._optimizer.state_dict()["state"],  # as in the files of earlier releases
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        with torch.no_grad():
            self._point.copy_(state["point"])
        self._known = {self._point.detach().numpy().tobytes(): tuple(state["evaluation"])}
        # not by load_state_dict, which casts: NAdam keeps a float32 product beside float64 moments
        self._optimizer.state[self._point] = state["optimiser"].get(0, {})

    def _closure(self) -> torch.Tensor:
        key = self._point.detach().numpy().tobytes()
        if key not in self._known:
            if not torch.isfinite(self._point).all():  # a step too large for float64
                raise NotFiniteError("the point is not finite")
            with torch.enable_grad():
                value = self._loss(self._point)
            if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
                raise UsageError(
                    "the loss must return one number, as a torch tensor that depends on the parameters."
                )
            (gradient,) = torch.autograd.grad(value.reshape(()), self._point)
            for name, tensor in [("loss", value), ("gradient", gradient)]:
                if not torch.isfinite(tensor).all():
                    raise NotFiniteError(f"the {name} is not finite")
            self._known[key] = value.detach().reshape(()), gradient
        value, gradient = self._known[key]
        self._point.grad = gradient.clone()
        return value
