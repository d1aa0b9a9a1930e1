"""Covariances of the inputs and of the output gradients of layers, summed up batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.batches import REMEDY, Batch, answer, score
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.patches import covariance, gradient_rows
from bondwise.tn.compress.layers import Layer

ROWS = 64  # that are enough for each dimension of a covariance
_NAMED = 4  # layers in a message, at most


class Moments(NamedTuple):
    """What one pass over the calibration data says about each layer.

    Attributes:
        metrics: The metric of each layer by its name.
        leaders: The first of all linear layers that are given the same tensor, as query, key and value are.
    """

    metrics: dict[str, Metric]
    leaders: dict[str, str]


def measure_moments(
    model: nn.Module,
    layers: Mapping[str, Layer],
    leaders: Mapping[str, str],
    batches: Iterable[Batch],
    generator: torch.Generator,
) -> Moments:
    """Run a model forward and backward on data, without changing it.

    Data beyond 64 answers for each dimension of the largest covariance are left out.

    Args:
        model: The model.
        layers: Layers of it.
        leaders: As `leaders_of` gives them; what is not in there leads itself.
        batches: The data.
        generator: For the labels that answers are measured with.

    Raises:
        UsageError: If a layer is never reached, or numbers in it are not finite.
    """
    inputs: dict[str, Tensor] = {}
    gradients: dict[str, Tensor] = {}
    rows: dict[str, int] = {}
    leaders = {name: leaders.get(name, name) for name in layers}
    answers = 0

    def add(sums: dict[str, Tensor], name: str, found: Tensor) -> None:
        sums[name] = sums[name] + found if name in sums else found

    def add_gradient(name: str, layer: Layer, gradient: Tensor) -> None:
        rows = gradient_rows(layer, gradient).float()
        add(gradients, name, (rows.mT @ rows).double())

    def watch(name: str, layer: Layer) -> Callable[..., Tensor]:
        features = _features(layer)

        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if leaders[name] == name:
                add(inputs, name, covariance(layer, args[0]))
            rows[name] = rows.get(name, 0) + output.numel() // features
            leaf = not output.requires_grad  # the parameters are frozen
            if leaf:
                output.requires_grad_()
            output.register_hook(lambda gradient: add_gradient(name, layer, gradient))
            return output.clone() if leaf else output  # the next module may change it in place

        return hook

    with frozen(model):
        handles = [layer.module.register_forward_hook(watch(name, layer)) for name, layer in layers.items()]
        try:
            for batch in batches:
                found = answer(model, batch)
                if not torch.isfinite(found.rows).all():
                    raise UsageError(f"the model's answers to the calibration data are not finite; {REMEDY}")
                answers += len(found.rows)
                score(found, generator).backward()  # type: ignore[no-untyped-call]
                if not all(rows.get(name) for name in layers):
                    continue  # experts may be called in few batches
                if answers >= ROWS * max(one.shape[-1] for one in [*inputs.values(), *gradients.values()]):
                    break
        finally:
            for handle in handles:
                handle.remove()
    unused = [name for name in layers if not rows.get(name)]
    if unused:
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        raise UsageError(
            f"the model does not use {', '.join(unused[:_NAMED])}{more} on the calibration data; give data "
            "that they are for, or add them to skip"
        )
    metrics = {}
    for name, layer in layers.items():
        if name not in gradients:
            groups = layer.shape[:1] if layer.kind == "convolution" else ()
            size = _features(layer) // math.prod(groups)
            gradients[name] = torch.zeros(*groups, size, size, dtype=torch.float64)
        gradient = gradients[name]
        if not (torch.isfinite(inputs[leaders[name]]).all() and torch.isfinite(gradient).all()):
            raise UsageError(f"numbers at {name} are not finite on the calibration data; {REMEDY}")
        metrics[name] = Metric(inputs[leaders[name]] / rows[name], gradient / answers)
    return Moments(metrics, leaders)


def _features(layer: Layer) -> int:
    """Numbers in a row of the output."""
    if layer.kind == "convolution":
        return math.prod(layer.shape[:2])
    return layer.shape[1 if layer.kind == "embedding" else 0]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients of parameters; both are as before afterwards.

    Other gradients are recorded, even if the caller has turned that off.
    """
    training = {module: module.training for module in model.modules()}
    needed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in needed:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in needed:
            parameter.requires_grad_()
        for module, mode in training.items():
            module.training = mode
