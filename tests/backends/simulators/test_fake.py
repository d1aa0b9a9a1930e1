"""The reduced device against Aer's model of the whole device, gate by gate the same circuit in both."""

import copy
import warnings
from functools import reduce

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import XGate
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import thermal_relaxation_error
from qiskit_ibm_runtime.fake_provider import FakeFractionalBackend, FakeNairobiV2, FakeTorino

from bondwise.backends import estimate, get_backend, sample
from bondwise.backends.simulators.aer_runs import MAX_QUBITS
from bondwise.backends.simulators.fake import EmulatedDevice, fake_devices
from bondwise.backends.simulators.reduced_device import ReducedDevice, active_qubits
from bondwise.runs import UsageError

LETTERS = ["XYZ", "ZZX", "YYY", "ZIZ", "IXI"]


class Whole:
    """A circuit on the model of the whole device: scheduled by Qiskit, basis changes in native gates."""

    def __init__(self, device: BackendV2, isa: QuantumCircuit, qubits: tuple[int, ...]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.simulator = AerSimulator.from_backend(device)
        self.device, self.qubits = device, qubits
        self.isa = isa.copy_empty_like()
        pinned = list(range(isa.num_qubits))
        planned = transpile(
            isa, device, optimization_level=0, initial_layout=pinned, scheduling_method="alap"
        )
        # delays on idle qubits change nothing and would keep all of them in the simulation
        for instruction in planned.data:
            where = [planned.find_bit(qubit).index for qubit in instruction.qubits]
            if set(where) <= set(qubits):
                self.isa.append(instruction.operation, where)
        self.readout = {
            error["gate_qubits"][0][0]: np.array(error["probabilities"]).T
            for error in self.simulator.options.noise_model.to_dict()["errors"]
            if error["type"] == "roerror"
        }

    def density_matrix(self) -> np.ndarray:
        circuit = self.isa.copy()
        circuit.save_density_matrix(list(self.qubits))
        return np.asarray(self.simulator.run(circuit).result().data(0)["density_matrix"])

    def rotated(self, letters: str) -> QuantumCircuit:
        change = QuantumCircuit(self.isa.num_qubits)
        for qubit, letter in zip(self.qubits, reversed(letters), strict=True):
            if letter == "Y":
                change.sdg(qubit)
            if letter in "XY":
                change.h(qubit)
        pinned = list(range(self.isa.num_qubits))
        change = transpile(change, self.device, optimization_level=0, initial_layout=pinned)
        return self.isa.compose(change)

    def expectation(self, letters: str) -> float:
        circuit = self.rotated(letters)
        circuit.save_probabilities(list(self.qubits))
        outcomes = np.asarray(self.simulator.run(circuit).result().data(0)["probabilities"])
        read = reduce(np.kron, [self.readout[qubit] for qubit in reversed(self.qubits)])
        signs = reduce(np.kron, [[1, 1] if letter == "I" else [1, -1] for letter in letters])
        return float(signs @ read @ outcomes)

    def counts(self, letters: str, shots: int) -> dict[str, int]:
        circuit = self.rotated(letters)
        register = ClassicalRegister(len(self.qubits), "read")
        circuit.add_register(register)
        circuit.measure(list(self.qubits), register)
        return self.simulator.run(circuit, shots=shots, seed_simulator=11).result().get_counts()


def ghz(size: int) -> QuantumCircuit:
    """Gates on one qubit after the other, so that qubits wait."""
    circuit = QuantumCircuit(size)
    circuit.h(0)
    circuit.rz(0.4, 0)
    for qubit in range(size - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.sx(0)
    return circuit


def agree(device: BackendV2, name: str, shots: int) -> None:
    place = get_backend(name)
    isa = place.transpile(ghz(3))
    qubits = active_qubits(isa)
    whole = Whole(device, isa, qubits)
    emulated = EmulatedDevice("whole", device.target).prepare(isa, ())

    # the states are equal: Aer stores thermal relaxation as Kraus operators, good to 1e-8
    circuit = emulated.circuit.copy()
    circuit.save_density_matrix()
    state = np.asarray(emulated.simulator.run(circuit).result().data(0)["density_matrix"])
    distance = np.abs(np.linalg.eigvalsh(state - whole.density_matrix())).sum() / 2
    assert distance < 1e-6
    # and so are the readout tables
    np.testing.assert_allclose(emulated.readout, [whole.readout[qubit] for qubit in qubits], atol=1e-12)

    for letters in LETTERS:
        operator = SparsePauliOp.from_sparse_list(
            [(letters[::-1], [qubits[k] for k in range(3)], 1.0)], isa.num_qubits
        )
        exact = place.run([(isa, operator)])[0].data.evs
        assert exact == pytest.approx(whole.expectation(letters), abs=1e-6)
        measured = place.run([(isa, operator)], shots=shots, seed=3)[0].data
        counts = whole.counts(letters, shots)
        reads = [k for k, letter in enumerate(reversed(letters)) if letter != "I"]
        mean = sum(n * (-1) ** sum(int(b[-1 - k]) for k in reads) for b, n in counts.items()) / shots
        assert abs(measured.evs - mean) < 4 * np.hypot(measured.stds, np.sqrt((1 - mean**2) / shots))


def test_agrees_with_the_whole_device() -> None:
    agree(FakeNairobiV2(), "fake:nairobi", 20000)


@pytest.mark.slow
def test_agrees_with_the_whole_torino() -> None:
    agree(FakeTorino(), "fake:torino", 20000)


def test_idle_time_matters_to_the_comparison() -> None:
    # what the test above would miss if the reduced device forgot relaxation: far more than its tolerance
    device = FakeNairobiV2()
    isa = get_backend("fake:nairobi").transpile(ghz(3))
    qubits = active_qubits(isa)
    whole = Whole(device, isa, qubits)
    scheduled = whole.density_matrix()
    whole.isa = isa
    distance = np.abs(np.linalg.eigvalsh(scheduled - whole.density_matrix())).sum() / 2
    assert distance > 1e-3


# almaden does not report how long a measurement takes, and rochester has no dt either
@pytest.mark.parametrize("device", ["nairobi", "almaden", "rochester"])
def test_sampling_and_estimating_see_the_same_device(device: str) -> None:
    place = get_backend(f"fake:{device}")
    circuit = QuantumCircuit(3)
    circuit.append(XGate(label="a label is no error"), [2])
    circuit.cx(1, 2)
    for _ in range(24):  # qubit 2 relaxes in the meantime
        circuit.barrier()
        circuit.cx(1, 0)
    circuit.barrier()
    circuit.cx(1, 2)
    isa = place.transpile(circuit)
    label = SparsePauliOp("ZII").apply_layout(isa.layout)
    exact = place.run([(isa, label)])[0].data.evs
    measured = isa.copy()
    measured.add_register(ClassicalRegister(1, "read"))
    measured.measure(isa.layout.final_index_layout()[2], 0)
    ones = place.sample([(measured,)], shots=20000, seed=1)[0].data.read.get_counts()["1"] / 20000
    assert abs(1 - 2 * ones - exact) < 4 / np.sqrt(20000)


def test_batches_equal_single_circuits() -> None:
    theta = ParameterVector("theta", 3)
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(theta[qubit], qubit)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    angles = np.random.default_rng(1).normal(size=(4, 3))
    operators = [SparsePauliOp(["ZZI", "IXX"], [1.0, -0.5]), SparsePauliOp("YYI")]
    together = estimate(circuit, operators, angles, backend="fake:nairobi").value
    single = [
        [estimate(circuit.assign_parameters(row), o, backend="fake:nairobi").value for o in operators]
        for row in angles
    ]
    # bound circuits are compiled anew, to other but equivalent gates
    np.testing.assert_allclose(together, single, atol=0.02)
    np.testing.assert_array_equal(
        together[2], estimate(circuit, operators, angles[2], backend="fake:nairobi").value
    )


def test_an_observable_beyond_the_circuit_reads_an_idle_qubit() -> None:
    place = get_backend("fake:nairobi")
    isa = place.transpile(ghz(2))
    idle = next(qubit for qubit in range(7) if qubit not in active_qubits(isa))
    operator = SparsePauliOp.from_sparse_list([("Z", [idle], 1.0)], 7)
    error = place.target["measure"][(idle,)].error
    assert place.run([(isa, operator)])[0].data.evs == pytest.approx(1 - 2 * error)


def test_parametric_two_qubit_gates_keep_their_errors() -> None:
    theta = ParameterVector("theta", 1)
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.rzz(theta[0], 0, 1)
    place = get_backend("fake:fractional")
    isa = place.transpile(circuit)
    assert "rzz" in isa.count_ops()
    bound = isa.assign_parameters([0.3])
    whole = Whole(FakeFractionalBackend(), bound, active_qubits(bound))
    operator = SparsePauliOp("XX").apply_layout(isa.layout)
    found = place.run([(isa, operator, [0.3])])[0].data.evs
    assert found == pytest.approx(whole.expectation("XX"), abs=1e-6)


def test_circuits_must_be_native() -> None:
    circuit = QuantumCircuit(7)
    circuit.h(0)
    with pytest.raises(UsageError, match=r"h on qubits \(0,\) is not a gate of fake:nairobi"):
        get_backend("fake:nairobi").run([(circuit, SparsePauliOp("Z" * 7))])
    circuit = QuantumCircuit(7)
    circuit.cx(0, 6)
    circuit.measure_all()
    with pytest.raises(UsageError, match=r"cx on qubits \(0, 6\)"):
        get_backend("fake:nairobi").sample([(circuit,)])


def test_a_circuit_that_measures_is_sampled() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    found = estimate(circuit, SparsePauliOp("ZI"), backend="fake:nairobi", seed=1)
    assert found.shots == 4096
    assert found.value == pytest.approx(-0.93, abs=0.07)


def test_more_qubits_than_a_density_matrix_holds() -> None:
    size = MAX_QUBITS + 1
    place = get_backend("fake:guadalupe")
    circuit = QuantumCircuit(size)
    circuit.x(range(size))
    operators = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], size) for q in range(size)]
    found = estimate(circuit, operators, backend=place, shots=200, seed=1)
    assert found.shots == 200
    assert (found.value < -0.8).all()
    assert place.estimate_seconds(circuit, operators[0], shots=200) > 0


