"""The network of the paper: it fits what it sees, says the same every time, and extrapolates worse."""

import numpy as np
import pytest
import torch

from bondwise.mitigation import NoiseScan, extrapolate_exponential, extrapolate_paper_network
from bondwise.mitigation.extrapolations import paper_network
from bondwise.runs import UsageError

FACTORS = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def decays(count, std, seed=0):
    rng = np.random.default_rng(seed)
    ideal = rng.uniform(-1, 1, count)
    exact = ideal[:, None] * np.exp(-rng.uniform(0.05, 0.3, (count, 1)) * FACTORS)
    values = exact + std * rng.normal(size=exact.shape)
    return ideal, NoiseScan(value=values, std=np.full(values.shape, std), scale_factors=FACTORS)


def test_it_fits_the_points_and_is_the_same_every_time():
    _, scan = decays(2, 0.0)
    fit = extrapolate_paper_network(scan)
    at_factors = np.array([np.interp(FACTORS, fit.curve_at, curve) for curve in fit.curve])
    np.testing.assert_allclose(at_factors, scan.value, atol=0.02)
    torch.manual_seed(5)
    again = extrapolate_paper_network(scan)
    np.testing.assert_array_equal(again.value, fit.value)
    np.testing.assert_array_equal(again.std, fit.std)
    assert fit.method == "network of 49 parameters"


def test_networks_are_those_that_torch_trains_one_by_one():
    """The batched training against torch's own layers, from the same start."""
    target = 0.8 * np.exp(-0.3 * FACTORS)
    at = FACTORS / 5
    generator = torch.Generator().manual_seed(3)
    mine = paper_network._trained(at, np.tile(target, (10, 2, 1)), np.array([0.0]), generator)
    generator = torch.Generator().manual_seed(3)
    slopes, offsets, outputs = (
        torch.randn(5, 16, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    for index in range(5):
        net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
        assert sum(number.numel() for number in net.parameters()) == 49
        with torch.no_grad():
            net[0].weight.copy_(slopes[index, :, None])
            net[0].bias.copy_(offsets[index])
            net[2].weight.copy_(outputs[index, None] / 4)
            net[2].bias.zero_()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(400):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(
                net(torch.from_numpy(at)[:, None])[:, 0], torch.from_numpy(target)
            ).backward()
            optimizer.step()
        said = net(torch.zeros(1, 1, dtype=torch.float64)).item()
        np.testing.assert_allclose(mine[[index, 5 + index], :, 0], said, atol=1e-6)


def test_elements_are_independent_and_units_do_not_matter():
    _, scan = decays(4, 0.02, seed=1)
    fit = extrapolate_paper_network(scan)
    one = extrapolate_paper_network(
        NoiseScan(value=1000 * scan.value[2], std=1000 * scan.std[2], scale_factors=3 * FACTORS)
    )
    assert one.value / 1000 == pytest.approx(fit.value[2], abs=1e-6)
    assert one.std / 1000 == pytest.approx(fit.std[2], abs=1e-6)


def test_it_is_worse_than_an_exponential_and_its_error_is_of_the_right_size():
    ideal, scan = decays(60, 0.01, seed=2)
    fit = extrapolate_paper_network(scan)
    error = np.abs(fit.value - ideal)
    assert error.mean() > 1.5 * np.abs(extrapolate_exponential(scan).value - ideal).mean()
    assert 0.7 < np.mean(error < 2 * fit.std) < 0.99  # it does not know that it extrapolates


def test_correlated_and_zero_values():
    covariance = 1e-4 * np.ones((5, 5))
    scan = NoiseScan(
        value=np.zeros((2, 1, 5)),
        std=np.full((2, 1, 5), 0.01),
        covariance=np.broadcast_to(covariance, (2, 1, 5, 5)),
        scale_factors=FACTORS,
    )
    fit = extrapolate_paper_network(scan)
    assert fit.value.shape == (2, 1)
    assert fit.std == pytest.approx(np.full((2, 1), 0.01), rel=1)


def test_one_scale_factor_is_refused():
    with pytest.raises(UsageError, match="needs two scale factors and the scan has 1"):
        extrapolate_paper_network(NoiseScan(value=[0.5], scale_factors=[1.0]))
