"""Empirical Bayes: right on decays of its kind, better than fits of single scans, honest errors, no NaN."""

import numpy as np
import pytest
from helpers import FACTORS, chain_of_rotations, sampled_scan, strange_values
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from bondwise.backends import expectation
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    extrapolate_bayes,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_paper_network,
    extrapolate_richardson,
)
from bondwise.mitigation.extrapolations import bayes
from bondwise.runs import UsageError


@settings(deadline=None, max_examples=12)
@given(st.floats(0.02, 0.5), st.floats(-3, 3), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_exact_decays_are_continued(rate, asymptote, height, seed):
    ideal = asymptote + height * np.random.default_rng(seed).uniform(-1, 1, 40)
    values = asymptote + (ideal - asymptote)[:, None] * np.exp(-rate * FACTORS)
    fit = extrapolate_bayes(
        NoiseScan(value=values, std=np.zeros_like(values), scale_factors=FACTORS, asymptote=asymptote)
    )
    # elements far smaller than the others are known to a fraction of these
    assert (np.abs(fit.value - ideal) < np.maximum(0.01 * height, 4 * fit.std)).all()
    assert np.median(np.abs(fit.value - ideal)) < 1e-3 * height


def test_the_posterior_is_the_one_of_its_model():
    """Another way to the same mean and variance: a fine sum over rates, of joint normal distributions."""
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(5, 3)), rng.uniform(0.01, 0.2, (5, 3)) ** 2
    points = np.array([*FACTORS, 0.0])
    numbers = np.array([-1.2, np.log(0.5), np.log(0.8), np.log(1.5)])
    mean, variance = bayes._Decays(signal, np.eye(3) * noise[:, :, None], points).predict(
        bayes.torch.from_numpy(numbers)
    )
    b, rho, v = np.exp(numbers[1:])
    steps = np.linspace(-6, 6, 601)
    for index in range(5):
        parts = []
        for step, prior in zip(steps, np.exp(-(steps**2) / 2), strict=True):
            rate = np.exp(numbers[0] + b * step)
            kernel = v * (1 + rho**2 * rate * (points[:, None] + points)) ** (-1 / rho**2)
            measured = kernel[:3, :3] + np.diag(noise[index])
            weights = np.linalg.solve(measured, kernel[:3, 3])
            evidence = multivariate_normal.pdf(signal[index], cov=measured)
            parts.append((prior * evidence, weights @ signal[index], kernel[3, 3] - weights @ kernel[:3, 3]))
        share, middle, spread = np.array(parts).T
        share /= share.sum()
        assert mean[index, 0] == pytest.approx(share @ middle, abs=2e-3)
        assert variance[index] == pytest.approx(
            share @ (spread + middle**2) - (share @ middle) ** 2, rel=0.02
        )


@pytest.mark.parametrize("strength", [0.01, 0.03])
def test_random_circuits_under_depolarizing_noise(strength):
    """Smaller errors than the best of the other fits, within the standard errors that it states."""
    circuit, rng = chain_of_rotations(4, 2), np.random.default_rng(7)
    angles = rng.uniform(-np.pi, np.pi, (60, circuit.num_parameters))
    ideal = np.asarray(expectation(circuit, "ZZZZ", angles))
    noisy = MitigatedEstimator(f"aer:depolarizing={strength}", readout=False)
    [exact] = noisy.run([(circuit, "ZZZZ", angles)]).result()
    mine, pulls, theirs = [], [], []
    for _ in range(8):
        scan = sampled_scan(exact.data.evs_noise_factors, 2000, rng)
        fit = extrapolate_bayes(scan)
        mine.append(np.abs(fit.value - ideal).mean())
        pulls.append((fit.value - ideal) / fit.std)
        others = (extrapolate_exponential, extrapolate_linear, extrapolate_richardson)
        theirs.append([np.abs(np.clip(other(scan).value, -1, 1) - ideal).mean() for other in others])
    assert np.mean(mine) < 0.85 * np.mean(theirs, axis=0).min()
    assert 0.9 < np.mean(np.abs(pulls) < 2) < 0.995


