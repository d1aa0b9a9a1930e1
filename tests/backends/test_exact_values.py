"""Exact values against Qiskit's own states: random circuits, and observables on few of their qubits."""

import json

import numpy as np
import pytest
from helpers import called_noisy
from qiskit import ClassicalRegister, QuantumCircuit, qpy, transpile
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import (
    DensityMatrix,
    Kraus,
    Operator,
    Pauli,
    PauliList,
    SparsePauliOp,
    Statevector,
    random_statevector,
    random_unitary,
)
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from typer.testing import CliRunner

from bondwise.backends import estimate, expectation, get_backend, sample, to_torch
from bondwise.backends.pauli_values import pauli_values
from bondwise.cli.app import app
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError

EXACT = ["statevector", "aer", "aer:matrix_product_state", "aer:density_matrix"]
SEEDS = range(8)


def random_circuit(seed: int, *, clifford: bool = False) -> QuantumCircuit:
    """Few gates on up to six qubits, some of which stay idle."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(int(rng.integers(2, 7)))
    one = ["h", "s", "x", "sdg", "y"] + ([] if clifford else ["t", "sx", "rx", "ry", "rz"])
    two = ["cx", "cz", "swap", "cy"] + ([] if clifford else ["crx", "rzz", "iswap", "cp", "unitary"])
    if not clifford and seed % 2:
        amplitudes = rng.normal(size=2) + 1j * rng.normal(size=2)
        circuit.initialize(amplitudes / np.linalg.norm(amplitudes), [int(rng.integers(circuit.num_qubits))])
    for _ in range(rng.integers(1, 13)):
        first, second = rng.choice(circuit.num_qubits, 2, replace=False).tolist()
        name = rng.choice(one if rng.random() < 0.5 else two)
        angle = [rng.uniform(-3, 3)] if name in ("rx", "ry", "rz", "crx", "rzz", "cp") else []
        if name == "unitary":
            circuit.unitary(random_unitary(4, seed=seed), [first, second])
        else:
            getattr(circuit, name)(*angle, *([first] if name in one else [first, second]))
    return circuit


def local_observables(num_qubits: int, seed: int) -> list[SparsePauliOp]:
    """One to three observables with one to three terms on at most two qubits."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rng.integers(1, 4)):
        terms = []
        for _ in range(rng.integers(1, 4)):
            where = rng.choice(num_qubits, int(rng.integers(0, 3)), replace=False).tolist()
            terms.append(("".join(rng.choice(list("XYZ"), len(where))), where, rng.normal()))
        found.append(SparsePauliOp.from_sparse_list(terms, num_qubits))
    return found


def independent(circuit: QuantumCircuit, observables: list[SparsePauliOp]) -> list[float]:
    state = Statevector(circuit)
    return [float(state.expectation_value(observable).real) for observable in observables]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", EXACT)
