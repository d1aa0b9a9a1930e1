"""A mitigated job is one job, that a later process combines, of any number of parameter sets."""

import warnings

import numpy as np
import pytest
import torch
from helpers import two_qubits
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from bondwise.backends import Journal, estimate, expectation, get_backend, record
from bondwise.backends.pubs import estimator_pubs
from bondwise.mitigation import MitigatedEstimator, NoiseScan
from bondwise.runs import UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]
OPERATOR = SparsePauliOp(["ZZ", "XI"], [1.0, 0.5])
ANGLES = np.linspace(0.2, 1.4, 6)


def test_a_later_process_combines_what_an_earlier_one_has_submitted(loopback_ibm, tmp_path):
    """All that the second one shares with the first one are its lines and the journal."""

    def mitigated():
        place = record("ibm:ibm_manila", "study", journal=Journal(tmp_path / "journal"))
        return MitigatedEstimator(place, shots=64, seed=1)

    pub = (two_qubits(), OPERATOR, ANGLES)
    first = mitigated().run([pub])
    assert len(loopback_ibm.jobs) == 1
    result = mitigated().run([pub]).result()
    assert len(loopback_ibm.jobs) == 1
    assert result.metadata["job_ids"] == tuple(first.job_ids)
    assert result[0].data.evs_noise_factors.shape == (3,)
    again = first.result()
    assert float(again[0].data.evs) == float(result[0].data.evs)


def test_a_gradient_is_one_job(loopback_ibm):
    """With the value: at three scales, with the calibration, for 6 parameters."""
    place = MitigatedEstimator(get_backend("ibm:ibm_manila"), shots=256, extrapolation="linear", seed=1)
    angles = torch.tensor(ANGLES, requires_grad=True)
    value = expectation(two_qubits(), OPERATOR, angles, place)
    (gradient,) = torch.autograd.grad(value, angles)
    assert len(loopback_ibm.jobs) == 1
    exact = torch.tensor(ANGLES, requires_grad=True)
    (truth,) = torch.autograd.grad(expectation(two_qubits(), OPERATOR, exact), exact)
    assert gradient.numpy() == pytest.approx(truth.numpy(), abs=0.6)


def test_what_was_prepared_is_combined():
    estimator, pub = MitigatedEstimator("fake:manila", shots=500, seed=3), (two_qubits(), OPERATOR, ANGLES)
    job = estimator.prepare([pub])
    result = estimator.backend.run(job.pubs, shots=job.shots, seed=job.seed)
    combined = MitigatedEstimator("fake:manila", shots=500).combine(job, result)
    together = MitigatedEstimator("fake:manila", shots=500, seed=3).run([pub]).result()
    assert float(combined[0].data.evs) == float(together[0].data.evs)
    assert combined.metadata["shots"] == together.metadata["shots"] == result.metadata["shots"]
    with pytest.raises(UsageError, match="the result has 1 PUBs and the job has 14"):
        estimator.combine(job, estimator.backend.run(job.pubs[:1]))
    other = estimator.prepare([(*pub[:2], ANGLES[None])])
    result = estimator.backend.run(other.pubs, shots=100, seed=1)
    with pytest.raises(UsageError, match=r"a PUB of the result has the shape .* pass the result of this job"):
        estimator.combine(job, result)


def test_calibrations_of_another_device_are_not_kept():
    pub = (two_qubits(), OPERATOR, ANGLES)
    own, other = (MitigatedEstimator(name, shots=500, seed=3) for name in ("fake:manila", "fake:lima"))
    job = own.prepare([pub])
    result = own.backend.run(job.pubs, shots=job.shots, seed=job.seed)
    with pytest.warns(UserWarning, match="fake:manila"):
        other.combine(job, result)
    assert other.prepare([pub]).calibrations > 0
    own.combine(job, result)
    assert own.prepare([pub]).calibrations == 0


def test_without_extrapolation_the_smallest_scale_counts():
    scan = NoiseScan(value=[0.2, 0.8, 0.4], std=[0.01, 0.02, 0.03], scale_factors=[5, 1, 3])
    fit = MitigatedEstimator("fake:manila", extrapolation=None).extrapolate(scan)
    assert (fit.value, fit.std) == (0.8, pytest.approx(0.02))


