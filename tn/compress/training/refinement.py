"""Train a compressed model block by block, for the model as a whole to answer as the dense one does.

A block is given what the compressed blocks before it return, as it has to make up for their errors as well
(AA-SVD, arXiv:2604.02119). What it returns goes on through the compressed blocks after it, which are yet to
be trained, and the loss is the divergence of their answer from the dense model's. That the block's output is
close to the dense block's is not enough: what the rest of the model makes of the difference matters, and that
rest is not dense either. Only one block at a time is trained, so that models are refined that could not be
trained as a whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import Result, UsageError, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.compress.calibration.batches import batches_of, divergence
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.journal import Journal
from bondwise.tn.compress.training.training import Training, refuse_quantized, shuffled


@dataclass(frozen=True, kw_only=True)
class Refinement(Result):
    """How the blocks of a model came closer to the dense ones.

    Attributes:
        value: Divergence from the dense model in the end, in nats per token or sample.
        losses: For each block, the divergence of the model in the first and in the last tenth of its steps,
            float64 (blocks, 2); 0 for blocks without factors.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn.compress import Refinement
        >>> print(Refinement(value=0.1, losses=np.array([[0.3, 0.2], [0.2, 0.1]])))
        Refinement: divergence by block 0.3 -> 0.2, 0.2 -> 0.1
    """

    losses: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        parts = [f"{before:.3g} -> {after:.3g}" for before, after in self.losses]
        return f"Refinement: divergence by block {', '.join(parts)}"


def refine(
    model: nn.Module,
    teacher: nn.Module,
    *,
    data: Any,
    steps: int = 600,
    batch: int = 4,
    learning_rate: float = 3e-3,
    seed: int | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Refinement:
    """Train a compressed model in place, block by block.

    All parameters of a block that has factors are trained, those of its norms and dense layers too.

    Args:
        model: What `compress` returned, with blocks in a `ModuleList`, as models of transformers have.
        teacher: The dense model; it stays as it is.
        data: As for `compress`; the outputs of two blocks are held for all of it. Best are as many batches
            as steps, so that none comes twice.
        steps: Steps of Adam for each block.
        batch: Samples per step, if `data` is a tensor.
        learning_rate: Largest step size; it rises over 10 steps and falls as a cosine.
        seed: Random seed of the order of the batches.
        progress: Whether to show a progress bar.
        checkpoint: Folder for what is finished, from which the same call continues after it was killed.

    Returns:
        The losses before and after.

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
        ...     initializer_range=0.3,
        ... )
        >>> model, tokens = LlamaForCausalLM(config), torch.randint(20, (32, 10))
        >>> small = compress(model, 0.5, data=tokens, seed=0)
        >>> refined = refine(small, model, data=tokens, steps=20, batch=32, seed=0)
        >>> bool((refined.losses[:, 1] < refined.losses[:, 0]).all())
        True
    """
    whole_number("steps", steps)
    whole_number("batch", batch)
    learning_rate = real_number("learning_rate", learning_rate)
    refuse_quantized(model)
    factored = {name: module for name, module in model.named_modules() if is_factored(module)}
    batches = batches_of(data, batch)
    before, now = Blocks.found_in(teacher, factored, batches), Blocks.found_in(model, factored, batches)
    if not now.blocks:
        raise UsageError(
            "the model has no factors in a ModuleList of blocks to refine, each called once; give what "
            "compress returned, or train it as a whole with heal"
        )
    journal = Journal(checkpoint, model, teacher, batches, steps, learning_rate, seed)
    rng = random_generator(seed)
    losses = np.zeros((len(now.blocks), 2))
    with frozen(teacher), frozen(model), progress_bar(steps * len(now.blocks), "refine", progress) as bar:
        before.advance(len(before.blocks))
        for index, block in enumerate(now.blocks):
            now.advance(index)
            if not any(is_factored(module) for module in block.modules()):
                continue
            order = [drawn for _, drawn in zip(range(steps), shuffled(len(batches), rng), strict=False)]
            kept = journal.get(f"refined-{index}")
            if kept is not None:
                block.load_state_dict(kept["state"])
                losses[index] = kept["losses"]
                bar.update(steps)
                continue
            found = np.empty(steps)
            with Training([block], steps, learning_rate) as training:
                for step, drawn in enumerate(order):
                    with torch.no_grad():
                        wanted = before.run(drawn)
                    found[step] = training.step(divergence(now.run(drawn), wanted))
                    bar.set_postfix_str(f"block {index + 1}, divergence {found[step]:.4g}")
                    bar.update()
            tenth = max(1, steps // 10)
            losses[index] = found[:tenth].mean(), found[-tenth:].mean()
            journal.put(f"refined-{index}", {"state": dict(block.state_dict()), "losses": losses[index]})
    return Refinement(value=float(losses[losses.any(1)][-1, 1]), seed=seed, losses=losses)
