"""Layers in factors to be trained from scratch, in place of torch's (arXiv:2304.04964 for convolutions).

They are the layers that `compress` makes. Each factor starts with the variance 1 / fan-in of its entries, as
maximal update parametrization has it for a layer that is no wider than its input (arXiv:2203.03466), all
times one number that gives the product the variance of torch's dense layers, 1 / (3 fan-in). Their learning
rates differ too: see `parameter_groups`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from bondwise.runs import UsageError, one_line, real_number, unknown_name, whole_number
from bondwise.runs.text import rounded_up
from bondwise.tn.compress.formats.formats import FORMATS, Format
from bondwise.tn.compress.layers import Layer, replace


def FactorizedConv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: str | int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
    *,
    format: str = "separable",
    rank: int | None = None,
    budget: float | None = None,
) -> nn.Module:
    """A convolution in factors, to be trained; the arguments are those of `torch.nn.Conv2d` and these.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the dense kernel.
        stride: Step of the kernel.
        padding: What is added on both sides of each axis, `same` or `valid`.
        dilation: Distance of the kernel's points.
        groups: Groups of channels that don't mix.
        bias: Whether there is one.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        format: `separable`, `tucker2` or `cp`.
        rank: Channels between the stages, with no more numbers than the dense kernel; one of `rank` and
            `budget` is needed.
        budget: Fraction of the numbers of the dense kernel, between 0 and 1, to stay within.

    Returns:
        A layer of the class that `compress` makes, so that `save` and `heal` know it.

    Raises:
        UsageError: If an argument is out of range, or factors of rank 1 are above the budget.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import FactorizedConv2d
        >>> layer = FactorizedConv2d(16, 32, 3, padding=1, format="separable", budget=0.3)
        >>> layer(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 32, 8, 8])
        >>> layer.rank, sum(factor.numel() for factor in layer.factors) / (32 * 16 * 9)
        (9, 0.28125)
    """
    sizes = in_channels, out_channels, kernel_size, stride
    try:
        dense = nn.Conv2d(*sizes, padding, dilation, groups, bias, padding_mode)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"torch.nn.Conv2d refuses the arguments ({one_line(error)})") from error
    return _factorized(dense, format, rank, budget)


def FactorizedLinear(
    in_features: int,
    out_features: int,
    bias: bool = True,
    *,
    format: str = "lowrank",
    rank: int | None = None,
    budget: float | None = None,
) -> nn.Module:
    """A linear layer in factors, to be trained; the arguments are those of `torch.nn.Linear` and these.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        bias: Whether there is one.
        format: Name of a format for linear layers, as `compress` takes it.
        rank: That of the factors, with no more numbers than the dense weight; one of `rank` and `budget` is
            needed.
        budget: Fraction of the numbers of the dense weight, between 0 and 1, to stay within.

    Returns:
        A layer of the class that `compress` makes, so that `save`, `heal` and `refine` know it.

    Raises:
        UsageError: If an argument is out of range, or factors of rank 1 are above the budget.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import FactorizedLinear
        >>> layer = FactorizedLinear(64, 32, budget=0.5)
        >>> layer(torch.randn(4, 64)).shape, layer.rank
        (torch.Size([4, 32]), 10)
    """
    return _factorized(nn.Linear(in_features, out_features, bias), format, rank, budget)


def _factorized(dense: nn.Module, name: str, rank: int | None, budget: float | None) -> nn.Module:
    """Factors in place of a dense layer that was just made, with its bias."""
    layer = Layer("layer", dense)
    if not layer.num_params:
        raise UsageError(f"{dense} has no numbers to factorize; give sizes of at least 1")
    known = {name: format for name, format in FORMATS.items() if format.kind == layer.kind}
    if name not in known:
        raise unknown_name("format", name, known)
    if (rank is None) == (budget is None):
        raise UsageError(f"rank={rank} and budget={budget}: give one of them, and not both")
    format = known[name]
    if budget is not None:
        budget = real_number("budget", budget, below=1)
        least = format.num_params(layer, 1) / layer.num_params
        if least > budget:
            remedy = "give more" if float(rounded_up(least)) < 1 else "take a dense layer"
            raise UsageError(
                f"budget={budget:g} is too small: factors of rank 1 keep {rounded_up(least)}; {remedy}"
            )
        rank = _largest(format, layer, budget * layer.num_params)
    else:
        rank = whole_number("rank", rank)
        numbers = format.num_params(layer, rank)
        if rank > 1 and numbers > layer.num_params:
            raise UsageError(
                f"rank={rank} takes {numbers:,} numbers, and the dense layer has {layer.num_params:,}; give "
                f"at most {_largest(format, layer, layer.num_params)}, or a budget"
            )
    place = nn.Sequential(dense)
    replace(place, "0", format.empty(layer, rank))
    factors = place[0]
    _initialize(factors, layer)
    return factors


def _largest(format: Format, layer: Layer, numbers: float) -> int:
    """The largest rank with at most so many numbers, and no less than 1."""
    rank = 1
    while format.num_params(layer, rank) < format.num_params(layer, rank + 1) <= numbers:
        rank += 1
    return rank


@torch.no_grad()
def _initialize(module: Any, layer: Layer) -> None:
    """Random factors whose product has the variance of the dense layer's weight."""
    # single entries stay zero, so that the product alone decides
    factors = [parameter for name, parameter in module.named_parameters() if name not in ("bias", "values")]
    for factor in factors:
        factor.normal_(std=1 / math.sqrt(max(1, math.prod(factor.shape[1:]))))
    product = module.dense()
    scale = layer.weight.square().mean().sqrt() / product.square().mean().sqrt()
    for factor in factors:
        factor.mul_(scale ** (1 / len(factors)))
    if module.bias is not None:
        module.bias.copy_(layer.bias)
