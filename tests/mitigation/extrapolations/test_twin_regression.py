"""CDR and vnCDR: exact where theory says so, numpy's least squares elsewhere, with honest errors."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.backends import expectation
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    Twins,
    extrapolate_cdr,
    extrapolate_vncdr,
    near_clifford_twins,
)
from bondwise.runs import UsageError

FACTORS = np.array([1.0, 3.0, 5.0])
BOTH = [extrapolate_cdr, extrapolate_vncdr]


def random_scan(rng, shape=(), twins=(), count=12, **more):
    """Twins and a scan whose values have little to do with each other."""
    calibration = Twins(
        rng.uniform(-1, 1, (*twins, count, 3)),
        np.full((*twins, count, 3), 0.02),
        rng.uniform(-1, 1, (*twins, count)),
    )
    value = rng.uniform(-1, 1, (*shape, 3))
    return NoiseScan(
        value=value, std=np.full(value.shape, 0.02), scale_factors=FACTORS, twins=calibration, **more
    )


@pytest.mark.parametrize("asymptote", [0.0, 0.4])
@pytest.mark.parametrize("extrapolate", BOTH)
def test_exact_under_global_depolarizing_noise(extrapolate, asymptote):
    rng = np.random.default_rng(0)
    ideal, mine = rng.uniform(-1, 1, 10), rng.uniform(-1, 1, 6)

    def noisy(values):
        return asymptote + (values[:, None] - asymptote) * np.exp(-0.3 * FACTORS)

    twins = Twins(noisy(ideal), np.zeros((10, 3)), ideal)
    scan = NoiseScan(value=noisy(mine), scale_factors=FACTORS, asymptote=asymptote, twins=twins)
    fit = extrapolate(scan)
    np.testing.assert_allclose(fit.value, mine, atol=1e-9)
    assert fit.std.max() < 1e-9
    assert fit.converged.all()
    assert np.isnan(fit.curve[:, 1:]).all()


@pytest.mark.parametrize("twins", [(), (4,)])
def test_is_least_squares(twins):
    scan = random_scan(np.random.default_rng(1), (4,), twins)
    value = np.broadcast_to(scan.twins.value, (4, 12, 3))
    ideal = np.broadcast_to(scan.twins.ideal, (4, 12))
    for index in range(4):
        line = np.polyfit(value[index, :, 0], ideal[index], 1)
        assert extrapolate_cdr(scan).value[index] == pytest.approx(np.polyval(line, scan.value[index, 0]))
        weights = np.linalg.lstsq(value[index], ideal[index])[0]
        assert extrapolate_vncdr(scan).value[index] == pytest.approx(weights @ scan.value[index], abs=1e-12)


def test_the_order_of_scale_factors_does_not_matter():
    rng = np.random.default_rng(2)
    scan = random_scan(rng, (3,))
    turned = Twins(scan.twins.value[:, ::-1], scan.twins.std, scan.twins.ideal)
    other = NoiseScan(value=scan.value[:, ::-1], std=scan.std, scale_factors=FACTORS[::-1], twins=turned)
    for extrapolate in BOTH:
        np.testing.assert_allclose(extrapolate(other).value, extrapolate(scan).value, atol=1e-12)
        np.testing.assert_allclose(extrapolate(other).std, extrapolate(scan).std, atol=1e-12)


@pytest.mark.parametrize("extrapolate", BOTH)
@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_two_standard_errors_cover(extrapolate, scatter):
    """Shots of the scan, shots of the twins, and circuits that decay at different rates, all at once."""
    rng, trials, count, std = np.random.default_rng(3), 1000, 15, 0.02
    ideal = rng.uniform(-0.9, 0.9, (trials, count + 1))
    rates = 0.25 + scatter * rng.normal(size=ideal.shape)
    values = ideal[..., None] * np.exp(-rates[..., None] * FACTORS) + std * rng.normal(size=(*ideal.shape, 3))
    twins = Twins(values[:, 1:], np.full((trials, count, 3), std), ideal[:, 1:])
    scan = NoiseScan(value=values[:, 0], std=np.full((trials, 3), std), scale_factors=FACTORS, twins=twins)
    fit = extrapolate(scan)
    assert 0.91 < np.mean(np.abs(fit.value - ideal[:, 0]) < 2 * fit.std) < 0.985


def test_covariances_count():
    rng = np.random.default_rng(4)
    scan = random_scan(rng)
    covariance = 4e-4 * np.array([[1, 0.9, 0.9], [0.9, 1, 0.9], [0.9, 0.9, 1]])
    correlated = NoiseScan(
        value=scan.value, std=scan.std, covariance=covariance, scale_factors=FACTORS, twins=scan.twins
    )
    weights = np.linalg.lstsq(scan.twins.value, scan.twins.ideal)[0]
    extra = extrapolate_vncdr(correlated).std ** 2 - extrapolate_vncdr(scan).std ** 2
    assert extra == pytest.approx(weights @ covariance @ weights - 4e-4 * weights @ weights)


def test_twins_of_a_noisy_circuit_mitigate_it():
    """Local depolarizing noise on random parameter sets: closer than raw values, and than the line's."""
    angles = iter(ParameterVector("a", 16))
    circuit = QuantumCircuit(4)
    for layer in range(2):
        for qubit in range(4):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(layer, 3, 2):
            circuit.cx(qubit, qubit + 1)
    sets = np.random.default_rng(5).uniform(-np.pi, np.pi, (20, 16))
    twin, twin_angles, ideal = near_clifford_twins(circuit, "ZZII", sets, 20, seed=0)
    estimator = MitigatedEstimator("aer:depolarizing=0.03", readout=False, extrapolation="linear")
    mine, theirs = estimator.run([(circuit, "ZZII", sets), (twin, "ZZII", twin_angles)]).result()
    twins = Twins(theirs.data.evs_noise_factors, theirs.data.stds_noise_factors, ideal)
    scan = NoiseScan(value=mine.data.evs_noise_factors, scale_factors=FACTORS, twins=twins)
    truth = expectation(circuit, "ZZII", sets).numpy()
    errors = {
        name: np.abs(value - truth).mean()
        for name, value in {
            "raw": scan.value[:, 0],
            "line": mine.data.evs,
            "cdr": extrapolate_cdr(scan).value,
            "vncdr": extrapolate_vncdr(scan).value,
        }.items()
    }
    assert errors["cdr"] < 0.4 * errors["raw"]
    assert errors["vncdr"] < 0.5 * errors["line"]


