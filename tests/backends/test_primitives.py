"""Our primitives behave like Qiskit's: metadata, PUBs of every kind, and algorithms on top."""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendSamplerV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp, Statevector
from qiskit_algorithms.gradients import (
    FiniteDiffEstimatorGradient,
    ParamShiftEstimatorGradient,
    ParamShiftSamplerGradient,
    SPSAEstimatorGradient,
)

from bondwise.backends import estimate, expectation, get_backend
from bondwise.backends.primitives import observables_array
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError

DEVICE = GenericBackendV2(5, seed=1, noise_info=False)
EXACT = ["statevector", "aer:matrix_product_state", "aer:depolarizing=0.01", "fake:manila"]
PLACES = [*EXACT, DEVICE]


def names(place) -> str:
    return place if isinstance(place, str) else "sampled"


def plus() -> QuantumCircuit:
    circuit = QuantumCircuit(1, metadata={"a": 1})
    circuit.ry(0.3, 0)
    return circuit


@pytest.mark.parametrize("place", PLACES, ids=names)
@pytest.mark.parametrize("mitigated", [False, True])
def test_estimators_tell_what_they_aimed_at(place, mitigated: bool) -> None:
    backend = get_backend(place)
    estimator = MitigatedEstimator(backend, extrapolation="linear") if mitigated else backend.estimator
    usual = 0.0 if place in EXACT else 1 / 64
    assert estimator.default_precision == estimator.options.default_precision == usual
    circuit = backend.transpile(plus())
    observable = SparsePauliOp("Z").apply_layout(circuit.layout)
    asked = estimator.run([(circuit, observable), (circuit, observable, None, 0.1)]).result()
    assert asked.metadata["version"] == 2
    assert [part.metadata["target_precision"] for part in asked] == [usual, 0.1]
    assert [part.metadata["circuit_metadata"] for part in asked] == [{"a": 1}] * 2
    coarse = estimator.run([(circuit, observable)], precision=0.2).result()[0].metadata
    assert coarse["target_precision"] == 0.2
    assert coarse["shots"] >= 25


@pytest.mark.parametrize("place", [*PLACES, BackendSamplerV2(backend=DEVICE)], ids=names)
def test_samplers_tell_what_they_took(place) -> None:
    backend = get_backend(place)
    circuit = plus()
    circuit.measure_all()
    circuit = backend.transpile(circuit)
    result = backend.sampler.run([(circuit,), (circuit, None, 7)], shots=10).result()
    assert result.metadata["version"] == 2
    assert [part.metadata["shots"] for part in result] == [10, 7]
    assert [part.metadata["circuit_metadata"] for part in result] == [{"a": 1}] * 2
    if not isinstance(place, BackendSamplerV2):
        assert backend.sampler.default_shots == backend.sampler.options.default_shots == 4096
        assert backend.sampler.run([(circuit,)]).result()[0].data.meas.num_shots == 4096


@pytest.mark.parametrize("place", PLACES, ids=names)
@pytest.mark.parametrize("shots", [0, -3, 2.5, True])
def test_no_shots_are_no_shots(place, shots) -> None:
    backend = get_backend(place)
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    circuit = backend.transpile(circuit)
    with pytest.raises((UsageError, TypeError, ValueError), match="shots"):
        backend.sampler.run([(circuit,)], shots=shots).result()
    if shots is not True:
        with pytest.raises((UsageError, TypeError, ValueError), match="shots"):
            backend.sampler.run([(circuit, None, shots)]).result()


def test_exact_values_are_not_sampled_in_silence() -> None:
    backend = get_backend(DEVICE)
    circuit = backend.transpile(plus())
    observable = SparsePauliOp("Z").apply_layout(circuit.layout)
    for estimator in (backend.estimator, MitigatedEstimator(backend), MitigatedEstimator(backend, shots=100)):
        with pytest.raises(UsageError, match="precision 0 asks for exact values"):
            estimator.run([(circuit, observable)], precision=0).result()
        with pytest.raises(UsageError, match="precision 0 asks for exact values"):
            estimator.run([(circuit, observable, None, 0.0)]).result()
    wide = QuantumCircuit(13)  # more than a density matrix holds here
    wide.h(range(13))
    with pytest.raises(UsageError, match="precision 0 asks for exact values"):
        get_backend("aer:depolarizing=0.01").estimator.run([(wide, "X" * 13)], precision=0).result()


