"""What a budget counts, and sharing it out between the layers.

A fraction is one of the parameters of the compressible layers. Numbers are of the whole model, so that what
the other layers need is taken off first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from bondwise.runs import UsageError, real_number, whole_number
from bondwise.runs.text import rounded_up
from bondwise.tn.compress.allocation import Choice, allocate
from bondwise.tn.compress.calibration.batches import Batch, answer
from bondwise.tn.compress.costs import compared, flops_of, latency_of, take
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.latency import choose_within
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.sizes import rest_size, stored_size

_UNITS = {
    "params": "parameters",
    "bytes": "bytes",
    "flops": "floating-point operations for a sample",
    "latency_ms": "ms",
}
_ACCEPTED = (
    "give a fraction above 0 and below 1, {'params': N}, {'bytes': N}, {'flops': N}, or {'latency_ms': t, "
    "'batch': b}, with numbers for the whole model"
)


class Budget(NamedTuple):
    """An upper limit.

    Attributes:
        unit: `fraction`, `params`, `bytes`, `flops` or `latency_ms`.
        amount: The limit in this unit.
        batch: Samples that the latency is for.
    """

    unit: str
    amount: float
    batch: int = 1

    def __str__(self) -> str:
        if self.unit == "fraction":
            return f"budget={self.amount:g}"
        batch = f", 'batch': {self.batch}" if self.unit == "latency_ms" else ""
        return f"budget={{'{self.unit}': {self.amount:.12g}{batch}}}"

    def size(self, layer: Layer, choice: Choice, rows: float) -> float:
        """What a choice for a layer takes of the budget.

        Args:
            layer: The dense layer.
            choice: One whose own size is the number of its parameters.
            rows: Rows of the layer's input, or positions of a convolution's output, for one sample.
        """
        if self.unit == "bytes":
            return stored_size(layer, choice, int(self.amount))
        if self.unit != "flops":
            return choice.size
        if choice.format != "dense":
            return 2 * rows * FORMATS[choice.format].flops(layer, choice.rank)
        return 0.0 if layer.kind == "embedding" else 2 * rows * layer.num_params


def read_budget(given: Any) -> Budget:
    """A budget as callers give it.

    Raises:
        UsageError: If it is none, or out of range.
    """
    if not isinstance(given, Mapping):
        try:
            return Budget("fraction", real_number("budget", given, below=1))
        except UsageError:
            raise UsageError(f"budget is {given!r}; {_ACCEPTED}") from None
    units = [unit for unit in given if unit != "batch"]
    if len(units) != 1 or units[0] not in _UNITS or ("batch" in given) != (units[0] == "latency_ms"):
        raise UsageError(f"budget is {dict(given)!r}; {_ACCEPTED}")
    unit, amount = units[0], given[units[0]]
    if unit == "latency_ms":
        batch = whole_number("the batch of the budget", given["batch"])
        return Budget(unit, real_number("the latency_ms of the budget", amount), batch)
    if isinstance(amount, float) and amount.is_integer():  # 1e6
        amount = int(amount)
    return Budget(unit, whole_number(f"the number of {unit} in the budget", amount))


def latency_found(
    budget: Budget, dense: nn.Module, small: nn.Module, batches: Sequence[Batch]
) -> dict[str, float] | None:
    """Milliseconds that were asked for, those of a compressed model and of the dense one; None if none were.

    Both models are timed in turns. A model that takes longer than asked for is warned of.
    """
    if budget.unit != "latency_ms":
        return None
    sample = take(batches, budget.batch)
    before, now, _ = compared(lambda: (latency_of(dense, sample, 1), latency_of(small, sample, 1)))
    if now > budget.amount:
        warnings.warn(
            f"the compressed model takes {rounded_up(now, 4)} ms, above {budget}; the machine may have been "
            "busy: compress again, or ask for less",
            stacklevel=3,
        )
    return {"asked": budget.amount, "batch": budget.batch, "measured": now, "dense": before}


def share_out(
    budget: Budget,
    options: Mapping[str, Sequence[Choice]],
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Sequence[Batch],
    joint: Sequence[Mapping[str, Choice]] = (),
) -> dict[str, Choice]:
    """Choose one option for each layer, so that the model keeps to the budget.

    Args:
        budget: The budget.
        options: For each layer, with the number of their parameters as size.
        model: The dense model; layers are exchanged to measure latencies, and put back.
        layers: Its layers.
        batches: What the model is run on.
        joint: Choices for several layers at once, which save no time.

    Raises:
        UsageError: If the smallest options exceed the budget.
    """
    if budget.unit == "latency_ms":
        sample = take(batches, budget.batch)
        return choose_within(budget.amount, options, model, layers, sample, str(budget))
    sized, room, rows = _sized(budget, options, model, layers, batches)
    separate = {name: list(choices) for name, choices in sized.items()}
    together = []
    for choices in joint:
        together.append(
            {
                name: choice._replace(size=budget.size(layers[name], choice, rows[name]))
                for name, choice in choices.items()
            }
        )
        for name, choice in together[-1].items():
            sized[name][choice] = choices[name]
    chosen = allocate(separate, room, together)
    return {name: sized[name][choice] for name, choice in chosen.items()}


def require_possible(
    budget: Budget,
    smallest: Mapping[str, Sequence[Choice]],
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Sequence[Batch],
) -> None:
    """Refuse a budget that is too small before anything is measured, except for one in milliseconds.

    Args:
        budget: The budget.
        smallest: For each layer the choices that may be the smallest.
        model: As for `share_out`.
        layers: Likewise.
        batches: Likewise.

    Raises:
        UsageError: If the smallest choices exceed the budget.
    """
    if budget.unit != "latency_ms":
        _sized(budget, smallest, model, layers, batches)


def _least_possible(
    budget: Budget,
    sized: Mapping[str, Mapping[Choice, Choice]],
    layers: Mapping[str, Layer],
    rows: Mapping[str, float],
    whole: float,
) -> int:
    """The smallest budget that is enough; the header of a file grows with the digits of its size."""
    enough, before = math.ceil(budget.amount), -1
    while enough != before:
        before, larger = enough, budget._replace(amount=enough)
        least = sum(
            min(larger.size(layers[name], given, rows[name]) for given in choices.values())
            for name, choices in sized.items()
        )
        enough = max(before, math.ceil(least + whole))
    return enough


def _sized(
    budget: Budget,
    options: Mapping[str, Sequence[Choice]],
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Sequence[Batch],
) -> tuple[dict[str, dict[Choice, Choice]], float, dict[str, float]]:
    """For each layer its options: those with what they take of the budget as size, and the given ones.

    Also what the budget leaves for the layers, and the rows of their outputs.
    """
    dense = sum(layer.num_params for layer in layers.values())
    rows, available, whole = dict.fromkeys(layers, 0.0), budget.amount, 0.0
    if budget.unit == "fraction":
        available *= dense
    elif budget.unit == "params":
        whole = sum(parameter.numel() for parameter in model.parameters()) - dense
    elif budget.unit == "bytes":
        whole = rest_size(model, layers)
    else:
        sample = take(batches, 1)
        rows = _rows(model, layers, sample)
        whole = flops_of(model, sample) - sum(
            budget.size(layer, Choice("dense", 0, layer.num_params, 0.0), rows[name])
            for name, layer in layers.items()
        )
    sized = {
        name: {
            choice._replace(size=budget.size(layers[name], choice, rows[name])): choice for choice in choices
        }
        for name, choices in options.items()
    }
    least = sum(min(choice.size for choice in choices) for choices in sized.values())
    if available - whole < least:
        smallest = [min(choices, key=lambda one: one.size) for choices in sized.values()]
        if all(choice.format == "dense" and not choice.bits for choice in smallest):
            raise UsageError(
                f"{budget} is too small: no factors of these formats are smaller than the dense layers; "
                "name other formats, or leave the model as it is"
            )
        if budget.unit == "fraction":
            keep = rounded_up(least * (1 + 1e-12) / dense)
        else:
            keep = f"{_least_possible(budget, sized, layers, rows, whole):,} {_UNITS[budget.unit]}"
        raise UsageError(f"{budget} is too small: the smallest factors keep {keep}; give more")
    return sized, available - whole, rows


def _rows(model: nn.Module, layers: Mapping[str, Layer], sample: Batch) -> dict[str, float]:
    """Rows of the output of each layer, or positions of that of a convolution."""
    rows = dict.fromkeys(layers, 0.0)

    def watch(name: str) -> Any:
        channels = layers[name].module.out_channels if layers[name].kind == "convolution" else None

        def hook(_: nn.Module, args: Any, output: Any) -> None:
            rows[name] += output.numel() / (channels or output.shape[-1])

        return hook

    handles = [layer.module.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        answer(model, sample)
    finally:
        for handle in handles:
            handle.remove()
    return rows
