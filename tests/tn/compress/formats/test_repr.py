"""Layers in factors are printed with their shapes and ranks, as those of torch are."""

import pytest
from torch import nn

from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.modules import quantize_module

DENSE = {
    "linear": nn.Linear(12, 18, bias=False),
    "convolution": nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
    "embedding": nn.Embedding(30, 8, padding_idx=0),
}
SHOWN = {
    "linear": "in_features=12, out_features=18, rank=2, bias=False",
    "convolution": "6, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=2, rank=2, bias=True",
    "embedding": "30, 8, rank=2, padding_idx=0",
}


@pytest.mark.parametrize("name", FORMATS)
def test_shapes_and_ranks_are_shown(name):
    kind = FORMATS[name].kind
    module = FORMATS[name].empty(Layer("layer", DENSE[kind]), 2)
    assert SHOWN[kind] in repr(module)
    if kind == "linear":
        assert repr(module) == f"{type(module).__name__}({SHOWN[kind]})"
    packed = repr(quantize_module(module, 4))
    assert SHOWN[kind] in packed
    assert "int4" in packed
    assert packed.startswith("Quantized") or kind != "linear"
