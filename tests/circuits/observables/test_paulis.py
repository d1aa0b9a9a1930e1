"""Everything that is accepted as an observable, and the messages about everything else."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pennylane as qml
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp, Statevector

from bondwise.backends import estimate, expectation, get_backend, to_pennylane, to_torch
from bondwise.circuits import as_circuit, as_operator, hermitian
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import VQE, exact_ground_state, read_hamiltonian, write_hamiltonian
from bondwise.runs import UsageError
from bondwise.tn import ground_state

X0_Z1 = SparsePauliOp(["ZX", "IX"], [0.5, -2.0])  # Z on qubit 1, X on qubit 0


class QubitOperator:
    """The part of OpenFermion's class that is read: `terms` by ((index, letter), ...)."""

    terms = {((0, "X"), (1, "Z")): 0.5, ((0, "X"),): -2.0}


SAME = {
    "sum": X0_Z1,
    "bound": SparsePauliOp(
        ["ZX", "IX"], np.array([Parameter("a") * 0 + 0.5, -2.0], dtype=object)
    ).assign_parameters([0.0]),
    "dict": {"ZX": 0.5, "IX": -2.0},
    "pairs": [("ZX", 0.5), ("IX", -2)],
    "pairs of Paulis": [(Pauli("ZX"), torch.tensor(0.5)), (Pauli("-IX"), np.float32(2.0))],
    "sparse observable": SparseObservable.from_list([("ZX", 0.5), ("IX", -2.0)]),
    "operator": Operator(X0_Z1.to_matrix()),
    "pennylane": 0.5 * qml.Z(1) @ qml.X(0) - 2 * qml.X(0),
    "pennylane Hamiltonian": qml.Hamiltonian([0.5, -2.0], [qml.X(0) @ qml.Z(1), qml.X(0)]),
    "sentence": qml.pauli.PauliSentence(
        {qml.pauli.PauliWord({0: "X", 1: "Z"}): 0.5, qml.pauli.PauliWord({0: "X"}): -2.0}
    ),
    "openfermion": QubitOperator(),
}


@pytest.mark.parametrize("name", SAME)
def test_every_form_is_the_same_operator(name):
    operator = as_operator(SAME[name], 2)
    np.testing.assert_allclose(operator.to_matrix(), X0_Z1.to_matrix(), atol=1e-15)
    assert operator.coeffs.dtype == complex


@pytest.mark.parametrize("name", SAME)
def test_every_form_is_taken_by_every_verb(name):
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    circuit.x(1)
    value = -2.5 * np.sin(0.7)
    assert estimate(circuit, SAME[name], [0.7]).value == pytest.approx(value, abs=1e-12)
    assert expectation(circuit, SAME[name], [0.7]).item() == pytest.approx(value, abs=1e-12)
    assert expectation(circuit, [SAME[name], "IZ"], [0.7]).shape == (2,)
    assert to_torch(circuit, SAME[name], parameters=[0.7])().item() == pytest.approx(value, abs=1e-12)
    assert VQE(SAME[name], circuit).run([0.7], steps=0).value == pytest.approx(value, abs=1e-12)
    assert exact_ground_state(SAME[name])[0] == pytest.approx(-2.5)
    translated = to_pennylane(SAME[name])
    np.testing.assert_allclose(qml.matrix(translated, wire_order=[1, 0]), X0_Z1.to_matrix(), atol=1e-15)


def test_a_sum_of_numbers_is_returned_itself():
    assert as_operator(X0_Z1) is X0_Z1


def test_other_packages_operators_are_widened_to_the_circuit():
    assert as_operator(qml.Z(1), 4) == SparsePauliOp("IIZI")
    assert as_operator(2.0 * qml.Identity(0), 3) == SparsePauliOp("III", 2.0)


def test_a_pauli_list_is_a_sequence_and_pairs_are_one_sum():
    circuit = QuantumCircuit(2)
    circuit.x(0)
    assert estimate(circuit, PauliList(["IZ", "ZI"])).value.tolist() == [-1.0, 1.0]
    assert estimate(circuit, ["IZ", "ZI"]).value.tolist() == [-1.0, 1.0]
    assert estimate(circuit, [("IZ", 1.0), ("ZI", 0.5)]).value == -0.5


