"""estimate and sample: shapes, registers, and what wrong input is told."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Estimate, Samples, estimate, sample
from bondwise.runs import UsageError

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
        (SparsePauliOp("Z"), [0, 0], "1 qubits and the circuit 2"),
        ([Z0, SparsePauliOp("ZZZ")], [0, 0], "3 qubits and the circuit 2"),
        (SparsePauliOp("ZZ", 1j), [0, 0], "not Hermitian"),
        ("ZZ", [0, 0], "SparsePauliOp"),
        ([], [0, 0], "empty"),
        (SparsePauliOp(["ZZ", "ZZ"], [1, -1]), [0, 0], "zero"),
    ],
)
def test_wrong_input(observables, angles, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        estimate(TWO, observables, angles)
    assert "\n" not in str(caught.value)


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
