"""The optimization driver: histories, callbacks, early stopping, checkpoints and bit-identical resumption.

A history is one array per quantity with one entry per step. Entry k belongs to the parameters after k
updates, so a run of `steps` updates has steps + 1 entries.

A checkpoint holds everything that the next update depends on, including the loss and gradient just computed.
A run that is killed and resumed therefore follows the path of an uninterrupted one, bit for bit.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bondwise.qml.training.optimizers import Descent, NotFiniteError
from bondwise.runs import (
    Result,
    UsageError,
    axes_or_new,
    load_checkpoint,
    progress_bar,
    real_array,
    real_number,
    save_checkpoint,
    whole_number,
)
from bondwise.runs.result import brief_repr, html_curve


class StopTraining(Exception):  # noqa: N818 (not an error)
    """Exception that a callback raises to end the training early; its text becomes the message of the result.

    Example:
        >>> from bondwise.qml import StopTraining, minimize
        >>> def enough(step):
        ...     if step.loss < 0.5:
        ...         raise StopTraining("good enough")
        >>> minimize(lambda x: (x**2).sum(), [1.0], learning_rate=0.1, callbacks=[enough]).message
        'good enough'
    """


@dataclass(frozen=True)
class Step:
    """State of a training, passed to each callback after an evaluation.

    Attributes:
        step: Number of updates so far.
        loss: Loss at `parameters`.
        gradient_norm: Euclidean norm of the gradient at `parameters`.
        parameters: Copy of the parameters, float64.
        seconds: Wall time since the beginning, including earlier runs that were resumed.

    Example:
        >>> from bondwise.qml import minimize
        >>> steps = []
        >>> _ = minimize(lambda x: (x**2).sum(), [1.0], steps=2, callbacks=[steps.append])
        >>> [step.step for step in steps]
        [0, 1, 2]
    """

    step: int
    loss: float
    gradient_norm: float
    parameters: np.ndarray
    seconds: float

    __repr__ = brief_repr


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """Result of a training; `value` is the lowest loss, or NaN if there is none.

    Attributes:
        parameters: Parameters with the lowest loss, float64, in the shape given.
        last: Parameters of the last entry of the histories.
        losses: Loss after k updates, float64 of shape (steps + 1,).
        gradient_norms: Euclidean norm of the gradient after k updates, float64 of shape (steps + 1,).
        seconds: Wall time since the beginning after k updates, float64 of shape (steps + 1,).
        converged: Whether a stopping rule ended the training, rather than the step limit, a callback or a
            failure.
        message: Reason why the training ended.

    Example:
        >>> from bondwise.qml import minimize
        >>> training = minimize(lambda x: (x**2).sum(), [1.0], optimizer="sgd", steps=3)
        >>> training.losses.round(4)
        array([1.    , 0.81  , 0.6561, 0.5314])
        >>> training.converged, training.message
        (False, 'all 3 steps were taken')
    """

    parameters: np.ndarray
    last: np.ndarray
    losses: np.ndarray
    gradient_norms: np.ndarray
    seconds: np.ndarray
    converged: bool
    message: str

    def _repr_html_(self) -> str:
        return super()._repr_html_() + html_curve("loss by step", self.losses)

    def plot(self, ax: Any = None) -> Any:
        """Plot the loss against the step.

        Args:
            ax: Matplotlib axes to plot on; a new figure by default.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        ax.plot(np.arange(len(self.losses)), self.losses)
        ax.set_xlabel("step")
        ax.set_ylabel("loss")
        return ax


