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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bondwise.qml.training.losses import Loss, Losses, NotFiniteError
from bondwise.qml.training.optimizers import Metric, descent_by, needs_gradient
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
        gradient_norm: Euclidean norm of the gradient at `parameters`; NaN for spsa and cmaes.
        parameters: Copy of the parameters, float64.
        seconds: Wall time since the beginning, including earlier runs that were resumed.
        std: Standard error of `loss`; 0 if it is exact.

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
    std: float = 0.0

    __repr__ = brief_repr


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """Result of a training; `value` is the lowest loss or, without any, NaN, and `std` its standard error.

    Attributes:
        parameters: Parameters with the lowest loss, float64, in the shape given.
        last: Parameters of the last entry of the histories.
        losses: Loss after k updates, float64 of shape (steps + 1,).
        stds: Standard error of the loss after k updates, float64 of shape (steps + 1,); 0 if it is exact.
        gradient_norms: Euclidean norm of the gradient after k updates, float64 of shape (steps + 1,); NaN for
            spsa and cmaes, which compute none.
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
    stds: np.ndarray = field(default_factory=lambda: np.zeros(0))  # a result of an earlier release has none

    def _repr_html_(self) -> str:
        return super()._repr_html_() + html_curve("loss by step", self.losses)

    def plot(self, ax: Any = None) -> Any:
        """Plot the loss against the step, in a band of one standard error if there is one.

        Args:
            ax: Matplotlib axes to plot on; a new figure by default.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        steps = np.arange(len(self.losses))
        ax.plot(steps, self.losses)
        if self.stds.any():
            ax.fill_between(steps, self.losses - self.stds, self.losses + self.stds, alpha=0.25, lw=0)
        ax.set_xlabel("step")
        ax.set_ylabel("loss")
        return ax


