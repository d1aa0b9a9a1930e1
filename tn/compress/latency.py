"""Which factors each layer gets, so that the whole model is as fast as asked.

The time of each layer is measured for some ranks of each format and interpolated between them. The sum of
these times is not that of the model, which does other things too and finds its caches in another state. So
the model is built with factors of the chosen shapes, measured as a whole beside the dense one, and the budget
of the sum is corrected by the ratio, until the measured time is within 10 % below the one asked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.runs.text import rounded_up
from bondwise.tn.compress.allocation import Choice, allocate
from bondwise.tn.compress.calibration.batches import Batch, answer
from bondwise.tn.compress.costs import compared, latency_of, milliseconds
from bondwise.tn.compress.layers import Layer, replace
from bondwise.tn.compress.quantization.modules import empty_module
from bondwise.tn.compress.quantization.packed import packed_parameters

_RANKS = 6  # at which a format is measured
_ROUNDS = 8
_LEAST, _AIM = 0.9, 0.96  # of the latency asked for


def choose_within(
    wanted: float,
    options: Mapping[str, Sequence[Choice]],
    model: nn.Module,
    layers: Mapping[str, Layer],
    batch: Batch,
    budget: str,
) -> dict[str, Choice]:
    """Choose one option for each layer.

    Args:
        wanted: Largest wall time of the model for the batch, in milliseconds.
        options: For each layer, with the number of their parameters as size.
        model: The dense model, on the device where it will run; it is as before afterwards.
        layers: Its layers.
        batch: The batch.
        budget: How the caller wrote the budget, for the message.

    Raises:
        UsageError: If even the fastest options take longer.
    """
    dense = {name: next(one for one in choices if one.format == "dense") for name, choices in options.items()}
    clock = _Clock(model, layers, dense, batch)
    clock.ratio(dense)
    if clock.dense <= wanted:
        return dense
    timed = _timed(options, model, layers, batch)
    whole = clock.dense - sum(
        next(iter(choices)).size for choices in timed.values()
    )  # the first one is dense
    least = sum(min(choice.size for choice in choices) for choices in timed.values())
    sized = {name: list(choices) for name, choices in timed.items()}
    tried: list[tuple[float, dict[str, Choice]]] = []

    def measured(target: float) -> float:
        found = allocate(sized, max(target - whole, least) * (1 + 1e-9))
        picked = {name: timed[name][choice] for name, choice in found.items()}
        tried.append((clock.ratio(picked), picked))
        return tried[-1][0] * clock.dense

    target, low, high = _AIM * wanted, whole + least, clock.dense
    for _ in range(_ROUNDS):
        time = measured(target)
        if _LEAST * wanted <= time <= wanted:
            break
        if time <= wanted:
            low = max(low, target)
        elif target <= whole + least:
            break
        else:
            high = min(high, target)
        corrected = target * _AIM * wanted / time
        # where the ratio leads out of what is known, the middle
        target = corrected if low < corrected < high else (low + high) / 2
    if all(ratio * clock.dense > wanted for ratio, _ in tried):
        measured(whole + least)
    fitting = [one for one in tried if one[0] * clock.dense <= wanted]
    if not fitting:
        fastest = min(ratio for ratio, _ in tried) * clock.dense
        raise UsageError(
            f"{budget} is too small: with the fastest factors the model takes {rounded_up(fastest)} ms; "
            "give more, or a smaller batch"
        )
    return max(fitting, key=lambda one: one[0])[1]


class _Clock:
    """Times of a model with other layers relative to the dense one's.

    Attributes:
        dense: Median wall time of the dense model so far, in milliseconds.
    """

    def __init__(
        self, model: nn.Module, layers: Mapping[str, Layer], unchanged: Mapping[str, Choice], batch: Batch
    ) -> None:
        self._model, self._layers, self._unchanged, self._batch = model, layers, unchanged, batch
        self._seen: list[float] = []

    @property
    def dense(self) -> float:
        return statistics.median(self._seen)

    def ratio(self, choices: Mapping[str, Choice]) -> float:
        """Wall time of the model with some choices, divided by that of the dense one."""

        def seconds(one: Mapping[str, Choice]) -> float:
            with _exchanged(self._model, self._layers, one):
                return latency_of(self._model, self._batch, 1)

        dense, _, ratio = compared(lambda: (seconds(self._unchanged), seconds(choices)))
        self._seen.append(dense)
        return ratio


def _timed(
    options: Mapping[str, Sequence[Choice]], model: nn.Module, layers: Mapping[str, Layer], batch: Batch
) -> dict[str, dict[Choice, Choice]]:
    """For each layer the options with milliseconds as size, and what they are; the dense one comes first."""
    inputs = _inputs(model, layers, batch)
    known: dict[Any, float] = {}

    def time_of(layer: Layer, choice: Choice) -> float:
        calls = inputs.get(layer.name)
        if calls is None:
            return 0.0  # an expert that none of the samples is for
        x, dense = calls[-1], layer.module
        key = (
            type(dense),
            layer.shape,
            layer.bias is None,
            x.shape,
            str(x.dtype),
            choice.format,
            choice.rank,
            choice.bits,
        )
        if layer.kind == "convolution":
            key = (*key, dense.stride, dense.padding, dense.dilation)  # type: ignore[assignment]
        if key not in known:
            module = _shaped(layer, choice)
            known[key] = milliseconds(lambda: module(x), x.device)
        return len(calls) * known[key]

    timed: dict[str, dict[Choice, Choice]] = {}
    for name, choices in options.items():
        dense = next(one for one in choices if one.format == "dense")
        timed[name] = {dense._replace(size=time_of(layers[name], dense)): dense}
        for kind in dict.fromkeys(one.format for one in choices if one.format != "dense"):
            ours = sorted((one for one in choices if one.format == kind), key=lambda one: one.rank)
            places = np.unique(np.linspace(0, len(ours) - 1, _RANKS).round().astype(int))
            times = [time_of(layers[name], ours[place]) for place in places]
            for place, choice in enumerate(ours):
                timed[name][choice._replace(size=float(np.interp(place, places, times)))] = choice
    return timed


def _inputs(model: nn.Module, layers: Mapping[str, Layer], batch: Batch) -> dict[str, list[Tensor]]:
    """What each layer is given for a batch in its calls."""
    found: dict[str, list[Tensor]] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if args[0].numel():
                found.setdefault(name, []).append(args[0].detach())

        return hook

    handles = [layer.module.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            answer(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _shaped(layer: Layer, choice: Choice) -> nn.Module:
    """A layer of the shape of a choice; how long it takes does not depend on its numbers."""
    if choice.format == "dense" and not choice.bits:
        return layer.module
    weight = layer.weight
    module = empty_module(layer, choice).to(weight.device, weight.dtype)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.02)  # the numbers in empty tensors may be slow ones
    for _, packed in packed_parameters(module):
        packed.packed.zero_()
    return module.requires_grad_(False).eval()


@contextmanager
def _exchanged(
    model: nn.Module, layers: Mapping[str, Layer], choices: Mapping[str, Choice]
) -> Iterator[None]:
    """The model with layers of the chosen shapes."""
    try:
        for name, choice in choices.items():
            replace(model, name, _shaped(layers[name], choice))
        yield
    finally:
        for name, layer in layers.items():
            replace(model, name, layer.module)
