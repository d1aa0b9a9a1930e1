"""Scans without a decay: the mean over the scale factors is better than an extrapolation, and it is taken."""

import numpy as np
import pytest
from helpers import two_qubits
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError

from bondwise.backends import get_backend
from bondwise.mitigation import MitigatedEstimator, NoiseScan, Twins, extrapolate_linear, extrapolate_neural
from bondwise.mitigation.gate import mean_without_decay

FACTORS, SHARES = np.array([1, 3, 5]), np.array([5, 1, 1]) / 7
ANGLES = np.linspace(0.2, 1.4, 6)


def scan_of(rng, ideal, decay, shots):
    exact = ideal[:, None] * np.exp(-decay * FACTORS)
    std = np.sqrt((1 - exact**2) / (shots * SHARES))
    return NoiseScan(value=exact + std * rng.normal(size=std.shape), std=std, scale_factors=FACTORS)


def test_without_noise_it_is_better_than_an_extrapolation_and_knows_its_error():
    rng = np.random.default_rng(0)
    errors, pulls, extrapolated, kept = [], [], [], 0
    for _ in range(40):
        ideal = rng.uniform(-0.9, 0.9, 4)
        scan = scan_of(rng, ideal, 0.0, 1000)
        fit = mean_without_decay(scan)
        if fit is None:
            continue
        kept += 1
        errors.append(np.abs(fit.value - ideal))
        pulls.append((fit.value - ideal) / fit.std)
        extrapolated.append(np.abs(extrapolate_neural(scan).value - ideal))
    assert kept >= 34
    assert np.mean(errors) < 0.9 * np.mean(extrapolated)
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.2


@pytest.mark.parametrize(
    ("decay", "shots", "seen"), [(0.1, 4000, True), (0.03, 10**5, True), (1e-4, 1000, False)]
)
def test_a_decay_is_seen_above_the_shot_noise(decay, shots, seen):
    rng = np.random.default_rng(1)
    found = [mean_without_decay(scan_of(rng, rng.uniform(-0.9, 0.9, 10), decay, shots)) for _ in range(20)]
    assert (sum(fit is None for fit in found) >= 19) == seen


def test_values_that_no_noise_changes_say_nothing():
    """An identity beside a decay, exact values, and what is 1 in every shot."""
    decays = [0.9, 0.7, 0.5]
    for value, std in [([[1, 1, 1], decays], [[0, 0, 0], [0.01] * 3]), (decays, [0, 0, 0])]:
        assert mean_without_decay(NoiseScan(value=value, std=std, scale_factors=FACTORS)) is None
    scan = NoiseScan(
        value=[[1, 1, 1], [0.5, 0.5, 0.5]],
        std=[[0, 0, 0], [0.01] * 3],
        asymptote=[1, 0],
        scale_factors=FACTORS,
    )
    fit = mean_without_decay(scan)
    assert fit.value == pytest.approx([1, 0.5])
    assert fit.std[0] == 0 < fit.std[1]
    one = mean_without_decay(NoiseScan(value=[1, 0.99, 1], std=[0, 0.01, 0], scale_factors=FACTORS))
    assert one.value == pytest.approx(1, abs=0.01)
    nothing = NoiseScan(value=[0, 0, 0], std=[0.1] * 3, scale_factors=FACTORS)
    assert mean_without_decay(nothing).value == 0


def test_one_element_that_decays_beside_many_that_do_not():
    """Precise elements on idle qubits must not decide for those that lose most of their value."""
    scan = NoiseScan(
        value=[[1, 1, 1], [0.45, 0.29, 0.21]], std=[[0.001] * 3, [0.01] * 3], scale_factors=FACTORS
    )
    assert mean_without_decay(scan) is None
    rng = np.random.default_rng(2)
    seen = 0
    for _ in range(40):
        exact = np.array([0.98] * 20 + [0.9])[:, None] * np.exp(
            -np.array([0.0] * 20 + [0.15])[:, None] * FACTORS
        )
        std = np.sqrt((1 - exact**2) / (2000 * SHARES))
        value = exact + std * rng.normal(size=std.shape)
        seen += mean_without_decay(NoiseScan(value=value, std=std, scale_factors=FACTORS)) is None
    assert seen >= 39


def test_idle_qubits_change_nothing_about_a_deep_circuit():
    circuit = QuantumCircuit(6)
    circuit.h(0)
    for _ in range(10):
        circuit.cx(0, 1)
        circuit.barrier()
        circuit.cx(0, 1)
        circuit.barrier()
    circuit.cx(0, 1)
    observables = ["IIIIZZ", "IIZIII", "IZIIII", "IIIZII", "ZIIIII"]
    [part] = MitigatedEstimator("fake:torino", shots=4096, seed=0).run([(circuit, observables)]).result()
    assert part.metadata["message"] == ""
    assert abs(part.data.evs[0] - 1) < 4 * part.data.stds[0]


def test_a_decay_that_shot_noise_could_hide_is_not_denied():
    """Only the smallest scale factor says anything: this is no sign that there is no noise."""
    visible = NoiseScan(value=[0.3, 0.15, 0.2], std=[0.07, 0.2, 0.2], scale_factors=FACTORS)
    assert mean_without_decay(visible) is None
    invisible = NoiseScan(value=[0.03, 0.05, 0.02], std=[0.07, 0.2, 0.2], scale_factors=FACTORS)
    assert mean_without_decay(invisible).std > 0.06


