"""Train a compressed model block by block, until each block answers as the dense model's does.

A block is given what the compressed blocks before it return, and is trained toward the output of the dense
block for the same data, so that it makes up for their errors as well (AA-SVD, arXiv:2604.02119). Only one
block at a time needs gradients, so that models are refined that could not be trained as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import Result, UsageError, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.compress.calibration.batches import batches_of
from bondwise.tn.compress.calibration.blocks import Blocks, hidden
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.training.training import Training, refuse_quantized, shuffled


@dataclass(frozen=True, kw_only=True)
class Refinement(Result):
    """How far each block of a model is from the dense one.

    Attributes:
        value: Mean squared error of the last block's output at the end, relative to the variance.
        errors: The same for each block in its first and last tenth of the steps, float64 (blocks, 2).
    """

    errors: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        parts = [f"{before:.3g} -> {after:.3g}" for before, after in self.errors]
        return f"Refinement: relative squared error by block {', '.join(parts)}"


def refine(
    model: nn.Module,
    teacher: nn.Module,
    *,
    data: Any,
    steps: int = 300,
    batch: int = 4,
    learning_rate: float = 5e-3,
    seed: int | None = None,
    progress: bool = False,
) -> Refinement:
    """Train a compressed model in place, block by block.

    All parameters of a block that has factors are trained, those of its norms and dense layers too.

    Args:
        model: What `compress` returned, with blocks in a `ModuleList`, as models of transformers have.
        teacher: The dense model; it stays as it is.
        data: As for `compress`; the outputs of two blocks are held for all of it. A few times more than for
            `compress` help.
        steps: Steps of Adam for each block.
        batch: Samples per step, if `data` is a tensor.
        learning_rate: Largest step size; it rises over 10 steps and falls as a cosine.
        seed: Random seed of the order of the batches.
        progress: Whether to show a progress bar.

    Returns:
        The errors before and after.

    Raises:
        UsageError: If the model has no blocks, or no factors in them, if they are quantized, or an argument
            is out of range.
        RunError: If the training diverges.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from bondwise.tn.compress import compress, refine
        >>> _ = torch.manual_seed(0)
        >>> config = LlamaConfig(
        ...     vocab_size=20,
        ...     hidden_size=16,
        ...     intermediate_size=32,
        ...     num_hidden_layers=2,
        ...     num_attention_heads=2,
        ... )
        >>> model, tokens = LlamaForCausalLM(config), torch.randint(20, (32, 10))
        >>> small = compress(model, 0.5, data=tokens, seed=0)
        >>> refined = refine(small, model, data=tokens, steps=20, seed=0)
        >>> bool((refined.errors[:, 1] < refined.errors[:, 0]).all())
        True
    """
    whole_number("steps", steps)
    whole_number("batch", batch)
    learning_rate = real_number("learning_rate", learning_rate)
    refuse_quantized(model)
    factored = {name: module for name, module in model.named_modules() if is_factored(module)}
    batches = batches_of(data, batch)
    before, now = Blocks(teacher, factored, batches), Blocks(model, factored, batches)
    if not now.blocks:
        raise UsageError(
            "the model has no factors in a ModuleList of blocks to refine; give what compress returned, or "
            "train it as a whole with heal"
        )
    rng = random_generator(seed)
    errors = np.zeros((len(now.blocks), 2))
    with frozen(teacher), frozen(model), progress_bar(steps * len(now.blocks), "refine", progress) as bar:
        for index, block in enumerate(now.blocks):
            now.advance(index)
            before.advance(index + 1)
            if not any(is_factored(module) for module in block.modules()):
                continue
            variance = float(torch.cat([hidden(one).flatten() for one in before.outputs]).var())
            training = Training([block], steps, learning_rate)
            losses = np.empty(steps)
            for step, drawn in zip(range(steps), shuffled(len(batches), rng), strict=False):
                found = hidden(now.output(block, drawn))
                difference = found.float() - hidden(before.outputs[drawn]).float()
                losses[step] = training.step(difference.square().mean() / variance)
                bar.set_postfix_str(f"block {index + 1}, relative error {losses[step]:.4g}")
                bar.update()
            training.end()
            tenth = max(1, steps // 10)
            errors[index] = losses[:tenth].mean(), losses[-tenth:].mean()
    return Refinement(value=float(errors[-1, 1]), seed=seed, errors=errors)
