"""The same fraction of every layer: what `compress` is to be compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bondwise.runs import real_number, unknown_name
from bondwise.tn.compress.calibration.batches import batches_of
from bondwise.tn.compress.calibration.calls import leaders_of
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import frozen, measure_moments
from bondwise.tn.compress.formats.formats import FORMATS, require_dense
from bondwise.tn.compress.layers import find_layers, replace, require_numbers

_BATCH = 8  # samples at a time


def compress_evenly(
    model: nn.Module, budget: float, *, format: str = "lowrank", data: Any = None, skip: Iterable[str] = ()
) -> nn.Module:
    """Replace each layer by factors with the same fraction of its parameters, as plain methods do.

    Without data the factors are the closest to the weight: truncated singular value decompositions for
    `lowrank`, and what CompactifAI (arXiv:2401.14109) does for `mpo`. With data the outputs of the layer are
    the closest: whitened singular value decompositions (SVD-LLM, arXiv:2403.07378). `compress` loses less.

    Args:
        model: As for `compress`; it stays as it is.
        budget: Fraction of the parameters of each layer to keep, between 0 and 1, and at least rank 1.
        format: Name of the format.
        data: None, or as for `compress`.
        skip: Names of layers that stay dense, with wildcards.

    Returns:
        A copy of the model in evaluation mode.

    Raises:
        UsageError: As for `compress`.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress_evenly
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
        >>> compress_evenly(model, 0.5)[0].rank
        10
    """
    budget = real_number("budget", budget, below=1)
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    kind = FORMATS[format]
    require_numbers(model)
    require_dense(model)
    small = copy.deepcopy(model)
    layers = find_layers(small, skip, {kind.kind})
    metrics = dict.fromkeys(layers, Metric())
    if data is not None:
        batches = batches_of(data, _BATCH)
        with frozen(small):
            leaders = leaders_of(small, layers, batches[0])
            moments = measure_moments(small, layers, leaders, batches, torch.Generator())
        metrics = {name: Metric(moments.metrics[name].inputs) for name in layers}
    for name, layer in layers.items():
        fits = kind.fits(layer, layer.weight, metrics[name])
        fitting = [rank for rank in fits.ranks if kind.num_params(layer, rank) <= budget * layer.num_params]
        replace(small, name, fits.build(max(fitting, default=fits.ranks[0])))
    return small.eval()
