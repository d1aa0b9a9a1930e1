"""What a noise scan accepts, and its plot."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import get_backend
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    Twins,
    extrapolate_linear,
    extrapolate_richardson,
    judge_mitigation,
    mean_without_decay,
)
from bondwise.mitigation.names import EXTRAPOLATIONS, NEED_SYMMETRY, NEED_TWINS, extrapolation_named
from bondwise.runs import UsageError


@pytest.mark.parametrize(
    ("values", "stds", "factors", "message"),
    [
        ([1, 2, 3], [0, 0, 0], [1, 3], "last axis must be the 2 scale factors"),
        ([1, 2], [0, 0, 0], [1, 3], "std has shape"),
        ([1, np.nan], [0, 0], [1, 3], "NaN"),
        ([1, 2], [0, -1], [1, 3], "std contains -1; it must be finite and not negative"),
        ([1, 2], -1, [1, 3], "std contains -1; it must be finite and not negative"),
        ([1, 2], np.nan, [1, 3], "std contains nan"),
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
        NoiseScan(value=np.array(values), std=np.array(stds), scale_factors=np.array(factors))


@pytest.mark.parametrize("shots", [-1, "x", 1.5, None])
def test_refuses_shots(shots):
    with pytest.raises(UsageError, match=f"shots is {shots!r}; give a whole number of at least 0"):
        NoiseScan(value=[1, 2], scale_factors=[1, 3], shots=shots)


def test_one_error_holds_for_all_values():
    scan = NoiseScan(value=[[0.9, 0.7, 0.5]] * 2, std=0.01, scale_factors=[1, 3, 5])
    np.testing.assert_array_equal(scan.std, np.full((2, 3), 0.01))


@pytest.mark.parametrize(
    "given", [[0.9, 0.8], 0.9, None, np.ones((2, 3))], ids=["list", "number", "None", "array"]
)
def test_what_is_no_scan_is_refused_in_one_line(given):
    estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation="linear")
    taking = [
        *map(extrapolation_named, EXTRAPOLATIONS),
        mean_without_decay,
        estimator.extrapolate,
        lambda scan: judge_mitigation(scan, None),
        lambda scan: NoiseScan.joined([scan]),
    ]
    for function in taking:
        with pytest.raises(
            UsageError, match=r"a noise scan is expected, not .* pass NoiseScan\(value="
        ) as caught:
            function(given)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no scans to join"):
        NoiseScan.joined([])


def test_refuses_an_asymptote_of_another_shape():
    with pytest.raises(UsageError, match="asymptote"):
        NoiseScan(
            value=np.zeros((2, 3)),
            std=np.zeros((2, 3)),
            scale_factors=np.array([1, 2, 3]),
            asymptote=np.zeros(3),
        )


def test_takes_lists_and_is_float64():
    scan = NoiseScan(value=[[1, 2]], std=[[0, 0]], scale_factors=[1, 3])  # type: ignore[arg-type]
    assert scan.value.dtype == scan.std.dtype == scan.scale_factors.dtype == np.float64


def test_plots_every_element():
    axes = Figure().subplots()
    scan = NoiseScan(value=np.ones((2, 2, 3)), std=np.zeros((2, 2, 3)), scale_factors=np.array([1, 3, 5]))
    assert scan.plot(axes) is axes
    assert len(axes.containers) == 4


def test_refuses_the_result_of_another_estimator():
    result = StatevectorEstimator().run([(QuantumCircuit(1), "Z")]).result()
    with pytest.raises(UsageError, match="MitigatedEstimator"):
        NoiseScan.from_pub_result(result[0])


def random_scan(rng, shape=(2,), factors=(1.0, 3.0, 5.0), twins=True):
    """A scan whose values are correlated, with an asymptote, a spectrum, and twins of each element."""
    size = len(factors)
    root = rng.normal(size=(*shape, size, size)) / 10
    covariance = root @ np.swapaxes(root, -1, -2)
    std = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    of_twins = Twins(
        rng.uniform(-1, 1, (*shape, 4, size)), np.full((*shape, 4, size), 0.1), np.ones((*shape, 4))
    )
    return NoiseScan(
        value=rng.uniform(-1, 1, (*shape, size)),
        std=std,
        scale_factors=factors,
        covariance=covariance,
        asymptote=rng.uniform(-0.1, 0.1, shape),
        spectrum=(-2, 2),
        twins=of_twins if twins else None,
        shots=10,
        meta={"folding": "global"},
    )


def assert_equal(one, other):
    for name in ("value", "std", "scale_factors", "covariance", "asymptote", "spectrum"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.twins is None) == (other.twins is None)
    for mine, theirs in zip(one.twins or (), other.twins or (), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert (one.shots, one.meta) == (other.shots, other.meta)


@pytest.mark.parametrize("twins", [True, False])
def test_is_saved_and_loaded(tmp_path, twins):
    scan = random_scan(np.random.default_rng(0), (2, 3), twins=twins)
    scan.save(tmp_path / "scan")
    loaded = NoiseScan.load(tmp_path / "scan")
    assert_equal(loaded, scan)
    assert isinstance(loaded.twins, Twins if twins else type(None))
    assert str(loaded).startswith("NoiseScan: 18 values of shape (2, 3, 3), mean standard error 0.14")


def test_joined_scans_keep_every_element():
    rng = np.random.default_rng(1)
    scans = [random_scan(rng, shape) for shape in ((), (2,), (2, 2))]
    joined = NoiseScan.joined(scans)
    assert joined.value.shape == (7, 3)
    assert joined.shots == 30
    start = 0
    for scan in scans:
        count = scan.value[..., 0].size
        part = slice(start, start + count)
        np.testing.assert_array_equal(joined.value[part], scan.value.reshape(-1, 3))
        np.testing.assert_array_equal(joined.covariances()[part], scan.covariance.reshape(-1, 3, 3))
        np.testing.assert_array_equal(joined.asymptote[part], scan.asymptote.ravel())
        np.testing.assert_array_equal(joined.twins.value[part], scan.twins.value.reshape(-1, 4, 3))
        start += count


def test_scans_that_do_not_fit_together_are_not_joined():
    rng = np.random.default_rng(2)
    with pytest.raises(UsageError, match="different scale factors"):
        NoiseScan.joined([random_scan(rng), random_scan(rng, factors=(1.0, 2.0, 3.0))])
    with pytest.raises(UsageError, match="different numbers of twins"):
        NoiseScan.joined([random_scan(rng), random_scan(rng, twins=False)])


@pytest.mark.parametrize("extrapolate", [extrapolate_linear, extrapolate_richardson])
def test_covariances_count(extrapolate):
    """The error of a value that is linear in the data, against that of many noisy copies of the scan."""
    rng = np.random.default_rng(3)
    scan = random_scan(rng, ())
    copies = rng.multivariate_normal(scan.value, scan.covariance, 20_000)
    std = np.broadcast_to(scan.std, copies.shape)
    many = extrapolate(NoiseScan(value=copies, std=std, scale_factors=scan.scale_factors))
    assert extrapolate(scan).std == pytest.approx(many.value.std(), rel=0.03)


def test_independent_values_have_a_diagonal_covariance():
    scan = NoiseScan(value=[1.0, 0.5], std=[0.1, 0.2], scale_factors=[1, 3])
    np.testing.assert_allclose(scan.covariances(), np.diag([0.01, 0.04]))
    assert scan.variance(np.array([2.0, 1.0])) == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(3), "shape"),
        ([[1, 2], [0, 1]], "symmetric"),
        ([[1, 2], [2, 1]], "negative eigenvalue"),
        ([[1, 0], [0, 2]], "std² on its diagonal"),
        ([[1, np.nan], [np.nan, 1]], "finite"),
    ],
)
def test_refuses_covariances(covariance, message):
    with pytest.raises(UsageError, match=message):
        NoiseScan(value=[1, 2], std=[1, 1], scale_factors=[1, 3], covariance=covariance)


@pytest.mark.parametrize(
    ("twins", "message"),
    [
        ((np.zeros((4, 3)), np.zeros((4, 3)), np.zeros(4)), "twins.value has shape"),
        ((np.zeros((4, 2)), np.zeros((4, 3)), np.zeros(4)), "twins.std"),
        ((np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(3)), "twins.ideal"),
        ((np.zeros((4, 2)), np.zeros((4, 2)), np.full(4, np.nan)), "twins.ideal"),
        ((np.full((4, 2), np.inf), np.zeros((4, 2)), np.zeros(4)), "NaN or infinity"),
        ("none", "twins must be"),
    ],
)
def test_refuses_twins(twins, message):
    with pytest.raises(UsageError, match=message):
        NoiseScan(value=[1, 0.5], std=[0, 0], scale_factors=[1, 3], twins=twins)


@pytest.mark.parametrize("amplifier", ["gate_folding", "pea"])
def test_ibms_noise_factors_are_a_scan(amplifier, monkeypatch, tmp_path):
    """The values that IBM's client measures at its own noise factors, for any extrapolation of ours."""
    monkeypatch.setattr("bondwise.mitigation.extrapolations.paper_network._STEPS", 5)
    backend = get_backend(f"fake:manila,resilience=2,amplifier={amplifier}")
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.cx(0, 1)
    isa = backend.transpile(circuit)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout)
    result = backend.run([(isa, [observable], np.zeros((0,)))], shots=2000, seed=1)
    scan = NoiseScan.from_pub_result(result[0])
    assert scan.scale_factors.tolist() == [1, 3, 5]
    assert scan.value.shape == (1, 3)
    assert scan.meta == {"amplifier": amplifier, "device": "fake:manila"}
    assert 3 * 2000 <= scan.shots < result.metadata["shots"]  # without the calibration
    fit = extrapolate_linear(scan)
    assert abs(fit.value[0] - 1) < 5 * fit.std[0] + 0.05
    scan.save(tmp_path / "scan")
    for name in EXTRAPOLATIONS:
        if name in NEED_TWINS:
            with pytest.raises(UsageError, match="learns from twins and the scan has none"):
                extrapolation_named(name)(scan)
            continue
        if name in NEED_SYMMETRY:
            with pytest.raises(UsageError, match="learns from a symmetry and the scan has none"):
                extrapolation_named(name)(scan)
            continue
        fit = extrapolation_named(name)(NoiseScan.load(tmp_path / "scan"))
        assert np.shape(fit.value) == np.shape(fit.std) == (1,), name
        assert np.all(np.isfinite([fit.value, fit.std])), name
        assert fit.shots == scan.shots, name
