"""The reverse of quantization, up to its rounding."""

from __future__ import annotations

import copy

from torch import nn

from bondwise.tn.compress.quantization.packed import unpack_parameters


def dequantize(model: nn.Module) -> nn.Module:
    """Unpack a quantized model, for `refine` and `heal`, and for programs that know no packed numbers.

    Args:
        model: What `quantize` or `compress` returned; it stays as it is.

    Returns:
        A copy whose weights and factors are ordinary parameters with the same values.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import dequantize, quantize
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10))
        >>> small = quantize(model, "int4", method="round")
        >>> [name for name, _ in small.named_parameters()]
        ['0.bias', '2.bias']
        >>> [name for name, _ in dequantize(small).named_parameters()]
        ['0.bias', '0.weight', '2.bias', '2.weight']
    """
    model = copy.deepcopy(model)
    unpack_parameters(model)
    return model