def test_estimated_seconds_grow_with_the_density_matrix() -> None:
    place = get_backend("fake:guadalupe")
    small, large = (place.estimate_seconds(ghz(size), SparsePauliOp("Z" * size)) for size in (4, 10))
    assert large == pytest.approx(small * 4**6 * 3, rel=1e-9)  # and 9 instead of 3 two-qubit gates
    assert get_backend("statevector").estimate_seconds(ghz(4), SparsePauliOp("ZZZZ")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(fake_devices()))
def test_every_snapshot_runs(name: str) -> None:
    place = get_backend(f"fake:{name}")
    size = min(3, place.num_qubits)
    found = estimate(ghz(size), SparsePauliOp("Z" * size), backend=place)
    assert abs(found.value) <= 1
    assert sum(sample(ghz(size), backend=place, shots=50, seed=1).counts["meas"].values()) == 50


def test_copies_of_a_noise_model_share_its_errors_and_nothing_else():
    """Aer makes such a copy in each run and adds to it."""
    target = FakeNairobiV2().target
    model = ReducedDevice("nairobi", target, (0, 1, 2)).simulator("density_matrix").options.noise_model
    before, copied = model.to_dict(serializable=True), copy.deepcopy(model)
    assert copied == model
    assert copied._local_quantum_errors["sx"][(0,)] is model._local_quantum_errors["sx"][(0,)]
    copied.add_all_qubit_quantum_error(thermal_relaxation_error(1, 1, 0.1), "a delay")
    assert model.to_dict(serializable=True) == before
    assert copy.deepcopy(copied) == copied != model
