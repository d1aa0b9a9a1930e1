"""The optimization driver: a trace, callbacks, early stop, checkpoints and bit-identical resumption.

Row k of every trace belongs to the parameters after k updates: a run of `steps` updates has steps + 1 rows.
A checkpoint holds all that the next update depends on, the loss and gradient just computed included; a run
that is killed and resumed therefore follows the very path of one that was not, bit for bit.
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


class StopTraining(Exception):  # noqa: N818 (not an error)
    """Raised by a callback to end the training in good order; its text becomes the result's message."""


@dataclass(frozen=True)
class Step:
    """What a callback is given after each evaluation.

    Attributes:
        step: Number of updates made so far.
        loss: The loss at `parameters`.
        gradient_norm: Euclidean norm of its gradient.
        parameters: A copy, float64.
        seconds: Since the beginning, earlier runs that were resumed included.
    """

    step: int
    loss: float
    gradient_norm: float
    parameters: np.ndarray
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """How a training went; `value` is the lowest loss met, nan if there was none.

    Attributes:
        parameters: Where the loss was lowest, float64, of the shape given.
        last: Parameters of the last row of the trace.
        losses: Loss after k updates, float64 of shape (rows,).
        gradient_norms: Euclidean norm of the gradient after k updates, shape (rows,).
        seconds: Wall time since the beginning, shape (rows,).
        converged: Whether a stopping rule was met, as opposed to the limit of steps, a callback or a failure.
        message: Why it ended, in words.
    """

    parameters: np.ndarray
    last: np.ndarray
    losses: np.ndarray
    gradient_norms: np.ndarray
    seconds: np.ndarray
    converged: bool
    message: str

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss against the steps.

        Args:
            ax: Matplotlib Axes; None makes a figure.

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
        loss: Maps a float64 tensor of the shape of `parameters` to a scalar tensor.
        parameters: Where to start: array or tensor of any shape; computed with in float64.
        optimizer: `"adam"`, `"nadam"`, `"rmsprop"`, `"sgd"` or `"lbfgs"` (strong Wolfe line search; one step
            is one outer iteration, of one evaluation or a few).
        learning_rate: None takes 0.02 for adam and nadam, 0.01 for rmsprop, 0.05 for sgd, 1 for lbfgs.
        steps: Number of updates at most, those before a resumption included.
        callbacks: Called in turn with a `Step` after each evaluation; may raise `StopTraining`.
        checkpoint: File to keep the state of the run in; it must not exist unless `resume` is set.
        checkpoint_every: Write it after so many steps, and at the end.
        resume: Continue from `checkpoint` if it is there; of `parameters` only the shape is used then.
        patience: End, converged, when the last so many steps have not lowered the best loss by more than
            `tolerance`. None: never.
        tolerance: See `patience`; in units of the loss.
        generator: The source of randomness that `loss` draws from, if any: it is part of the checkpoint.
        progress: Show a bar, with this title if it is text.
        run: Fingerprint of what is minimized; a checkpoint with another one is refused.

    Returns:
        The training. A point, loss or gradient that is not finite ends it with `converged` False, the step in
        `message`, and the parameters that were good.

    Raises:
        UsageError: An unknown optimizer, a number out of range, a loss that is no differentiable number, or a
            checkpoint that is there when it must not be, damaged, or of another run.
        RunError: The checkpoint cannot be written.
    """
    start, callbacks = _checked_start(parameters), tuple(callbacks)
    descent = Descent(loss, start, optimizer, learning_rate)
    whole_number("steps", steps, least=0)
    whole_number("checkpoint_every", checkpoint_every)
    if patience is not None:
        whole_number("patience", patience)
    real_number("tolerance", tolerance, zero=True)
    if resume and checkpoint is None:
        raise UsageError("there is nothing to resume from; give checkpoint=FILE.")
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

    with progress_bar(steps, progress if isinstance(progress, str) else "training", bool(progress)) as bar:
        bar.update(step)
        try:
            while True:
                if step == len(trace):  # else a checkpoint was written here
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
    """Call them all; the reason to stop if one gave it."""
    try:
        for callback in callbacks:
            callback(step)
    except StopTraining as stop:
        return str(stop) or f"stopped by a callback at step {step.step}"
    return ""


def _rule_met(losses: list[float], steps: int, patience: int | None, tolerance: float) -> tuple[str, bool]:
    """The reason to stop, empty if there is none, and whether it is convergence."""
    if patience is not None and len(losses) > patience:
        fallen = min(losses[:-patience]) - min(losses[-patience:])
        if fallen <= tolerance:
            return f"the last {patience} steps lowered the loss by no more than {tolerance:g}", True
    if len(losses) > steps:
        return f"all {steps} steps were taken", False
    return "", False


def _checked_start(parameters: Any) -> np.ndarray:
    start = real_array("the parameters to start from", parameters)
    if not start.size or not np.isfinite(start).all():
        raise UsageError("the parameters to start from must be finite numbers, at least one.")
    return start
