"""Learning rates of factors: each in inverse proportion to the number of its input channels.

In maximal update parametrization, Adam's step of a matrix is to fall with its fan-in, for the change of its
output to stay as large whatever its width (Yang et al., arXiv:2203.03466), and for layers in factors this
holds for each factor (Qiu et al., arXiv:2406.06248). So a factor with half of the input channels of the dense
layer takes steps twice as large as the dense layer would. Kernel sizes do not grow with the width and do not
count, so that depthwise filters learn like the dense layer.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from bondwise.runs import real_number
from bondwise.tn.compress.formats.convolutions import FactoredConvolution
from bondwise.tn.compress.formats.lowrank import LowRank


def parameter_groups(model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Parameters for Adam such that layers in factors learn at the rate that suits the dense ones.

    Args:
        model: A module with layers in factors, as `FactorizedConv2d` makes.
        learning_rate: What the same model with dense layers is trained with.

    Returns:
        Groups for an optimizer of torch, each with its `lr`. The first holds everything but the factors of
        convolutions and of low rank.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import FactorizedLinear, parameter_groups
        >>> layer = FactorizedLinear(64, 32, rank=8)
        >>> groups = parameter_groups(layer, 1e-3)
        >>> [group["lr"] for group in groups]  # bias, left with 8 inputs, right with 64
        [0.001, 0.008, 0.001]
        >>> optimizer = torch.optim.Adam(groups)
    """
    learning_rate = real_number("learning_rate", learning_rate)
    groups: list[dict[str, Any]] = []
    taken = set()
    for module in model.modules():
        if not isinstance(module, FactoredConvolution | LowRank):
            continue
        factors = [parameter for name, parameter in module.named_parameters() if name != "bias"]
        depthwise = [False] * len(factors)
        if isinstance(module, FactoredConvolution):
            depthwise = [stage.depthwise for stage in module.stages(module.kernel_size)]
            channels = module.in_channels // module.groups
        else:
            channels = module.right.shape[1]
        for factor, alone in zip(factors, depthwise, strict=True):
            taken.add(id(factor))
            rate = learning_rate * (1 if alone else channels / factor.shape[1])
            groups.append({"params": [factor], "lr": rate})
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return [{"params": others, "lr": learning_rate}, *groups]
