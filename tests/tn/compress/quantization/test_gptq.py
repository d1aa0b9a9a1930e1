"""GPTQ loses less than rounding to the nearest in the norm of the inputs, for all kinds of covariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.tn.compress.quantization.gptq import gptq
from bondwise.tn.compress.quantization.rounding import fit_grid, group_size
from bondwise.tn.compress.quantization.scales import decode, encode


def loss(difference, covariance):
    return float((difference.double() @ covariance * difference.double()).sum())


def errors(weight, covariance, bits, group=16):
    """Of rounding to the nearest, and of GPTQ on the same grid."""
    grid = fit_grid(weight, bits, group)
    codes = gptq(weight, covariance, *grid.spread(weight.shape[1]), bits)
    assert int(codes.max()) < 2**bits
    found = [grid.values(grid.codes(weight)), grid.values(codes)]
    return [loss(one - weight, covariance) for one in found]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_correlated_inputs(bits):
    torch.manual_seed(0)
    inputs = torch.randn(500, 8, dtype=torch.float64) @ torch.randn(8, 160, dtype=torch.float64)
    inputs += 0.3 * torch.randn(500, 160, dtype=torch.float64)
    nearest, found = errors(torch.randn(20, 160), inputs.T @ inputs / 500, bits)
    assert found < 0.5 * nearest


def test_a_covariance_of_few_samples_and_one_of_none():
    torch.manual_seed(0)
    inputs, weight = torch.randn(3, 24, dtype=torch.float64), torch.randn(10, 24)
    nearest, found = errors(weight, inputs.T @ inputs / 3, 3)
    assert found < 0.5 * nearest
    grid = fit_grid(weight, 3, 8)
    codes = gptq(weight, torch.zeros(24, 24), *grid.spread(24), 3)
    assert torch.equal(codes, grid.codes(weight))


def test_independent_inputs_are_rounded_to_the_nearest():
    weight = torch.randn(5, 12, dtype=torch.bfloat16)
    grid = fit_grid(weight, 4, 6)
    codes = gptq(weight, torch.diag(torch.arange(1.0, 13.0)), *grid.spread(12), 4)
    assert torch.equal(codes, grid.codes(weight))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([2, 3, 4, 8]), st.integers(0, 99))
def test_a_grid_holds_zero_and_clips_where_that_helps(columns, group, bits, seed):
    weight = torch.randn(3, columns, generator=torch.Generator().manual_seed(seed))
    grid = fit_grid(weight, bits, group_size(columns, group))
    assert torch.equal(grid.scales, decode(encode(grid.scales)))
    assert torch.equal(grid.values(grid.zeros.repeat_interleave(grid.group, 1)[:, :columns]), 0 * weight)
    found = grid.values(grid.codes(weight))
    low, high = weight.amin(1, True).clamp(max=0), weight.amax(1, True).clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero = (-low / scale).round()
    whole = scale * ((weight / scale + zero).round().clamp(0, 2**bits - 1) - zero)
    # scales have 11 bits
    assert (found - weight).norm() <= (whole - weight).norm() + 1e-3 * weight.norm()


@pytest.mark.parametrize("number", [0.0, 1e-9, 1e4, -3.0])
def test_equal_numbers(number):
    weight = torch.full((2, 8), number)
    grid = fit_grid(weight, 2, 4)
    assert torch.allclose(grid.values(grid.codes(weight)), weight, rtol=1e-3, atol=1e-7)


def test_groups_are_even():
    assert [group_size(columns, 64) for columns in (128, 172, 65, 20)] == [64, 58, 33, 20]
