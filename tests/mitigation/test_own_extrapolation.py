"""Extrapolation by a user's function: what it may return, and errors for everything else."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import called_noisy
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_richardson,
)
from bondwise.runs import UsageError

SCAN = NoiseScan(value=np.array([0.8, 0.5, 0.3]), std=np.zeros(3), scale_factors=np.array([1.0, 3.0, 5.0]))
BATCH = NoiseScan(
    value=np.array([[0.8, 0.5, 0.3]] * 2), std=np.zeros((2, 3)), scale_factors=np.array([1.0, 3.0, 5.0])
)


def own(result):
    return MitigatedEstimator(called_noisy(), extrapolation=lambda scan: result)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned None, which is not a real number; return a value"),
        ((None, None), "not a real number"),
        ("0.5", "not a real number"),
        (0.5 + 0.1j, "not a real number"),
        (np.array(0.5 + 0.1j), "not a real number"),
        (np.array([None]), "not a real number"),
        (float("nan"), "returned nan; return"),
        (float("inf"), "returned inf; return"),
        ((0.5, float("nan")), "standard error"),
        ((0.5, -0.1), "standard error"),
        ([0.5, 0.1], r"shapes \(2,\)"),
        ((0.5, 0.1, 0.2), r"shapes \(3,\)"),
        (replace(extrapolate_linear(SCAN), value=float("nan")), "Extrapolation of nan"),
        (replace(extrapolate_linear(SCAN), value=None), "Extrapolation of None"),
        (replace(extrapolate_linear(SCAN), std=-1.0), "Extrapolation ± -1.0; its std must not be negative"),
        (extrapolate_linear(BATCH), "leading shape"),
    ],
)
def test_what_is_no_value_is_refused_in_one_line(result, message):
    with pytest.raises(UsageError, match=message) as error:
        own(result).extrapolate(SCAN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "result", [0.5, np.float32(0.5), np.array(0.5), 1, (0.5, 0.1), (0.5, None), extrapolate_linear(SCAN)]
)
def test_what_may_be_returned(result):
    value = own(result).extrapolate(SCAN).value
    assert np.isfinite(value)


@pytest.mark.parametrize("result", [0.5, (0.5, None)])
def test_an_error_that_is_not_returned_is_not_made_up(result):
    fit = own(result).extrapolate(SCAN)
    assert str(fit) == "Extrapolation: 0.5, standard error unknown, no shots"
    assert fit.message == "<lambda> returned no standard error, so that of the value is unknown"
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation=lambda scan: result)
    [found] = estimator.run([(circuit, "ZZ")]).result()
    assert found.metadata["message"] == fit.message
    first = MitigatedEstimator("aer:depolarizing=0.05", extrapolation=lambda scan: scan.value[..., 0])
    with pytest.raises(UsageError, match="<lambda> gives no standard errors, so no shots can be planned"):
        first.plan_shots((circuit, "ZZ"), 0.1)


def test_no_scan_drops_an_imaginary_part():
    for field in ("value", "std", "scale_factors", "asymptote"):
        with pytest.raises(UsageError, match=f"{field} must be real"):
            replace(SCAN, **{field: np.asarray(getattr(SCAN, field)) * (1 + 0.1j)})
    with pytest.raises(UsageError, match="asymptote must be real"):
        extrapolate_exponential(SCAN, asymptote=0.1j)
    with pytest.raises(UsageError, match="value must be real"):
        replace(SCAN, value=[0.1, None, 0.2])


def test_own_extrapolations_may_return_numbers():
    circuit = QuantumCircuit(2)
    circuit.rx(0.4, 0)
    circuit.cx(0, 1)
    pub = (circuit, [SparsePauliOp("ZZ"), SparsePauliOp("ZI")])

    def run(function):
        estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation=function)
        return estimator.run([pub]).result()[0].data

    def two_points(scan):
        first, second = scan.value[..., 0], scan.value[..., 1]
        return (3 * first - second) / 2

    expected = run(lambda scan: extrapolate_richardson(_first_two(scan))).evs
    np.testing.assert_allclose(run(two_points).evs, expected, atol=1e-12)
    assert np.isnan(run(two_points).stds).all()
    np.testing.assert_array_equal(run(lambda scan: (two_points(scan), scan.value[..., 0] ** 0)).stds, 1.0)
    with pytest.raises(UsageError, match="return a value"):
        run(lambda scan: "seven")
    with pytest.raises(UsageError, match="leading shape"):
        run(lambda scan: 7.0)


def _first_two(scan):
    return NoiseScan(value=scan.value[..., :2], std=scan.std[..., :2], scale_factors=scan.scale_factors[:2])