@pytest.mark.parametrize("extrapolate", BOTH)
def test_values_stay_within_the_spectrum(extrapolate):
    twins = Twins(np.array([[0.5, 0.25], [-0.5, -0.25], [0.4, 0.2]]), np.zeros((3, 2)), [1.0, -1.0, 0.8])
    scan = NoiseScan(value=[[0.6, 0.3]], scale_factors=[1, 3], spectrum=(-1, 1), twins=twins)
    assert extrapolate(scan).value == pytest.approx([1.0])


@pytest.mark.parametrize("extrapolate", BOTH)
def test_twins_without_signal_change_nothing(extrapolate):
    rng = np.random.default_rng(6)
    twins = Twins(rng.normal(size=(10, 3)) * 0.005, np.full((10, 3), 0.02), np.zeros(10))
    scan = NoiseScan(value=[[0.4, 0.3, 0.2]], std=[[0.02] * 3], scale_factors=FACTORS, twins=twins)
    fit = extrapolate(scan)
    assert fit.value == pytest.approx([0.4])
    assert fit.std == pytest.approx([0.02])
    assert not fit.converged.any()
    assert "show no signal, so the measured value was kept" in fit.message


def test_wrong_use():
    bare = NoiseScan(value=[0.4, 0.2], scale_factors=[1, 3])
    few = NoiseScan(value=[0.4, 0.2], scale_factors=[1, 3], twins=Twins([[0.4, 0.2]], [[0.0, 0.0]], [1.0]))
    for extrapolate in BOTH:
        with pytest.raises(UsageError, match="the scan has none; make some with near_clifford_twins"):
            extrapolate(bare)
        with pytest.raises(UsageError, match="has 2 unknowns and the scan has 1 twin; measure at least 2"):
            extrapolate(few)
