"""In what order a model calls its layers, and which of them are given the same tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.batches import Batch, answer, shapes_of
from bondwise.tn.compress.layers import Layer, require_linear


def leaders_of(model: nn.Module, layers: Mapping[str, Layer], batch: Batch) -> dict[str, str]:
    """For every layer that is called, in the order of first calls, the leader of its group.

    A group is of linear layers that are given the same tensors in all calls, as query, key and value are.
    """
    with noted_calls(layers) as calls, torch.no_grad():
        answer(model, batch)
    return grouped(calls)


def grouped(calls: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """The leader of each layer, given the numbers of the tensors that it is called with."""
    first: dict[tuple[int, ...], str] = {}
    return {name: first.setdefault(tuple(numbers), name) for name, numbers in calls.items()}


@contextmanager
def noted_calls(layers: Mapping[str, Layer]) -> Iterator[dict[str, list[int]]]:
    """While a model runs, note the numbers of the tensors that its layers are called with.

    Layers of registered classes are checked to be linear.
    """
    calls: dict[str, list[int]] = {}
    last: list[Any] = [None, 0, 0]  # the latest tensor, its version and its number

    def watch(name: str, linear: bool) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if not args[0].numel():
                return  # an expert without tokens
            if not (linear and last[0] is args[0] and last[1] == args[0]._version):
                last[:] = args[0] if linear else None, args[0]._version, last[2] + 1
            calls.setdefault(name, []).append(last[2])

        return hook

    def check(layer: Layer) -> Any:
        return lambda _, args, output: require_linear(layer, args[0], output)

    handles = [
        layer.module.register_forward_pre_hook(watch(name, layer.kind == "linear"))
        for name, layer in layers.items()
    ]
    handles += [
        layer.module.register_forward_hook(check(layer))
        for layer in layers.values()
        if layer.kind == "linear"
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class Pairing:
    """Whether it is known which rows of a layer before and after its model has changed belong together.

    It is not if the model chooses the rows, as mixtures of experts do: then batches of the same shapes give a
    layer more or fewer rows, or others than before.

    Attributes:
        known: Whether it has been for all batches so far.
    """

    def __init__(self) -> None:
        self.known = True
        self._before: dict[Any, list[torch.Size]] = {}  # the shapes of the inputs for batches of some shapes

    def add(self, batch: Batch, before: Sequence[Tensor], now: Sequence[Tensor]) -> None:
        """Compare what a layer is given in its calls for a batch."""
        first, second = ([one.shape for one in calls if one.numel()] for calls in (before, now))
        usual = self._before.setdefault(shapes_of(batch), first)
        self.known &= first == second == usual


def in_order(layers: Mapping[str, Layer], leaders: Mapping[str, str]) -> dict[str, Layer]:
    """Layers in the order of their first calls; those that are not called keep their predecessor."""
    places = {name: place for place, name in enumerate(leaders)}
    keys, place = {}, -1
    for name in layers:
        place = places.get(name, place)
        keys[name] = place
    return {name: layers[name] for name in sorted(layers, key=lambda name: keys[name])}
