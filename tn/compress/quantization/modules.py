"""What is packed of a module, and how it is rounded."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.layers import Layer, is_linear, weight_parameter
from bondwise.tn.compress.quantization.gptq import gptq
from bondwise.tn.compress.quantization.packed import Layout, Packed, packed_parameters, plain_type, put
from bondwise.tn.compress.quantization.rounding import fit_grid

BITS = {"int8": 8, "int4": 4, "int3": 3, "int2": 2}
GROUP = 64  # numbers that share a scale


def quantize_module(
    module: nn.Module, bits: int, covariance: Tensor | None = None, group: int = GROUP
) -> nn.Module:
    """Pack all parameters of a layer that have at least two axes.

    With the covariance of its inputs, a linear layer, dense or of low rank, is rounded so that its outputs
    change little; the left factor is first fitted to the rounded right one. Others are rounded to the
    nearest.

    Args:
        module: A dense layer or one in factors, changed.
        bits: 2, 3, 4 or 8.
        covariance: E[x xᵀ], shape (in_features, in_features).
        group: Numbers that share a scale.

    Returns:
        The module.
    """
    layouts = packed_layouts(module, bits, group)
    if covariance is not None and plain_type(module) is LowRank:
        _quantize_factors(module, covariance, layouts)
        return module
    for name, layout in layouts.items():
        parameter = module.get_parameter(name)
        if is_linear(module) and covariance is not None:
            put(module, name, rounded(parameter, layout, covariance, weight_parameter(module)[1]))
        else:
            put(module, name, rounded(parameter, layout))
    return module


def quantize_tied(
    model: nn.Module, module: nn.Module, bits: int, covariance: Tensor | None = None, group: int = GROUP
) -> None:
    """Pack the parameters of a layer, and let the modules that share them read from there too."""
    shared = {id(one): name for name, one in module.named_parameters() if one.ndim > 1}
    places = [
        (owner, name, shared[id(one)])
        for owner in model.modules()
        for name, one in owner.named_parameters(recurse=False)
        if id(one) in shared
    ]
    quantize_module(module, bits, covariance, group)
    packed = dict(packed_parameters(module))
    for owner, name, source in places:
        if name in owner._parameters:
            put(owner, name, packed[source])


def empty_module(layer: Layer, choice: Choice) -> nn.Module:
    """A layer as it was chosen to be, with numbers that are yet to be loaded."""
    if choice.format == "dense":
        module = copy.deepcopy(layer.module)
    else:
        module = FORMATS[choice.format].empty(layer, choice.rank)
    if choice.bits:
        for name, layout in packed_layouts(module, choice.bits).items():
            put(module, name, Packed.empty(layout, layer.weight.dtype))
    return module


def packed_layouts(module: nn.Module, bits: int, group: int = GROUP) -> dict[str, Layout]:
    """How the parameters of a layer are packed, by their names; only their shapes matter."""
    shapes = {
        name: tuple(parameter.shape) for name, parameter in module.named_parameters() if parameter.ndim > 1
    }
    if is_linear(module):  # along the axis of the inputs
        name, axis = weight_parameter(module)
        return {name: Layout.of(bits, shapes[name], group, axis)}
    axis_of = 1 if type(module) is nn.Embedding else None
    return {name: Layout.of(bits, shape, group, axis_of) for name, shape in shapes.items()}


def rounded(weight: Tensor, layout: Layout, covariance: Tensor | None = None, axis: int = 1) -> Packed:
    """A parameter in few bits.

    Args:
        weight: The parameter.
        layout: Of its numbers.
        covariance: Of what it is multiplied by, or None to round each number to the nearest.
        axis: The axis of a matrix over which it is multiplied.
    """
    matrix = layout.to_matrix(weight.detach().float())
    grid = fit_grid(matrix, layout.bits, layout.group)
    if covariance is None:
        return Packed.of(layout, grid.codes(matrix), grid, weight.dtype)
    scales, zeros = (layout.from_matrix(part) for part in grid.spread(matrix.shape[1]))
    parts = [part.movedim(axis, -1) for part in (weight.detach(), scales, zeros)]
    codes = gptq(parts[0], covariance, parts[1], parts[2], layout.bits).movedim(-1, axis)
    return Packed.of(layout, layout.to_matrix(codes), grid, weight.dtype)


def _quantize_factors(module: nn.Module, covariance: Tensor, layouts: dict[str, Layout]) -> None:
    """Round the right factor, and fit the left one to it before that is rounded too."""
    left, right = (getattr(module, name).detach() for name in ("left", "right"))
    put(module, "right", rounded(right, layouts["right"], covariance))
    found: Tensor = module.right.double()  # type: ignore[operator,assignment,union-attr]
    covariance = covariance.double()
    if not covariance.diagonal().mean() > 0:  # zero if the layer is only given zeros
        covariance = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    inner = found @ covariance @ found.T
    shared = right.double() @ covariance @ found.T
    ridge = 1e-6 * inner.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    ridge = ridge * torch.eye(len(inner), dtype=torch.float64, device=inner.device)
    moved = torch.linalg.solve(inner + ridge, (shared + ridge).T).T
    put(module, "left", rounded((left.double() @ moved).to(left.dtype), layouts["left"], inner))
