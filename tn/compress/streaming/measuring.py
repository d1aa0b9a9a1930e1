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
    """

    losses: dict[str, list[tuple[int, float]]]
    leaders: dict[str, str]


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
    inputs: dict[str, Inputs] = {}
    leaders: dict[str, str] = {}
    with _watched(layers, inputs, leaders):
        blocks.advance(index + 1)
    block = blocks.blocks[index]
    wanted = [hidden(probes.output(block, batch)) for batch in range(len(probes.batches))]
    losses = {}
    for name, layer in layers.items():
        if name not in leaders:
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
    return Measured(losses, leaders)


@contextmanager
def _watched(
    layers: Mapping[str, Layer], inputs: dict[str, Inputs], leaders: dict[str, str]
) -> Iterator[None]:
    """Collect what layers are given, once for those that are given the same tensor."""
    last: list[Any] = [None, ""]  # the latest input and the layer that was first given it

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if last[0] is not args[0]:
                last[:] = args[0], name
            leaders.setdefault(name, last[1])
            if leaders[name] == name:
                inputs.setdefault(name, Inputs()).add(args[0].reshape(-1, args[0].shape[-1]))

        return hook

    handles = [layer.module.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield
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
