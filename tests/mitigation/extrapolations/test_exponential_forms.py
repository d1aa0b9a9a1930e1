"""Exponentials of polynomials and with a free asymptote: exact on their form, otherwise the line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from bondwise.mitigation import (
    NoiseScan,
    extrapolate_exponential,
    extrapolate_free_exponential,
    extrapolate_linear,
    extrapolate_poly_exponential,
)
from bondwise.runs import UsageError

FACTORS = np.array([5.0, 1.0, 2.6, 7.0])
BOTH = [extrapolate_poly_exponential, extrapolate_free_exponential]


def scan_of(values, stds=0.0, **more):
    values = np.asarray(values, dtype=float)
    return NoiseScan(value=values, std=np.broadcast_to(stds, values.shape), scale_factors=FACTORS, **more)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-0.4, 0.1), min_size=1, max_size=3),
    st.sampled_from([-1, 1]),
    st.floats(-2, 2),
    st.floats(1e-9, 1e-6),
)
def test_exact_on_exponentials_of_polynomials(coefficients, sign, asymptote, error):
    exponents = np.polynomial.polynomial.polyval(FACTORS / 3, [0.1, *coefficients])
    scan = scan_of(asymptote + sign * np.exp(exponents), error, asymptote=asymptote)
    for degree in range(len(coefficients), 4):
        fit = extrapolate_poly_exponential(scan, degree)
        assert fit.converged
        assert fit.value == pytest.approx(asymptote + sign * np.exp(0.1), abs=1e-8)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 2), st.sampled_from([-1, 1]), st.floats(0.03, 1), st.floats(-2, 2))
def test_exact_on_exponentials_of_any_asymptote(height, sign, rate, asymptote):
    values = asymptote + sign * height * np.exp(-rate * FACTORS)
    fit = extrapolate_free_exponential(scan_of(values, 1e-9))
    assert fit.converged
    assert fit.value == pytest.approx(asymptote + sign * height, abs=1e-7)


def test_the_free_fit_is_the_least_squares_one():
    """Against scipy, on noisy scans with unequal errors."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        std = rng.uniform(0.004, 0.01, 4)
        values = (
            rng.uniform(-0.3, 0.3) + 0.8 * np.exp(-rng.uniform(0.2, 0.5) * FACTORS) + std * rng.normal(size=4)
        )
        fit = extrapolate_free_exponential(scan_of(values, std))
        (floor, height, _), covariance = curve_fit(
            lambda s, a, b, c: a + b * np.exp(-c * s),
            FACTORS,
            values,
            p0=(0, 0.8, 0.3),
            sigma=std,
            absolute_sigma=True,
        )
        assert fit.value == pytest.approx(floor + height, abs=1e-5)
        variance = covariance[:2, :2].sum()
        assert fit.std == pytest.approx(np.sqrt(variance), rel=1e-3)


def test_degree_one_is_the_exponential_for_small_errors():
    values = 0.7 * np.exp(-0.2 * FACTORS) + [1e-4, -1e-4, 0, 1e-4]
    one = extrapolate_poly_exponential(scan_of(values, 1e-4), 1)
    other = extrapolate_exponential(scan_of(values, 1e-4))
    assert one.value == pytest.approx(other.value, abs=1e-6)
    assert one.std == pytest.approx(other.std, rel=1e-2)


@pytest.mark.parametrize("extrapolate", BOTH)
def test_standard_errors_cover(extrapolate):
    """Of 4000 sampled scans, 95.4 % lie within two standard errors (4 sigma of that fraction is 1.3 %)."""
    rng, std = np.random.default_rng(1), 0.002
    clean = 0.9 * np.exp(-0.2 * FACTORS)
    offset = 0.2 if extrapolate is extrapolate_free_exponential else 0.0
    truth, values = 0.9 + offset, clean + offset + std * rng.normal(size=(4000, 4))
    fit = extrapolate(scan_of(values, std))
    assert fit.converged.mean() > 0.99
    assert np.mean(np.abs(fit.value - truth) < 2 * fit.std) == pytest.approx(0.954, abs=0.013)


NO_LIMIT = [[0.1, 0.5, -0.3, 0.2], [0, 0, 0, 0], [0.1, -0.5, 0.3, 0.2]]


@pytest.mark.parametrize(
    ("extrapolate", "values"),
    [(one, values) for one in BOTH for values in NO_LIMIT] + [(BOTH[1], [0.5] * 4)],
)
def test_what_does_not_fit_falls_back_to_the_line(extrapolate, values):
    scan = scan_of([values, 0.9 * np.exp(-0.2 * FACTORS)], 0.001)
    fit = extrapolate(scan)
    assert fit.converged.tolist() == [False, True]
    np.testing.assert_array_equal(fit.value[0], extrapolate_linear(scan).value[0])
    assert "1 of 2" in fit.method
    assert "straight line" in fit.message


@pytest.mark.parametrize("extrapolate", BOTH)
def test_elements_are_independent(extrapolate):
    rng = np.random.default_rng(2)
    values = 0.6 * np.exp(-rng.uniform(0.1, 0.4, (2, 3, 1)) * FACTORS) + 0.01 * rng.normal(size=(2, 3, 4))
    values[0, 0] *= [1, -1, 1, -1]
    scan = scan_of(values, rng.uniform(0.005, 0.02, values.shape), asymptote=np.full((2, 3), -0.1))
    fit = extrapolate(scan)
    assert fit.curve.shape == (2, 3, 51)
    for index in np.ndindex(2, 3):
        one = extrapolate(scan_of(values[index], scan.std[index], asymptote=-0.1))
        assert (fit.value[index], fit.std[index]) == pytest.approx((one.value, one.std), rel=1e-6)
        assert fit.converged[index] == one.converged


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.0, 1e-300, 1e-3, 0.1, 1.0]), min_size=4, max_size=4),
    st.sampled_from([(1.0, 3.0, 5.0, 7.0), (100.0, 100.5, 101.0, 102.0), (1.0, 1.01, 1.02, 1.03)]),
)
def test_never_breaks(values, errors, factors):
    for extrapolate in BOTH:
        fit = extrapolate(NoiseScan(value=values, std=errors, scale_factors=factors))
        assert np.isfinite([fit.value, fit.std]).all()
        assert np.isfinite(fit.curve).all()


def test_wrong_use():
    scan = scan_of([0.5, 0.9, 0.7, 0.4])
    for degree in (0, 4, 1.5):
        with pytest.raises(UsageError, match=f"degree .* is {degree}; give a whole number from 1 to 3"):
            extrapolate_poly_exponential(scan, degree)
    with pytest.raises(UsageError, match="needs three scale factors and the scan has 2"):
        extrapolate_free_exponential(NoiseScan(value=[0.9, 0.5], scale_factors=[1, 3]))
    with pytest.raises(UsageError, match="two scale factors"):
        extrapolate_poly_exponential(NoiseScan(value=[0.9], scale_factors=[1]))
