"""estimate and sample: shapes, registers, and errors for wrong input."""

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter, ParameterVector
from qiskit.primitives import BackendSamplerV2, DataBin, PubResult, StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import EstimatorV2, SamplerV2
from qiskit_ibm_runtime.fake_provider import FakeNairobiV2

from bondwise.backends import Estimate, Samples, estimate, expectation, get_backend, sample
from bondwise.runs import RunError, UsageError

theta = ParameterVector("theta", 2)
TWO = QuantumCircuit(2)
TWO.ry(theta[0], 0)
TWO.ry(theta[1], 1)
Z0, Z1 = SparsePauliOp("IZ"), SparsePauliOp("ZI")


@pytest.mark.parametrize("backend", ["statevector", "fake:manila"])
@pytest.mark.parametrize("shots", [None, 50])
def test_shapes(backend: str, shots: int | None) -> None:
    def shape(observables, angles):
        result = estimate(TWO, observables, angles, backend=backend, shots=shots, seed=1)
        assert np.shape(result.value) == np.shape(result.std)
        return np.shape(result.value)

    assert shape(Z0, np.zeros(2)) == ()
    assert isinstance(estimate(TWO, Z0, np.zeros(2), backend=backend).value, float)
    assert shape(Z0, np.zeros((3, 2))) == (3,)
    assert shape([Z0], np.zeros(2)) == (1,)
    assert shape([Z0, Z1, Z0], np.zeros((4, 5, 2))) == (4, 5, 3)


def test_values_belong_to_their_parameters_and_observables() -> None:
    angles = np.random.default_rng(0).uniform(0, 3, (4, 2))
    found = estimate(TWO, [Z0, Z1], angles)
    np.testing.assert_allclose(found.value, np.cos(angles), atol=1e-12)


def test_parameters_follow_qiskits_order() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("b"), 0)
    circuit.ry(Parameter("a"), 1)
    found = estimate(circuit, [Z0, Z1], [0.3, 0.9])  # a, b
    np.testing.assert_allclose(found.value, np.cos([0.9, 0.3]), atol=1e-12)


def test_a_parameter_that_compiling_removes_still_counts() -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rz(b, 0)
    circuit.ry(a, 0)
    circuit.rz(-b, 1)
    circuit.rz(b, 1)
    plain = estimate(circuit, Z0, [[0.4, 1.0], [0.4, 2.0]], backend="fake:manila").value
    assert plain[0] == pytest.approx(plain[1], abs=1e-9)
    assert plain[0] == pytest.approx(np.cos(0.4), abs=0.15)


