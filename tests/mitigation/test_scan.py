"""What a noise scan accepts, and its plot."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorEstimator

from bondwise.mitigation import NoiseScan
from bondwise.runs import UsageError


@pytest.mark.parametrize(
    ("values", "stds", "factors", "message"),
    [
        ([1, 2, 3], [0, 0, 0], [1, 3], "last axis must be the 2 scale factors"),
        ([1, 2], [0, 0, 0], [1, 3], "stds has shape"),
        ([1, np.nan], [0, 0], [1, 3], "NaN"),
        ([1, 2], [0, -1], [1, 3], "not negative"),
        ([1, 2], [0, np.inf], [1, 3], "not negative"),
        ([1, 2], [0, 0], [3, 3], "distinct"),
        ([1, 2], [0, 0], [0, 3], "positive"),
        ([1, 2], [0, 0], [1, np.nan], "finite"),
        ([], [], [], "one axis"),
        ([1, 2], [0, 0], [[1, 3]], "one axis"),
    ],
)
def test_refuses(values, stds, factors, message):
    with pytest.raises(UsageError, match=message):
        NoiseScan(np.array(values), np.array(stds), np.array(factors))


def test_refuses_an_asymptote_of_another_shape():
    with pytest.raises(UsageError, match="asymptote"):
        NoiseScan(np.zeros((2, 3)), np.zeros((2, 3)), np.array([1, 2, 3]), asymptote=np.zeros(3))


def test_takes_lists_and_is_float64():
    scan = NoiseScan([[1, 2]], [[0, 0]], [1, 3])  # type: ignore[arg-type]
    assert scan.values.dtype == scan.stds.dtype == scan.scale_factors.dtype == np.float64


def test_plots_every_element():
    axes = Figure().subplots()
    scan = NoiseScan(np.ones((2, 2, 3)), np.zeros((2, 2, 3)), np.array([1, 3, 5]))
    assert scan.plot(axes) is axes
    assert len(axes.containers) == 4


def test_refuses_the_result_of_another_estimator():
    result = StatevectorEstimator().run([(QuantumCircuit(1), "Z")]).result()
    with pytest.raises(UsageError, match="MitigatedEstimator"):
        NoiseScan.from_pub_result(result[0])
