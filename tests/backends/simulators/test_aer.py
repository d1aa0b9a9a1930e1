"""Aer's simulators: values against Qiskit's own, noise against its definition."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import RXGate, UnitaryGate, XGate, efficient_su2
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import (
    DensityMatrix,
    Kraus,
    Operator,
    Pauli,
    SparsePauliOp,
    Statevector,
    random_unitary,
)
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, pauli_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from bondwise.backends import estimate, get_backend, sample
from bondwise.backends.simulators.aer import methods
from bondwise.backends.simulators.aer_runs import MAX_QUBITS
from bondwise.runs import UsageError

FLIP = pauli_error([("X", 0.3), ("I", 0.7)])
ANSATZ = efficient_su2(4, reps=2)
ANGLES = np.random.default_rng(0).normal(size=(3, ANSATZ.num_parameters))
CHAIN = SparsePauliOp.from_sparse_list([(p * 2, [i, i + 1], 0.25) for i in range(3) for p in "XYZ"], 4)


@pytest.mark.parametrize("name", ["statevector", "aer", "aer:matrix_product_state", "aer:density_matrix"])
def test_exact_values_are_those_of_qiskit(name: str) -> None:
    expected = StatevectorEstimator().run([(ANSATZ, CHAIN, ANGLES)]).result()[0].data.evs
    found = estimate(ANSATZ, CHAIN, ANGLES, backend=name)
    np.testing.assert_allclose(found.value, expected, atol=1e-10)
    assert found.value.dtype == np.float64
    assert found.shots == 0
    assert found.job_ids == ()


@pytest.mark.parametrize("name", ["aer", "aer:matrix_product_state", "aer:depolarizing=0.05"])
def test_sampled_values_lie_within_their_errors(name: str) -> None:
    expected = estimate(ANSATZ, CHAIN, ANGLES, backend=name).value
    found = estimate(ANSATZ, CHAIN, ANGLES, backend=name, shots=4000, seed=5)
    assert found.shots == 3 * 3 * 4000
    assert (np.abs(found.value - expected) < 4 * found.std).all()
    assert (found.std > 0).all()


def test_the_clifford_method_counts_without_amplitudes() -> None:
    circuit = QuantumCircuit(40)
    circuit.h(0)
    for qubit in range(39):
        circuit.cx(qubit, qubit + 1)
    assert estimate(circuit, SparsePauliOp("Z" * 40), backend="aer:stabilizer").value == 1
    assert estimate(circuit, SparsePauliOp("Z" * 39 + "I"), backend="aer:stabilizer").value == 0


def test_wide_shallow_circuits_run_as_matrix_product_states() -> None:
    circuit = QuantumCircuit(40)
    for qubit in range(0, 40, 2):
        circuit.ry(0.3, qubit)
        circuit.cx(qubit, qubit + 1)
    single = SparsePauliOp.from_sparse_list([("Z", [0], 1)], 40)
    found = estimate(circuit, [SparsePauliOp("Z" * 40), single], backend="aer:matrix_product_state")
    np.testing.assert_allclose(found.value, [1.0, np.cos(0.3)])


@pytest.mark.parametrize("name", ["aer", "aer:depolarizing=0.1", "aer:matrix_product_state,depolarizing=0.1"])
def test_gates_without_a_simulator_kernel_are_written_out(name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [0, 1])
    inner = QuantumCircuit(2, name="mine")
    inner.ch(0, 1)
    circuit.append(inner.to_gate(), [1, 0])
    place = get_backend(name)
    assert Operator(place.transpile(circuit)).equiv(Operator(circuit))
    if place.exact and not place.noisy:
        expected = Statevector(circuit).expectation_value(SparsePauliOp("XZ")).real
        assert estimate(circuit, SparsePauliOp("XZ"), backend=place).value == pytest.approx(expected)


def test_depolarizing_noise_is_the_channel_it_says() -> None:
    strength = 0.2
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.cz(0, 1)
    circuit.rx(1.1, 1)
    circuit.cx(1, 0)
    state = DensityMatrix.from_label("00")
    for instruction in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        state = state.evolve(instruction.operation, where)
        if len(where) == 2:
            state = DensityMatrix((1 - strength) * state.data + strength * np.eye(4) / 4)
    for label in ("XX", "ZI", "YZ", "ZZ"):
        expected = state.expectation_value(Pauli(label)).real
        found = estimate(circuit, SparsePauliOp(label), backend=f"aer:depolarizing={strength}")
        assert found.value == pytest.approx(expected, abs=1e-10)
        sampled = estimate(
            circuit,
            SparsePauliOp(label),
            backend=f"aer:matrix_product_state,depolarizing={strength}",
            shots=3000,
            seed=2,
        )
        assert abs(sampled.value - expected) < 4 * sampled.std


def test_a_noise_model_with_readout_errors_is_exact() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["sx"])
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    place = get_backend("aer", noise=noise)
    assert place.exact
    assert place.noisy
    flat = QuantumCircuit(1)
    assert estimate(flat, SparsePauliOp("Z"), backend=place).value == pytest.approx(0.8)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    operators = [SparsePauliOp(label) for label in ("ZZ", "XX", "ZI")]
    exact = estimate(circuit, operators, backend=place)
    # trajectories of the same model, readout included
    noisy = AerSimulator(method="statevector", noise_model=noise)
    sampled = estimate(circuit, operators, backend=noisy, shots=4000, seed=3)
    assert (np.abs(exact.value - sampled.value) < 4 * sampled.std).all()
    counts = sample(circuit, backend=place, shots=20000, seed=3).counts["meas"]
    zz = sum(often * (-1) ** outcome.count("1") for outcome, often in counts.items()) / 20000
    assert abs(zz - exact.value[0]) < 4 / np.sqrt(20000)


def test_a_devices_noise_model_runs() -> None:
    device = FakeManilaV2()
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    place = get_backend("aer", noise=NoiseModel.from_backend(device))
    isa = place.transpile(circuit)
    assert set(isa.count_ops()) <= {"rz", "sx", "x", "cx"}
    first, second = (device.target["measure"][(qubit,)].error for qubit in (0, 1))
    found = estimate(circuit, SparsePauliOp("ZZ"), backend=place).value
    assert 0.97 < found / ((1 - 2 * first) * (1 - 2 * second)) < 1


def test_correlated_readout_errors_are_sampled_not_guessed() -> None:
    noise = NoiseModel()
    flip = np.eye(4)[::-1]
    noise.add_readout_error(ReadoutError(0.9 * np.eye(4) + 0.1 * flip), [0, 1])
    assert not get_backend("aer", noise=noise).exact


def test_errors_of_the_measurement_itself_are_sampled() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(FLIP, "measure")
    place = get_backend("aer", noise=noise)
    assert not place.exact
    found = estimate(QuantumCircuit(1), SparsePauliOp("Z"), backend=place, seed=1)
    assert abs(found.value - 0.4) < 4 * found.std


@pytest.mark.parametrize("method", ["aer", "aer:statevector"])
def test_errors_by_label_strike_once(method: str) -> None:
    noise = NoiseModel(basis_gates=["rz", "sx", "cx"])
    noise.add_all_qubit_quantum_error(FLIP, "mine")
    place = get_backend(method, noise=noise)
    for gate, sign in ((UnitaryGate(np.eye(2), label="mine"), 1), (XGate(label="mine"), -1)):
        circuit = QuantumCircuit(2)
        circuit.append(gate, [1])
        circuit.h(0)
        circuit.h(0)
        isa = place.transpile(circuit)
        assert [i.operation.label for i in isa.data].count("mine") == 1
        found = estimate(circuit, SparsePauliOp("ZZ"), backend=place, seed=1)
        assert abs(found.value - 0.4 * sign) < 4 * found.std + 1e-10
        assert place.exact == (found.shots == 0)


def test_circuits_that_differ_in_a_label_differ() -> None:
    noise = NoiseModel(basis_gates=["x"])
    noise.add_all_qubit_quantum_error(FLIP, "mine")
    place = get_backend("aer", noise=noise)
    for label, value in (("mine", -0.4), (None, -1), ("mine", -0.4)):
        circuit = QuantumCircuit(1)
        circuit.append(XGate(label=label), [0])
        assert estimate(circuit, SparsePauliOp("Z"), backend=place).value == pytest.approx(value)


def test_errors_of_unitaries_spare_the_change_of_basis() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(pauli_error([("Z", 0.3), ("I", 0.7)]), "unitary")
    circuit = QuantumCircuit(1)
    circuit.append(UnitaryGate(np.array([[1, 1], [1, -1]]) / np.sqrt(2)), [0])
    for method in ("aer", "aer:statevector"):
        found = estimate(circuit, SparsePauliOp("X"), backend=get_backend(method, noise=noise), seed=1)
        assert abs(found.value - 0.4) < 4 * found.std + 1e-10


def test_labels_survive_in_branches_and_beside_parameters() -> None:
    noise = NoiseModel(basis_gates=["rz", "sx", "cx"])
    noise.add_all_qubit_quantum_error(FLIP, "mine")
    angle = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.append(RXGate(angle, label="mine"), [0])
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.append(XGate(label="mine"), [0])
    place = get_backend("aer", noise=noise)
    assert list(place.transpile(circuit).parameters) == [angle]
    # after the branch: X of 0.3 flips 1 -> reads 0 and stays, reads 1 and goes to 0 up to another flip
    found = estimate(circuit, SparsePauliOp("Z"), [np.pi], backend=place, seed=1)
    assert abs(found.value - (0.3 + 0.7 * 0.4)) < 4 * found.std


def test_circuits_run_as_written_on_a_noisy_simulator() -> None:
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    isa = get_backend("aer:depolarizing=0.1").transpile(circuit)
    assert isa.count_ops()["cx"] == 2
    assert estimate(circuit, SparsePauliOp("ZZ"), backend="aer:depolarizing=0.1").value == pytest.approx(0.81)


def test_large_noisy_circuits_are_sampled() -> None:
    size = MAX_QUBITS + 1
    circuit = QuantumCircuit(size)
    circuit.x(range(size))
    circuit.cx(0, 1)
    found = estimate(circuit, SparsePauliOp("Z" * size), backend="aer:depolarizing=0.5", seed=1)
    assert found.shots == 4096
    # x on all, cx clears qubit 1; the channel leaves 1 - p of the parity
    assert abs(found.value - 0.5 * (-1) ** (size - 1)) < 4 * found.std


def test_trajectories_of_bases_and_seeds_are_independent() -> None:
    # one coin per shot; Aer alone gives circuit 1 the coins of circuit 0, 2113 shots later
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(pauli_error([("X", 0.5), ("I", 0.5)]), ["x"])
    place = get_backend("aer:statevector", noise=noise)
    angle = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.rz(angle, 0)
    circuit.measure_all()
    shots = 6000
    result = place.sample([(circuit, [[0.0], [0.0]]), (circuit, [0.0])], shots=shots, seed=1)
    other = place.sample([(circuit, [0.0])], shots=shots, seed=2)
    streams = [*result[0].data.meas.to_bool_array()[..., 0], result[1].data.meas.to_bool_array()[..., 0]]
    streams.append(other[0].data.meas.to_bool_array()[..., 0])
    signs = [1.0 - 2.0 * stream for stream in streams]
    for first in range(len(signs)):
        for second in range(first):
            spectrum = np.fft.rfft(signs[first], 2 * shots) * np.fft.rfft(signs[second], 2 * shots).conj()
            overlaps = np.abs(np.fft.irfft(spectrum))  # at every shift of one stream against the other
            assert overlaps.max() < 8 * np.sqrt(shots)


@pytest.mark.parametrize(
    "name", ["statevector", "aer:depolarizing=0.1", "aer:matrix_product_state,depolarizing=0.1"]
)
def test_same_seed_same_numbers(name: str) -> None:
    first, second, other = (
        estimate(ANSATZ, CHAIN, ANGLES[0], backend=name, shots=50, seed=seed).value for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_a_circuit_without_a_final_state_has_no_exact_value() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.s(0)  # the measurement is no longer at the end
    with pytest.raises(UsageError, match="shots="):
        estimate(circuit, SparsePauliOp("Z"))
    assert abs(estimate(circuit, SparsePauliOp("Z"), shots=1000, seed=0).value) < 4 / np.sqrt(1000)


@pytest.mark.parametrize("what", ["initialize", "kraus", "quantum_channel"])
def test_channels_have_no_single_final_state(what: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    if what == "initialize":
        circuit.initialize([1, 0], 0)
    else:
        circuit.append((Kraus(FLIP) if what == "kraus" else FLIP).to_instruction(), [0])
    for backend in ("statevector", "aer:matrix_product_state"):
        with pytest.raises(UsageError, match="shots="):
            estimate(circuit, SparsePauliOp("ZI"), backend=backend)
    found = estimate(circuit, [SparsePauliOp("ZI"), SparsePauliOp("ZZ")], backend="aer:density_matrix")
    np.testing.assert_allclose(found.value, [0, 0 if what == "initialize" else 0.4], atol=1e-10)


def test_states_given_at_the_start_are_exact() -> None:
    circuit = QuantumCircuit(2)
    circuit.initialize([0, 1], 0)
    circuit.cx(0, 1)
    assert estimate(circuit, SparsePauliOp("ZI")).value == pytest.approx(-1)


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from bondwise.backends.simulators.aer_runs import simulator

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert simulator("statevector").options.max_parallel_threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert simulator("statevector").options.max_parallel_threads == 0


def test_every_offered_method_runs() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    for method in methods():
        assert estimate(circuit, SparsePauliOp("IZ"), backend=f"aer:{method}").value == -1
        assert sample(circuit, backend=f"aer:{method}", shots=3, seed=0).counts["meas"] == {"01": 3}


@pytest.mark.parametrize("name", ["aer", "aer:density_matrix", "aer:stabilizer"])
def test_what_no_gate_can_write_is_named_in_one_line(name: str) -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mine", 1, []), [0])
    with pytest.raises(UsageError, match="mine") as caught:
        estimate(circuit, SparsePauliOp("Z"), backend=name)
    assert ("use 'statevector'" in str(caught.value)) == (name == "aer:stabilizer")
    for noisy in ("aer:depolarizing=0.1", "fake:manila"):
        with pytest.raises(UsageError, match="mine") as caught:
            estimate(circuit, SparsePauliOp("Z"), backend=noisy)
        assert "\n" not in str(caught.value)


def test_sampled_noise_announces_its_time() -> None:
    place = get_backend("aer:matrix_product_state,depolarizing=0.01")
    once, twice = (place.estimate_seconds(ANSATZ, CHAIN, shots=shots) for shots in (500, 1000))
    assert 0 < once == pytest.approx(twice / 2)
