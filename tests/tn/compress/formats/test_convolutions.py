"""Convolutions in factors: they compute with their kernels, and fits only get better."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bondwise.tn.compress import CP, Separable, Tucker2
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.patches import gradient_rows, input_rows
from bondwise.tn.compress.formats.alternating import alternate
from bondwise.tn.compress.formats.convolutions import composed
from bondwise.tn.compress.layers import Layer

KINDS = pytest.mark.parametrize("kind", [Tucker2, Separable, CP])
KERNELS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@st.composite
def convolutions(draw):
    """A convolution of any geometry, in float64, and an input."""
    axes = draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    groups = draw(st.integers(1, 2))
    per_group = st.integers(1, 4)
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    stride = draw(st.integers(1, 2)) if padding != "same" else 1
    if padding == "numbers":
        padding = draw(st.lists(st.integers(0, 2), min_size=axes, max_size=axes))
    module = KERNELS[axes](
        groups * draw(per_group),
        groups * draw(per_group),
        kernel,
        stride=stride,
        padding=padding,
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
        dtype=torch.float64,
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, module.in_channels, *[6 + axis for axis in range(axes)], generator=generator)
    return Layer("layer", module), x.double()


def covariance(groups, size, generator):
    rows = torch.randn(groups, size + 2, size, dtype=torch.float64, generator=generator)
    return rows.mT @ rows / (size + 2)


def metric_of(layer, seed=0):
    generator = torch.Generator().manual_seed(seed)
    groups, rows, *columns = layer.shape
    return Metric(covariance(groups, math.prod(columns), generator), covariance(groups, rows, generator))


def loss_of(metric, change):
    change = change.detach().double().flatten(2)
    return 0.5 * float((change * metric.pulled(change)).sum())


def full_rank(kind, shape):
    groups, rows, columns, *kernel = shape
    return math.prod(kernel) * (min(rows, columns) if kind is CP else max(rows, columns))


@settings(max_examples=30, deadline=None)
@given(case=convolutions())
def test_the_patches_are_what_the_kernel_multiplies(case):
    layer, x = case
    rows = input_rows(layer, x)
    expected = layer.module(x).movedim(1, -1).flatten(0, -2)
    if layer.bias is not None:
        expected = expected - layer.bias
    found = (rows @ layer.weight.flatten(2).mT).movedim(0, 1).flatten(1)
    assert torch.allclose(found, expected)
    gradient = torch.randn_like(layer.module(x))
    assert torch.equal(
        gradient_rows(layer, gradient).movedim(0, 1).flatten(1), gradient.movedim(1, -1).flatten(0, -2)
    )


def test_a_choice_of_positions_stands_for_all():
    layer = Layer("layer", nn.Conv2d(2, 3, 3, padding=1))
    x = torch.randn(3, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    rows = input_rows(layer, x)
    assert rows.shape == (1, 4096, 18)
    assert torch.equal(rows, input_rows(layer, x))
    every = nn.functional.unfold(x, 3, padding=1).movedim(1, -1).flatten(0, 1)
    assert torch.allclose(rows[0].T @ rows[0], every.T @ every, atol=0.06 * len(every))
    ones = gradient_rows(layer, torch.ones(3, 3, 64, 64))
    assert torch.allclose(ones.square().sum((0, 1)), torch.full((3,), 3 * 64 * 64.0))


@KINDS
@settings(max_examples=15, deadline=None)
@given(case=convolutions(), rank=st.integers(1, 3))
def test_the_chain_computes_with_its_dense_kernel(kind, case, rank):
    layer, x = case
    module = kind.empty(layer, rank).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        dense = layer.module
        dense.weight.copy_(module.dense().reshape(dense.weight.shape))
        if module.bias is not None:
            dense.bias.copy_(module.bias)
    assert module.dense().shape == layer.shape
    assert torch.allclose(module(x), dense(x))
    assert torch.allclose(module(x[0]), dense(x[0]))
    assert sum(factor.numel() for factor in module.factors) == kind.num_params(layer, rank)


@KINDS
@settings(max_examples=15, deadline=None)
@given(case=convolutions())
def test_the_full_rank_reproduces_the_kernel(kind, case):
    layer, _ = case
    factors = kind.start(layer.weight, metric_of(layer))(full_rank(kind, layer.shape))
    found = composed(factors, kind.stages(layer.shape[3:]), len(layer.weight))
    assert torch.allclose(found, layer.weight, rtol=0, atol=1e-10)
    assert torch.allclose(
        composed(
            kind.start(layer.weight, Metric())(full_rank(kind, layer.shape)),
            kind.stages(layer.shape[3:]),
            len(layer.weight),
        ),
        layer.weight,
        rtol=0,
        atol=1e-10,
    )


@KINDS
@settings(max_examples=10, deadline=None)
@given(case=convolutions(), rank=st.integers(1, 3))
def test_no_sweep_of_the_alternation_raises_the_loss(kind, case, rank):
    layer, _ = case
    weight, metric = layer.weight, metric_of(layer)
    factors, stages = kind.start(weight, metric)(rank), kind.stages(layer.shape[3:])
    losses = [loss_of(metric, weight - composed(factors, stages, len(weight)))]
    for _ in range(3):
        factors, loss = alternate(
            factors, lambda some: composed(some, stages, len(weight)).flatten(2), weight.flatten(2), metric, 1
        )
        assert loss == pytest.approx(
            loss_of(metric, weight - composed(factors, stages, len(weight))), abs=1e-10
        )
        losses.append(loss)
    assert all(np.diff(losses) <= 1e-12 * loss_of(metric, weight))


@KINDS
def test_fits_lose_what_is_predicted(kind):
    torch.manual_seed(0)
    layer = Layer("layer", nn.Conv2d(8, 6, 3, groups=2))
    metric = metric_of(layer)
    fits = kind.fits(layer, layer.weight, metric)
    assert list(fits.ranks) == list(range(1, len(fits.ranks) + 1))
    assert all(np.diff(fits.losses) <= 0)
    assert kind.num_params(layer, fits.ranks[-1]) < layer.num_params
    for rank, loss in zip(fits.ranks, fits.losses, strict=True):
        built = fits.build(rank)
        assert (built.rank, built.bias.dtype) == (rank, torch.float32)
        start = composed(kind.start(layer.weight.double(), metric)(rank), kind.stages((3, 3)), 2)
        found = loss_of(metric, layer.weight - built.dense())
        assert found <= loss_of(metric, layer.weight - start) * (1 + 1e-5)
        assert found == pytest.approx(loss, rel=0.25)
    plain = kind.fits(layer, layer.weight, Metric()).build(2)
    assert loss_of(metric, layer.weight - fits.build(2).dense()) < loss_of(
        metric, layer.weight - plain.dense()
    )


@KINDS
def test_compiled_and_in_lower_precision(kind):
    torch.manual_seed(0)
    layer = Layer("layer", nn.Conv2d(8, 6, 3, stride=2, padding="valid", groups=2))
    module = kind.fits(layer, layer.weight, Metric()).build(1)
    x = torch.randn(2, 8, 9, 9)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), module(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = module(x)
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), module(x), atol=0.05)
    reflected = Layer("layer", nn.Conv2d(8, 6, 3, padding="same", padding_mode="reflect"))
    module = kind.fits(reflected, reflected.weight, Metric()).build(1)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="eager")(x), module(x))


def test_multiplications_count_the_stride_once():
    layer = Layer("layer", nn.Conv2d(4, 6, 3, stride=2))
    assert Separable.flops(layer, 2) == 2 * (2 * 4 * 3) + 6 * 2 * 3  # rows first, which leaves half of them
    assert Tucker2.flops(layer, 6) == 4 * (4 * 4) + 6 * 4 * 9 + 6 * 6
