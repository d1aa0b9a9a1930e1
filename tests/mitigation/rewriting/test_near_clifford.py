"""Near-Clifford twins: the same gates, values that another simulator confirms, spread over their range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Clifford, Pauli, SparsePauliOp, random_clifford, random_pauli_list

from bondwise.backends import get_backend
from bondwise.mitigation import fold_global, near_clifford_twins
from bondwise.mitigation.rewriting.clifford_values import CliffordGate, CliffordValues
from bondwise.runs import UsageError


def ansatz(qubits, layers):
    angles = iter(ParameterVector("a", 2 * qubits * (layers + 1)))
    circuit = QuantumCircuit(qubits)
    for layer in range(layers + 1):
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(2 * next(angles) + 0.3, qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cx(qubit, qubit + 1)
    return circuit


def exact(circuit, observables, angles):
    """By Qiskit's own simulator, all bound circuits with all observables: shape (K, T)."""
    pub = (circuit, [[one] for one in observables], angles)
    return StatevectorEstimator().run([pub]).result()[0].data.evs


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_values_are_those_of_the_twins(share):
    circuit = ansatz(4, 2)
    sets = np.random.default_rng(0).uniform(-np.pi, np.pi, (3, circuit.num_parameters))
    observables = [SparsePauliOp("ZZZZ"), SparsePauliOp(["XXII", "IIII", "YIIY"], [0.5, 0.25, -1])]
    twin, angles, ideal = near_clifford_twins(circuit, observables, sets, 12, non_clifford=share, seed=1)
    assert ideal.shape == (2, 12)
    assert angles.shape == (12, twin.num_parameters)
    np.testing.assert_allclose(ideal, exact(twin, observables, angles), atol=1e-9)
    assert twin.count_ops() == circuit.count_ops()
    again = near_clifford_twins(circuit, observables, sets, 12, non_clifford=share, seed=1)
    np.testing.assert_array_equal(again[1], angles)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_most_angles_are_multiples_and_the_others_the_circuits_own(share):
    circuit, rng = ansatz(3, 3), np.random.default_rng(2)
    values = rng.uniform(-np.pi, np.pi, circuit.num_parameters)
    _, angles, _ = near_clifford_twins(circuit, "ZZZ", values, 30, non_clifford=share, seed=0)
    bound = circuit.assign_parameters(values)
    own = np.array([step.operation.params[0] for step in bound.data if step.operation.params])
    left = (angles + np.pi / 4) % (np.pi / 2) - np.pi / 4
    mine = (own + np.pi / 4) % (np.pi / 2) - np.pi / 4
    changed = np.abs(left) > 1e-9
    assert changed.sum(axis=1).max() <= np.ceil(share * own.size)
    assert changed.any() == bool(share)
    np.testing.assert_allclose(left[changed], np.broadcast_to(mine, left.shape)[changed], atol=1e-9)


@pytest.mark.parametrize("observable", ["ZZZZZZ", "IIIIXX", "heisenberg"])
def test_values_are_spread(observable):
    if observable == "heisenberg":
        terms = [(letter * 2, [q, q + 1], 0.25) for q in range(5) for letter in "XYZ"]
        observable = SparsePauliOp.from_sparse_list(terms, 6)
    circuit = ansatz(6, 4)
    values = np.random.default_rng(3).uniform(-np.pi, np.pi, circuit.num_parameters)
    _, _, ideal = near_clifford_twins(circuit, observable, values, 20, seed=0)
    reach = 1.0 if isinstance(observable, str) else 0.75  # of the random states of this circuit
    assert ideal.min() < -0.7 * reach
    assert ideal.max() > 0.7 * reach
    assert np.abs(ideal).mean() > 0.25 * reach
    assert len(np.unique(ideal.round(3))) > 8


def test_a_transpiled_circuit_keeps_its_gates_layout_and_folds():
    backend = get_backend("fake:torino")
    isa = backend.transpile(ansatz(3, 2))
    observable = SparsePauliOp("ZZZ").apply_layout(isa.layout)
    values = np.random.default_rng(4).uniform(-np.pi, np.pi, isa.num_parameters)
    twin, angles, ideal = near_clifford_twins(isa, observable, values, 6, seed=0)
    assert twin.count_ops() == isa.count_ops()
    assert twin.layout is not None
    _, factor = fold_global(twin, 3, target=backend.target)
    assert factor == 3
    noisy = backend.run([(twin, observable, angles)], shots=None)[0].data.evs
    assert np.corrcoef(noisy, ideal)[0, 1] > 0.99