@pytest.mark.parametrize(
    ("observables", "angles", "message"),
    [
        (Z0, None, "2 parameters"),
        (Z0, [0.1], "2 parameters"),
        (Z0, 0.1, "2 parameters"),
        (Z0, [0.1, 0.2, 0.3], r"shape \(3,\)"),
        (Z0, [[0.1, 0.2], [0.3, float("nan")]], r"parameters\[1, 1\] is nan"),
        (Z0, [float("inf"), 0], r"parameters\[0\] is inf"),
        (Z0, ["x", "y"], "not numbers"),
        (SparsePauliOp("Z"), [0, 0], "1 qubit and the circuit has 2"),
        ([Z0, SparsePauliOp("ZZZ")], [0, 0], "3 qubits and the circuit has 2"),
        (SparsePauliOp("ZZ", 1j), [0, 0], "not Hermitian"),
        (3.0, [0, 0], "SparsePauliOp"),
        ("ZQ", [0, 0], "neither a Pauli word nor a number"),
        ([], [0, 0], "empty"),
        (SparsePauliOp(["ZZ", "ZZ"], [1, -1]), [0, 0], "zero"),
    ],
)
def test_wrong_input(observables, angles, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        estimate(TWO, observables, angles)
    assert "\n" not in str(caught.value)


def test_observables_and_parameters_of_every_kind() -> None:
    angles = np.array([0.4, 0.9])
    for z0 in (Z0, Pauli("IZ"), "IZ"):
        assert estimate(TWO, z0, angles).value == pytest.approx(np.cos(0.4))
        assert estimate(TWO, [z0, "ZI"], angles).value == pytest.approx(np.cos(angles))
    tensor = torch.tensor(angles, requires_grad=True)
    assert estimate(TWO, "IZ", tensor).value == pytest.approx(np.cos(0.4))
    assert estimate(TWO, "IZ", angles[::-1]).value == pytest.approx(np.cos(0.9))
    assert sample(TWO, tensor, shots=3).shots == 3


@pytest.mark.parametrize(
    "backend", ["statevector", "aer:depolarizing=0.1", "fake:manila", StatevectorEstimator()]
)
def test_empty_batches_of_values(backend) -> None:
    for shots in (None, 10):
        assert estimate(TWO, Z0, np.zeros((0, 2)), backend=backend, shots=shots).value.shape == (0,)
        found = estimate(TWO, [Z0, Z1, Z1], np.zeros((4, 0, 2)), backend=backend, shots=shots)
        assert found.value.shape == found.std.shape == (4, 0, 3)
        assert found.shots == 0


@pytest.mark.parametrize("backend", ["statevector", "aer:depolarizing=0.1", "fake:manila"])
def test_empty_batches_of_samples(backend: str) -> None:
    found = sample(TWO, np.zeros((3, 0, 2)), shots=5, backend=backend)
    assert found.bits["meas"].shape == (3, 0, 5, 2)
    assert (found.shots, found.counts) == (0, {"meas": [[], [], []]})
    place = get_backend(backend)
    assert "Samples" in str(found)
    isa = place.transpile(TWO.measure_all(inplace=False))
    pub = place.sample([(isa, np.zeros((0, 2)))], shots=5)[0]
    assert pub.data.meas.array.shape == (0, 5, 1)
    isa = place.transpile(TWO)
    observable = SparsePauliOp("ZZ").apply_layout(isa.layout) if isa.layout else SparsePauliOp("ZZ")
    assert place.run([(isa, observable, np.zeros((0, 2)))])[0].data.evs.shape == (0,)


@pytest.mark.parametrize("wrong", [np.nan, -np.inf, 0.5 + 1e-3j])
def test_values_of_an_estimator_made_elsewhere_are_real_numbers(wrong) -> None:
    class Strange(StatevectorEstimator):
        def _run_pub(self, pub):
            part = super()._run_pub(pub)
            evs = np.full(part.data.shape, wrong)
            return PubResult(DataBin(evs=evs, stds=part.data.stds, shape=evs.shape), part.metadata)

    for run in (
        lambda: estimate(TWO, [Z0, Z1], [0.1, 0.2], backend=Strange()),
        lambda: expectation(TWO, Z0, [[0.1, 0.2]], Strange()),
    ):
        with pytest.raises(
            RunError, match="Strange returned the expectation value .* not a finite real"
        ) as caught:
            run()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["statevector", "aer:depolarizing=0.1", "fake:manila"])
def test_angles_that_are_no_numbers(backend: str) -> None:
    x = Parameter("x")
    for angle, value in ((1 / x, 0.0), (x.log(), -1.0)):
        circuit = QuantumCircuit(1)
        circuit.ry(angle, 0)
        with pytest.raises(UsageError, match="not a finite real number"):
            estimate(circuit, "Z", [value], backend=backend)
        with pytest.raises(UsageError, match="not a finite real number"):
            sample(circuit, [value], backend=backend)


def test_shots_may_be_numpys() -> None:
    assert estimate(TWO, Z0, [0.1, 0.2], shots=np.int64(100), seed=1).shots == 100
    assert sample(TWO, [0.1, 0.2], shots=np.int32(7), seed=1).shots == 7


@pytest.mark.parametrize("backend", ["statevector", "fake:manila"])
def test_one_shot_has_no_standard_error(backend: str, tmp_path) -> None:
    found = estimate(TWO, [Z0, SparsePauliOp("II", 0.5)], [0.4, 0.9], shots=1, backend=backend, seed=1)
    assert abs(found.value[0]) == 1
    np.testing.assert_array_equal(found.std, [np.nan, 0])
    single = estimate(TWO, Z0, [0.4, 0.9], shots=1, backend=backend, seed=1)
    assert "standard error unknown" in str(single)
    single.save(tmp_path / "one")
    assert np.isnan(Estimate.load(tmp_path / "one").std)


NAIROBI = FakeNairobiV2()
MADE_ELSEWHERE = {
    "runtime sampler": lambda: SamplerV2(mode=NAIROBI),
    "runtime estimator": lambda: EstimatorV2(mode=NAIROBI),
    "runtime sampler on Aer": lambda: SamplerV2(mode=AerSimulator()),
    "sampler on Aer": lambda: BackendSamplerV2(backend=AerSimulator()),
    "generic device": lambda: GenericBackendV2(3, seed=1),
    "exact sampler": lambda: StatevectorSampler(seed=1),
}