@pytest.mark.parametrize("place", ["aer:depolarizing=0.01", "fake:torino", DEVICE], ids=names)
def test_exact_values_are_refused_before_anything_runs(place, monkeypatch) -> None:
    wide = QuantumCircuit(5 if place is DEVICE else 13)
    wide.h(range(wide.num_qubits))
    backend = get_backend(place)
    estimator = MitigatedEstimator(backend, extrapolation="linear")
    monkeypatch.setattr(backend, "run", None)
    monkeypatch.setattr(backend, "sample", None)
    small = QuantumCircuit(1)
    with pytest.raises(UsageError, match="precision 0 asks for exact values"):
        estimator.run([(small, "Z"), (wide, "X" * wide.num_qubits)], precision=0).result()


@pytest.mark.parametrize("place", PLACES, ids=names)
def test_gradients_of_qiskit_algorithms(place) -> None:
    backend = get_backend(place)
    circuit = efficient_su2(2, reps=1)
    angles = np.linspace(0, 1, circuit.num_parameters)
    observable = SparsePauliOp(["ZZ", "XI"], [1.0, 0.5])
    point = torch.tensor(angles, requires_grad=True)
    expectation(circuit, observable, point, "statevector").backward()
    isa = backend.transpile(circuit)
    placed = observable if isa.layout is None else observable.apply_layout(isa.layout)
    near = {"statevector": 1e-6, "aer:matrix_product_state": 1e-6}.get(str(place), 0.15)
    for estimator in (backend.estimator, MitigatedEstimator(backend, extrapolation="linear", seed=1)):
        shifted = ParamShiftEstimatorGradient(estimator).run([isa], [placed], [angles]).result()
        np.testing.assert_allclose(shifted.gradients[0], point.grad, atol=near)
        assert shifted.precision == (0.0 if place in EXACT else 1 / 64)
        finite = FiniteDiffEstimatorGradient(estimator, epsilon=0.5).run([isa], [placed], [angles]).result()
        np.testing.assert_allclose(finite.gradients[0], point.grad, atol=max(near, 0.1) * 1.5)
        spsa = SPSAEstimatorGradient(estimator, epsilon=0.1, seed=2).run([isa], [placed], [angles]).result()
        assert np.isfinite(spsa.gradients[0]).all()
    circuit.measure_all()
    outcomes = ParamShiftSamplerGradient(backend.sampler).run([backend.transpile(circuit)], [angles]).result()
    parity = [
        sum(share * (-1) ** bin(key).count("1") for key, share in one.items())
        for one in outcomes.gradients[0]
    ]
    point.grad = None
    expectation(circuit.remove_final_measurements(inplace=False), "ZZ", point, "statevector").backward()
    np.testing.assert_allclose(parity, point.grad, atol=0.2)


@pytest.mark.parametrize("place", [*EXACT, DEVICE], ids=names)
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-30])
def test_values_scale_with_their_observables(place, scale: float) -> None:
    """No term is dropped for its size, alone or beside larger ones."""
    terms = [("ZZ", 2.0), ("XI", 0.9), ("IX", 0.9), ("YY", 1e-10)]
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.rx(0.9, 1)
    operator = SparsePauliOp.from_list([(label, scale * weight) for label, weight in terms])
    large = estimate(circuit, SparsePauliOp.from_list(terms), backend=place, seed=1).value
    assert estimate(circuit, operator, backend=place, seed=1).value == pytest.approx(scale * large, rel=1e-9)
    one = SparsePauliOp("YY", 1e-10 * scale)
    whole = estimate(circuit, SparsePauliOp("YY"), backend=place, seed=1).value
    assert estimate(circuit, one, backend=place, seed=1).value == pytest.approx(
        1e-10 * scale * whole, rel=1e-9
    )
    values = expectation(circuit, operator, backend=place, seed=1)
    assert float(values) == pytest.approx(
        scale * float(expectation(circuit, terms, backend=place, seed=1)), rel=1e-9
    )