REFUSED = [
    (None, "None; pass a SparsePauliOp"),
    (3, "int 3"),
    (Path("h.json"), r"read_hamiltonian\('h.json'\)"),
    ("data/h.json", r"read_hamiltonian\('data/h.json'\)"),
    ("ZQ", "'ZQ' is neither a Pauli word nor a number"),
    ("", "no terms; write"),
    ({}, "no terms"),
    ({"ZZ": None}, "finite number"),
    ({"ZZ": "1"}, "finite number"),
    ({"ZZ": float("nan")}, "finite"),
    ({"ZZ": 1.0, "X": 1.0}, "'X' has 1 letters, the first term has 2"),
    ({"ZZ": Parameter("a")}, "bind its parameters"),
    (SparsePauliOp(["ZZ"], np.array([Parameter("a")])), "bind its parameters"),
    (np.eye(4), r"qiskit.quantum_info.Operator\(matrix\)"),
    (scipy.sparse.eye(4), r"qiskit.quantum_info.Operator\(matrix\)"),
    (["ZZ", "XX"], "one sum is expected"),
    (PauliList(["ZZ", "XX"]), "one sum is expected"),
    (qml.Z("a"), "wire 'a'"),
    (qml.Z(5), "qubit 5 and the circuit has 2"),
    (qml.operation.Operator(wires=[0]), "neither a Pauli form nor a matrix"),
    (qml.Hermitian(np.diag([1, 2]), 5), "qubit 5 and the circuit has 2"),
    (QuantumCircuit(2), "a QuantumCircuit"),
    (Operator(np.eye(3)), "must act on qubits"),
    ("ZZZ", "3 qubits and the circuit has 2"),
]


@pytest.mark.parametrize("wires", [[2, 0], [0, 1], [1, 2]], ids=str)
def test_matrices_of_pennylane_act_on_their_own_wires(wires):
    matrix = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.5 * np.eye(4)[::-1]
    circuit = QuantumCircuit(3)
    circuit.ry(0.4, 0)
    circuit.cx(0, 1)
    circuit.rx(0.7, 2)
    circuit.cx(2, 1)
    # PennyLane's first wire is the highest bit of the index, Qiskit's first qubit the lowest
    expected = Statevector(circuit).expectation_value(Operator(matrix), wires[::-1]).real
    assert estimate(circuit, qml.Hermitian(matrix, wires)).value == pytest.approx(expected, abs=1e-12)
    projector = np.diag([0.0, 0.0, 1.0, 0.0])
    expected = Statevector(circuit).expectation_value(Operator(projector), wires[::-1]).real
    assert estimate(circuit, qml.Projector([1, 0], wires)).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("wrong", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_the_rest_is_named_in_one_line(wrong, message):
    for call in (lambda: as_operator(wrong, 2), lambda: VQE(wrong, QuantumCircuit(2))):
        with pytest.raises(UsageError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    for call in (estimate, expectation, to_torch):
        if wrong is None and call is to_torch or isinstance(wrong, PauliList | list):
            continue  # the state; several observables
        with pytest.raises(UsageError, match=message):
            call(QuantumCircuit(2), wrong)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("IXYZ", min_size=3, max_size=3), st.complex_numbers(max_magnitude=3)),
        min_size=1,
        max_size=6,
    )
)
def test_hermitian_takes_exactly_what_is_hermitian(terms):
    operator = as_operator(terms)
    matrix = operator.to_matrix()
    size = max(abs(operator.simplify(atol=0).coeffs))
    wrong = np.abs(matrix - matrix.conj().T).max()
    if wrong <= 1e-14 * size:
        np.testing.assert_allclose(hermitian(operator).to_matrix(), matrix, atol=1e-12 * size)
    elif wrong > 1e-10 * size:
        with pytest.raises(UsageError, match="not Hermitian"):
            hermitian(operator)


