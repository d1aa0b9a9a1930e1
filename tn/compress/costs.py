"""What running a model costs: floating-point operations, and wall time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bondwise.tn.compress.calibration.batches import Batch, answer, inputs_of, selected
from bondwise.tn.compress.formats.factored import fewest_multiplications

_WARM_UP, _RUNS, _FEW = 2, 9, 3
_TURNS = 5  # in which two models are compared
_SHORT, _LONG = 0.01, 1.0  # seconds: shorter calls are timed several at a time, longer ones fewer times


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Of the scores and of their product with the values, given the shapes; masks save nothing."""
    batch, heads, length, width = query
    return 2 * batch * heads * length * key[-2] * (width + value[-1])


def _sparse_flops(weight: Any, indices: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Of the entries of a sparse matrix, given the shapes of what they are multiplied by and of them."""
    return 2 * indices[0] * weight[1]


_MORE = {  # than torch counts
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._embedding_bag: _sparse_flops,
    torch.ops.aten._embedding_bag_forward_only: _sparse_flops,
}


def take(batches: Sequence[Batch], number: int) -> Batch:
    """A batch of some number of samples from the first one, which are repeated if they are fewer."""
    first = batches[0]
    return selected(first, torch.arange(number) % len(inputs_of(first)))


def flops_of(model: nn.Module, batch: Batch) -> int:
    """Floating-point operations of a batch's matrix products and convolutions, two for a multiplication.

    Factored layers count as if they multiplied by the factors wherever these need fewer.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_MORE)
    with torch.no_grad(), fewest_multiplications(model):
        answer(model, batch)  # what is computed once does not count
        with counter:
            answer(model, batch)
    return int(counter.get_total_flops())


def latency_of(model: nn.Module, batch: Batch, runs: int | None = None) -> float:
    """Wall time of a model for a batch, the median of several runs, in milliseconds."""
    device = next(chain(model.parameters(), model.buffers())).device
    return milliseconds(lambda: answer(model, batch), device, runs)


def compared(times: Callable[[], tuple[float, float]]) -> tuple[float, float, float]:
    """Medians of two times that are measured in turns, and of the ratio of the second to the first.

    A machine that does something else too, or gets warm, is slower for some seconds: the ratio hardly shows
    it.
    """
    seen = [times() for _ in range(_TURNS)]
    return (
        statistics.median(one for one, _ in seen),
        statistics.median(two for _, two in seen),
        statistics.median(two / one for one, two in seen),
    )


@torch.no_grad()
def milliseconds(work: Callable[[], Any], device: torch.device, runs: int | None = None) -> float:
    """Wall time of a function, the median of several runs after two others."""

    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / repeats

    once = min(seconds(1) for _ in range(_WARM_UP))
    repeats = max(1, round(_SHORT / max(once, 1e-6)))
    runs = runs or (_FEW if once > _LONG else _RUNS)
    return 1e3 * statistics.median(seconds(repeats) for _ in range(runs))
