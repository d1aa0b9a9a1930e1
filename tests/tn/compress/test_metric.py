"""The quadratic form, and the low-rank factors that are best in it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bondwise.tn.compress import LowRank
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.layers import Layer

seeds = st.integers(0, 2**16)


def layer_of(weight):
    """The weight as a linear layer."""
    module = torch.nn.Linear(*reversed(weight.shape), bias=False, dtype=weight.dtype)
    module.weight = torch.nn.Parameter(weight)
    return Layer("layer", module)


def covariance(size, rank, generator):
    rows = torch.randn(rank, size, dtype=torch.float64, generator=generator)
    return rows.T @ rows / rank


def case(seed):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (int(n) for n in torch.randint(2, 9, (2,), generator=generator))
    weight = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
    return weight, covariance(columns, 20, generator), covariance(rows, 20, generator)


def shrunk(covariance, fraction):
    return covariance + fraction * covariance.diagonal().mean() * torch.eye(len(covariance))


def loss_of(metric, change):
    return 0.5 * float(metric.weighted(change).square().sum())


@given(seeds)
def test_the_loss_is_the_trace_formula(seed):
    change, inputs, gradients = case(seed)
    expected = 0.5 * torch.trace(shrunk(gradients, 0.05) @ change @ shrunk(inputs, 1e-4) @ change.T)
    assert loss_of(Metric(inputs, gradients), change) == pytest.approx(float(expected))
    assert loss_of(Metric(), change) == pytest.approx(0.5 * float(change.square().sum()))


@given(seeds)
def test_factors_lose_what_is_predicted_and_nothing_of_the_same_rank_loses_less(seed):
    weight, inputs, gradients = case(seed)
    metric = Metric(inputs, gradients)
    fits = LowRank.fits(layer_of(weight), weight, metric)
    assert list(fits.ranks) == list(range(1, len(fits.ranks) + 1))
    generator = torch.Generator().manual_seed(seed)
    for rank, loss in zip(fits.ranks, fits.losses, strict=True):
        layer = fits.build(rank)
        assert layer.rank == rank
        assert sum(p.numel() for p in layer.parameters()) == LowRank.num_params(layer_of(weight), rank)
        assert loss_of(metric, weight - layer.dense()) == pytest.approx(loss, rel=1e-6, abs=1e-9)
        nudged = layer.dense() + 1e-3 * torch.randn(weight.shape[0], rank, generator=generator).double() @ (
            layer.right.detach()
        )
        assert loss_of(metric, weight - nudged) >= loss - 1e-9
    assert all(np.diff(fits.losses) <= 1e-12)


@given(seeds)
def test_without_covariances_it_is_the_truncated_svd(seed):
    weight, _, _ = case(seed)
    left, values, right = np.linalg.svd(weight.numpy(), full_matrices=False)
    layer = LowRank.fits(layer_of(weight), weight, Metric()).build(1)
    assert layer.dense().detach().numpy() == pytest.approx(
        values[0] * np.outer(left[:, 0], right[0]), abs=1e-9
    )


def test_singular_covariances_and_those_that_are_zero():
    weight = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    for inputs in (covariance(5, 1, generator), torch.zeros(5, 5).double()):
        for gradients in (covariance(6, 1, generator), torch.zeros(6, 6).double()):
            layer = LowRank.fits(layer_of(weight), weight, Metric(inputs, gradients)).build(2)
            assert torch.isfinite(layer.dense()).all()


def test_the_layer_computes_with_its_dense_weight():
    generator = torch.Generator().manual_seed(0)
    layer = LowRank(*(torch.randn(shape, generator=generator) for shape in ((7, 3), (3, 5), (7,))))
    x = torch.randn(2, 4, 5, generator=generator)
    expected = torch.nn.functional.linear(x, layer.dense(), layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert torch.allclose(torch.compile(layer, fullgraph=True, backend="eager")(x), expected, atol=1e-5)