def minimize(
    loss: Callable[[torch.Tensor], torch.Tensor],
    parameters: Any,
    *,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    steps: int = 200,
    callbacks: Iterable[Callable[[Step], object]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = False,
    patience: int | None = None,
    tolerance: float = 0.0,
    generator: torch.Generator | None = None,
    progress: bool | str = False,
    run: str = "",
) -> Training:
    """Minimize a differentiable function.

    Args:
        loss: Function from a float64 tensor of the shape of `parameters` to a scalar tensor.
        parameters: Starting point, an array or tensor of any shape; computations are in float64.
        optimizer: `"adam"`, `"nadam"`, `"rmsprop"`, `"sgd"` or `"lbfgs"` (strong Wolfe line search; a step is
            one outer iteration with one or more evaluations).
        learning_rate: Learning rate. The default is 0.02 for adam and nadam, 0.01 for rmsprop, 0.05 for sgd
            and 1 for lbfgs.
        steps: Maximum number of updates, including those made before resuming.
        callbacks: Functions that are called in turn with a `Step` after each evaluation. They may raise
            `StopTraining`.
        checkpoint: File for the state of the run. It must not exist unless `resume` is set.
        checkpoint_every: Number of steps between checkpoints; one is also written at the end.
        resume: Whether to continue from `checkpoint` if it exists; only the shape of `parameters` is then
            used.
        patience: Number of steps within which the best loss must fall by more than `tolerance`; otherwise the
            training ends as converged. None disables this rule.
        tolerance: Smallest improvement that counts for `patience`, in units of the loss.
        generator: Random generator that `loss` draws from; its state is part of the checkpoint.
        progress: Whether to show a progress bar; a string is its title.
        run: Fingerprint of the problem. A checkpoint with another one is refused.

    Returns:
        Result of the training. If the point, the loss or the gradient becomes infinite or NaN, the training
        ends with `converged=False`, names the step in `message`, and keeps the best parameters so far. If no
        update has lowered the loss, these are the starting parameters, and the message says so.

    Raises:
        UsageError: If the optimizer is unknown, a number is out of range, the loss is not a differentiable
            number, or the checkpoint already exists, is damaged or belongs to another run.
        RunError: If the checkpoint cannot be written.

    Example:
        >>> from bondwise.qml import minimize
        >>> result = minimize(lambda x: ((x - 3) ** 2).sum(), [0.0, 1.0], optimizer="lbfgs", steps=20)
        >>> result.parameters.round(6)
        array([3., 3.])
    """
    start, callbacks = _checked_start(parameters), tuple(callbacks)
    descent = Descent(loss, start, optimizer, learning_rate)
    whole_number("steps", steps, least=0)
    whole_number("checkpoint_every", checkpoint_every)
    if patience is not None:
        whole_number("patience", patience)
    real_number("tolerance", tolerance, zero=True)
    if resume and checkpoint is None:
        raise UsageError("resume=True has nothing to resume from; give checkpoint=FILE.")
    if not resume and checkpoint is not None and Path(checkpoint).exists():
        raise UsageError(f"checkpoint {checkpoint} exists; write resume=True to continue it, or delete it.")
    run = f"{run} | {optimizer} {descent.learning_rate!r} | {start.shape}"

    trace: list[tuple[float, float, float]] = []  # loss, gradient norm, seconds
    best, last, step, message, converged = start, start, 0, "", False
    if checkpoint is not None and Path(checkpoint).exists():
        state = load_checkpoint(checkpoint, run=run)
        descent.restore(state["descent"])
        if generator is not None:
            generator.set_state(state["generator"])
        trace = [tuple(row) for row in state["trace"].tolist()]
        best, last, step = state["best"], descent.parameters, len(trace) - 1
    beginning = time.perf_counter() - (trace[-1][2] if trace else 0.0)

    title = progress if isinstance(progress, str) else "training"
    with progress_bar(steps, title, bool(progress), first=step) as bar:
        try:
            while True:
                if step == len(trace):  # otherwise a checkpoint was written here
                    value, norm = descent.evaluate()
                    last = descent.parameters
                    if value < min((row[0] for row in trace), default=math.inf):
                        best = last
                    trace.append((value, norm, time.perf_counter() - beginning))
                    bar.set_postfix_str(f"loss {value:.6g}", refresh=False)
                    message = _call(callbacks, Step(step, value, norm, last.copy(), trace[-1][2]))
                if not message:
                    message, converged = _rule_met([row[0] for row in trace], steps, patience, tolerance)
                if checkpoint is not None and (message or step % checkpoint_every == 0):
                    state = {"descent": descent.state(), "trace": np.array(trace), "best": best}
                    state["generator"] = None if generator is None else generator.get_state()
                    save_checkpoint(checkpoint, state, run=run)
                if message:
                    break
                step += 1
                if not descent.update():
                    message, converged = f"no step left to take after {step - 1} steps", True
                    break
                bar.update()
        except NotFiniteError as error:
            message = f"{error} at step {step}; the parameters are those before it"
    columns = np.array(trace).reshape(-1, 3).T.copy()
    message += _no_gain(columns[0])
    return Training(
        value=min(columns[0].tolist(), default=math.nan),
        seed=None if generator is None else generator.initial_seed(),
        parameters=best,
        last=last,
        losses=columns[0],
        gradient_norms=columns[1],
        seconds=columns[2],
        converged=converged,
        message=message,
    )


def _call(callbacks: Iterable[Callable[[Step], object]], step: Step) -> str:
    """Call the callbacks and return a reason to stop, or an empty string."""
    try:
        for callback in callbacks:
            callback(step)
    except StopTraining as stop:
        return str(stop) or f"stopped by a callback at step {step.step}"
    return ""


def _no_gain(losses: np.ndarray) -> str:
    """What to say, and to try, if no update has lowered the loss; otherwise an empty string."""
    if len(losses) < 2 or losses[1:].min() < losses[0]:
        return ""
    return (
        f"; the training did not improve on its start, {losses[0]:.6g} (lowest after it: "
        f"{losses[1:].min():.6g}): try L-BFGS or a smaller learning rate"
    )


def _rule_met(losses: list[float], steps: int, patience: int | None, tolerance: float) -> tuple[str, bool]:
    """Reason to stop, or an empty string, and whether the training has converged."""
    if patience is not None and len(losses) > patience:
        fallen = min(losses[:-patience]) - min(losses[-patience:])
        if fallen <= tolerance:
            return f"the last {patience} steps lowered the loss by no more than {tolerance:g}", True
    if len(losses) > steps:
        return f"all {steps} steps were taken", False
    return "", False


def _checked_start(parameters: Any) -> np.ndarray:
    start = real_array("the starting parameters", parameters)
    if not start.size or not np.isfinite(start).all():
        raise UsageError("the starting parameters must be one or more finite numbers.")
    return start
