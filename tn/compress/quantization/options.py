"""The ways to store a layer in few bits, with the losses to expect.

The loss of factors in few bits is that of the factors and, measured at a few ranks and interpolated in
between, what rounding adds to it in the metric. What the metric says of 2 or 3 bits is corrected by true
losses, as it is for ranks; 4 bits and more change too little to need that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import UsageError, unknown_name
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.batches import Answer, Batch, answer, mean_divergence
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.probes import Probes
from bondwise.tn.compress.formats.formats import FORMATS, Fits
from bondwise.tn.compress.layers import Layer, is_table
from bondwise.tn.compress.quantization.modules import BITS, quantize_module, quantize_tied

_CORRECTED = 3  # bits, and fewer
_RANKS = 4  # at which the error of rounding is measured
_LEAST = 1e-12


def read_bits(quantize: Any) -> tuple[int, ...]:
    """Numbers of bits, the most first, as callers give them; none for None."""
    single = isinstance(quantize, str) or not isinstance(quantize, Iterable)
    names = [] if quantize is None else [quantize] if single else list(quantize)
    for name in names:
        if name not in BITS:
            raise unknown_name("number of bits", str(name), BITS)
    if quantize is not None and not names:
        raise UsageError("quantize is empty; give None to store numbers as they are, or names such as 'int4'")
    return tuple(sorted({BITS[name] for name in names}, reverse=True))


def table_bits(bits: Sequence[int]) -> Sequence[int]:
    """What dense embeddings and output heads are stored in: 8 bits, unless there is a choice."""
    return bits if len(bits) != 1 else (BITS["int8"],)


def smallest_options(layer: Layer, names: Iterable[str], bits: Sequence[int]) -> list[Choice]:
    """The layer itself, and the smallest factors of each format; the losses are not known yet."""
    found = []
    for width in (table_bits(bits) if layer.kind == "embedding" else bits) or (0,):
        found.append(Choice("dense", 0, layer.num_params, 0.0, width))
    for name in names:
        if FORMATS[name].kind == layer.kind:
            size = FORMATS[name].num_params(layer, 1)
            found += [Choice(name, 1, size, 0.0, width) for width in bits or (0,)]
    return found


def rounded_options(
    model: nn.Module, layers: Mapping[str, Layer], bits: Sequence[int]
) -> dict[str, list[Choice]]:
    """Layers that stay dense and are rounded to the nearest, in few bits; the losses are not known yet."""
    return {
        name: [
            Choice("dense", 0, layer.num_params, 0.0, width)
            for width in (table_bits(bits) if is_table(model, layer.module) else bits)
        ]
        for name, layer in layers.items()
    }


def dense_options(layer: Layer, bits: Iterable[int], metric: Metric, probes: Probes) -> list[Choice]:
    """The layer itself in few bits."""
    options = []
    for width in bits:
        fits = _Rounded(_Dense(layer), layer, width, metric)
        choice = Choice("dense", 0, layer.num_params, fits.added(0, 0.0), width)
        options += probes.correct(layer, [choice], fits) if width <= _CORRECTED else [choice]
    return options


def factored_options(
    layer: Layer,
    choices: Sequence[Choice],
    corrected: Sequence[Choice],
    fits: Fits,
    bits: Iterable[int],
    metric: Metric,
    probes: Probes,
) -> list[Choice]:
    """The factors of one format in few bits.

    Args:
        layer: The dense layer.
        choices: The factors as they are, with what the metric predicts.
        corrected: The same, as they would be measured.
        fits: The factors.
        bits: Of a number.
        metric: Of the layer.
        probes: What corrects the losses.
    """
    ranks = np.array([choice.rank for choice in choices])
    places = np.unique(np.geomspace(1, len(ranks), _RANKS).round().astype(int)) - 1
    options: list[Choice] = []
    for width in bits:
        rounded = _Rounded(fits, layer, width, metric)
        measured = [np.log(rounded.added(choices[at].rank, choices[at].loss)) for at in places]
        added = np.exp(np.interp(ranks, ranks[places], measured))
        found = [
            choice._replace(loss=choice.loss + float(more), bits=width)
            for choice, more in zip(choices, added, strict=True)
        ]
        if width <= _CORRECTED:
            options += probes.correct(layer, found, rounded)
        else:
            pairs = zip(choices, corrected, strict=True)
            ratios = [after.loss / max(before.loss, _LEAST) for before, after in pairs]
            options += [one._replace(loss=one.loss * ratio) for one, ratio in zip(found, ratios, strict=True)]
    return options


def measured_options(
    model: nn.Module, options: Mapping[str, Sequence[Choice]], batches: Sequence[Batch]
) -> dict[str, list[Choice]]:
    """Layers in few bits, rounded to the nearest, with the losses that they have when nothing else changes.

    Args:
        model: The dense model.
        options: As `rounded_options` gives them.
        batches: What losses are measured on.
    """
    found: dict[str, list[Choice]] = {name: [] for name in options}
    with torch.no_grad():
        wanted = [answer(model, batch) for batch in batches]
        for name, choices in options.items():
            for choice in choices:
                rounded = copy.deepcopy(model)
                quantize_tied(rounded, rounded.get_submodule(name), choice.bits)
                loss = mean_divergence(_runner(rounded, batches), wanted)
                found[name].append(choice._replace(loss=loss))
    return found


def _runner(model: nn.Module, batches: Sequence[Batch]) -> Callable[[int], Answer]:
    return lambda index: answer(model, batches[index])


class _Dense:
    """A layer as the one way to build it."""

    ranks: Sequence[int] = (0,)
    losses: Sequence[float] = (0.0,)

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def build(self, rank: int) -> nn.Module:
        """A copy of the layer."""
        return copy.deepcopy(self._layer.module)


class _Rounded:
    """Factors in few bits, kept by rank.

    Args:
        fits: The factors.
        layer: The dense layer.
        bits: Of a number.
        metric: Of the layer.
    """

    def __init__(self, fits: Fits | _Dense, layer: Layer, bits: int, metric: Metric) -> None:
        self._fits, self._layer, self._bits, self._metric = fits, layer, bits, metric
        self.ranks, self.losses = fits.ranks, fits.losses
        self._factored = not isinstance(fits, _Dense)
        self._built: dict[int, nn.Module] = {}

    def build(self, rank: int) -> nn.Module:
        """The layer of some rank."""
        if rank not in self._built:
            covariance = self._metric.inputs if self._layer.kind == "linear" else None
            self._built[rank] = quantize_module(self._fits.build(rank), self._bits, covariance)
        return self._built[rank]

    def added(self, rank: int, loss: float) -> float:
        """What rounding adds to the loss of factors, in the metric."""
        module = self.build(rank)
        with torch.no_grad():
            found = module.dense() if self._factored else Layer("", module).weight  # type: ignore[operator]
            difference = found.double() - self._layer.weight.double()
            if self._layer.kind == "convolution":
                difference = difference.flatten(2)
            elif self._layer.kind == "embedding":
                difference = difference.T
            whole = 0.5 * float(self._metric.weighted(difference).square().sum())
        return max(whole - loss, _LEAST)
