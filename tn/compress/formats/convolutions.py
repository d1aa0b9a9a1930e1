"""A convolution as a chain of smaller ones, each of which moves along some axes only.

Tucker-2, CP and separable kernels are such chains: a stage is either dense within the groups, or depthwise,
one filter per channel. As no stage but the last has a bias, padding commutes with the stages before it, and
each axis is padded, strided and dilated by the one stage that moves along it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.patches import padding_of
from bondwise.tn.compress.formats.alternating import AlternatingFits, alternate
from bondwise.tn.compress.layers import Layer

_CONVOLVE: dict[int, Callable[..., Tensor]] = {
    1: nn.functional.conv1d,
    2: nn.functional.conv2d,
    3: nn.functional.conv3d,
}


class Stage(NamedTuple):
    """One convolution of a chain."""

    axes: tuple[int, ...]  # along which it moves
    depthwise: bool = False


class FactoredConvolution(nn.Module):
    """The chain; a subclass says which stages it has and how their weights start.

    Args:
        factors: The weights of the stages, as torch's convolutions store them.
        bias: Shape (out_channels,), or None.
        like: A convolution of torch: its kernel size, stride, padding, dilation and groups are taken.
        rank: The number that the channels between the stages follow from.
    """

    kind = "convolution"

    def __init__(self, factors: Sequence[Tensor], bias: Tensor | None, like: nn.Module, rank: int) -> None:
        super().__init__()
        self.factors = nn.ParameterList([nn.Parameter(factor) for factor in factors])
        self.bias = None if bias is None else nn.Parameter(bias)
        self.rank = rank
        module: Any = like
        self.in_channels, self.out_channels = module.in_channels, module.out_channels
        self.kernel_size, self.stride, self.dilation = module.kernel_size, module.stride, module.dilation
        self.padding, self.padding_mode, self.groups = module.padding, module.padding_mode, module.groups
        self._pads = None if self.padding_mode == "zeros" else padding_of(module)
        self._calls = []
        for stage, factor in zip(self.stages(self.kernel_size), factors, strict=True):
            if self._pads is not None or self.padding == "valid":
                padding: Any = 0
            elif self.padding == "same":
                padding = "same"
            else:
                padding = _along(stage.axes, self.padding, 0)
            groups = len(factor) if stage.depthwise else self.groups
            strides = _along(stage.axes, self.stride, 1), _along(stage.axes, self.dilation, 1)
            self._calls.append((strides[0], padding, strides[1], groups))

    @staticmethod
    def stages(kernel: Sequence[int]) -> list[Stage]:
        """The stages for a kernel of some size."""
        raise NotImplementedError

    @staticmethod
    def channels(shape: Sequence[int], rank: int) -> list[int]:
        """Channels between the stages in a group, for a weight of shape (groups, out, in, *kernel)."""
        raise NotImplementedError

    @staticmethod
    def start(weight: Tensor, metric: Metric) -> Callable[[int], list[Tensor]]:
        """Gives factors of any rank to start from, exact for the largest."""
        raise NotImplementedError

    @classmethod
    def shapes(cls, shape: Sequence[int], rank: int) -> list[tuple[int, ...]]:
        """Shapes of the factors."""
        groups, rows, columns, *kernel = shape
        between = [columns, *cls.channels(shape, rank), rows]
        return [
            (groups * after, 1 if stage.depthwise else before, *_along(stage.axes, kernel, 1))
            for stage, before, after in zip(cls.stages(kernel), between, between[1:], strict=False)
        ]

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> FactoredConvolution:
        """The layer with factors that are yet to be loaded."""
        bias = None if layer.bias is None else torch.empty(len(layer.bias))
        factors = [torch.empty(shape) for shape in cls.shapes(layer.shape, rank)]
        return cls(factors, bias, layer.module, rank)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (N, in_channels, *size) or (in_channels, *size)."""
        if self._pads is not None:
            x = nn.functional.pad(x, self._pads, mode=self.padding_mode)
        convolve, last = _CONVOLVE[len(self.kernel_size)], len(self.factors) - 1
        for index, (stride, padding, dilation, groups) in enumerate(self._calls):
            bias = self.bias if index == last else None
            x = convolve(x, self.factors[index], bias, stride, padding, dilation, groups)
        return x

    def extra_repr(self) -> str:
        """What `print` shows."""
        shown = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, usual in (("padding", (0,)), ("dilation", (1,)), ("groups", (1,))):
            value = getattr(self, name)
            if set(value if isinstance(value, tuple) else (value,)) != set(usual):
                shown += f", {name}={value}"
        return f"{shown}, rank={self.rank}, bias={self.bias is not None}"

    def dense(self) -> Tensor:
        """The weight, shape (groups, out_channels / groups, in_channels / groups, *kernel_size)."""
        return composed(list(self.factors), self.stages(self.kernel_size), self.groups)

    @property
    def weight(self) -> Tensor:
        """The weight as torch's convolutions have it, for models that look at that of a layer."""
        return self.dense().flatten(0, 1)

    @classmethod
    def num_params(cls, layer: Layer, rank: int) -> int:
        """Numbers in the factors, without the bias."""
        return sum(math.prod(shape) for shape in cls.shapes(layer.shape, rank))

    @classmethod
    def flops(cls, layer: Layer, rank: int) -> int:
        """Multiplications for one position of the output; stages before a stride see more positions."""
        stride: Any = layer.module.stride
        shapes, total, positions = cls.shapes(layer.shape, rank), 0, 1
        for stage, shape in reversed(list(zip(cls.stages(layer.shape[3:]), shapes, strict=True))):
            total += positions * math.prod(shape)
            positions *= math.prod(stride[axis] for axis in stage.axes)
        return total

    @classmethod
    def fits(cls, layer: Layer, weight: Tensor, metric: Metric) -> AlternatingFits:
        """Factors by alternating least squares."""
        weight = weight.detach().double()
        start, stages, groups = cls.start(weight, metric), cls.stages(layer.shape[3:]), len(weight)

        def product(factors: Sequence[Tensor]) -> Tensor:
            return composed(factors, stages, groups).flatten(2)

        def fit(rank: int) -> tuple[list[Tensor], float]:
            factors, loss = alternate(start(rank), product, weight.flatten(2), metric)
            return _balanced(factors, stages, groups), loss

        def make(rank: int, factors: list[Tensor]) -> FactoredConvolution:
            bias = None if layer.bias is None else layer.bias.detach().clone()
            return cls(factors, bias, layer.module, rank)

        return AlternatingFits(layer, cls.num_params, fit, make)


