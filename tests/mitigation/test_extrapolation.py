"""Extrapolations: exact if their model holds, robust if not, with correct standard errors."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pennylane.noise import exponential_extrapolate, poly_extrapolate, richardson_extrapolate

from bondwise.mitigation import (
    Extrapolation,
    NoiseScan,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_polynomial,
    extrapolate_richardson,
)
from bondwise.runs import UsageError

FACTORS = np.array([1.0, 2.6, 5.0, 7.0])
ALL = [extrapolate_linear, extrapolate_polynomial, extrapolate_richardson, extrapolate_exponential]
numbers = st.floats(-2, 2, allow_nan=False)
stds = st.floats(0.01, 0.1)


def scan_of(values, stds=0.0, factors=FACTORS, **more):
    values = np.asarray(values, dtype=float)
    return NoiseScan(value=values, std=np.broadcast_to(stds, values.shape), scale_factors=factors, **more)


@settings(deadline=None, max_examples=30)
@given(st.lists(numbers, min_size=1, max_size=4), st.lists(stds, min_size=4, max_size=4))
def test_polynomials_are_exact_on_polynomials(coefficients, errors):
    values = np.polynomial.polynomial.polyval(FACTORS, coefficients)
    scan = scan_of(values, errors)
    for degree in range(len(coefficients) - 1, 4):
        assert extrapolate_polynomial(scan, degree).value == pytest.approx(coefficients[0], abs=1e-9)
    assert extrapolate_richardson(scan).value == pytest.approx(coefficients[0], abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 2), st.sampled_from([-1, 1]), st.floats(0.01, 1.5), numbers, st.floats(0, 1e-3))
def test_exponential_is_exact_on_exponentials(height, sign, rate, asymptote, error):
    values = asymptote + sign * height * np.exp(-rate * FACTORS)
    error = min(error, 0.1 * height * np.exp(-rate * FACTORS[1]))
    fit = extrapolate_exponential(scan_of(values, error, asymptote=asymptote))
    assert fit.converged
    assert fit.message == ""
    assert fit.method == "exponential"
    assert fit.value == pytest.approx(asymptote + sign * height, abs=1e-9)
    again = extrapolate_exponential(scan_of(values, error), asymptote=asymptote)
    assert again.value == fit.value


@settings(deadline=None, max_examples=30)
@given(st.lists(numbers, min_size=4, max_size=4))
def test_agrees_with_pennylane(values):
    values = np.array(values)
    scan = scan_of(values, 0.1)
    assert extrapolate_linear(scan).value == pytest.approx(poly_extrapolate(FACTORS, values, 1), abs=1e-9)
    assert extrapolate_polynomial(scan).value == pytest.approx(poly_extrapolate(FACTORS, values, 2), abs=1e-8)
    assert extrapolate_richardson(scan).value == pytest.approx(
        float(richardson_extrapolate(FACTORS, values)), abs=1e-6
    )


def test_exponential_agrees_with_pennylane_on_a_decay():
    values = 0.8 * np.exp(-0.2 * FACTORS)
    assert extrapolate_exponential(scan_of(values)).value == pytest.approx(
        exponential_extrapolate(FACTORS, values), abs=1e-6
    )


@pytest.mark.parametrize("extrapolate", ALL)
def test_standard_errors_cover(extrapolate):
    """Of 4000 sampled scans, 95.4 % lie within two standard errors (4 sigma of that fraction is 1.3 %)."""
    rng = np.random.default_rng(5)
    if extrapolate is extrapolate_exponential:
        truth, clean = 0.6, 0.6 * np.exp(-0.15 * FACTORS)
    else:
        truth, clean = 0.6, 0.6 - 0.05 * FACTORS
    errors = np.array([0.01, 0.015, 0.012, 0.02])
    fit = extrapolate(scan_of(clean + errors * rng.standard_normal((4000, 4)), errors))
    assert np.mean(np.abs(fit.value - truth) < 2 * fit.std) == pytest.approx(0.954, abs=0.014)
    assert fit.value.std() == pytest.approx(fit.std.mean(), rel=0.06)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.0, 1e-300, 1e-3, 0.1, 1.0]), min_size=4, max_size=4),
    st.sampled_from(
        [(1.0, 3.0, 5.0, 7.0), (5.0, 1.0, 3.0, 4.0), (100.0, 100.5, 101.0, 102.0), (1.0, 1.01, 1.02, 1.03)]
    ),
)
def test_exponential_never_breaks(values, errors, factors):
    scan = scan_of(values, errors, np.array(factors))
    with np.errstate(all="raise", under="ignore"):
        fit = extrapolate_exponential(scan)
    assert np.isfinite(fit.value)
    assert np.isfinite(fit.std)
    assert np.all(np.isfinite(fit.curve))
    if not fit.converged:
        assert fit.value == extrapolate_linear(scan).value
        assert "straight line" in fit.message


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.5, 0.5, 0.5],  # flat
        [0.5, 0.52, 0.55, 0.6],  # increasing
        [0.5, -0.1, -0.3, -0.5],  # through the asymptote
        [0.3, 0.01, 0.0, 0.0],  # the second point is not above the noise
        [0.0, 0.0, 0.0, 0.0],
    ],
)
def test_exponential_falls_back_to_the_line(values):
    scan = scan_of(values, 0.01)
    fit = extrapolate_exponential(scan)
    assert fit.converged is False
    assert fit.value == extrapolate_linear(scan).value
    assert fit.std == extrapolate_linear(scan).std
    assert "towards 0" in fit.message
    assert "1 of 1" in fit.message
    assert fit.method == "exponential (straight line in 1 of 1)"
    assert fit.plot().get_legend_handles_labels()[1] == [fit.method]


def test_elements_are_independent():
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, (2, 3, 4))
    errors = rng.uniform(0.01, 0.05, (2, 3, 4))
    asymptote = rng.uniform(-0.2, 0.2, (2, 3))
    scan = NoiseScan(value=values, std=errors, scale_factors=FACTORS, asymptote=asymptote)
    for extrapolate in ALL:
        fit = extrapolate(scan)
        assert fit.value.shape == fit.std.shape == fit.converged.shape == (2, 3)
        assert fit.curve.shape == (2, 3, 51)
        for index in np.ndindex(2, 3):
            one = extrapolate(
                NoiseScan(
                    value=values[index], std=errors[index], scale_factors=FACTORS, asymptote=asymptote[index]
                )
            )
            assert fit.value[index] == pytest.approx(one.value, rel=1e-9)
            assert fit.std[index] == pytest.approx(one.std, rel=1e-6)
            assert fit.converged[index] == one.converged


def test_weights_follow_the_errors():
    values, errors = [1.0, 0.9, 0.5, 0.1], [0.001, 0.001, 0.001, 0.003]
    expected = np.polynomial.Polynomial.fit(FACTORS, values, 1, w=1 / np.array(errors))(0.0)
    assert extrapolate_linear(scan_of(values, errors)).value == pytest.approx(expected, abs=1e-12)


def test_a_saturated_point_does_not_fix_the_fit():
    """A point without spread weighs at most nine times one at the largest error."""
    weights = scan_of([1.0, 0.9, 0.8, 0.7], [0.0, 0.03, 0.03, 0.03]).weights()
    assert weights / weights.min() == pytest.approx([9, 1, 1, 1])


def test_wrong_use():
    one = NoiseScan(value=np.array([0.5]), std=np.array([0.0]), scale_factors=np.array([1.0]))
    for extrapolate in (extrapolate_linear, extrapolate_richardson, extrapolate_exponential):
        with pytest.raises(UsageError, match="two scale factors"):
            extrapolate(one)
    for degree in (-1, 4, 1.5):
        with pytest.raises(UsageError, match=f"degree .* is {degree}; give a whole number from 0 to 3"):
            extrapolate_polynomial(scan_of(FACTORS), degree)
    with pytest.raises(UsageError, match="asymptote"):
        extrapolate_exponential(scan_of(FACTORS), asymptote=np.zeros(3))


def test_result_prints_plots_and_survives_the_disk(tmp_path):
    scan = scan_of([[0.9, 0.8, 0.7, 0.6], [0.5, 0.6, 0.7, 0.8]], 0.01, shots=400)
    fit = extrapolate_exponential(scan)
    assert fit.shots == 400
    assert "400 shots" in str(fit)
    assert fit.curve[:, 0] == pytest.approx(fit.value)
    axes = fit.plot()
    assert len(axes.containers) == 4  # measured points and the extrapolated one, for both elements
    fit.save(tmp_path / "fit")
    loaded = Extrapolation.load(tmp_path / "fit")
    assert np.array_equal(loaded.value, fit.value)
    assert np.array_equal(loaded.converged, fit.converged)
    assert loaded.message == fit.message


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_band_of_a_line_is_that_of_its_points(seed):
    """A fitted line is linear in the measured values."""
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.01, 0.1, (2, FACTORS.size))
    scan = scan_of(rng.normal(size=errors.shape), errors)
    fit = extrapolate_linear(scan).with_band(scan, extrapolate_linear)
    for row, error in enumerate(errors):
        lines = [extrapolate_linear(scan_of(one, error)).curve for one in np.eye(FACTORS.size)]
        expected = np.sqrt(error**2 @ np.square(lines))
        np.testing.assert_allclose(fit.curve_std[row], expected, rtol=1e-6)
    np.testing.assert_allclose(fit.curve_std[:, 0], fit.std, rtol=1e-6)
    axes = fit.plot()
    assert len(axes.collections) == len(fit.value) * 3  # band and two sets of error bars
    plt.close(axes.figure)