def test_a_few_shots_have_errors():
    """Every shot agrees, and only the calibration of the readout has an error, which all scales share."""
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.ry(0.3, 1)
    bell.cx(0, 1)
    for seed in range(6):
        [part] = (
            MitigatedEstimator("fake:manila", shots=10, seed=seed).run([(bell, ["ZI", "XX", "ZZ"])]).result()
        )
        assert np.isfinite(part.data.stds).all()
    shared = np.full((3, 3), 1e-4)
    scan = NoiseScan(value=[1, 1, 1], std=[0.01] * 3, covariance=shared, scale_factors=FACTORS)
    assert mean_without_decay(scan) is None


def test_twins_tell_what_folding_does_not():
    twins = Twins(np.full((4, 3), 0.4), np.full((4, 3), 0.01), np.full(4, 0.5))
    flat = {"value": [0.4, 0.4, 0.4], "std": [0.01] * 3, "scale_factors": FACTORS}
    assert mean_without_decay(NoiseScan(**flat)) is not None
    assert mean_without_decay(NoiseScan(**flat, twins=twins)) is None


def test_the_estimator_says_that_it_has_not_extrapolated():
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.03, 0.97]]))
    backend = get_backend("aer", noise=model)
    pub = (two_qubits(), SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]), ANGLES)
    [part] = MitigatedEstimator(backend, shots=500, seed=4).run([pub]).result()
    assert "no decay above their shot noise" in part.metadata["message"]
    again = MitigatedEstimator(backend).extrapolate(NoiseScan.from_pub_result(part))
    assert float(again.value) == float(part.data.evs)
    mine = MitigatedEstimator(backend, extrapolation=extrapolate_linear, shots=500, seed=4)
    [own] = mine.run([pub]).result()
    assert own.metadata["message"] == ""  # a function is the user's decision
    noisy = MitigatedEstimator("aer:depolarizing=0.05", shots=4000, seed=3)
    assert noisy.run([pub]).result()[0].metadata["message"] == ""


@pytest.mark.parametrize("decay", [0.02, 0.03])
def test_a_decay_that_stays_hidden_is_within_the_error(decay):
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(300):
        ideal = rng.uniform(0.5, 0.9, 1)
        fit = mean_without_decay(scan_of(rng, ideal, decay, 3000))
        if fit is not None:
            pulls.append(float((fit.value - ideal)[0] / fit.std[0]))
    assert len(pulls) > 50
    assert np.mean(np.abs(pulls) <= 2) > 0.87


@pytest.mark.parametrize(
    ("size", "outlier", "gain"), [(0.01, 0, 0.5), (0.01, 0.6, 0.95), (0.1, 0.1, 0.9), (0.9, 0.6, 1.02)]
)
def test_values_below_their_errors_are_drawn_to_zero_and_others_stay(size, outlier, gain):
    rng = np.random.default_rng(8)
    drawn, plain, inside = [], [], []
    for _ in range(30):
        ideal = rng.normal(size=50) * size / 2
        ideal[0] = outlier
        ideal = np.clip(ideal, -0.95, 0.95)
        scan = scan_of(rng, ideal, 0.0, 700)
        fit = mean_without_decay(scan)
        if fit is None:
            continue
        mean = (scan.value / scan.std**2).sum(-1) / (1 / scan.std**2).sum(-1)
        error = np.abs(fit.value - ideal)
        drawn.append(error[1:])
        plain.append(np.abs(mean - ideal)[1:])
        inside.append(error <= 2 * fit.std)
        assert error[0] < 4.5 * scan.std[0, 0]  # an outlier is not drawn far
    assert len(drawn) >= 20
    assert np.mean(drawn) < gain * np.mean(plain)
    assert np.mean(inside) > 0.92


def test_errors_that_all_scales_share_hide_no_decay():
    """The calibration of the readout moves all values together: it cancels in their differences."""
    rng = np.random.default_rng(6)
    seen = 0
    for _ in range(50):
        exact = 0.9 * np.exp(-0.02 * FACTORS)
        shared, std = 0.03 * exact, 0.01
        value = exact + std * rng.normal(size=3) + shared * rng.normal()
        covariance = np.outer(shared, shared) + std**2 * np.eye(3)
        scan = NoiseScan(
            value=value, std=np.sqrt(np.diag(covariance)), covariance=covariance, scale_factors=FACTORS
        )
        seen += mean_without_decay(scan) is None
    assert seen > 30


def test_the_mean_stays_within_the_spectrum():
    scan = NoiseScan(value=[1.02, 1.03, 1.02], std=[0.02] * 3, scale_factors=FACTORS, spectrum=[-1, 1])
    assert mean_without_decay(scan).value == 1


def test_the_band_of_a_mean_is_its_error():
    scan = NoiseScan(value=[0.51, 0.5, 0.49], std=[0.02] * 3, scale_factors=FACTORS)
    fit = mean_without_decay(scan)
    assert (fit.curve_std == fit.std).all()
