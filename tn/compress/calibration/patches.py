"""What the weight of a layer multiplies, as rows: the input itself, or the patches that a convolution sees.

A convolution is a linear layer that is applied at every position of its output, to the patch of the padded
input under its kernel. Its covariances are means over samples and positions, as if positions did not know of
each other (Grosse, Martens, arXiv:1602.01407). Of many positions a fixed random choice is taken, so that the
time and memory for a batch are bounded.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.tn.compress.layers import Layer

_ROWS = 4096  # of a batch, at most


def input_rows(layer: Layer, x: Tensor) -> Tensor:
    """The rows of an input.

    Those of a choice of positions are scaled, so that sums over them estimate the sums over all.

    Args:
        layer: A linear layer or a convolution.
        x: Its input, shape (..., in_features) or (N, in_channels, *size).

    Returns:
        Shape (rows, in_features), or (groups, rows, in_channels / groups · kernel).
    """
    if layer.kind == "linear":
        return x.reshape(-1, x.shape[-1])
    module: Any = layer.module
    axes = range(len(module.kernel_size))
    x = x if x.ndim > len(axes) + 1 else x[None]
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = nn.functional.pad(x, padding_of(module), mode=mode)
    spans = [module.dilation[axis] * (module.kernel_size[axis] - 1) + 1 for axis in axes]
    sizes = [(x.shape[axis + 2] - spans[axis]) // module.stride[axis] + 1 for axis in axes]
    chosen, scale = _chosen(len(x) * math.prod(sizes))
    sample, *positions = torch.unravel_index(chosen.to(x.device), (len(x), *sizes))
    index = [sample.reshape(-1, *[1] * len(axes))]
    for axis, position in enumerate(positions):
        within = module.dilation[axis] * torch.arange(module.kernel_size[axis], device=x.device)
        shape = [-1 if other == axis else 1 for other in axes]
        index.append((position * module.stride[axis]).reshape(index[0].shape) + within.reshape(shape))
    seen = x.movedim(1, -1)[tuple(index)]  # (rows, *kernel, channels)
    seen = seen.movedim(-1, 1).reshape(len(chosen), module.groups, -1)
    return scale * seen.movedim(1, 0)


def covariance(layer: Layer, x: Tensor) -> Tensor:
    """The sum of x xᵀ over the rows of an input, float64; how often each token occurs for an embedding."""
    if layer.kind == "embedding":
        return torch.bincount(x.flatten(), minlength=len(layer.weight)).double()
    rows = input_rows(layer, x.detach()).float()
    return (rows.mT @ rows).double()


def gradient_rows(layer: Layer, gradient: Tensor) -> Tensor:
    """The rows of a gradient by the output of a layer, shape (..., out_features) or (N, out_channels, *size).

    Returns:
        Shape (rows, out_features), or (groups, rows, out_channels / groups).
    """
    if layer.kind != "convolution":
        return gradient.reshape(-1, gradient.shape[-1])
    groups, per_group = layer.shape[:2]
    axes = len(layer.shape) - 3
    gradient = gradient if gradient.ndim > axes + 1 else gradient[None]
    rows = gradient.movedim(1, -1).reshape(-1, groups, per_group)
    chosen, scale = _chosen(len(rows))
    return scale * rows[chosen.to(rows.device)].movedim(1, 0)


def padding_of(module: Any) -> list[int]:
    """What a convolution puts before and after each axis, from the last axis on."""
    pads: list[int] = []
    for axis in reversed(range(len(module.kernel_size))):
        if module.padding == "same":  # the odd one comes after
            whole = module.dilation[axis] * (module.kernel_size[axis] - 1)
            pads += [whole // 2, whole - whole // 2]
        else:
            pads += [0 if module.padding == "valid" else module.padding[axis]] * 2
    return pads


def _chosen(total: int) -> tuple[Tensor, float]:
    """Positions out of so many, the same each time, and the square root of how many each stands for."""
    if total <= _ROWS:
        return torch.arange(total), 1.0
    generator = torch.Generator().manual_seed(total)
    return torch.randperm(total, generator=generator)[:_ROWS], math.sqrt(total / _ROWS)