def test_pubs_of_a_job_are_extrapolated_together():
    """Three PUBs of one element each are what one PUB of three elements is, to a method that learns."""
    rng = np.random.default_rng(5)
    sets, circuit = rng.uniform(-1, 1, (3, 6)), two_qubits()

    def values(pubs):
        estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation="bayes")
        return [float(value) for part in estimator.run(pubs).result() for value in np.ravel(part.data.evs)]

    apart = values([(circuit, "ZZ", one) for one in sets])
    assert apart == pytest.approx(values([(circuit, "ZZ", sets)]), abs=1e-6)
    alone = [values([(circuit, "ZZ", one)])[0] for one in sets]
    assert np.abs(np.subtract(apart, alone)).max() > 1e-6
    exact = estimate(circuit, "ZZ", sets).value
    assert np.abs(apart - exact).mean() < 0.02


@pytest.mark.parametrize("extrapolation", ["cdr", "vncdr"])
@pytest.mark.parametrize("place", ["aer:depolarizing=0.03", "fake:manila"])
def test_twins_travel_in_the_job(extrapolation, place):
    """And are kept for the next one; they remove most of the error of both observables and all sets."""
    circuit = efficient_su2(3, reps=1, entanglement="linear")
    sets = np.random.default_rng(7).uniform(-1, 1, (4, 1, circuit.num_parameters))
    observables = [SparsePauliOp(["ZZI", "IZZ"]), SparsePauliOp("XXX")]
    estimator = MitigatedEstimator(place, extrapolation=extrapolation, folding="gates", seed=1)
    job = estimator.prepare([(circuit, observables, sets)])
    assert len(job.pubs) == 1 + 3 + 3
    assert len(job.twins) == 1
    [part] = estimator.combine(job, estimator.backend.run(job.pubs, shots=job.shots))
    scan = NoiseScan.from_pub_result(part)
    assert scan.twins.value.shape == (4, 2, 20, 3)
    assert scan.twins.ideal.shape == (4, 2, 20)
    exact = estimate(circuit, observables, sets[:, 0]).value
    raw = estimate(circuit, observables, sets[:, 0], backend=place).value
    assert np.abs(part.data.evs - exact).mean() < 0.5 * np.abs(raw - exact).mean()
    assert len(estimator.prepare([(circuit, observables, sets + 0.1)]).pubs) == 3


def test_calibrations_are_counted():
    circuit = efficient_su2(2, reps=1)
    sets = np.zeros((5, circuit.num_parameters))
    estimator = MitigatedEstimator("fake:manila", extrapolation="cdr", shots=140, twins=8, seed=1)
    result = estimator.run([(circuit, "ZZ", sets)]).result()
    assert result.metadata["calibration_shots"] == 3 * 140 + 3 * 8 * 140
    assert result.metadata["shots"] == 3 * 140 + 3 * (8 + 5) * 140


def test_shots_are_shared_out_over_the_scales():
    pub = (two_qubits(), OPERATOR, ANGLES)
    estimator = MitigatedEstimator("fake:manila", shots=800, shares=(5, 1, 2), extrapolation="linear", seed=1)
    result = estimator.run([pub]).result()
    assert result.metadata["calibration_shots"] == 3 * 800
    assert result.metadata["shots"] == 3 * 800 + 2 * 3 * 800  # two bases
    std = result[0].data.stds_noise_factors
    assert std[1] / std[0] == pytest.approx(np.sqrt(5), rel=0.3)
    exact = MitigatedEstimator("fake:manila", shares=(5, 1, 2), extrapolation="linear").run([pub]).result()
    plain = MitigatedEstimator("fake:manila", extrapolation="linear").run([pub]).result()
    np.testing.assert_allclose(exact[0].data.evs, plain[0].data.evs, atol=1e-9)
    with pytest.raises(UsageError, match="pass one for each, such as"):
        MitigatedEstimator("fake:manila", shares=(5, 1))
    for wrong in ((5, 1, 0), 7):
        with pytest.raises(UsageError, match="shares"):
            MitigatedEstimator("fake:manila", shares=wrong)
    with pytest.raises(UsageError, match="twins is 20 and nothing is extrapolated"):
        MitigatedEstimator("fake:manila", extrapolation=None, twins=20)