def test_small_terms_survive_mitigation() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.cx(0, 1)
    observable = SparsePauliOp(["ZZ", "ZI", "IZ"], [2e-9, -9e-10, -9e-10])
    value = MitigatedEstimator("aer:depolarizing=0.01").run([(circuit, observable)]).result()[0].data.evs
    assert float(value) == pytest.approx(3.8e-9, rel=1e-3)


@pytest.mark.parametrize(
    "observable",
    [
        SparsePauliOp(["ZZ", "XI"], [2e-9, 1e-9]),
        SparseObservable.from_list([("ZZ", 2e-9), ("XI", 1e-9)]),
        {"ZZ": 2e-9, "XI": 1e-9},
        {Pauli("-ZZ"): -2e-9, Pauli("XI"): 1e-9},
        SparsePauliOp(["ZZ", "ZZ", "XI"], [1e-9, 1e-9, 1e-9 + 1e-25j]),
    ],
)
def test_pubs_keep_the_terms_of_any_observable(observable) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, [0, 1])
    state = Statevector(circuit)
    wanted = state.expectation_value(SparsePauliOp(["ZZ", "XI"], [2e-9, 1e-9])).real
    result = get_backend("statevector").estimator.run([(circuit, [observable, "ZI"])]).result()
    np.testing.assert_allclose(result[0].data.evs, [wanted, np.cos(0.4)], rtol=1e-12)


def test_observables_that_are_none() -> None:
    for wrong in (SparsePauliOp("Z", 0.0), SparsePauliOp(["Z", "X"], [1.0, 1e-3j]), {}, {"Z": 1j}):
        with pytest.raises(ValueError, match=r"zero|Hermitian|[Ee]mpty"):
            observables_array(wrong)
    with pytest.raises(ValueError, match="number of qubits"):
        observables_array(["Z", "ZZ"])


@pytest.mark.parametrize("place", [DEVICE, "fake:manila"], ids=names)
def test_a_circuit_narrower_than_the_device_runs_on_its_first_qubits(place) -> None:
    circuit = QuantumCircuit(2)
    circuit.x(1)
    circuit.sx(0)
    evs = get_backend(place).run([(circuit, ["ZI", "IY"])], shots=4000, seed=3)[0].data.evs
    assert evs == pytest.approx([-1.0, -1.0], abs=0.2)


def test_a_device_that_takes_few_circuits_at_once_gets_as_few(monkeypatch) -> None:
    class Limited(GenericBackendV2):
        @property
        def max_circuits(self) -> int:
            return 3

    device, sizes = Limited(num_qubits=5, seed=1, noise_info=False), []
    run = device.run
    monkeypatch.setattr(
        device, "run", lambda circuits, **kw: sizes.append(len(circuits)) or run(circuits, **kw)
    )
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    pub = (bell, {"ZZ": 1.0, "XX": 2.0})  # two bases
    result = get_backend(device).estimator.run([pub] * 4, precision=0.1).result()
    assert sizes == [3, 3, 2]
    assert [float(part.data.evs) for part in result] == [3.0] * 4


def test_jobs_of_one_run_draw_by_themselves() -> None:
    """Equal circuits in several jobs scatter as those of one job do, and a seed repeats all of them."""

    class OneByOne(GenericBackendV2):
        @property
        def max_circuits(self) -> int:
            return 1

    device = OneByOne(num_qubits=2, seed=1, noise_info=False)
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    runs = [
        get_backend(device).run([(circuit, "ZI"), (circuit, "ZI"), (circuit, "ZI")], shots=200, seed=4)
        for _ in range(2)
    ]
    values = [[float(part.data.evs) for part in run] for run in runs]
    assert values[0] == values[1]
    assert len(set(values[0])) == 3