@pytest.mark.filterwarnings("ignore:The (Sampler|Estimator)V2 class is deprecated:DeprecationWarning")
@pytest.mark.parametrize("which", MADE_ELSEWHERE)
def test_primitives_made_elsewhere(which: str) -> None:
    circuit = TWO.copy()
    circuit.cx(0, 1)
    observables = [SparsePauliOp(label) for label in ("ZZ", "IZ", "XX")]
    found = estimate(circuit, observables, [0.4, 0.9], backend=MADE_ELSEWHERE[which](), shots=4000)
    # after cx: ZZ has the value of Z1 before, Z0 its own, XX that of X0
    expected = [np.cos(0.9), np.cos(0.4), np.sin(0.4)]
    np.testing.assert_allclose(found.value, expected, atol=0.2 if "Aer" not in which else 0.1)


def test_parameters_for_a_circuit_without_any() -> None:
    with pytest.raises(UsageError, match="0 parameters"):
        estimate(QuantumCircuit(2), Z0, [0.1])
    assert estimate(QuantumCircuit(2), Z0).value == 1
    np.testing.assert_array_equal(estimate(QuantumCircuit(2), Z0, np.zeros((3, 0))).value, np.ones(3))


def test_an_estimate_prints_and_comes_back_from_disk(tmp_path) -> None:
    found = estimate(TWO, [Z0, Z1], [0.1, 0.2], shots=100, seed=3)
    assert "seed 3" in str(found)
    found.save(tmp_path / "estimate")
    again = Estimate.load(tmp_path / "estimate")
    np.testing.assert_array_equal(again.value, found.value)
    assert (again.shots, again.seed, again.job_ids) == (found.shots, 3, ())


def test_samples_without_measurements_read_all_qubits() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(1)
    found = sample(circuit, shots=20, seed=0)
    assert found.counts == {"meas": {"010": 20}}
    assert found.bits["meas"].shape == (20, 3)
    np.testing.assert_array_equal(found.bits["meas"][0], [0, 1, 0])
    assert found.shots == 20
    assert not circuit.clbits


@pytest.mark.parametrize("backend", ["statevector", "aer:depolarizing=0.01", "fake:manila"])
def test_measurements_in_the_middle_steer_what_follows(backend: str) -> None:
    early, late = ClassicalRegister(1, "early"), ClassicalRegister(2, "late")
    circuit = QuantumCircuit(QuantumRegister(2), early, late)
    circuit.h(0)
    circuit.measure(0, early[0])
    with circuit.if_test((early[0], 1)):
        circuit.x(1)
    circuit.measure([0, 1], late)
    found = sample(circuit, backend=backend, shots=400, seed=2)
    assert set(found.bits) == {"early", "late"}
    first, last = found.bits["early"][:, 0], found.bits["late"]
    assert 120 < first.sum() < 280
    for qubit in range(2):  # shot by shot, up to the device's errors
        assert (first == last[:, qubit]).mean() > (0.85 if backend == "fake:manila" else 0.99)


@pytest.mark.parametrize("backend", ["statevector", "fake:manila"])
def test_batches_of_samples(backend: str) -> None:
    found = sample(TWO, [[[0, 0], [np.pi, 0]]], shots=50, backend=backend, seed=1)
    assert found.bits["meas"].shape == (1, 2, 50, 2)
    assert found.shots == 100
    assert found.counts["meas"][0][1].get("01", 0) > 40


def test_a_reset_mid_circuit_forgets() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.reset(0)
    circuit.measure_all()
    assert sample(circuit, shots=50, seed=1).counts == {"meas": {"0": 50}}


def test_samples_print_and_come_back_from_disk(tmp_path) -> None:
    found = sample(TWO, [0, np.pi], shots=30, seed=4)
    assert "10 in 100.0%" in str(found)
    found.save(tmp_path / "samples")
    again = Samples.load(tmp_path / "samples")
    np.testing.assert_array_equal(again.bits["meas"], found.bits["meas"])
    assert again.counts == found.counts


