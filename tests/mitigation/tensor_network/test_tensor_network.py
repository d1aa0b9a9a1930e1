"""Tensor network error mitigation: the mitigated observable has the noise-free mean in the noisy state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RXXGate
from qiskit.quantum_info import DensityMatrix, Kraus, Pauli, SparsePauliOp, Statevector, SuperOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
)
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from bondwise.backends import estimate, get_backend
from bondwise.backends.simulators.gate_errors import GateErrors
from bondwise.mitigation import (
    TensorNetworkMitigation,
    mitigate_by_tensor_network,
    mitigated_observable,
    twirled_noise,
)
from bondwise.mitigation.tensor_network.random_bases import best_bases
from bondwise.runs import UsageError

PAULIS = [a + b for a in "IXYZ" for b in "IXYZ"]
UNLIMITED = {"max_bond": None, "cutoff": 0}


def random_circuit(qubits, gates, rng, *, neighbors=False):
    """Random gates on one qubit and cx, cz, ecr or rzz between any two, or between neighbors."""
    circuit = QuantumCircuit(qubits)
    for _ in range(gates):
        first = int(rng.integers(qubits - 1))
        pair = [first, first + 1] if neighbors else rng.permutation(qubits)[:2].tolist()
        for qubit in pair:
            circuit.u(*rng.uniform(-np.pi, np.pi, 3), qubit)
        if rng.integers(4):
            getattr(circuit, rng.choice(["cx", "cz", "ecr"]))(*pair[:: rng.choice([-1, 1])])
        else:
            circuit.rzz(rng.normal(), *pair)
    return circuit


def random_pauli_error(strength, rng):
    odds = rng.dirichlet(np.ones(15)) * strength
    return pauli_error([("II", 1 - strength), *zip(PAULIS[1:], odds, strict=True)])


def pauli_noise(qubits, strength, rng):
    """A random Pauli error of its own for each gate and ordered pair."""
    noise = NoiseModel(basis_gates=["u", "cx", "cz", "ecr", "rzz"])
    for gate in ("cx", "cz", "ecr", "rzz"):
        for pair in np.argwhere(~np.eye(qubits, dtype=bool)).tolist():
            noise.add_quantum_error(random_pauli_error(strength, rng), gate, pair)
    return noise


def random_observable(qubits, rng, *, local=False):
    words = ["".join(rng.choice(list("IXYZ"), qubits)) for _ in range(4)]
    if local:
        first = int(rng.integers(qubits - 1))
        words = ["I" * first + word[:2] + "I" * (qubits - first - 2) for word in words]
    return SparsePauliOp(["I" * qubits, *words], rng.normal(size=5)).simplify()


def noisy_state(circuit, noise):
    """The final state by Aer."""
    saved = circuit.copy()
    saved.save_density_matrix()
    run = AerSimulator(method="density_matrix", noise_model=noise).run(saved)
    return DensityMatrix(run.result().data()["density_matrix"])


def ideal(circuit, observable):
    return Statevector(circuit).expectation_value(observable).real


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 4), st.booleans(), st.floats(0.001, 0.2))
def test_the_mean_in_the_noisy_state_is_the_noise_free_one(seed, qubits, local, strength):
    rng = np.random.default_rng(seed)
    circuit, observable = random_circuit(qubits, 5, rng), random_observable(qubits, rng, local=local)
    noise = pauli_noise(qubits, strength, rng)
    found = mitigated_observable(circuit, observable, noise, **UNLIMITED)
    state = noisy_state(circuit, noise)
    mean = state.expectation_value(found.to_operator()).real
    assert mean == pytest.approx(ideal(circuit, observable), abs=1e-8)
    assert found.truncation < 1e-20


@pytest.mark.parametrize("strength", [0.01, 0.3])
@pytest.mark.parametrize("qubits", [3, 6])
def test_depolarizing_chains(qubits, strength):
    rng = np.random.default_rng(qubits)
    circuit = random_circuit(qubits, 6, rng, neighbors=True)
    observable = random_observable(qubits, rng, local=qubits == 6)
    noise = NoiseModel(basis_gates=["u", "cx", "cz", "ecr", "rzz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(strength, 2), ["cx", "cz", "ecr", "rzz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(strength / 10, 1), ["u"])
    found = mitigated_observable(circuit, observable, noise, max_bond=None, cutoff=1e-12)
    state = noisy_state(circuit, noise)
    assert abs(state.expectation_value(observable).real - ideal(circuit, observable)) > 1e-3
    mean = state.expectation_value(found.to_operator()).real
    assert mean == pytest.approx(ideal(circuit, observable), abs=1e-8)


def test_errors_that_are_not_random_paulis_are_inverted_too():
    """Damping is not unital: its inverse adds a constant to the observable."""
    rng = np.random.default_rng(5)
    circuit, observable = random_circuit(3, 4, rng), random_observable(3, rng)
    noise = NoiseModel(basis_gates=["u", "cx", "cz", "ecr", "rzz"])
    noise.add_all_qubit_quantum_error(amplitude_damping_error(0.1), ["u"])
    coherent = QuantumCircuit(2)
    coherent.rxx(0.1, 0, 1)
    damped = SuperOp(amplitude_damping_error(0.05)).expand(SuperOp(np.eye(4)))
    error = Kraus(SuperOp(coherent) @ damped)
    noise.add_all_qubit_quantum_error(QuantumError(error), ["cx", "cz", "ecr", "rzz"])
    found = mitigated_observable(circuit, observable, noise, **UNLIMITED)
    mean = noisy_state(circuit, noise).expectation_value(found.to_operator()).real
    assert mean == pytest.approx(ideal(circuit, observable), abs=1e-8)


def test_without_noise_the_observable_is_unchanged():
    rng = np.random.default_rng(0)
    observable = random_observable(4, rng)
    found = mitigated_observable(random_circuit(4, 6, rng), observable, NoiseModel())
    assert found.bond == 1
    np.testing.assert_allclose(found.to_operator().to_matrix(), observable.to_matrix(), rtol=0, atol=1e-10)


def test_the_error_shrinks_with_the_bond():
    rng = np.random.default_rng(3)
    circuit = random_circuit(6, 12, rng, neighbors=True)
    noise, observable = pauli_noise(6, 0.02, rng), random_observable(6, rng)
    state, exact = noisy_state(circuit, noise), ideal(circuit, observable)
    errors, truncations = [], []
    for bond in (1, 4, 16, 64):
        found = mitigated_observable(circuit, observable, noise, max_bond=bond, cutoff=0)
        assert found.bond <= bond
        errors.append(abs(state.expectation_value(found.to_operator()).real - exact))
        truncations.append(found.truncation)
    assert errors[3] < errors[2] / 5 < errors[0] / 25
    assert errors[3] < 1e-4
    assert truncations == sorted(truncations, reverse=True)


def test_qubits_that_are_not_in_order():
    """A chain along 2-0-3-1, in a wider circuit."""
    rng = np.random.default_rng(8)
    circuit = QuantumCircuit(6)
    for _ in range(2):
        for pair in ([2, 0], [3, 0], [3, 1]):
            circuit.u(*rng.normal(size=3), pair[0])
            circuit.cx(*pair)
    noise = NoiseModel(basis_gates=["u", "cx"])
    noise.add_all_qubit_quantum_error(random_pauli_error(0.1, rng), "cx")
    observable = SparsePauliOp.from_sparse_list([("XZ", [2, 1], 1.0), ("Y", [0], 0.5)], 6)
    found = mitigated_observable(circuit, observable, noise, **UNLIMITED)
    assert sorted(found.qubits) == [0, 1, 2, 3]
    mean = noisy_state(circuit, noise).expectation_value(found.to_operator()).real
    assert mean == pytest.approx(ideal(circuit, observable), abs=1e-8)


def test_estimates_scatter_as_they_say():
    """Through readout errors, and around the true mean."""
    rng = np.random.default_rng(11)
    circuit = random_circuit(2, 3, rng)
    noise = pauli_noise(2, 0.1, rng)
    for qubit in range(2):
        noise.add_readout_error(ReadoutError([[0.97, 0.03], [0.08, 0.92]]), [qubit])
    observable = SparsePauliOp(["ZX", "YI", "II"], [1.0, 0.5, 0.3])
    place, exact = get_backend("aer", noise=noise), ideal(circuit, observable)
    found = [
        mitigate_by_tensor_network(circuit, observable, noise, backend=place, shots=1000, seed=seed)
        for seed in range(30)
    ]
    scores = np.array([(one.value - exact) / one.std for one in found])
    assert np.abs(scores).max() < 4
    assert abs(scores.mean()) < 4 / np.sqrt(30)
    assert 0.5 < scores.std(ddof=1) < 1.52  # 4 standard errors of a standard deviation of 30
    assert all(one.shots == 1000 and one.seed == seed for seed, one in enumerate(found))
    assert estimate(circuit, observable, backend=place).value != pytest.approx(exact, abs=0.02)


def test_estimates_from_twirled_gates_scatter_as_they_say():
    """Of a coherent error, the copies differ by four times the shot noise."""
    circuit, copies, runs = QuantumCircuit(2), 8, 24
    circuit.rx(1, 0)
    circuit.ry(1, 1)
    for _ in range(4):
        circuit.cx(0, 1)
    device, twirled = (NoiseModel(basis_gates=["rx", "ry", "x", "y", "z", "cx"]) for _ in range(2))
    turn, flip = RXXGate(0.25).to_matrix(), np.sin(0.125) ** 2
    device.add_all_qubit_quantum_error(coherent_unitary_error(turn), "cx")
    twirled.add_all_qubit_quantum_error(pauli_error([("II", 1 - flip), ("XX", flip)]), "cx")
    how = {"backend": get_backend("aer", noise=device), "shots": 4000, "gate_twirls": copies}
    found = [mitigate_by_tensor_network(circuit, "IZ", twirled, **how, seed=seed) for seed in range(runs)]
    scores = np.array([(one.value - np.cos(1)) / one.std for one in found])
    assert np.mean([one.std for one in found]) > 3 / np.sqrt(4000)
    assert abs(scores.mean()) < 4 / np.sqrt(runs)
    width = np.sqrt((copies - 1) / (copies - 3))  # of Student's distribution, which few copies have
    assert width * (1 - 4 / np.sqrt(2 * runs)) < scores.std(ddof=1) < width * (1 + 4 / np.sqrt(2 * runs))


def test_two_shots_are_spread_over_two_copies():
    noise = NoiseModel(basis_gates=["h", "x", "y", "z", "cx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cx")
    how = {"backend": get_backend("aer", noise=noise), "shots": 2, "gate_twirls": 5, "seed": 1}
    found = mitigate_by_tensor_network(bell(), "ZZ", noise, **how)
    assert found.shots == 2
    assert np.isfinite([found.value, found.std]).all()


def test_the_overhead_is_the_inverse_square_of_what_the_noise_leaves():
    """Of a Pauli that stays one: the same bases measure it."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    noise = NoiseModel(basis_gates=["h", "cx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), "cx")
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]))
    device = get_backend("aer", noise=noise)
    found = mitigate_by_tensor_network(circuit, "ZZ", noise, backend=device, shots=2, seed=1)
    assert found.overhead == pytest.approx(1 / 0.8**2 / 0.8**4, rel=1e-3)