def minimize(
    loss: Loss,
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
    batched: bool = False,
    metric: Metric | None = None,
    generator: torch.Generator | None = None,
    progress: bool | str = False,
    run: str = "",
) -> Training:
    """Minimize a function.

    Args:
        loss: Function from a float64 tensor of the shape of `parameters` to a scalar tensor, or to a pair of
            it and its standard error. It must be differentiable, except for spsa and cmaes, which take plain
            numbers too.
        parameters: Starting point, an array or tensor of any shape; computations are in float64.
        optimizer: `"adam"`, `"nadam"`, `"rmsprop"`, `"sgd"`, `"lbfgs"` (strong Wolfe line search; a step is
            one outer iteration with one or more evaluations), or `"qng"` (natural gradient, arXiv:1909.02108,
            with `metric`). Without gradients: `"spsa"` (Spall 1998; a step is two evaluations, and one for
            the history) or `"cmaes"` (arXiv:1604.00772; a step is one generation of 4 + ⌊3 ln P⌋ candidates
            for P parameters, and the histories are those of its mean).
        learning_rate: Learning rate. The default is 0.02 for adam and nadam, 0.01 for rmsprop, 0.05 for sgd,
            1 for lbfgs and 0.1 for the others. For spsa it is the mean size of the first step of each
            parameter, found from the slopes along 10 directions, or less where the loss curves up so much
            that it would rise; for cmaes, the standard deviation of the first generation.
        steps: Maximum number of updates, including those made before resuming.
        callbacks: Functions that are called in turn with a `Step` after each evaluation. They may raise
            `StopTraining`.
        checkpoint: File for the state of the run. It must not exist unless `resume` is set.
        checkpoint_every: Number of steps between checkpoints; one is also written at the end.
        resume: Whether to continue from `checkpoint` if it exists; only the shape of `parameters` is then
            used.
        patience: Number of steps within which the best loss must fall by more than `tolerance` and, if losses
            have standard errors, by more than that of the difference besides; otherwise the training ends as
            converged. None disables this rule.
        tolerance: Smallest improvement that counts for `patience`, in units of the loss.
        batched: Whether `loss` also takes several points at once, (N, *shape), and then returns N losses; all
            those of a step of spsa or cmaes are then one call.
        metric: Metric of qng, a function from a tensor of the shape of `parameters` to a positive
            semidefinite (P, P); `VQE` has its own: whole on `statevector`, and diagonal blocks elsewhere.
        generator: Random generator that `loss` draws from, and spsa and cmaes their seeds; its state is part
            of the checkpoint.
        progress: Whether to show a progress bar; a string is its title.
        run: Fingerprint of the problem. A checkpoint with another one is refused.

    Returns:
        Result of the training. If the point, the loss or the gradient becomes infinite or NaN, the training
        ends with `converged=False`, names the step in `message`, and keeps the best parameters so far. If no
        update has lowered the loss, these are the starting parameters, and the message says so.

    Raises:
        UsageError: If the optimizer is unknown or lacks its metric, a number is out of range, the loss is not
            a number or not differentiable, or the checkpoint already exists, is damaged or belongs to another
            run.
        RunError: If the checkpoint cannot be written.

    Example:
        >>> from bondwise.qml import minimize
        >>> result = minimize(lambda x: ((x - 3) ** 2).sum(), [0.0, 1.0], optimizer="lbfgs", steps=20)
        >>> result.parameters.round(6)
        array([3., 3.])
        >>> import torch
        >>> draws = torch.Generator().manual_seed(0)
        >>> kinks = lambda x: abs(x[0]) + abs(x[1] - 1)
        >>> minimize(kinks, [1.0, 3.0], optimizer="cmaes", generator=draws).parameters.round(6) + 0.0
        array([0., 1.])
    """
    start, callbacks = _checked_start(parameters), tuple(callbacks)
    descent = descent_by(
        optimizer, Losses(loss, batched), start, learning_rate, metric=metric, generator=generator
    )
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

    trace: list[tuple[float, float, float, float]] = []  # loss, gradient norm, seconds, standard error
    best, last, step, message, converged = start, start, 0, "", False
    if checkpoint is not None and Path(checkpoint).exists():
        state = load_checkpoint(checkpoint, run=run)
        descent.restore(state["descent"])
        if generator is not None:
            generator.set_state(state["generator"])
        trace = [(*row[:3], row[3] if len(row) > 3 else 0.0) for row in state["trace"].tolist()]
        best, last, step = state["best"], descent.parameters, len(trace) - 1
    beginning = time.perf_counter() - (trace[-1][2] if trace else 0.0)

    title = progress if isinstance(progress, str) else "training"
    with progress_bar(steps, title, bool(progress), first=step) as bar:
        try:
            while True:
                if step == len(trace):  # otherwise a checkpoint was written here
                    value, norm, error = descent.evaluate()
                    last = descent.parameters
                    if value < min((row[0] for row in trace), default=math.inf):
                        best = last
                    trace.append((value, norm, time.perf_counter() - beginning, error))
                    bar.set_postfix_str(f"loss {value:.6g}", refresh=False)
                    message = _call(callbacks, Step(step, value, norm, last.copy(), trace[-1][2], error))
                if not message:
                    message, converged = _rule_met(np.array(trace)[:, [0, 3]], steps, patience, tolerance)
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
    columns = np.array(trace).reshape(-1, 4).T.copy()
    message += _no_gain(columns[0], optimizer)
    lowest = int(columns[0].argmin()) if trace else None
    return Training(
        value=math.nan if lowest is None else float(columns[0, lowest]),
        std=0.0 if lowest is None else float(columns[3, lowest]),
        seed=None if generator is None else generator.initial_seed(),
        parameters=best,
        last=last,
        losses=columns[0],
        gradient_norms=columns[1],
        seconds=columns[2],
        stds=columns[3],
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


def _no_gain(losses: np.ndarray, optimizer: str) -> str:
    """What to say, and to try, if no update has lowered the loss; otherwise an empty string."""
    if len(losses) < 2 or losses[1:].min() < losses[0]:
        return ""
    return (
        f"; the training did not improve on its start, {losses[0]:.6g} (lowest after it: "
        f"{losses[1:].min():.6g}): try {'L-BFGS or ' * needs_gradient(optimizer)}a smaller learning rate"
    )


def _rule_met(losses: np.ndarray, steps: int, patience: int | None, tolerance: float) -> tuple[str, bool]:
    """Reason to stop after losses and their errors (K, 2), or an empty string; and whether it converged."""
    if patience is not None and len(losses) > patience:
        best, recent = (part[part[:, 0].argmin()] for part in (losses[:-patience], losses[-patience:]))
        error = math.hypot(*np.nan_to_num([best[1], recent[1]]))
        if best[0] - recent[0] <= tolerance + error:
            beyond = f" beyond the standard error of {error:.2g}" if error else ""
            return f"the last {patience} steps lowered the loss by no more than {tolerance:g}{beyond}", True
    if len(losses) > steps:
        return f"all {steps} steps were taken", False
    return "", False


def _checked_start(parameters: Any) -> np.ndarray:
    start = real_array("the starting parameters", parameters)
    if not start.size or not np.isfinite(start).all():
        raise UsageError("the starting parameters must be one or more finite numbers.")
    return start
