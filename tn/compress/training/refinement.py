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
from bondwise.tn.compress.calibration.batches import (
    batches_of,
    compared,
    compared_as,
    divergence,
    read_outputs,
)
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.formats.formats import is_factored, require_order
from bondwise.tn.compress.journal import Journal
from bondwise.tn.compress.training.training import Check, Training, refuse_quantized, shuffled


@dataclass(frozen=True, kw_only=True)
class Refinement(Result):
    """How the blocks of a model came closer to the dense ones.

    Attributes:
        value: Divergence from the dense model in the end, in nats per token or sample, on up to 32 of the
            batches.
        losses: For each block, the divergence of the model before and after its training, float64
            (blocks, 2); 0 for blocks without factors.
        undone: Numbers of the blocks, from 1, whose training would have ended with a larger divergence and
            which were left as they were.
        outputs: `logits` or `values`: how the outputs were compared.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn.compress import Refinement
        >>> print(Refinement(value=0.1, losses=np.array([[0.3, 0.2], [0.2, 0.1]])))
        Refinement: divergence by block 0.3 -> 0.2, 0.2 -> 0.1
    """

    losses: np.ndarray = field(repr=False)
    undone: tuple[int, ...] = ()
    outputs: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        parts = [f"{before:.3g} -> {after:.3g}" for before, after in self.losses]
        said = f"Refinement: divergence by block {', '.join(parts)}{compared(self.outputs, self.unit)}"
        if not self.undone:
            return said
        numbers = ", ".join(map(str, self.undone))
        return (
            f"{said}; training made it worse, so that these blocks were left as they were: {numbers}; "
            "lower learning_rate"
        )


def refine(
    model: nn.Module,
    teacher: nn.Module,
    *,
    data: Any,
    steps: int = 600,
    batch: int = 4,
    learning_rate: float = 3e-3,
    outputs: str | None = None,
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
        outputs: `logits` or `values`; None for what `compress` took them for, or as there.
        seed: Random seed of the order of the batches.
        progress: Whether to show a progress bar.
        checkpoint: Folder for what is finished, from which the same call continues after it was killed.

    Returns:
        The divergence before and after each block. The training of a block that ends with more than it began
        with is undone, and the result says so.

    Raises:
        UsageError: If the model has no blocks, or no factors in them, if they are quantized, if the model
            is the teacher, or an argument is out of range.
        RunError: If a loss is not finite; the block is as it was before.

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
    require_order(model, teacher)
    factored = {name: module for name, module in model.named_modules() if is_factored(module)}
    batches = batches_of(data, batch, read_outputs(outputs, model))
    before, now = Blocks.found_in(teacher, factored, batches), Blocks.found_in(model, factored, batches)
    if not now.blocks:
        raise UsageError(
            "the model has no factors in a ModuleList of blocks to refine, each called once; give what "
            "compress returned, or train it as a whole with heal"
        )
    journal = Journal(checkpoint, model, teacher, batches, steps, learning_rate, seed)
    rng = random_generator(seed)
    losses = np.zeros((len(now.blocks), 2))
    undone: list[int] = []
    check = Check(len(batches), before.run)
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
                undone += [index + 1] * bool(kept["undone"])
                bar.update(steps)
                continue
            begun = check.divergence(now.run)
            with Training([block], steps, learning_rate) as training:
                for drawn in order:
                    with torch.no_grad():
                        wanted = before.run(drawn)
                    loss = training.step(divergence(now.run(drawn), wanted))
                    bar.set_postfix_str(f"block {index + 1}, divergence {loss:.4g}")
                    bar.update()
                ended = check.divergence(now.run)
                worse = not ended <= begun
                if worse:
                    training.undo()
                    undone.append(index + 1)
            losses[index] = begun, begun if worse else ended
            part = {"state": dict(block.state_dict()), "losses": losses[index], "undone": worse}
            journal.put(f"refined-{index}", part)
        kind, unit = compared_as(teacher, batches[0])
    value = next(float(after) for begun, after in losses[::-1] if begun)
    return Refinement(value=value, seed=seed, losses=losses, undone=tuple(undone), outputs=kind, unit=unit)
