"""What the layers of one block lose at several ranks, without a backward pass through the model.

The loss of a layer is the squared error of its block's output, relative to that output, token by token. It is
predicted from the singular values of the weight in the norm of the layer's outputs, and measured at a few
ranks on sequences that were not fitted to; the logarithm of measured over predicted is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.blocks import Blocks, hidden
from bondwise.tn.compress.calibration.calls import grouped, noted_calls
from bondwise.tn.compress.layers import Layer, replace
from bondwise.tn.compress.streaming.factors import Factors
from bondwise.tn.compress.streaming.inputs import Inputs

_FRACTIONS = (0.1, 0.25, 0.5, 0.8)  # of a layer's dense size, where losses are measured
_POINTS = 256  # ranks per layer to choose from
_LEAST = 1e-12  # below, a relative error is rounding


class Measured(NamedTuple):
    """One block.

    Attributes:
        losses: For each layer pairs (rank, loss), the loss never rising.
        leaders: For each layer the first of all that are given the same tensor, as query, key and value are.
        varying: Layers that are not called exactly once for each batch, such as experts.
    """

    losses: dict[str, list[tuple[int, float]]]
    leaders: dict[str, str]
    varying: list[str]


def measure_block(
    blocks: Blocks, probes: Blocks, index: int, layers: Mapping[str, Layer], done: Callable[[], Any]
) -> Measured:
    """Measure the layers of the block that comes next, and let the data flow through it.

    Args:
        blocks: The dense model with data to fit to.
        probes: The dense model with other data.
        index: Of the block.
        layers: Its layers.
        done: Called after each layer.

    Raises:
        UsageError: If a layer isn't reached, or is given numbers that are not finite.
    """
    block = blocks.blocks[index]
    with noted_calls(layers) as calls:
        blocks.output(block, 0)
    leaders = {name: name for name in layers} | grouped(calls)
    with _collected(layers, leaders) as inputs:
        blocks.advance(index + 1)
    wanted = [hidden(probes.output(block, batch)) for batch in range(len(probes.batches))]
    losses = {}
    for name, layer in layers.items():
        if leaders[name] not in inputs:
            raise UsageError(f"the model does not use {name} on the calibration data; add it to skip")
        factors = Factors(name, layer.weight, inputs[leaders[name]])
        most = len(factors.losses)
        logarithms: dict[int, float] = {}
        for fraction in _FRACTIONS:
            rank = min(most, max(1, round(fraction * layer.num_params / sum(layer.shape))))
            if rank not in logarithms:
                replace(blocks.model, name, factors.build(rank, layer.bias))
                error = _relative_error(probes, block, wanted)
                replace(blocks.model, name, layer.module)
                logarithms[rank] = np.log(max(error, _LEAST) / max(factors.losses[rank - 1], _LEAST))
        ranks = np.arange(1, most + 1)[:: -(-most // _POINTS)]
        corrections = np.interp(ranks, list(logarithms), list(logarithms.values()))
        corrected = np.minimum.accumulate(np.array(factors.losses)[ranks - 1] * np.exp(corrections))
        losses[name] = list(zip(ranks.tolist(), corrected.tolist(), strict=True))
        done()
    return Measured(losses, leaders, [name for name in layers if len(calls.get(name, ())) != 1])


@contextmanager
def _collected(layers: Mapping[str, Layer], leaders: Mapping[str, str]) -> Iterator[dict[str, Inputs]]:
    """What leaders are given while a model runs, by their names."""
    inputs: dict[str, Inputs] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if args[0].numel():
                inputs.setdefault(name, Inputs()).add(args[0].reshape(-1, args[0].shape[-1]))

        return hook

    handles = [layers[name].module.register_forward_pre_hook(watch(name)) for name in set(leaders.values())]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def _relative_error(probes: Blocks, block: nn.Module, wanted: list[Tensor]) -> float:
    """Mean over the tokens of the squared error of a block's output over its square."""
    total, tokens = 0.0, 0
    for batch, target in enumerate(wanted):
        error = (hidden(probes.output(block, batch)) - target).square().sum(-1)
        relative = error / target.square().sum(-1).clamp_min(torch.finfo(torch.float32).tiny)
        total, tokens = total + float(relative.sum()), tokens + relative.numel()
    return total / tokens