def test_the_bases_are_the_best():
    """No small change of the probabilities has a smaller variance, here computed word by word."""
    rng = np.random.default_rng(2)
    operator = random_observable(3, rng)
    found = mitigated_observable(QuantumCircuit(3), operator, NoiseModel())
    bases = best_bases(found.tensors, np.ones(len(found.qubits)))

    def variance(probabilities):
        total = 0.0
        for label, coefficient in operator.to_list():
            letters = [(site, label[::-1][qubit]) for site, qubit in enumerate(found.qubits)]
            chance = np.prod([probabilities[s, "XYZ".index(one)] for s, one in letters if one != "I"])
            total += abs(coefficient) ** 2 / chance if set(label) != {"I"} else 0
        return total

    assert variance(bases.probabilities) == pytest.approx(bases.variance)
    for _ in range(50):
        moved = bases.probabilities * np.exp(0.1 * rng.normal(size=bases.probabilities.shape))
        assert variance(moved / moved.sum(axis=1, keepdims=True)) > bases.variance * (1 - 1e-3)


def test_twirled_noise_is_the_mean_over_twirls():
    """Of Aer's own error of the device, written out over the 16 Paulis; on the device's own numbers."""
    twirled = GateErrors(twirled_noise("fake:manila", [1, 2])).channel("cx", (1, 2))
    error = GateErrors(NoiseModel.from_backend(FakeManilaV2())).channel("cx", (1, 2))
    mean = sum((SuperOp(pauli) @ error @ SuperOp(pauli)).data for pauli in map(Pauli, PAULIS)) / 16
    np.testing.assert_allclose(twirled.data, mean, rtol=0, atol=1e-9)
    assert np.abs(mean - error.data).max() > 1e-4