def uses(operator, folder):
    """Everything that takes an observable and needs it to be Hermitian."""
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("t"), 0)
    circuit.rxx(0.3, 0, 1)
    lines = "".join(f"{complex(c)} {label}\n" for label, c in operator.to_list())
    (folder / "h.txt").write_text(lines)
    return (
        lambda: to_pennylane(operator),
        lambda: exact_ground_state(operator),
        lambda: VQE(operator, circuit),
        lambda: estimate(circuit, operator, [0.1]),
        lambda: estimate(circuit, operator, [0.1], backend="aer:depolarizing=0.01"),
        lambda: estimate(circuit, operator, [0.1], backend="aer", shots=10),
        lambda: expectation(circuit, operator, [0.1]),
        lambda: get_backend("aer").run([(circuit, operator, [0.1])]),
        lambda: MitigatedEstimator("aer:depolarizing=0.01").run([(circuit, operator, [0.1])]).result(),
        lambda: ground_state(operator),
        lambda: write_hamiltonian(operator, folder / "h.json"),
        lambda: read_hamiltonian(folder / "h.txt"),
    )


@pytest.mark.parametrize("size", [1e-3, 1e-9, 1e-11])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_no_imaginary_part_is_dropped(scale, size, tmp_path):
    operator = SparsePauliOp(["XI", "ZZ"], [1j * size * scale, scale])
    for use in uses(operator, tmp_path):
        with pytest.raises(UsageError, match="not Hermitian|not real"):
            use()
    assert not (tmp_path / "h.json").exists()


@pytest.mark.parametrize(
    "terms",
    [
        [("ZZ", 1 + 1e-13j)],
        [("ZZ", 1.0), ("XI", 1e-13j)],
        [("XI", 0.5 + 1j), ("ZZ", 2.0), ("XI", 0.5 - 1j)],
    ],
    ids=["rounding", "rounding beside a large term", "imaginary parts that cancel"],
)
def test_rounding_errors_pass_everywhere(terms, tmp_path):
    operator = SparsePauliOp.from_list(terms)
    for use in uses(operator, tmp_path):
        use()
    read = [read_hamiltonian(tmp_path / name) for name in ("h.json", "h.txt")]
    assert not any(found.coeffs.imag.any() for found in read)
    assert all(np.allclose(found.to_matrix(), operator.to_matrix(), atol=1e-12) for found in read)


CIRCUITS = [
    (None, "None; pass a qiskit.QuantumCircuit"),
    (3, "int 3"),
    ("c.qasm", "no file c.qasm"),
    (Path("c.qpy"), "no file c.qpy"),
    ("OPENQASM 2.0; qreg q[1];", "qasm2.loads"),
    (qml.tape.QuantumScript([qml.X(0)]), "from_pennylane"),
    ([QuantumCircuit(1), QuantumCircuit(1)], "one circuit at a time"),
    (SimpleNamespace(circuit=QuantumCircuit(1)), "pass its .circuit"),
]


@pytest.mark.parametrize(("wrong", "message"), CIRCUITS, ids=[message for _, message in CIRCUITS])
def test_what_is_no_circuit_is_named(wrong, message):
    from bondwise.backends import get_backend, sample
    from bondwise.mitigation import MitigatedEstimator, fold_gates, fold_global
    from bondwise.qml import near_identity_start, random_start

    for call in (
        as_circuit,
        sample,
        to_torch,
        random_start,
        near_identity_start,
        get_backend("statevector").transpile,
        lambda circuit: get_backend("statevector").estimate_seconds(circuit, "Z"),
        lambda circuit: estimate(circuit, "Z"),
        lambda circuit: expectation(circuit, "Z"),
        lambda circuit: VQE("Z", circuit),
        lambda circuit: fold_global(circuit, 3),
        lambda circuit: fold_gates(circuit, 3),
        lambda circuit: MitigatedEstimator("statevector").estimate_seconds(circuit, "Z"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            call(wrong)
        assert "\n" not in str(error.value)


def test_a_gate_is_a_circuit_on_its_own_qubits():
    from qiskit.circuit.library import CXGate, RYGate

    assert as_circuit(CXGate()).num_qubits == 2
    assert estimate(RYGate(0.4), "X").value == pytest.approx(np.sin(0.4))