def composed(factors: Sequence[Tensor], stages: Sequence[Stage], groups: int) -> Tensor:
    """The kernel of a chain, shape (groups, out, in, *kernel)."""
    kernel = factors[0].unflatten(0, (groups, -1))
    for stage, factor in zip(stages[1:], factors[1:], strict=True):
        factor = factor.unflatten(0, (groups, -1))
        if stage.depthwise:
            kernel = factor * kernel
        else:
            kernel = (factor.movedim((1, 2), (-2, -1)) @ kernel.movedim((1, 2), (-2, -1))).movedim(
                (-2, -1), (1, 2)
            )
    return kernel


def mode_roots(weight: Tensor, metric: Metric, axes: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Square roots of the covariances of the output channels, and of the input channels with the first axes.

    The other axes of the kernel are summed over. Each with its inverse, shape (groups, n, n).
    """
    groups, rows, columns, *kernel = weight.shape
    size, rest = columns * math.prod(kernel[:axes]), math.prod(kernel[axes:])
    inputs = torch.eye(size, dtype=weight.dtype, device=weight.device).expand(groups, -1, -1)
    if metric.inputs is not None:
        split = metric.inputs.double().reshape(groups, size, rest, size, rest)
        inputs = torch.einsum("gasbs->gab", split)
    gradients = torch.eye(rows, dtype=weight.dtype, device=weight.device).expand(groups, -1, -1)
    gradients = gradients if metric.gradients is None else metric.gradients.double()
    return _root(gradients), _root(inputs)


def _root(covariance: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(covariance)
    # where the alternation starts only, so that directions that hardly occur may count more than they do
    values = values.clamp_min(0) + 1e-3 * values.mean(-1, keepdim=True).clamp_min(1e-30)
    values = values[..., None, :]
    return (vectors * values.sqrt()) @ vectors.mT, (vectors * values.rsqrt()) @ vectors.mT


def _along(axes: Sequence[int], values: Sequence[int], other: int) -> tuple[int, ...]:
    return tuple(value if axis in axes else other for axis, value in enumerate(values))


def _balanced(factors: list[Tensor], stages: Sequence[Stage], groups: int) -> list[Tensor]:
    """Give each channel between two stages the same norm on both sides, so that training moves them alike."""
    factors = [factor.clone() for factor in factors]
    for index in 2 * list(range(len(factors) - 1)):
        left = factors[index].flatten(1).norm(dim=1)
        after = factors[index + 1].unflatten(0, (groups, -1))
        channels = after[:, :, 0] if stages[index + 1].depthwise else after.transpose(1, 2)
        right = channels.flatten(2).norm(dim=2).flatten()
        scales = (right / left).sqrt()
        scales = torch.where(torch.isfinite(scales) & (scales > 0), scales, 1.0)
        factors[index] *= scales.reshape(-1, *[1] * (factors[index].ndim - 1))
        channels /= scales.reshape(groups, -1, *[1] * (channels.ndim - 2))
    return factors
