"""An extrapolation of the user's own: what it may return, and what is told about the rest."""

from dataclasses import replace

import numpy as np
import pytest

from bondwise.mitigation import MitigatedEstimator, NoiseScan, extrapolate_exponential, extrapolate_linear
from bondwise.runs import UsageError

SCAN = NoiseScan(np.array([0.8, 0.5, 0.3]), np.zeros(3), np.array([1.0, 3.0, 5.0]))
BATCH = NoiseScan(np.array([[0.8, 0.5, 0.3]] * 2), np.zeros((2, 3)), np.array([1.0, 3.0, 5.0]))


def own(result):
    return MitigatedEstimator("statevector", extrapolation=lambda scan: result)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned None, which is no real number; return a value"),
        ((None, None), "no real number"),
        ((0.5, None), "no real number"),
        ("0.5", "no real number"),
        (0.5 + 0.1j, "no real number"),
        (np.array(0.5 + 0.1j), "no real number"),
        (np.array([None]), "no real number"),
        (float("nan"), "returned nan; return"),
        (float("inf"), "returned inf; return"),
        ((0.5, float("nan")), "standard error"),
        ((0.5, -0.1), "standard error"),
        ([0.5, 0.1], r"shapes \(2,\)"),
        ((0.5, 0.1, 0.2), r"shapes \(3,\)"),
        (replace(extrapolate_linear(SCAN), value=float("nan")), "Extrapolation of nan"),
        (extrapolate_linear(BATCH), "leading shape"),
    ],
)
def test_what_is_no_value_is_refused_in_one_line(result, message):
    with pytest.raises(UsageError, match=message) as error:
        own(result).extrapolate(SCAN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "result", [0.5, np.float32(0.5), np.array(0.5), 1, (0.5, 0.1), extrapolate_linear(SCAN)]
)
def test_what_may_be_returned(result):
    value = own(result).extrapolate(SCAN).value
    assert np.isfinite(value)


def test_no_scan_drops_an_imaginary_part():
    for field in ("values", "stds", "scale_factors", "asymptote"):
        with pytest.raises(UsageError, match=f"{field} must be real"):
            replace(SCAN, **{field: np.asarray(getattr(SCAN, field)) * (1 + 0.1j)})
    with pytest.raises(UsageError, match="asymptote must be real"):
        extrapolate_exponential(SCAN, asymptote=0.1j)
    with pytest.raises(UsageError, match="values must be real"):
        replace(SCAN, values=[0.1, None, 0.2])
