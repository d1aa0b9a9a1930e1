"""Fit the layers of a model one after another, each to the inputs that it will see.

These are the inputs of the model whose earlier layers are compressed already (AA-SVD, arXiv:2604.02119). For
an input x of the dense model and x′ of the compressed one, W′ x′ is fitted to W (x + x′)/2, that is to W M x′
with

    M = ½ (1 + E[x x′ᵀ] E[x′ x′ᵀ]⁻¹).

So half of the earlier layers' error is made up. To make up for all of it, with the target W x, is no better
than none at low ranks: what a layer cannot repair is fitted at the cost of what it has to keep.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.batches import REMEDY, Batch
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import Pairing
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import ROWS, Moments
from bondwise.tn.compress.calibration.patches import input_rows
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.formats.shared import SharedFits
from bondwise.tn.compress.journal import Journal
from bondwise.tn.compress.layers import Layer, replace
from bondwise.tn.compress.quantization.modules import empty_module, quantize_module

_SHRINKAGE = 1e-4  # of the mean variance of an input, in the inverse of its covariance


def fit_in_order(
    model: nn.Module,
    dense: nn.Module,
    layers: Mapping[str, Layer],
    choices: Mapping[str, Choice],
    moments: Moments,
    batches: Sequence[Batch],
    bar: Any,
    journal: Journal,
) -> None:
    """Replace layers of a model by what was chosen for them, in the order of its modules.

    Args:
        model: A copy of the dense model; changed.
        dense: The model before; only run.
        layers: The layers of `model`.
        choices: What each of them becomes.
        moments: Of the dense model.
        batches: Data to fit to.
        bar: Progress bar that advances by one for every layer.
        journal: Where the factors of each layer are kept, and taken from if they are there.
    """
    before, now = Blocks.found_in(dense, layers, batches), Blocks.found_in(model, layers, batches)
    changed = [name for name in layers if choices[name].format != "dense" or choices[name].bits]
    leading = {moments.leaders[name]: dense.get_submodule(moments.leaders[name]) for name in changed}
    watched = {
        module: _enough(layers[name].kind, layers[name].shape[-1]) * layers[name].shape[-1]
        for name, module in leading.items()
    }
    leader, metric_inputs, correction = "", torch.empty(0), torch.empty(0)
    ready: dict[str, nn.Module] = {}  # layers that were fitted together with an earlier one
    for index, (name, layer) in enumerate(layers.items()):
        choice = choices[name]
        kept = journal.get(f"fitted-{index}")
        if kept is not None:
            module = empty_module(layer, choice)
            module.load_state_dict(kept, assign=True)
            replace(model, name, module)
        elif name in changed:
            bar.set_postfix_str(f"fitting {name}")
            if leader != moments.leaders[name]:
                leader = moments.leaders[name]
                block = now.of(name)
                now.advance(block)
                # the dense block stays as it is: one pass serves all of its layers, and the next block
                before.advance(min(block + 1, len(before.blocks)), watched)
                if layer.kind != "embedding":
                    metric_inputs, correction = shift(before, leading[leader], now, layer)
            if name not in ready:
                members = _members(name, layers, choices, moments)
                weights, metrics = [one.weight.double() for one in members], []
                for place, one in enumerate(members):
                    metric = moments.metrics[one.name]
                    if one.kind != "embedding":  # whose inputs are the tokens, before and after
                        matrix = weights[place] if one.kind == "linear" else weights[place].flatten(2)
                        weights[place] = (matrix @ correction).reshape(one.shape)
                        metric = Metric(metric_inputs, metric.gradients)
                    metrics.append(metric)
                if choice.format == "shared":
                    built: list[nn.Module] = [*SharedFits(members, weights, metrics).build(choice.rank)]
                else:
                    built = [_stored(layer, choice, weights[0], metrics[0])]
                ready |= {one.name: module for one, module in zip(members, built, strict=True)}
            module = ready.pop(name)
            journal.put(f"fitted-{index}", dict(module.state_dict()))
            replace(model, name, module)
        if choice.format == "shared":
            first = _members(name, layers, choices, moments)[0].name
            model.get_submodule(name).right = model.get_submodule(first).right
        bar.update()


def _members(
    name: str, layers: Mapping[str, Layer], choices: Mapping[str, Choice], moments: Moments
) -> list[Layer]:
    """The layers that are fitted together with one: those that share a factor with it."""
    if choices[name].format != "shared":
        return [layers[name]]
    leader = moments.leaders[name]
    return [
        layer
        for other, layer in layers.items()
        if moments.leaders[other] == leader and choices[other].format == "shared"
    ]


def _stored(layer: Layer, choice: Choice, weight: Tensor, metric: Metric) -> nn.Module:
    """A layer as it was chosen to be, with a weight or close to one."""
    if choice.format == "dense":
        module = copy.deepcopy(layer.module)
        with torch.no_grad():
            Layer(layer.name, module).weight.copy_(weight)
    else:
        module = FORMATS[choice.format].fits(layer, weight, metric).build(choice.rank)
    if choice.bits:
        quantize_module(module, choice.bits, metric.inputs if layer.kind == "linear" else None)
    return module


def shift(before: Blocks, original: nn.Module, now: Blocks, layer: Layer) -> tuple[Tensor, Tensor]:
    """E[x′ x′ᵀ] and M of a layer.

    M is 1 if it is not known which x belongs to which x′, because the model chooses the rows, as mixtures of
    experts do.

    Raises:
        UsageError: If numbers are not finite.
    """
    seen: Any = 0.0
    shared: Any = 0.0
    rows, pairing = 0, Pairing()
    every = before.calls.get(layer.name, 1) != 1
    for index, batch in enumerate(now.batches):
        one = before.inputs(original, index, every) if pairing.known else []
        other = now.inputs(layer.module, index, every)
        pairing.add(batch, one, other)
        x, y = _rows(layer, one), _rows(layer, other)
        if y is not None:
            rows += y.shape[-2]
            seen = seen + (y.mT @ y).double()
            if pairing.known and x is not None:
                shared = shared + (x.mT @ y).double()
        if rows and rows >= _enough(layer.kind, seen.shape[-1]):
            break
    if not rows and now is not before:
        return shift(before, original, before, Layer(layer.name, original))  # an expert that is out of use
    if not (torch.isfinite(seen).all() and torch.isfinite(torch.as_tensor(shared)).all()):
        raise UsageError(f"numbers at {layer.name} are not finite on the calibration data; {REMEDY}")
    identity = torch.eye(seen.shape[-1], dtype=torch.float64, device=seen.device)
    if not pairing.known:
        return seen / rows, identity
    # shrunk toward x = x′, so that directions that never occur are left alone
    mean = seen.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    shrinkage = _SHRINKAGE * mean.clamp_min(torch.finfo(torch.float64).tiny) * identity
    moved = torch.linalg.solve(seen + shrinkage, (shared + shrinkage).mT).mT
    return seen / rows, (identity + moved) / 2


def _enough(kind: str, features: int) -> float:
    """Rows after which more say little: twice as many as for moments, as factors are fitted to these."""
    return 2 * ROWS * features if kind == "linear" else math.inf


def _rows(layer: Layer, calls: Sequence[Tensor]) -> Tensor | None:
    """The rows that a layer is given in some calls, or None."""
    found = [input_rows(layer, x).float() for x in calls if x.numel()]
    return torch.cat(found, -2) if found else None
