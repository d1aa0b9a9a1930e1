"""Train a compressed model to answer as the dense one does (distillation, Hinton et al., arXiv:1503.02531).

The loss is the divergence from the dense model's answers: no labels are needed, and what the dense model does
not know is not learnt either.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import Result, UsageError, progress_bar, random_generator, real_number, whole_number
from bondwise.runs.result import html_curve
from bondwise.tn.compress.calibration.batches import (
    answer,
    batches_of,
    compared,
    compared_as,
    divergence,
    read_outputs,
)
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.formats.formats import is_factored, require_order
from bondwise.tn.compress.training.lora import additions
from bondwise.tn.compress.training.training import Check, Training, refuse_quantized, shuffled


@dataclass(frozen=True, kw_only=True)
class Healing(Result):
    """How the loss went while a model healed.

    Attributes:
        value: Divergence of the model from the dense one in the end, in nats per token or sample, on up to 32
            of the batches.
        before: The same before the first step.
        undone: None; or what the training would have ended with, if that is more, so that the model is as it
            was before.
        losses: Divergence from the dense model in each step, float64 (steps,).
        outputs: `logits` or `values`: how the outputs were compared.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, heal
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> small = compress(model, 0.3, data=data, seed=0)
        >>> heal(small, model, data=data, steps=5, seed=0).losses.shape
        (5,)
    """

    before: float
    undone: float | None = None
    losses: np.ndarray = field(repr=False)
    outputs: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        said = f"Healing: {len(self.losses)} steps, divergence {self.before:.4g} -> "
        if self.undone is None:
            return f"{said}{self.value:.4g}{compared(self.outputs, self.unit)}"
        return (
            f"{said}{self.undone:.4g}{compared(self.outputs, self.unit)}; training made it worse, so that "
            "the model was left as it was; lower learning_rate"
        )

    def _repr_html_(self) -> str:
        return super()._repr_html_() + html_curve("divergence by step", self.losses)


def heal(
    model: nn.Module,
    teacher: nn.Module,
    *,
    data: Any,
    steps: int = 100,
    batch: int = 4,
    learning_rate: float = 1e-3,
    train: str = "all",
    outputs: str | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Healing:
    """Train a compressed model in place, as a whole.

    Args:
        model: What `compress` returned.
        teacher: The dense model; it stays as it is.
        data: As for `compress`, the more the better.
        steps: Steps of Adam.
        batch: Samples per step, if `data` is a tensor.
        learning_rate: Largest step size; it rises over 10 steps and falls as a cosine. Straight after
            `compress` to few parameters 3e-3 is better, after `refine` 5e-4.
        train: `all` parameters, `factors`, or `lora`: additions of rank 8 to all matrices except embeddings,
            which are part of the matrices afterwards.
        outputs: `logits` or `values`; None for what `compress` took them for, or as there.
        seed: Random seed of the order of the batches.
        progress: Whether to show a progress bar.

    Returns:
        The divergence before and after, and the loss in each step. A training that ends with more than it
        began with is undone, and the result says so.

    Raises:
        UsageError: If `train="factors"` finds none, if the model is quantized, if it is the teacher, or an
            argument is out of range.
        RunError: If a loss is not finite; the model is as it was before.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, heal
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> small = compress(model, 0.3, data=data, seed=0)
        >>> healing = heal(small, model, data=data, steps=50, batch=64, seed=0)
        >>> healing.value < healing.before
        True
    """
    whole_number("steps", steps)
    whole_number("batch", batch)
    learning_rate = real_number("learning_rate", learning_rate)
    if train not in ("all", "factors", "lora"):
        raise UsageError(f"train={train!r} must be 'all', 'factors' or 'lora'")
    modules = [module for module in model.modules() if is_factored(module)] if train == "factors" else [model]
    refuse_quantized(model)
    require_order(model, teacher)
    if not modules:
        raise UsageError("the model has no factors to train; give what compress returned, or train='all'")
    batches = batches_of(data, batch, read_outputs(outputs, model))
    check = Check(len(batches), lambda index: answer(teacher, batches[index]))
    rng = random_generator(seed)
    losses = np.empty(steps)
    with (
        frozen(teacher),
        frozen(model),
        additions(model, rng) if train == "lora" else nullcontext(modules) as trained,
        Training(trained, steps, learning_rate) as training,
        progress_bar(steps, "heal", progress) as bar,
    ):
        before = check.divergence(lambda index: answer(model, batches[index]))
        for step, index in zip(range(steps), shuffled(len(batches), rng), strict=False):
            drawn = batches[index]
            with torch.no_grad():
                wanted = answer(teacher, drawn)
            losses[step] = training.step(divergence(answer(model, drawn), wanted))
            bar.set_postfix_str(f"divergence {losses[step]:.4g}")
            bar.update()
        after = check.divergence(lambda index: answer(model, batches[index]))
        better = after <= before
        if not better:
            training.undo()
        kind, unit = compared_as(teacher, batches[0])
    return Healing(
        value=after if better else before,
        before=before,
        undone=None if better else after,
        seed=seed,
        losses=losses,
        outputs=kind,
        unit=unit,
    )
