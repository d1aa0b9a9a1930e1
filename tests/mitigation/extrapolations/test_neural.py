"""The network: right on decays of its kind, better than fits of single scans, honest errors, no NaN."""

import numpy as np
import pytest
import torch
from helpers import FACTORS, chain_of_rotations, sampled_scan, strange_values
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from bondwise.backends import expectation
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    Twins,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_neural,
    extrapolate_richardson,
)
from bondwise.mitigation.extrapolations import neural
from bondwise.runs import UsageError


@settings(deadline=None, max_examples=3)
@given(st.floats(0.02, 0.5), st.floats(-3, 3), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_exact_decays_are_continued(rate, asymptote, height, seed):
    ideal = asymptote + height * np.random.default_rng(seed).uniform(-1, 1, 20)
    values = asymptote + (ideal - asymptote)[:, None] * np.exp(-rate * FACTORS)
    fit = extrapolate_neural(
        NoiseScan(value=values, std=np.zeros_like(values), scale_factors=FACTORS, asymptote=asymptote)
    )
    assert np.abs(fit.value - ideal).max() < 0.005 * height
    middle = asymptote + (ideal - asymptote)[:, None] * np.exp(-rate * fit.curve_at)
    assert np.abs(fit.curve - middle).max() < 0.005 * height


def test_the_posterior_is_the_one_of_its_model():
    """Another way to the same mean and variance: joint normal distributions at each node."""
    rng = np.random.default_rng(0)
    at, value, std = np.array([1.0, 2.0, 5.0]), rng.normal(size=(4, 3)), rng.uniform(0.05, 0.2, (4, 3))
    network = neural._Network(at, has_twins=True)
    numbers = torch.from_numpy(rng.normal(size=36) * 0.5 - np.r_[1, 1, np.zeros(34)])
    noise = std[..., None] ** 2 * np.eye(3)
    measured = neural._Measured(torch.from_numpy(value), torch.from_numpy(noise))
    mean, variance = network.predict(numbers, torch.zeros(0, 36), measured, np.array([0.0, 1.0]))
    nodes, weights = neural._grid(81, 5)
    shift, factor = np.exp(numbers[6].item()), np.exp(-np.exp(numbers[7].item()))
    points = torch.from_numpy(np.r_[0.0, at + shift])
    factors = torch.from_numpy(np.r_[1.0, np.full(3, factor)])
    kernels = network._kernel(numbers, nodes, points, factors).numpy()
    for i in range(4):
        parts = []
        for weight, kernel in zip(weights.exp().numpy(), kernels, strict=True):
            inner = kernel[1:, 1:] + noise[i]
            solved = np.linalg.solve(inner, kernel[0, 1:])
            evidence = multivariate_normal.pdf(value[i], cov=inner)
            parts.append((weight * evidence, solved @ value[i], kernel[0, 0] - solved @ kernel[0, 1:]))
        share, middle, spread = np.array(parts).T
        share /= share.sum()
        assert mean[i, 0] == pytest.approx(share @ middle)
        assert variance[i] == pytest.approx(share @ (spread + middle**2) - (share @ middle) ** 2)


def test_random_circuits_under_depolarizing_noise():
    """Smaller errors than the best of the other fits, within the standard errors that it states."""
    circuit, rng = chain_of_rotations(4, 2), np.random.default_rng(7)
    angles = rng.uniform(-np.pi, np.pi, (60, circuit.num_parameters))
    ideal = np.asarray(expectation(circuit, "ZZZZ", angles))
    noisy = MitigatedEstimator("aer:depolarizing=0.02", readout=False)
    [exact] = noisy.run([(circuit, "ZZZZ", angles)]).result()
    mine, pulls, theirs = [], [], []
    for _ in range(2):
        scan = sampled_scan(exact.data.evs_noise_factors, 2000, rng)
        fit = extrapolate_neural(scan)
        mine.append(np.abs(fit.value - ideal).mean())
        pulls.append((fit.value - ideal) / fit.std)
        others = (extrapolate_exponential, extrapolate_linear, extrapolate_richardson)
        theirs.append([np.abs(np.clip(other(scan).value, -1, 1) - ideal).mean() for other in others])
    assert np.mean(mine) < 0.85 * np.mean(theirs, axis=0).min()
    assert 0.9 < np.mean(np.abs(pulls) < 2) < 0.995


def test_paths_that_pull_in_one_direction():
    """Trained circuits: slow and fast parts of the same sign, which a single exponential takes for slow."""
    rng = np.random.default_rng(3)
    rates = 0.3 * rng.gamma(4, 1 / 4, (80, 40))
    parts = rng.uniform(0.5, 1, 80)[:, None] * rng.dirichlet(np.ones(40), 80)
    exact = np.einsum("nk,nks->ns", parts, np.exp(-rates[..., None] * FACTORS))
    ideal = parts.sum(-1)
    scan = sampled_scan(exact, 20000, rng)
    fit = extrapolate_neural(scan)
    assert np.abs(fit.value - ideal).mean() < 0.8 * np.abs(extrapolate_exponential(scan).value - ideal).mean()
    assert np.mean(np.abs(fit.value - ideal) < 2 * fit.std) > 0.9


def test_elements_without_signal_are_not_blown_up():
    scan = sampled_scan(np.zeros((50, 3)), 256, np.random.default_rng(0))
    fit = extrapolate_neural(scan)
    assert np.abs(fit.value).max() < 0.75 * np.abs(scan.value[:, 0]).max()


def scaled_in_part(shots, rng, count, *, twins):
    """Decays of which folding scales a part, and readout that is not undone, with twins that tell of both."""

    def noisy(ideal):
        rates = 0.15 * rng.gamma(20, 1 / 20, ideal.size)
        return 0.9 * ideal[:, None] * np.exp(-rates[:, None] * (FACTORS + 1.0))

    ideal, known = rng.uniform(-1, 1, count), rng.uniform(-1, 1, twins)
    calibration = sampled_scan(noisy(known), shots, rng)
    return ideal, sampled_scan(
        noisy(ideal), shots, rng, twins=Twins(calibration.value, calibration.std, known)
    )


def test_twins_tell_what_is_not_scaled():
    ideal, scan = scaled_in_part(4000, np.random.default_rng(5), 60, twins=30)
    fit, blind = extrapolate_neural(scan), extrapolate_neural(scan.without_twins())
    error = np.abs(fit.value - ideal).mean()
    assert error < 0.3 * np.abs(blind.value - ideal).mean()
    weights = np.linalg.lstsq(scan.twins.value, scan.twins.ideal, rcond=None)[0]  # variable-noise CDR
    assert error < 1.05 * np.abs(scan.value @ weights - ideal).mean()
    assert np.mean(np.abs(fit.value - ideal) < 2 * fit.std) > 0.85
    assert fit.method == "neural (36 parameters trained on 60 scans and 30 twins)"


def test_twins_at_one_scale_factor():
    """Clifford data regression, with errors."""
    ideal, scan = scaled_in_part(4000, np.random.default_rng(9), 60, twins=30)
    twins = Twins(scan.twins.value[:, :1], scan.twins.std[:, :1], scan.twins.ideal)
    one = NoiseScan(
        value=scan.value[:, :1], std=scan.std[:, :1], scale_factors=[1], spectrum=(-1, 1), twins=twins
    )
    fit = extrapolate_neural(one)
    design = np.column_stack([twins.value, np.ones(30)])
    slope, shift = np.linalg.lstsq(design, twins.ideal, rcond=None)[0]
    assert np.abs(fit.value - ideal).mean() < 1.05 * np.abs(slope * one.value[:, 0] + shift - ideal).mean()
    assert np.mean(np.abs(fit.value - ideal) < 2 * fit.std) > 0.85


def test_twins_of_each_element():
    """The same twins for each element count once."""
    _, scan = scaled_in_part(1000, np.random.default_rng(6), 8, twins=10)
    own = Twins(*(np.broadcast_to(part, (8, *part.shape)) for part in scan.twins))
    other = NoiseScan(
        value=scan.value, std=scan.std, scale_factors=FACTORS, spectrum=scan.spectrum, twins=own
    )
    np.testing.assert_allclose(extrapolate_neural(other).value, extrapolate_neural(scan).value, atol=1e-9)


@settings(deadline=None, max_examples=12)
@given(
    st.sampled_from([(), (0,), (1,), (3,), (2, 2)]),
    st.integers(2, 7),
    st.floats(-12, 12),
    st.sampled_from(["zero", "equal", "noise", "one outlier", "ones", "growing"]),
    st.floats(0, 2),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_never_nan(shape, count, magnitude, kind, error, has_twins, seed):
    rng, unit = np.random.default_rng(seed), 10.0**magnitude
    factors = 1 + np.cumsum(rng.uniform(0.1, 3, count))
    values = strange_values(kind, shape, count, rng)
    twins = Twins(
        unit * rng.normal(size=(4, count)), np.full((4, count), unit * error), unit * rng.normal(size=4)
    )
    scan = NoiseScan(
        value=unit * values,
        std=np.full(values.shape, unit * error),
        scale_factors=factors,
        twins=twins if has_twins else None,
    )
    fit = extrapolate_neural(scan)
    assert np.shape(fit.value) == np.shape(fit.std) == shape
    assert np.isfinite(fit.value).all()
    assert np.isfinite(fit.std).all()
    assert np.isfinite(fit.curve).all()


@settings(deadline=None, max_examples=3)
@given(st.floats(-6, 6), st.floats(-5, 5), st.integers(0, 2**32 - 1))
def test_units_and_order_do_not_matter(magnitude, asymptote, seed):
    rng = np.random.default_rng(seed)
    exact = rng.uniform(-0.9, 0.9, 20)[:, None] * np.exp(-0.2 * FACTORS)
    scan = sampled_scan(exact, 1000, rng)
    fit = extrapolate_neural(scan)
    unit, order = 10.0**magnitude, rng.permutation(20)
    moved = asymptote * unit
    other = NoiseScan(
        value=moved - unit * scan.value[order, ::-1],
        std=unit * scan.std[order, ::-1],
        scale_factors=FACTORS[::-1],
        asymptote=moved,
        spectrum=(moved - unit, moved + unit),
    )
    again = extrapolate_neural(other)
    np.testing.assert_allclose((moved - again.value) / unit, fit.value[order], atol=2e-3)
    np.testing.assert_allclose(again.std / unit, fit.std[order], rtol=0.05)
    assert np.abs(fit.value).max() <= 1


def test_one_element_alone():
    """What decays have in common is enough for errors that cover a single scan."""
    rng = np.random.default_rng(8)
    ideal, rates = rng.uniform(-1, 1, 20), 0.15 * rng.gamma(4, 1 / 4, 20)
    scan = sampled_scan(ideal[:, None] * np.exp(-rates[:, None] * FACTORS), 2000, rng)
    pulls = []
    for value, std, truth in zip(scan.value, scan.std, ideal, strict=True):
        fit = extrapolate_neural(NoiseScan(value=value, std=std, scale_factors=FACTORS, spectrum=(-1, 1)))
        pulls.append((fit.value - truth) / fit.std)
    assert np.mean(np.abs(pulls) < 2) > 0.85


def test_one_scale_factor_is_refused():
    with pytest.raises(UsageError, match="a decay without twins needs two scale factors and the scan has 1"):
        extrapolate_neural(NoiseScan(value=[0.5], std=[0.1], scale_factors=[1.0]))


def test_what_no_noise_changes_has_no_error():
    """An identity alone, whose value is its limit."""
    scan = NoiseScan(value=[2.5, 2.5, 2.5], std=[0, 0, 0], scale_factors=[1, 3, 5], asymptote=2.5)
    fit = extrapolate_neural(scan)
    assert (fit.value, fit.std) == (2.5, 0)