def asymmetric():
    """A backend whose readout has to be twirled."""
    model = NoiseModel()
    model.add_readout_error(ReadoutError([[0.98, 0.02], [0.07, 0.93]]), [0])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    return get_backend("aer", noise=model)


@pytest.mark.parametrize("gate_twirls", [0, 2])
def test_twins_cost_as_many_shots_as_circuits(gate_twirls):
    """Each twin is measured like a parameter set, also where gates are twirled, and then known."""
    circuit = efficient_su2(2, reps=1)
    pub = (circuit, SparsePauliOp(["ZZ", "XX"]), np.linspace(-1, 1, circuit.num_parameters))
    options = {"extrapolation": "vncdr", "twins": 6, "shots": 7 * 32, "gate_twirls": gate_twirls, "seed": 1}
    estimator = MitigatedEstimator(asymmetric(), **options)
    job = estimator.prepare([pub])
    result = estimator.combine(job, estimator.backend.run(job.pubs, shots=job.shots, seed=1))
    readout, scan, bases = 3 * 7 * 32, 3 * 7 * 32, 2
    assert sum(job.spent) == result.metadata["shots"] == readout + bases * scan * (6 + 1)
    assert result.metadata["calibration_shots"] == readout + bases * scan * 6
    again = estimator.prepare([pub])
    assert not again.twins
    assert sum(again.spent) == bases * scan


def test_an_identity_beside_a_twirled_observable():
    circuit = efficient_su2(2, reps=1).assign_parameters(np.linspace(-1, 1, 8))
    pubs = [(circuit, "II"), (circuit, ["II", "ZZ"])]
    estimator = MitigatedEstimator(asymmetric(), extrapolation="linear", shots=512, seed=1)
    first, second = estimator.run(pubs).result()
    assert float(first.data.evs) == second.data.evs[0] == 1
    assert float(first.data.stds) == second.data.stds[0] == 0
    assert 0 < second.data.stds[1] < 0.2


def test_estimated_seconds_count_the_paulis_of_the_twirl():
    """A density matrix for each of them; no twirl, no more than the scan."""
    circuit = efficient_su2(3, reps=2)
    twirled, plain = (
        MitigatedEstimator(asymmetric(), readout=readout).estimate_seconds(circuit, "ZZZ")
        for readout in (True, False)
    )
    assert twirled == pytest.approx(16 * plain)
    sets = (circuit, "ZZZ", np.zeros((5, circuit.num_parameters)))
    [pub] = estimator_pubs([sets])
    assert MitigatedEstimator(asymmetric(), readout=False).estimate_seconds(pub) == pytest.approx(plain)


def test_what_another_device_measured_is_used_with_a_warning_that_names_both():
    """A fit does not depend on the device, but what it learns from others, and the calibration do."""
    one, other = (MitigatedEstimator(f"fake:{name}", shots=100, seed=1) for name in ("manila", "belem"))
    pub = (two_qubits(), "ZZ", ANGLES)
    job = one.prepare([pub])
    result = one.backend.run(job.pubs, shots=job.shots, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = NoiseScan.from_pub_result(one.combine(job, result)[0])
        one.extrapolate(mine)
        NoiseScan.joined([mine, mine])
    with pytest.warns(UserWarning, match="a job of fake:manila is combined by an estimator of fake:belem"):
        combined = other.combine(job, result)
    assert combined[0].metadata["device"] == "fake:manila"
    with pytest.warns(UserWarning, match="a scan of fake:manila is extrapolated .* of fake:belem") as caught:
        other.extrapolate(mine)
    assert len(caught) == 1
    theirs = NoiseScan.from_pub_result(other.run([pub]).result()[0])
    with pytest.warns(UserWarning, match="a scan of fake:belem is joined to one of fake:manila"):
        NoiseScan.joined([mine, theirs])


def test_options_that_leave_the_noise_as_it_is_make_no_other_device():
    scan = NoiseScan(value=[0.5, 0.3], scale_factors=[1, 3], meta={"device": "fake:manila,resilience=2"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MitigatedEstimator("fake:manila").extrapolate(scan)