def test_sampling_the_same_seed_twice() -> None:
    first, second, other = (
        sample(TWO, [1.0, 2.0], shots=40, seed=seed, backend="fake:manila").value["meas"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_sampling_with_wrong_parameters() -> None:
    with pytest.raises(UsageError, match="2 parameters"):
        sample(TWO, [0.1])


@pytest.mark.parametrize("name", ["statevector", "aer", "aer:depolarizing=0.01", "fake:manila"])
def test_final_measurements_do_not_count(name):
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bare = estimate(bell, SparsePauliOp("XX"), backend=name).value
    bell.measure_all()
    assert estimate(bell, SparsePauliOp("XX"), backend=name).value == pytest.approx(bare, abs=1e-12)
    assert float(expectation(bell, SparsePauliOp("XX"), backend=name)) == pytest.approx(bare, abs=1e-9)


@pytest.mark.parametrize(("name", "qubits"), [("statevector", 40), ("aer:density_matrix", 20)])
def test_states_that_would_fill_the_machine_are_refused(name, qubits):
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    with pytest.raises(UsageError, match=r"GiB are allowed; use 'aer:matrix_product_state'"):
        estimate(circuit, "Z" * qubits, backend=name)


def test_an_estimator_that_hides_its_error_is_given_it():
    circuit = QuantumCircuit(1)
    circuit.ry(1.0, 0)
    values = [
        estimate(circuit, ["Z", "X"], shots=400, backend=StatevectorEstimator(seed=seed))
        for seed in range(60)
    ]
    np.testing.assert_allclose(values[0].std, 0.05)
    spread = np.std([result.value for result in values], axis=0)
    np.testing.assert_allclose(spread, 0.05, rtol=0.35)
    assert estimate(circuit, "Z", backend=StatevectorEstimator()).std == 0


@pytest.mark.parametrize("loose", [1, 2, 3])
@pytest.mark.parametrize("registers", [0, 1])
@pytest.mark.parametrize(
    "backend", ["statevector", "aer", "aer:depolarizing=0.0001", AerSimulator()], ids=str
)
def test_bits_without_a_register_are_not_read(loose, registers, backend):
    """They come back in the outcomes, beside those of the measured basis."""
    circuit = QuantumCircuit(QuantumRegister(3), [Clbit() for _ in range(loose)])
    circuit.add_register(*[ClassicalRegister(2) for _ in range(registers)])
    circuit.h(0)
    circuit.measure(0, circuit.clbits[0])
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(2)
    circuit.ry(0.7, 1)
    found = estimate(circuit, ["IZI", "IXI", "ZIZ", "ZII"], shots=4000, seed=1, backend=backend)
    assert np.abs(found.value - [np.cos(0.7), np.sin(0.7), 1, 0]).max() < 0.08


def test_bits_that_nothing_uses_change_no_layout():
    values = []
    for registers in ([], [1], [2], [1, 1]):
        circuit = QuantumCircuit(QuantumRegister(2), *map(ClassicalRegister, registers))
        circuit.h(0)
        circuit.cx(0, 1)
        if registers:
            circuit.measure(0, 0)
        values.append(estimate(circuit, "ZZ", backend="fake:torino").value)
    assert len(set(values)) == 1


def test_loose_bits_around_a_register_and_registers_out_of_order():
    loose = [Clbit(), Clbit()]
    register = ClassicalRegister(2, "m")
    circuit = QuantumCircuit(QuantumRegister(4), [loose[0]])
    circuit.add_register(register)
    circuit.add_bits([loose[1]])
    circuit.x([0, 3])
    circuit.measure([0, 1, 2, 3], [register[0], register[1], loose[0], loose[1]])
    turned = QuantumCircuit(QuantumRegister(2), list(register))
    turned.add_register(ClassicalRegister(bits=list(register)[::-1], name="m"))
    turned.x(0)
    turned.measure([0, 1], list(register))
    for backend in ("statevector", "aer", "aer:depolarizing=0", "fake:torino", AerSimulator()):
        found = sample(circuit, shots=50, backend=backend, seed=0)
        most = {name: max(counts, key=counts.get) for name, counts in found.counts.items()}
        assert most == {"m": "01", "c": "10"}, backend
        counts = sample(turned, shots=50, backend=backend, seed=0).counts["m"]
        assert max(counts, key=counts.get) == "10", backend


def test_registers_that_share_bits_are_refused_where_they_are_read():
    circuit = QuantumCircuit(1, 2)
    circuit.add_register(ClassicalRegister(bits=circuit.clbits[:1], name="again"))
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.reset(0)
    assert estimate(circuit, "Z", shots=100).value == 1
    with pytest.raises(UsageError, match="registers c, again share bits, .*; give each register"):
        sample(circuit)


@pytest.mark.parametrize("backend", ["statevector", "aer", "aer:depolarizing=0.0001", "fake:torino"])
def test_qubits_in_branches_that_are_not_measured(backend):
    """Aer fails at them while it leaves out qubits without a measurement."""
    feedback = QuantumCircuit(2, 2)
    feedback.x(0)
    feedback.measure(0, 0)
    with feedback.if_test((0, 1)):
        feedback.x(1)
    feedback.measure(0, 1)
    never = QuantumCircuit(2, 2)
    with never.if_test((1, 1)):
        never.x(0)
    never.measure(1, 0)
    for circuit, word in ((feedback, "11"), (never, "00")):
        counts = sample(circuit, shots=100, seed=1, backend=backend).counts["c"]
        assert max(counts, key=counts.get) == word
    found = estimate(feedback, ["IZ", "ZI"], shots=500, seed=1, backend=backend)
    assert np.abs(found.value + 1).max() < 0.15