def test_a_snapshot_whose_gates_are_twirled():
    """Its readout errors and twirled gate errors are most of its noise; idle qubits are not in the model."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    for _ in range(9):
        circuit.cx(0, 1)
    isa = get_backend("fake:manila").transpile(circuit)
    used = sorted({isa.find_bit(qubit).index for step in isa.data for qubit in step.qubits})
    noise = twirled_noise("fake:manila", used)
    how = {"backend": "fake:manila", "shots": 4000, "seed": 3, "gate_twirls": 4}
    found = mitigate_by_tensor_network(circuit, "ZZ", noise, **how)
    raw = estimate(circuit, "ZZ", backend="fake:manila").value
    assert abs(found.value - 1) < 4 * found.std
    assert abs(raw - 1) > 3 * abs(found.value - 1)


def test_parameters_seeds_and_files(tmp_path):
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    noise = NoiseModel(basis_gates=["ry", "cx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cx")
    how = {"backend": get_backend("aer", noise=noise), "shots": 500, "seed": 4}
    found = mitigate_by_tensor_network(circuit, "ZI", noise, {"a": 0.5}, **how)
    assert abs(found.value - np.cos(0.5)) < 4 * found.std
    assert mitigate_by_tensor_network(circuit, "ZI", noise, [0.5], **how).value == found.value
    found.save(tmp_path / "found")
    kept = TensorNetworkMitigation.load(tmp_path / "found")
    assert (kept.value, kept.std, kept.bond, kept.qubits) == (
        found.value,
        found.std,
        found.bond,
        found.qubits,
    )
    np.testing.assert_array_equal(kept.bases, found.bases)
    np.testing.assert_allclose(found.bases.sum(axis=1), 1)


def erased(kind):
    noise = NoiseModel(basis_gates=["h", "cx"])
    if kind == "gate":
        noise.add_all_qubit_quantum_error(depolarizing_error(1, 2), "cx")
    else:
        noise.add_all_qubit_readout_error(ReadoutError([[0.5, 0.5], [0.5, 0.5]]))
    return noise


def bell(change=None):
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.cx(0, 1)
    if change is not None:
        change(circuit)
        circuit.h(0)
    return circuit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": 0}, "shots is 0"),
        ({"shots": 1}, "shots is 1"),
        ({"shots": True}, "shots is True"),
        ({"shots": 1.5}, "shots is 1.5"),
        ({"shots": "100"}, "shots is '100'"),
        ({"shots": None}, "shots is None"),
        ({"gate_twirls": -1}, "gate_twirls is -1"),
        ({"gate_twirls": 1}, "gate_twirls is 1, and one copy does not tell"),
        ({"max_bond": 0}, "max_bond is 0"),
        ({"cutoff": 1}, "cutoff is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"noise": erased("gate")}, "the error of cx on qubits .* cannot be inverted"),
        ({"noise": erased("readout")}, "qubit . reads 0 and 1 alike"),
        ({"noise": 0.1}, "noise is "),
        ({"backend": "statevector"}, "statevector has no noise to mitigate"),
        ({"observable": "ZZZ"}, "3 qubits"),
        ({"observable": ["ZZ", "XX"]}, "2 observables"),
        ({"circuit": bell(lambda c: c.ry(Parameter("a"), 0))}, "parameters"),
        ({"circuit": bell(lambda c: c.ry(Parameter("a"), 0)), "parameters": [[0.1], [0.2]]}, "one set"),
        ({"circuit": bell(lambda c: c.measure(0, 0))}, r"'measure' on qubits \(0,\)"),
        ({"circuit": bell(lambda c: c.reset(0))}, "'reset' on qubits"),
    ],
)
def test_what_is_refused(changes, message):
    noise = NoiseModel(basis_gates=["h", "cx", "ry"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cx")
    arguments = {"circuit": bell(), "observable": "ZZ", "noise": noise, "shots": 10, "seed": 1}
    arguments |= {"backend": get_backend("aer", noise=noise)} | changes
    with pytest.raises(UsageError, match=message) as caught:
        mitigate_by_tensor_network(**arguments)
    assert "\n" not in str(caught.value)


def test_what_is_refused_of_circuits_and_devices():
    wide = QuantumCircuit(3)
    wide.ccx(0, 1, 2)
    with pytest.raises(UsageError, match="ccx acts on 3 qubits"):
        mitigated_observable(wide, "ZZZ", NoiseModel())
    with pytest.raises(UsageError, match="aer reports no errors"):
        twirled_noise("aer", [0])
    with pytest.raises(UsageError, match="not all among the 5"):
        twirled_noise("fake:manila", [4, 5])
