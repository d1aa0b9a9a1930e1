"""The verdict foresees which of two ways to spend the same shots is nearer to the truth."""

import numpy as np
import pytest

from bondwise.mitigation import (
    NoiseScan,
    Twins,
    extrapolate_cdr,
    extrapolate_linear,
    extrapolate_neural,
    judge_mitigation,
)
from bondwise.runs import UsageError

FACTORS = np.array([1.0, 3.0, 5.0])


def judged(height, rate, shots, seed, count=60):
    """A verdict, and the errors without noise-free values that it foresees: mitigated, raw, returned."""
    rng = np.random.default_rng(seed)
    ideal = rng.uniform(-height, height, count)
    exact = ideal[:, None] * np.exp(-rate * FACTORS)
    values = 2 * rng.binomial(shots, (1 + exact) / 2) / shots - 1
    stds = np.sqrt((1 - values**2) / (shots - 1))
    scan = NoiseScan(value=values, std=stds, scale_factors=FACTORS, spectrum=(-1, 1))
    fit = extrapolate_neural(scan)
    raw = 2 * rng.binomial(3 * shots, (1 + exact[:, 0]) / 2) / (3 * shots) - 1
    verdict = judge_mitigation(scan, fit)
    return verdict, *(np.sqrt(np.mean((each - ideal) ** 2)) for each in (fit.value, raw, verdict.value))


@pytest.mark.parametrize(
    ("height", "rate", "shots", "better"), [(0.9, 0.2, 4096, True), (0.2, 0.03, 256, False)]
)
def test_it_foresees_both_errors(height, rate, shots, better):
    runs = [judged(height, rate, shots, seed) for seed in range(4)]
    helps = np.mean([verdict.helps for verdict, *_ in runs])
    mitigated, raw, returned = np.mean([errors for _, *errors in runs], axis=0)
    assert (mitigated < raw) == better == (helps > 0.5)
    assert returned < 1.1 * mitigated
    for name, found in (("error", mitigated), ("raw_error", raw)):
        foreseen = np.sqrt(np.mean([getattr(verdict, name) ** 2 for verdict, *_ in runs]))
        assert 0.75 * found < foreseen < 1.35 * found


def test_without_decay_it_says_what_to_do():
    verdict, *_ = judged(0.1, 0.0, 100, 0)
    assert not verdict.helps.any()
    assert verdict.message.startswith(
        "in 60 of 60 elements, the extrapolation adds more error than it removes"
    )


def test_one_element_and_the_value_at_the_first_scale_factor():
    scan = NoiseScan(value=[0.5, 0.5], std=[0.1, 0.1], scale_factors=[1, 2])
    verdict = judge_mitigation(scan, extrapolate_linear(scan))
    assert not verdict.helps
    assert verdict.value == pytest.approx(0.5)
    assert verdict.raw_error == pytest.approx(0.1 / np.sqrt(2))
    exact = NoiseScan(value=[0.8, 0.6], scale_factors=[1, 2], asymptote=-1.0)
    verdict = judge_mitigation(exact, extrapolate_linear(exact))
    assert verdict.helps
    assert verdict.value == pytest.approx(1.0)
    assert verdict.raw_error == pytest.approx(0.2)
    assert verdict.message == ""


def test_what_cannot_be_judged_is_refused():
    twins = Twins([[0.8, 0.5, 0.3]] * 3, [[0.01] * 3] * 3, [1.0, 0.9, 0.8])
    scan = NoiseScan(value=[0.8, 0.4, 0.2], std=[0.01] * 3, scale_factors=FACTORS, twins=twins)
    with pytest.raises(UsageError, match="has no curve"):
        judge_mitigation(scan, extrapolate_cdr(scan))
    other = NoiseScan(value=[[0.8, 0.4, 0.2]] * 2, std=[[0.01] * 3] * 2, scale_factors=FACTORS)
    for fit in (extrapolate_linear(other), 0.9):
        with pytest.raises(UsageError, match="not an extrapolation of this scan"):
            judge_mitigation(scan, fit)
