"""Weights of any magnitude are rounded alike, and files keep them."""

import pytest
import torch
from torch import nn

from bondwise.tn.compress import load, quantize, save
from bondwise.tn.compress.quantization.scales import decode, encode

MAGNITUDES = (1e-35, 1e-12, 1e-7, 1e-5, 1e6, 1e15, 1e35)


def test_sixteen_bits_hold_all_scales():
    scales = torch.logspace(-36, 38, 4000)
    found = decode(encode(scales))
    assert ((found - scales).abs() <= 2.0**-7 * scales).all()
    usual = (scales > 1e-5) & (scales < 6e4)
    assert torch.equal(found[usual], scales[usual].half().float())
    assert torch.equal(decode(encode(found)), found)


@pytest.mark.parametrize("bits", ["int8", "int4", "int2"])
@pytest.mark.parametrize("method", ["round", "gptq"])
def test_any_magnitude(bits, method, tmp_path):
    generator = torch.Generator().manual_seed(0)
    weight, data = (torch.randn(size, 64, generator=generator) for size in (48, 128))

    def error(magnitude):
        model = nn.Sequential(nn.Linear(64, 48, bias=False))
        with torch.no_grad():
            model[0].weight.copy_(magnitude * weight)
        small = quantize(model, bits, method=method, data=data)
        assert torch.equal(load(save(small, tmp_path), model=model)(data), small(data))
        return float((small[0].weight / magnitude - weight).norm() / weight.norm())

    usual = error(1.0)
    for magnitude in MAGNITUDES:
        assert error(magnitude) == pytest.approx(usual, rel=0.1 if bits == "int8" else 0.02)


def test_groups_of_one_weight_may_differ_by_any_factor():
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1e-20], [1e-6], [1.0], [1e10]]
    )
    model = nn.Sequential(nn.Linear(64, 4, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(weight)
    found = quantize(model, "int8", method="round")[0].weight
    assert ((found - weight).norm(dim=1) / weight.norm(dim=1) < 0.01).all()
