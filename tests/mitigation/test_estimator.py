"""The mitigated estimator: a BaseEstimatorV2 that is closer to the truth and reports what it did."""

import threading

import numpy as np
import pytest
import torch
from helpers import called_noisy, heisenberg, staircase, two_qubits
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from bondwise.backends import Backend, estimate, expectation, get_backend
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    extrapolate_exponential,
    extrapolate_linear,
)
from bondwise.runs import UsageError

DEVICE = FakeManilaV2()
CHAIN = staircase(4)


class Recorder(BackendEstimatorV2):
    """Qiskit's estimator on a noisy device, which remembers the jobs it was given."""

    def __init__(self, seed=5):
        super().__init__(backend=DEVICE, options={"seed_simulator": seed})
        self.jobs = []
        self.threads = set()

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.jobs.append(pubs)
        self.threads.add(threading.current_thread())
        return super().run(pubs, precision=precision)


def depolarizing(strength=0.03):
    """Exact values under depolarizing noise on cx: on two qubits it commutes with every gate."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(strength, 2), ["cx"])
    options = {"backend_options": {"method": "density_matrix", "noise_model": model}}
    return Backend("depolarizing", estimator=AerEstimator(options=options), exact=True, noisy=True)


def exact(pub):
    return StatevectorEstimator().run([pub]).result()[0].data.evs


@pytest.mark.parametrize("folding", ["global", "local", "gates"])
def test_recovers_exponential_decay_exactly(folding):
    circuit, operator = two_qubits(), SparsePauliOp(["ZZ", "XI", "II"], [1.0, 0.5, 3.0])
    pub = (circuit, operator, np.linspace(0.2, 1.4, 6))
    estimator = MitigatedEstimator(depolarizing(), extrapolation="exponential", folding=folding)
    result = estimator.run([pub]).result()[0]
    assert result.data.evs == pytest.approx(exact(pub), abs=1e-10)
    assert result.data.stds == 0
    assert abs(result.data.evs_noise_factors[0] - exact(pub)) > 0.02
    assert result.metadata["scale_factors"] == (1.0, 3.0, 5.0)
    assert result.metadata["converged"] is True


def test_linear_is_right_to_first_order():
    pub = (two_qubits(), SparsePauliOp("ZZ"), np.linspace(0.2, 1.4, 6))
    value = {}
    for strength in (1e-3, 1e-4):
        estimator = MitigatedEstimator(depolarizing(strength), extrapolation="linear")
        value[strength] = abs(estimator.run([pub]).result()[0].data.evs - exact(pub))
    assert value[1e-4] == pytest.approx(value[1e-3] / 100, rel=0.05)


def test_partial_folding_is_fitted_at_the_achieved_factors():
    """Three gates only allow steps of 2/3, but fitted at the factors reached, the decay is still exact."""
    pub = (two_qubits(), SparsePauliOp("ZZ"), np.linspace(0.2, 1.4, 6))
    estimator = MitigatedEstimator(
        depolarizing(), extrapolation="exponential", scale_factors=(1, 1.5, 2, 4), folding="gates", seed=1
    )
    result = estimator.run([pub]).result()[0]
    assert result.metadata["scale_factors"] == pytest.approx((1, 5 / 3, 7 / 3, 13 / 3))
    assert result.data.evs == pytest.approx(exact(pub), abs=1e-10)


def test_broadcasts_like_any_estimator():
    circuit = two_qubits()
    observables = [[SparsePauliOp("ZZ")], [SparsePauliOp(["XI", "II"], [2, 1])]]
    sets = np.random.default_rng(0).uniform(-1, 1, (3, 6))
    estimator = MitigatedEstimator(called_noisy(), extrapolation="exponential")
    assert isinstance(estimator, BaseEstimatorV2)
    first, second = estimator.run([(circuit, observables, sets), (circuit, "ZI", sets[0])]).result()
    assert first.data.evs.shape == first.data.stds.shape == first.data.shape == (2, 3)
    assert first.data.evs_noise_factors.shape == first.data.stds_noise_factors.shape == (2, 3, 3)
    assert first.data.evs == pytest.approx(exact((circuit, observables, sets)), abs=1e-12)
    assert second.data.evs == pytest.approx(exact((circuit, "ZI", sets[0])), abs=1e-12)
    scan = NoiseScan.from_pub_result(first)
    assert scan.value.shape == (2, 3, 3)
    assert scan.asymptote.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_projectors_are_written_out():
    circuit = two_qubits().assign_parameters(np.linspace(0.2, 1.4, 6))
    estimator = MitigatedEstimator(called_noisy(), extrapolation="exponential")
    result = estimator.run([(circuit, {"0I": 1.0, "1+": 0.5})]).result()[0]
    p0 = SparsePauliOp(["II", "ZI"], [0.5, 0.5])
    both = SparsePauliOp(["II", "ZI", "IX", "ZX"], [0.125, -0.125, 0.125, -0.125])
    assert result.data.evs == pytest.approx(exact((circuit, p0 + both)), abs=1e-12)


def test_improves_on_a_device():
    """With many shots on a noisy device: within 5 standard errors, at half the raw error or less."""
    circuit = efficient_su2(4, reps=3, entanglement="linear")
    pub = (
        circuit,
        heisenberg(CHAIN, 4),
        np.random.default_rng(1).uniform(-0.5, 0.5, circuit.num_parameters),
    )
    estimator = MitigatedEstimator(Recorder(), extrapolation="exponential", shots=30000, seed=1)
    result = estimator.run([pub]).result()[0]
    isa = transpile(circuit, DEVICE, optimization_level=3, seed_transpiler=0)
    raw = Recorder().run([(isa, pub[1].apply_layout(isa.layout), pub[2])], precision=30000**-0.5).result()[0]
    truth = exact(pub)
    assert abs(result.data.evs - truth) < 5 * result.data.stds
    assert abs(result.data.evs - truth) < 0.5 * abs(raw.data.evs - truth)
    again = extrapolate_exponential(NoiseScan.from_pub_result(result))
    assert again.value == result.data.evs
    assert result.data.stds == again.std


def test_removes_nearly_all_of_the_error_of_a_device_snapshot():
    """Without shot noise, so what is left is the bias of the model: below 5 % of the raw error."""
    circuit = efficient_su2(4, reps=2, entanglement="linear")
    parameters = np.random.default_rng(3).uniform(-0.5, 0.5, circuit.num_parameters)
    estimator = MitigatedEstimator("fake:torino", extrapolation="exponential")
    result = estimator.run([(circuit, heisenberg(CHAIN, 4), parameters)]).result()[0]
    backend, truth = get_backend("fake:torino"), exact((circuit, heisenberg(CHAIN, 4), parameters))
    isa = backend.transpile(circuit)
    raw = backend.run([(isa, heisenberg(CHAIN, 4).apply_layout(isa.layout), parameters)])[0]
    assert result.metadata["readout"] is True
    assert result.metadata["transpiled"] == "by fake:torino"
    assert result.data.stds == 0
    assert abs(result.data.evs - truth) < 0.05 * abs(raw.data.evs - truth)


def test_all_scale_factors_of_all_pubs_are_one_job():
    recorder = Recorder()
    estimator = MitigatedEstimator(recorder, shots=100, shares=(1, 1, 1))
    circuit = two_qubits()
    pubs = [(circuit, "ZZ", np.zeros(6)), (circuit, "XX", np.zeros((2, 6)))]
    result = estimator.run(pubs).result()
    (job,) = recorder.jobs
    rows = 4  # Paulis of the twirl
    assert [pub.shape for pub in job] == [(rows, 1)] * 3 + [(rows, 1)] * 3 + [(rows, 1, 2)] * 3
    assert len(result.metadata["job_ids"]) == 1
    assert result.metadata["calibration_shots"] == 3 * 100
    for pub in job:
        names = set(pub.circuit.count_ops()) - {"barrier"}
        assert names <= set(DEVICE.target.operation_names)
    again = estimator.run(pubs).result()
    assert len(recorder.jobs) == 2
    assert again.metadata["calibration_shots"] == 0
    estimator.run(pubs, precision=0.05).result()  # 400 shots: the calibration is too coarse for these
    assert len(recorder.jobs[2]) == 9


def test_works_in_the_calling_thread():
    """Python joins worker threads when it exits: an interrupt would take as long as the job."""
    recorder = Recorder()
    job = MitigatedEstimator(recorder, shots=10).run([(two_qubits(), "ZZ", np.zeros(6))])
    assert recorder.threads == {threading.current_thread()}
    assert job.result() is job.result()
    assert job.done()


def test_repeats_its_own_extrapolation():
    pub = (two_qubits(), ["ZZ", "XX"], np.linspace(0.2, 1.4, 6))
    for how in ("exponential", "polynomial", extrapolate_linear):
        estimator = MitigatedEstimator(depolarizing(), extrapolation=how)
        result = estimator.run([pub]).result()[0]
        fit = estimator.extrapolate(NoiseScan.from_pub_result(result))
        assert fit.value.tolist() == result.data.evs.tolist()
        assert fit.message == result.metadata["message"]


def test_estimated_seconds():
    circuit, place = efficient_su2(4, reps=2), get_backend("fake:guadalupe")
    once = place.estimate_seconds(circuit, heisenberg(CHAIN, 4))
    estimator = MitigatedEstimator(place)
    seconds = estimator.estimate_seconds(circuit, heisenberg(CHAIN, 4))
    assert seconds == pytest.approx(9 * once)  # two-qubit gates 1, 3 and 5 times; none in the calibration
    assert get_backend(estimator).estimate_seconds(circuit, heisenberg(CHAIN, 4)) == seconds
    assert MitigatedEstimator(called_noisy()).estimate_seconds(circuit, heisenberg(CHAIN, 4)) == 0
    assert MitigatedEstimator(called_noisy()).estimate_seconds(two_qubits(), "ZZ") == 0


def test_precision_becomes_shots():
    recorder = Recorder()
    estimator = MitigatedEstimator(recorder, shots=100, shares=(1, 1, 1), readout=False)
    circuit = two_qubits().assign_parameters(np.zeros(6))
    estimator.run([(circuit, "ZZ")]).result()
    estimator.run([(circuit, "ZZ")], precision=0.05).result()
    estimator.run([(circuit, "ZZ", None, 0.02), (circuit, "ZZ")], precision=0.05).result()
    shots = [{round(1 / pub.precision**2) for pub in job} for job in recorder.jobs]
    assert shots == [{100}, {400}, {2500}]


def test_same_seed_same_values():
    circuit = efficient_su2(3, reps=1)
    pub = (circuit, heisenberg(staircase(3), 3), np.linspace(-1, 1, circuit.num_parameters))
    values = [
        MitigatedEstimator("aer", shots=500, seed=seed).run([pub]).result()[0].data.evs for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


def test_says_who_transpiled():
    circuit = two_qubits().assign_parameters(np.ones(6))
    isa = transpile(circuit, DEVICE, initial_layout=[3, 2], seed_transpiler=0)
    assert "by BackendEstimatorV2" in repr(MitigatedEstimator(BackendEstimatorV2(backend=DEVICE)))
    cases = [
        (MitigatedEstimator(StatevectorEstimator()), circuit, "ZI", "not at all, folded as passed"),
        (
            MitigatedEstimator(StatevectorEstimator(), target=DEVICE.target),
            circuit,
            "ZI",
            "for the given target",
        ),
        (
            MitigatedEstimator(StatevectorEstimator(), target=DEVICE.target),
            isa,
            "IIZII",
            "before: it carries a layout",
        ),
    ]
    for estimator, given, label, expected in cases:
        result = estimator.run([(given, label)], precision=1e-5).result()
        assert result[0].metadata["transpiled"] == expected
        assert result[0].data.evs == pytest.approx(exact((circuit, "ZI")), abs=1e-3)
    assert "for the given target" in repr(cases[1][0])
    assert "neural from global folding at 1, 3, 5" in repr(cases[0][0])


def test_parameters_that_the_transpiler_drops():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.rx(-a, 0)
    circuit.ry(b, 1)
    circuit.cx(1, 0)
    estimator = MitigatedEstimator(StatevectorEstimator(), target=DEVICE.target, readout=False)
    result = estimator.run([(circuit, "ZI", [0.3, 0.8])], precision=1e-6).result()
    assert result[0].data.evs == pytest.approx(np.cos(0.8), abs=1e-4)


def test_any_function_of_a_scan_extrapolates():
    pub = (two_qubits(), "ZZ", np.linspace(0.2, 1.4, 6))
    values = [
        MitigatedEstimator(depolarizing(), extrapolation=how).run([pub]).result()[0].data.evs
        for how in ("linear", extrapolate_linear, "richardson", "polynomial")
    ]
    assert values[0] == values[1]
    assert values[2] == pytest.approx(values[3])  # three points: the parabola goes through all of them


def test_an_identity_needs_no_measurement():
    circuit = two_qubits().assign_parameters(np.ones(6))
    recorder = Recorder()
    result = MitigatedEstimator(recorder, shots=10).run([(circuit, "II")]).result()
    assert result[0].data.evs == pytest.approx(1)
    assert len(recorder.jobs) == 1
    assert list(MitigatedEstimator(called_noisy()).run([]).result()) == []


def test_is_a_backend_in_its_turn():
    estimator = MitigatedEstimator(depolarizing())
    backend = get_backend(estimator)
    circuit = two_qubits()
    pub = (backend.transpile(circuit), "ZZ", np.linspace(0.2, 1.4, 6))
    result = backend.run([pub], shots=10**8, seed=3)
    assert result[0].data.evs == pytest.approx(exact(pub), abs=2e-3)


def test_torch_differentiates_it():
    circuit, operator = two_qubits(), SparsePauliOp(["ZZ", "XI"], [1.0, 0.5])
    angles = torch.linspace(0.2, 1.4, 6, dtype=torch.float64, requires_grad=True)
    gradients = [
        torch.autograd.grad(expectation(circuit, operator, angles, backend).sum(), angles)[0]
        for backend in ("statevector", MitigatedEstimator(depolarizing(), extrapolation="exponential"))
    ]
    assert gradients[1].numpy() == pytest.approx(gradients[0].numpy(), abs=1e-8)


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("folding", ["global", "local", "gates"])
def test_a_circuit_without_gates_is_not_extrapolated(folding, readout):
    """Transpilation cancels all gates; the result is the plain value, with readout undone if requested."""
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.x(0)
    backend = get_backend("fake:manila")
    options = {"folding": folding, "readout": readout, "seed": 3}
    exact = MitigatedEstimator(backend, **options).run([(circuit, ["ZZ", "II"])]).result()[0]
    raw = estimate(circuit, ["ZZ", "II"], backend=backend).value
    np.testing.assert_allclose(exact.data.evs, [1, 1] if readout else raw, atol=1e-9)
    np.testing.assert_allclose(exact.data.stds, 0)
    assert exact.metadata["scale_factors"] == (1.0,)
    assert exact.metadata["message"].endswith("no gates that make noise, so nothing is extrapolated")
    sampled = MitigatedEstimator(backend, shots=1000, **options).run([(circuit, "ZZ")]).result()[0]
    assert 0 < sampled.data.stds < 0.05
    assert sampled.data.evs == pytest.approx(float(exact.data.evs[0]), abs=5 * float(sampled.data.stds))
    scan = NoiseScan.from_pub_result(sampled)
    fitted = MitigatedEstimator(backend, **options).extrapolate(scan)
    assert (fitted.value, fitted.std) == (scan.value[..., 0], scan.std[..., 0])


def test_one_shot_asked_for_by_precision_is_refused():
    estimator = MitigatedEstimator("aer:depolarizing=0.01")
    with pytest.raises(UsageError, match="precision is 1, and one shot"):
        estimator.run([(two_qubits(), "ZZ", np.ones(6))], precision=1.0)


@pytest.mark.parametrize("name", ["statevector", "aer:depolarizing=0", "aer:matrix_product_state"])
@pytest.mark.parametrize("extrapolation", ["linear", None])
def test_without_noise_it_says_that_there_is_nothing_to_mitigate(name, extrapolation):
    circuit = two_qubits().assign_parameters(np.linspace(0.2, 1.4, 6))
    with pytest.warns(UserWarning, match=f"^{name} has no noise, so nothing is mitigated.$"):
        estimator = MitigatedEstimator(name, extrapolation=extrapolation, seed=3)
    result = estimator.run([(circuit, "XY")], precision=0.1).result()
    assert result[0].metadata["message"] == f"{name} has no noise, so nothing is mitigated"
    assert repr(estimator) == f"MitigatedEstimator({name} has no noise, so nothing is mitigated)"
    assert result.metadata["shots"] == 100  # no scales and no calibration
    assert estimate(circuit, "XY", backend=estimator).value == pytest.approx(exact((circuit, "XY")))


def test_circuits_of_a_job_may_differ_in_width():
    """The wide one's qubits are calibrated, and the other one has fewer."""
    place = get_backend("aer:depolarizing=0.05")
    narrow, wide = (QuantumCircuit(size) for size in (2, 4))
    for circuit in (narrow, wide):
        circuit.ry(0.3, 0)
        circuit.cx(0, 1)
    estimator = MitigatedEstimator(place, extrapolation=None)
    found = estimator.run([(wide, "ZZZZ"), (narrow, "ZZ")]).result()
    (alone,) = MitigatedEstimator(place, extrapolation=None).run([(narrow, "ZZ")]).result()
    assert float(found[1].data.evs) == pytest.approx(float(alone.data.evs), abs=1e-12)
