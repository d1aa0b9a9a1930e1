"""Estimates from a device's counts instead of its single shots: the same outcomes, in fewer runs."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from bondwise.backends import Backend, estimate, get_backend
from bondwise.backends.inputs import kept_columns
from bondwise.backends.outcomes import of_last_register
from bondwise.backends.primitives import Sampler


def noise() -> NoiseModel:
    model = NoiseModel(basis_gates=["rz", "sx", "x", "cx", "id"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])
    return model


DEVICES = [
    GenericBackendV2(4, seed=1),
    AerSimulator.from_backend(GenericBackendV2(4, seed=1)),
    AerSimulator(noise_model=noise()),
    AerSimulator(method="statevector", noise_model=noise()),
]


def measured(seed: int, angles: np.ndarray, shots: int) -> SamplerPub:
    circuit = efficient_su2(3, reps=1)
    circuit.add_register(ClassicalRegister(2, "first"), ClassicalRegister(3, "basis"))
    rng = np.random.default_rng(seed)
    circuit.measure(rng.permutation(3), circuit.cregs[1])
    circuit.measure([0, 1], circuit.cregs[0])
    return SamplerPub.coerce((circuit, angles, shots))


def compiled(place: Backend, pub: SamplerPub) -> SamplerPub:
    isa = place.transpile(pub.circuit)  # drops angles that do not matter
    left = kept_columns(pub.circuit, isa, pub.parameter_values.as_array(list(pub.circuit.parameters)))
    return SamplerPub.coerce((isa, left, pub.shots))


def table(outcomes: tuple[np.ndarray, np.ndarray]) -> dict[tuple[int, ...], int]:
    total: dict[tuple[int, ...], int] = {}
    for bits, count in zip(*outcomes, strict=True):
        key = tuple(bits.astype(int).tolist())
        total[key] = total.get(key, 0) + int(count)
    return total


@pytest.mark.parametrize("device", DEVICES, ids=["generic", "aer-device", "aer-noise", "aer-trajectories"])
def test_counts_are_those_of_the_shots(device) -> None:
    """The same draws where each circuit has the same seed; elsewhere the same number, and close."""
    sampler = get_backend(device).sampler
    place = get_backend(device)
    angles = np.random.default_rng(0).uniform(-2, 2, (2, efficient_su2(3, reps=1).num_parameters))
    pubs = [measured(1, angles, 500), measured(2, angles[0], 700), measured(3, angles[1:], 500)]
    pubs = [compiled(place, pub) for pub in pubs]
    found = sampler.counted(pubs, 5)
    wanted = Sampler.counted(sampler, pubs, 5)
    same = isinstance(device, GenericBackendV2) or device.options.method == "statevector"
    assert [len(parts) for parts in found] == [2, 1, 1]
    for pub, parts, others in zip(pubs, found, wanted, strict=True):
        for ours, theirs in zip(map(table, parts), map(table, others), strict=True):
            assert sum(ours.values()) == sum(theirs.values()) == pub.shots
            if same:
                assert ours == theirs
            for word in ours | theirs:
                a, b = ours.get(word, 0), theirs.get(word, 0)
                assert abs(a - b) < 6 * np.sqrt(a + b + 1)


def test_the_register_that_was_added_last() -> None:
    circuit = QuantumCircuit(1)
    for size in (3, 70, 5):
        circuit.add_register(ClassicalRegister(size))
    rng = np.random.default_rng(0)
    numbers = [int(word) for word in rng.integers(0, 32, 6)]
    rest = [int.from_bytes(rng.bytes(9)) % 2**73 for _ in numbers]
    counts = {
        hex(number << 73 | low): count
        for count, (number, low) in enumerate(zip(numbers, rest, strict=True), 1)
    }
    bits, often = of_last_register(circuit, counts)
    assert (bits @ (1 << np.arange(5))).tolist() == numbers
    assert often.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("device", DEVICES[:3], ids=["generic", "aer-device", "aer-noise"])
def test_sets_that_share_a_run_are_independent(device) -> None:
    circuit = efficient_su2(2, reps=1)
    angles = np.tile(np.random.default_rng(1).uniform(-2, 2, circuit.num_parameters), (40, 1))
    found = estimate(circuit, ["ZZ", "XX"], angles, shots=3000, seed=2, backend=device)
    assert len(np.unique(found.value[:, 0])) > 20
    # the scatter of 40 values is known to 1/sqrt(80)
    np.testing.assert_allclose(found.value.std(axis=0, ddof=1), found.std.mean(axis=0), rtol=4 / np.sqrt(80))
    correlation = np.corrcoef(found.value.T)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(40)


def test_noisy_values_are_those_of_the_density_matrix() -> None:
    circuit = efficient_su2(3, reps=1)
    angles = np.random.default_rng(4).uniform(-2, 2, (3, circuit.num_parameters))
    observables = ["ZZI", "XXX", "IYZ"]
    exact = estimate(circuit, observables, angles, backend=get_backend("aer", noise=noise())).value
    found = estimate(
        circuit, observables, angles, shots=20_000, seed=1, backend=AerSimulator(noise_model=noise())
    )
    assert np.abs((found.value - exact) / found.std).max() < 4.5


def test_circuits_drawn_from_one_density_matrix_share_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    device = DEVICES[1]
    runs, run = [], AerSimulator.run
    monkeypatch.setattr(AerSimulator, "run", lambda self, c, **kw: runs.append(c) or run(self, c, **kw))
    circuit = efficient_su2(2, reps=1)
    estimate(circuit, ["ZZ", "XX"], np.zeros((3, circuit.num_parameters)), shots=100, backend=device)
    assert list(map(len, runs)) == [6]
    early = circuit.copy()
    early.add_register(ClassicalRegister(1))
    early.measure(0, 0)
    early.x(1)
    early.measure(1, 0)
    early.h(0)
    estimate(early, ["ZZ", "XX"], np.zeros((3, circuit.num_parameters)), shots=100, backend=device)
    assert list(map(len, runs)) == [6, 1, 1, 1, 1, 1, 1]


def test_a_device_simulator_compiles_each_circuit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = AerSimulator.from_backend(GenericBackendV2(4, seed=1))
    compiled, compile_ = [], Backend._compiled
    monkeypatch.setattr(Backend, "_compiled", lambda self, *a: compiled.append(1) or compile_(self, *a))
    circuit = efficient_su2(3, reps=1)
    circuit.measure_all()
    angles = np.zeros(circuit.num_parameters)
    for _ in range(3):  # the simulator's options may change, so that its backend is made anew
        estimate(circuit, "ZZZ", angles, shots=10, backend=device)
    once = len(compiled)
    device.set_options(noise_model=noise())
    estimate(circuit, "ZZZ", angles, shots=10, backend=device)
    assert len(compiled) == once
    estimate(circuit, "ZZZ", angles, shots=10, backend=AerSimulator.from_backend(GenericBackendV2(4, seed=2)))
    assert len(compiled) == 2 * once