def test_local_observables(name: str, seed: int) -> None:
    circuit = random_circuit(seed)
    observables = local_observables(circuit.num_qubits, seed)
    wanted = independent(circuit, observables)
    np.testing.assert_allclose(estimate(circuit, observables, backend=name).value, wanted, atol=1e-9)
    alone = [estimate(circuit, observable, backend=name).value for observable in observables]
    np.testing.assert_allclose(alone, wanted, atol=1e-9)
    if not any(step.operation.name == "initialize" for step in circuit.data):
        values = expectation(circuit, observables, backend=name)
        np.testing.assert_allclose(values, wanted, atol=1e-9)
        module = to_torch(circuit, observables, backend=name)
        np.testing.assert_allclose(module().detach(), wanted, atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_local_observables_of_clifford_circuits(seed: int) -> None:
    circuit = random_circuit(seed, clifford=True)
    observables = local_observables(circuit.num_qubits, seed)
    wanted = independent(circuit, observables)
    for name in (*EXACT, "aer:stabilizer"):
        np.testing.assert_allclose(estimate(circuit, observables, backend=name).value, wanted, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_single_qubit_observables_of_an_entangled_ansatz(name: str) -> None:
    """One qubit at a time, controlled by qubits that are not observed."""
    circuit = efficient_su2(6, reps=2)
    angles = np.random.default_rng(1).uniform(-3, 3, (2, circuit.num_parameters))
    for qubit in range(6):
        observable = SparsePauliOp.from_sparse_list([("XYZ"[qubit % 3], [qubit], 1.0)], 6)
        wanted = [independent(circuit.assign_parameters(row), [observable])[0] for row in angles]
        value = estimate(circuit, observable, angles, backend=name).value
        np.testing.assert_allclose(value, wanted, atol=1e-9)
        np.testing.assert_allclose(expectation(circuit, observable, angles, name), wanted, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_circuit_files_on_the_command_line(seed: int, tmp_path) -> None:
    circuit = random_circuit(2 * seed)
    labels = ["I" * (circuit.num_qubits - 1) + "Z", "X" + "I" * (circuit.num_qubits - 1)]
    with (tmp_path / "c.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    name = ["statevector", "aer:matrix_product_state"][seed % 2]
    flags = ["--shots", "0", "--backend", name, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(
        app, ["run", str(tmp_path / "c.qpy"), *flags, "--observable", labels[0], "--observable", labels[1]]
    )
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "out" / "result.json").read_text())["values"]
    np.testing.assert_allclose(values, independent(circuit, list(map(SparsePauliOp, labels))), atol=1e-9)


def test_many_terms_and_many_sets() -> None:
    """Against the matrices: all 4^n terms, which share transforms, on several states."""
    labels = [a + b + c for a in "IXYZ" for b in "IXYZ" for c in "IXYZ"]
    terms = SparsePauliOp([label + "IZX" for label in labels]).paulis
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 64)) + 1j * rng.normal(size=(3, 64))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    wanted = [[(state.conj() @ term.to_matrix() @ state).real for term in terms] for state in states]
    np.testing.assert_allclose(pauli_values(states, terms), wanted, atol=1e-12)


@pytest.mark.parametrize(("qubits", "number", "share"), [(1, 4, 1), (5, 60, 0.5), (14, 40, 0.4), (13, 9, 0)])
def test_some_terms_of_large_states(qubits: int, number: int, share: float) -> None:
    rng = np.random.default_rng(qubits)
    x, z = rng.random((number, qubits)) < share, rng.random((number, qubits)) < 0.5
    x[1:], z[1:3] = np.where(rng.random((number - 1, 1)) < 0.3, x[0], x[1:]), z[0]  # some share products
    terms = PauliList.from_symplectic(z, x)
    states = [random_statevector(2**qubits, seed=rng) for _ in range(2)]
    wanted = [
        [state.expectation_value(term).real for term in map(Pauli, terms.to_labels())] for state in states
    ]
    found = pauli_values(np.array([state.data for state in states]), terms)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_an_automatic_simulator_reads_all_terms_from_one_state() -> None:
    circuit, observables = random_circuit(3), local_observables(random_circuit(3).num_qubits, 3)
    found = estimate(circuit, observables, backend=AerSimulator()).value
    np.testing.assert_allclose(found, independent(circuit, observables), atol=1e-9)
    ghz = QuantumCircuit(30)  # too large for a state, and a Clifford circuit
    ghz.h(0)
    ghz.cx(range(29), range(1, 30))
    assert estimate(ghz, ["Z" * 30, "X" * 30, "I" * 29 + "Z"], backend=AerSimulator()).value == pytest.approx(
        [1, 1, 0]
    )


# circuits that were transpiled before ------------------------------------------------------------------


def permuted(seed: int) -> QuantumCircuit:
    """Transpiled to a line from a nontrivial layout; routing permutes the qubits again."""
    line = [[q, q + 1] for q in range(5)] + [[q + 1, q] for q in range(5)]
    circuit = random_circuit(seed)
    circuit.ry(0.4, 0)
    layout = np.random.default_rng(seed).permutation(6)[: circuit.num_qubits].tolist()
    return transpile(
        circuit,
        coupling_map=line,
        initial_layout=layout,
        basis_gates=["rz", "sx", "x", "cx"],
        seed_transpiler=1,
    )


@pytest.mark.filterwarnings("ignore:Qiskit backend")
@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_observables_are_on_the_qubits_of_a_transpiled_circuit(seed: int) -> None:
    circuit = permuted(seed)
    assert circuit.layout is not None
    observables = local_observables(circuit.num_qubits, seed)
    wanted = independent(circuit, observables)
    device = GenericBackendV2(6, seed=1, noise_info=False)
    exact = [*EXACT, StatevectorEstimator(), MitigatedEstimator(called_noisy(), extrapolation="linear")]
    for place in exact:
        value = estimate(circuit, observables, backend=place).value
        np.testing.assert_allclose(value, wanted, atol=1e-9)
        np.testing.assert_allclose(expectation(circuit, observables, backend=place), wanted, atol=1e-9)
    faint = get_backend("aer", noise=_model(two=1e-13, flip=0.0))  # it compiles, level 0
    np.testing.assert_allclose(estimate(circuit, observables, backend=faint).value, wanted, atol=1e-9)
    again = estimate(circuit, observables, backend=device, shots=4000, seed=2)  # it compiles a second time
    assert np.all(np.abs(again.value - wanted) <= 5 * again.std + 0.02)


def test_a_transpiled_circuit_on_the_command_line(tmp_path) -> None:
    flipped = QuantumCircuit(2)
    flipped.x(0)
    isa = transpile(flipped, coupling_map=[[0, 1], [1, 0]], initial_layout=[1, 0], basis_gates=["x", "cx"])
    with (tmp_path / "x.qpy").open("wb") as file:
        qpy.dump(isa, file)
    for mitigate in ("none", "linear"):
        out = tmp_path / mitigate
        flags = ["--observable", "ZI", "--shots", "100", "--mitigate", mitigate, "--out", str(out)]
        assert CliRunner().invoke(app, ["run", str(tmp_path / "x.qpy"), *flags]).exit_code == 0
        assert json.loads((out / "result.json").read_text())["values"] == [-1.0]


@pytest.mark.parametrize("name", EXACT)
def test_a_wide_device_costs_its_active_qubits(name: str) -> None:
    circuit = efficient_su2(4, reps=1)
    isa = get_backend("fake:torino").transpile(circuit)
    assert isa.num_qubits == 133
    angles = np.random.default_rng(3).uniform(-3, 3, circuit.num_parameters)
    wanted = independent(circuit.assign_parameters(angles), [SparsePauliOp("IIZI"), SparsePauliOp("XIIY")])
    observables = [SparsePauliOp(o).apply_layout(isa.layout) for o in ("IIZI", "XIIY")]
    idle = SparsePauliOp.from_sparse_list(
        [("Z", [next(q for q in range(133) if q not in isa.layout.final_index_layout())], 1.0)], 133
    )
    value = estimate(isa, [*observables, idle], angles, backend=name).value
    np.testing.assert_allclose(value, [*wanted, 1.0], atol=1e-9)


# resets, prepared states -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["statevector", "aer", "aer:density_matrix"])
def test_states_too_large_to_sample_are_one_line(name: str) -> None:
    wide = QuantumCircuit(133)
    wide.h(0)
    with pytest.raises(
        UsageError,
        match="of 133 qubits would take .* GiB are allowed; use 'aer:matrix_product_state'",
    ):
        sample(wide, shots=10, backend=name)
    wide.add_register(ClassicalRegister(1, "one"))
    wide.measure(0, 0)
    assert set(sample(wide, shots=100, backend=name, seed=1).counts["one"]) == {"0", "1"}


@pytest.mark.parametrize("name", EXACT)
def test_a_reset_of_a_fresh_qubit_changes_nothing(name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.reset([0, 1])
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    assert estimate(circuit, ["IZ", "ZI"], backend=name).value == pytest.approx([np.cos(0.7)] * 2)


def test_a_reset_on_the_way_has_exact_values_as_a_density_matrix() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    with pytest.raises(UsageError, match="shots=4096, or write backend='aer:density_matrix'"):
        estimate(circuit, "ZI")
    value = estimate(circuit, ["ZI", "IZ"], backend="aer:density_matrix").value
    assert value == pytest.approx([np.cos(0.7), 1.0])


@pytest.mark.parametrize("name", [*EXACT, "aer:stabilizer"])
@pytest.mark.parametrize("qubits", [[1], [2, 0], [0, 2], [2, 1, 0]])
def test_states_prepared_on_some_of_the_qubits(name: str, qubits: list[int]) -> None:
    rng = np.random.default_rng(len(qubits))
    amplitudes = rng.normal(size=2 ** len(qubits)) + 1j * rng.normal(size=2 ** len(qubits))
    circuit = QuantumCircuit(3)
    if len(qubits) < 3:
        circuit.h(next(q for q in range(3) if q not in qubits))
    label = {1: "r", 2: "+l", 3: "1+r"}[len(qubits)]
    circuit.initialize(
        label if name.endswith("stabilizer") else amplitudes / np.linalg.norm(amplitudes), qubits
    )
    circuit.cx(0, 1)
    observables = local_observables(3, 7) + [SparsePauliOp("XIZ"), SparsePauliOp("ZYI")]
    value = estimate(circuit, observables, backend=name).value
    np.testing.assert_allclose(value, independent(circuit, observables), atol=1e-9)
    sampled = estimate(circuit, observables, backend=name, shots=4000, seed=1)
    assert np.all(np.abs(sampled.value - value) <= 5 * sampled.std + 1e-9)


# noise -------------------------------------------------------------------------------------------------


def _model(two: float, flip: float) -> NoiseModel:
    noise = NoiseModel(basis_gates=["h", "rx", "ry", "rz", "cx", "cz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(two, 2), ["cx", "cz"])
    if flip:
        for qubit in range(5):
            noise.add_readout_error(ReadoutError([[1 - flip, flip], [2 * flip, 1 - 2 * flip]]), [qubit])
    return noise


def _native_circuit(seed: int) -> QuantumCircuit:
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4)
    for _ in range(10):
        first, second = rng.choice(4, 2, replace=False).tolist()
        if rng.random() < 0.5:
            getattr(circuit, rng.choice(["rx", "ry", "rz"]))(rng.uniform(-3, 3), first)
        else:
            getattr(circuit, rng.choice(["cx", "cz"]))(first, second)
    return circuit


def _noisy_state(circuit: QuantumCircuit, strength: float) -> DensityMatrix:
    paulis = [SparsePauliOp(a + b).to_matrix() for a in "IXYZ" for b in "IXYZ"]
    weights = [1 - 15 / 16 * strength] + [strength / 16] * 15
    channel = Kraus([np.sqrt(w) * p for w, p in zip(weights, paulis, strict=True)])
    state = DensityMatrix.from_label("0" * circuit.num_qubits)
    for step in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        state = state.evolve(Operator(step.operation), where)
        if len(where) == 2:
            state = state.evolve(channel, where)
    return state


@pytest.mark.parametrize("seed", SEEDS)
def test_local_observables_under_noise(seed: int) -> None:
    circuit = _native_circuit(seed)
    observables = local_observables(4, seed)
    state = _noisy_state(circuit, 0.06)
    wanted = [state.expectation_value(observable).real for observable in observables]
    value = estimate(circuit, observables, backend="aer:depolarizing=0.06").value
    np.testing.assert_allclose(value, wanted, atol=1e-9)
    np.testing.assert_allclose(
        expectation(circuit, observables, backend="aer:depolarizing=0.06"), wanted, atol=1e-9
    )
    # a reading turns Z into (1 - p - q) Z + (q - p) where 0 is read as 1 with p and 1 as 0 with q
    flip, read = 0.03, []
    for observable in observables:
        total = 0.0
        for label, weight in observable.to_list():
            terms = SparsePauliOp.from_list([("I" * 4, 1.0)])
            for qubit, letter in enumerate(reversed(label)):
                if letter != "I":
                    seen = SparsePauliOp.from_sparse_list(
                        [(letter, [qubit], 1 - 3 * flip), ("", [], flip)], 4
                    )
                    terms = terms @ seen
            total += weight.real * state.expectation_value(terms).real
        read.append(total)
    noisy = get_backend("aer", noise=_model(two=0.06, flip=flip))
    np.testing.assert_allclose(estimate(circuit, observables, backend=noisy).value, read, atol=1e-9)