def test_elements_without_signal_are_not_blown_up():
    scan = sampled_scan(np.zeros((50, 3)), 256, np.random.default_rng(0))
    fit = extrapolate_bayes(scan)
    assert np.abs(fit.value).max() < 0.75 * np.abs(scan.value[:, 0]).max()
    assert np.abs(fit.value).max() < 0.75 * np.abs(extrapolate_linear(scan).value).max()


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 4).flatmap(lambda count: st.sampled_from([(), (count,), (2, count)])),
    st.integers(2, 5),
    st.floats(1e-12, 1e12),
    st.sampled_from(["zero", "equal", "noise", "one outlier", "ones"]),
    st.floats(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_never_nan(shape, count, unit, kind, error, seed):
    rng = np.random.default_rng(seed)
    values = strange_values(kind, shape, count, rng)
    factors = 1 + np.cumsum(rng.uniform(0.1, 3, count))
    scan = NoiseScan(value=unit * values, std=np.full(values.shape, unit * error), scale_factors=factors)
    fit = extrapolate_bayes(scan)
    assert np.shape(fit.value) == np.shape(fit.std) == shape
    assert np.isfinite(fit.value).all()
    assert np.isfinite(fit.std).all()
    assert np.isfinite(fit.curve).all()


def test_units_and_order_do_not_matter():
    rng = np.random.default_rng(1)
    exact = rng.uniform(-0.9, 0.9, 30)[:, None] * np.exp(-0.2 * FACTORS)
    scan = sampled_scan(exact, 1000, rng)
    fit = extrapolate_bayes(scan)
    other = NoiseScan(
        value=7 - 1000 * scan.value[::-1, ::-1],
        std=1000 * scan.std[::-1, ::-1],
        scale_factors=FACTORS[::-1],
        asymptote=7.0,
    )
    again = extrapolate_bayes(other)
    np.testing.assert_allclose((7 - again.value[::-1]) / 1000, fit.value, atol=1e-4)
    np.testing.assert_allclose(again.std[::-1] / 1000, fit.std, rtol=0.02)


def test_values_stay_within_the_spectrum():
    scan = sampled_scan(np.full((20, 3), 0.99) * np.exp(-0.1 * FACTORS), 100, np.random.default_rng(2))
    assert np.abs(extrapolate_bayes(scan).value).max() <= 1
    free = NoiseScan(value=scan.value, std=scan.std, scale_factors=FACTORS)
    assert np.abs(extrapolate_bayes(free).value).max() > 1


def test_one_scale_factor_is_refused():
    with pytest.raises(UsageError, match="needs two scale factors and the scan has 1"):
        extrapolate_bayes(NoiseScan(value=[0.5], std=[0.1], scale_factors=[1.0]))


def test_values_far_outside_the_spectrum_are_refused():
    with pytest.raises(UsageError, match=r"value contains 2.5, far outside the spectrum \(-1.0, 1.0\)"):
        NoiseScan(
            value=[[0.5, 0.4], [2.5, 0.1]], std=np.zeros((2, 2)), scale_factors=[1, 3], spectrum=(-1, 1)
        )
    for spectrum, wanted in (
        ((1, -1), r"spectrum has the limits \[1.0, -1.0\]; the smaller one"),
        ((np.nan, 1), "spectrum has the limits"),
        ((0, 1, 2), "spectrum must hold a smallest and a largest value"),
        (np.zeros((3, 2)), "spectrum must hold a smallest and a largest value"),
    ):
        with pytest.raises(UsageError, match=wanted):
            NoiseScan(
                value=[[0.5, 0.4], [0.5, 0.1]], std=np.zeros((2, 2)), scale_factors=[1, 3], spectrum=spectrum
            )
    NoiseScan(
        value=[1.2, 0.4], std=[0.1, 0.1], scale_factors=[1, 3], spectrum=(-1, 1)
    )  # as readout that is undone may give
    NoiseScan(
        value=[0.1 + 0.2, 0.3], std=[0, 0], scale_factors=[1, 3], spectrum=(0.3, 0.3)
    )  # of a multiple of the identity


def test_the_estimator_knows_the_spectrum():
    circuit = chain_of_rotations(2, 1)
    angles = np.linspace(-1, 1, 24 * circuit.num_parameters).reshape(24, -1)
    estimator = MitigatedEstimator("fake:manila", extrapolation="bayes", shots=500, seed=3)
    [result] = estimator.run([(circuit, [["ZZ"], [{"ZI": 2.0, "II": 1.0}]], angles)]).result()
    scan = NoiseScan.from_pub_result(result)
    assert scan.spectrum.shape == (2, 24, 2)
    np.testing.assert_array_equal(scan.spectrum[0, 0], [-1, 1])
    np.testing.assert_array_equal(scan.spectrum[1, 0], [-1, 3])
    np.testing.assert_array_equal(estimator.extrapolate(scan).value, result.data.evs)
    ideal = np.asarray(expectation(circuit, ["ZZ", {"ZI": 2.0, "II": 1.0}], angles)).T
    assert np.abs(result.data.evs - ideal).mean() < 0.1


@pytest.mark.parametrize("extrapolate", [extrapolate_bayes, extrapolate_paper_network])
def test_an_identity_beside_others_is_exact(extrapolate):
    scan = NoiseScan(
        value=[[1.0] * 3, [0.9, 0.8, 0.7]],
        std=np.zeros((2, 3)),
        scale_factors=[1, 3, 5],
        asymptote=[1.0, 0.0],
        spectrum=[[1.0, 1.0], [-1.0, 1.0]],
    )
    fit = extrapolate(scan)
    assert (fit.value[0], fit.std[0]) == (1.0, 0.0)
    assert fit.value[1] > 0.9
