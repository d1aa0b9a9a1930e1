"""Compressed models as ordinary ones: the factors multiplied out, in layers of the original classes."""

from __future__ import annotations

import copy

import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.layers import Layer, original_of, replace
from bondwise.tn.compress.quantization.packed import unpack_parameters


def to_dense(model: nn.Module) -> nn.Module:
    """Multiply the factors of a compressed model out, for programs that know ordinary layers only.

    Numbers in few bits are unpacked as well. The result is as large as the model was before `compress`, and
    answers as the compressed one does.

    Args:
        model: What `compress`, `quantize` or `load` returned; it stays as it is.

    Returns:
        A copy in evaluation mode whose layers are of the classes they were of before. A model of transformers
        has its `save_pretrained`, and what that writes is an ordinary checkpoint.

    Raises:
        UsageError: If the weight of a class that was given to `register` cannot be set.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, to_dense
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> small = compress(model, 0.5, data=data, seed=0)
        >>> again = to_dense(small)
        >>> again[0], torch.allclose(again(data), small(data), atol=1e-5)
        (Linear(in_features=32, out_features=64, bias=True), True)
    """
    dense = copy.deepcopy(model)
    unpack_parameters(dense)
    factored = {name: module for name, module in dense.named_modules() if is_factored(module)}
    for name, module in factored.items():
        replace(dense, name, _multiplied_out(name, module))
    return dense.eval()


@torch.no_grad()
def _multiplied_out(name: str, factors: nn.Module) -> nn.Module:
    """The dense layer with the weight of factors."""
    weight = factors.dense()  # type: ignore[operator]
    layer = Layer(name, original_of(factors, weight.dtype, weight.device))
    layer.weight.copy_(weight)
    if not torch.equal(layer.weight, weight):
        raise UsageError(
            f"the weight of {name}, a {type(layer.module).__name__}, cannot be set: the function that "
            "register was given returns another tensor than the one in the layer"
        )
    if layer.bias is not None:
        layer.bias.copy_(factors.bias)  # type: ignore[arg-type]
    return layer.module