def test_wide_circuits_have_clifford_twins():
    """Values of 40 qubits, against Qiskit's tableaus."""
    circuit, rng = ansatz(40, 2), np.random.default_rng(5)
    values = rng.uniform(-np.pi, np.pi, circuit.num_parameters)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [3, 4], 1.0), ("XX", [20, 21], 0.5)], 40)
    twin, angles, ideal = near_clifford_twins(circuit, observable, values, 6, seed=0)
    for row, value in zip(angles, ideal, strict=True):
        clifford = Clifford(twin.assign_parameters(row))
        evolved = [Pauli(term).evolve(clifford, frame="h") for term in observable.paulis]
        signs = [0.0 if pauli.x.any() else (-1.0) ** (pauli.phase // 2) for pauli in evolved]
        assert value == pytest.approx(np.dot(observable.coeffs.real, signs))
    assert np.ptp(ideal) >= 1
    with pytest.raises(UsageError, match="acts on 40 qubits; leave it out"):
        near_clifford_twins(circuit, observable, values, 6, non_clifford=0.1)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_clifford_values_against_qiskit(qubits, seed):
    circuit = random_clifford(qubits, seed=seed).to_circuit()
    paulis = random_pauli_list(qubits, 6, seed=seed, phase=False)
    gates = []
    for step in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        gates.append((CliffordGate.of(step.operation, 0), where, []))
    mine, slopes = CliffordValues(gates, [SparsePauliOp(pauli) for pauli in paulis])(np.zeros((1, 0), int))
    theirs = exact(circuit, [SparsePauliOp(pauli) for pauli in paulis], [[]] if circuit.parameters else None)
    np.testing.assert_allclose(mine[0], np.ravel(theirs), atol=1e-9)
    assert np.all(np.abs(slopes) >= np.abs(mine))


ROTATIONS = {
    "rx": 1, "ry": 1, "rz": 1, "p": 1, "r": 2, "u": 3, "rxx": 1, "ryy": 1, "rzz": 1, "rzx": 1,
    "crx": 1, "cry": 1, "crz": 1, "cp": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", ROTATIONS)
def test_every_rotation_has_twins(name):
    circuit, angles = QuantumCircuit(2), list(np.random.default_rng(6).uniform(0, np.pi / 2, 8))
    qubits = [0] if name in ("rx", "ry", "rz", "p", "r", "u") else [0, 1]
    circuit.h([0, 1])
    for place in range(2):
        getattr(circuit, name)(*angles[place * 3 : place * 3 + ROTATIONS[name]], *qubits)
        circuit.sx(0)
        circuit.ecr(0, 1)
    twin, found, ideal = near_clifford_twins(circuit, ["XY", "ZI"], count=5, seed=0)
    np.testing.assert_allclose(ideal, exact(twin, ["XY", "ZI"], found), atol=1e-9)
    if name == "rzz":  # fractional gates
        assert found.min() >= 0
        assert found.max() <= np.pi / 2


def test_global_phase_barriers_and_measurements_do_no_harm():
    a = Parameter("a")
    circuit = QuantumCircuit(2, global_phase=a)
    circuit.ry(a, 0)
    circuit.barrier()
    circuit.delay(100, 1, unit="ns")
    circuit.cx(0, 1)
    circuit.measure_all()
    twin, angles, ideal = near_clifford_twins(circuit, "ZI", [0.4], 4, seed=0)
    assert twin.num_parameters == 1
    np.testing.assert_allclose(ideal, np.cos(angles[:, 0]), atol=1e-12)


def test_gates_of_ones_own_are_told_apart_by_their_definitions():
    circuit = QuantumCircuit(1)
    for turn in ("x", "h"):
        inside = QuantumCircuit(1)
        getattr(inside, turn)(0)
        own = Gate("own", 1, [])
        own.definition = inside
        circuit.append(own, [0])
        circuit.ry(0.3, 0)
    twin, angles, ideal = near_clifford_twins(circuit, ["X", "Y", "Z"], count=6, non_clifford=0, seed=0)
    np.testing.assert_allclose(ideal, exact(twin, ["X", "Y", "Z"], angles), atol=1e-9)


def test_wrong_use():
    circuit = ansatz(2, 1)
    values = np.zeros(circuit.num_parameters)
    with pytest.raises(UsageError, match="count is 0; give a whole number"):
        near_clifford_twins(circuit, "ZZ", values, 0)
    with pytest.raises(UsageError, match="non_clifford is 1.5; give a share"):
        near_clifford_twins(circuit, "ZZ", values, non_clifford=1.5)
    with pytest.raises(UsageError, match="parameters"):
        near_clifford_twins(circuit, "ZZ", values[1:])
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    with pytest.raises(UsageError, match="no rotations, so its only twin is itself"):
        near_clifford_twins(bell, "ZZ")
    bell.ry(0.1, 0)
    bell.t(0)
    with pytest.raises(UsageError, match="'t' is neither Clifford nor a rotation"):
        near_clifford_twins(bell, "ZZ")
    reset = QuantumCircuit(1)
    reset.ry(0.1, 0)
    reset.reset(0)
    with pytest.raises(UsageError, match="'reset' is not a gate"):
        near_clifford_twins(reset, "Z")
