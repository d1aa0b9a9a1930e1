"""Every function that takes a circuit takes a gate and a path, and refuses anything else in one line."""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, UnitaryGate

from bondwise import backends, circuits, mitigation, qml, tn
from bondwise.circuits import as_circuit
from bondwise.runs import UsageError

TAKE_A_CIRCUIT = {
    "as_circuit": (),
    "bind_soundly": ([], "it"),
    "cx_count": (),
    "declared_parameters": (),
    "fingerprint": (),
    "in_gates": (),
    "readable": (),
    "refuse_variables": (),
    "require_sound": ("it",),
    "true_names": (),
    "two_qubit_depth": (),
    "with_constants": (),
    "without_measurements": (),
}


@pytest.mark.parametrize(("name", "others"), TAKE_A_CIRCUIT.items())
def test_circuits_gates_and_files_only(name, others, tmp_path):
    function = getattr(circuits, name)
    function(CXGate(), *others)
    path = circuits.write_circuit(circuits.as_circuit(CXGate()), tmp_path / "a.qasm")
    function(path, *others)
    function(str(path), *others)
    with pytest.raises(UsageError, match=r"^there is no file absent\.qasm; give a circuit as \.qpy"):
        function("absent.qasm", *others)
    for wrong in ("OPENQASM 3.0;", None, 3):
        with pytest.raises(UsageError, match="^a circuit is expected") as refusal:
            function(wrong, *others)
        assert "\n" not in str(refusal.value)


def not_unitary():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x"), 0)
    circuit.append(UnitaryGate(2 * np.eye(2), check_input=False), [1])
    return circuit


ANGLE = torch.tensor([0.1], dtype=torch.float64)


@pytest.mark.parametrize(
    "use",
    [
        lambda circuit: backends.estimate(circuit, "ZZ", [0.1]),
        lambda circuit: backends.estimate(circuit, "ZZ", [0.1], shots=10, backend="aer"),
        lambda circuit: backends.sample(circuit, [0.1], shots=10),
        lambda circuit: backends.expectation(circuit, "ZZ", ANGLE),
        lambda circuit: backends.to_pennylane(circuit),
        lambda circuit: tn.fit(circuit, [1, 0, 0, 0]),
        lambda circuit: mitigation.fold_global(circuit, 3),
    ],
)
def test_matrices_that_are_not_unitary_are_refused(use):
    with pytest.raises(UsageError, match="the matrix of 'unitary' is not unitary; give one whose"):
        use(not_unitary())


@pytest.mark.parametrize(
    "use",
    [
        lambda path: backends.estimate(path, "ZZ", [0.1]).value,
        lambda path: backends.sample(path, [0.1], shots=10, seed=0).counts,
        lambda path: backends.expectation(path, "ZZ", ANGLE).item(),
        lambda path: backends.to_torch(path, "ZZ").state_dict().keys(),
        lambda path: backends.get_backend("aer").transpile(as_circuit(path)),
        lambda path: backends.get_backend("statevector").run([(path, "ZZ", [0.1])])[0].data.evs,
        lambda path: (
            mitigation.MitigatedEstimator("statevector").run([(path, "ZZ", [0.1])]).result()[0].data.evs
        ),
        lambda path: mitigation.fold_global(path, 3),
        lambda path: tn.fit(path, [0.6, 0, 0, 0.8], seed=0).infidelity,
        lambda path: qml.VQE("ZZ", path).run([0.1], steps=2).value,
        lambda path: qml.random_start(path, seed=0).tolist(),
        lambda path: qml.mps_start(path, [0.6, 0, 0, 0.8], seed=0)[1].tolist(),
    ],
)
def test_a_path_is_a_circuit_everywhere(use, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x"), 0)
    circuit.cx(0, 1)
    path = circuits.write_circuit(circuit, tmp_path / "a.qpy")
    assert use(path) == use(str(path)) == use(circuit)


@pytest.mark.parametrize("wrong", [None, 3, "ZZ", [1.0]])
def test_sums_only(wrong):
    with pytest.raises(UsageError, match=r"SparsePauliOp is expected; pass bondwise\.circuits\.as_operator"):
        circuits.hermitian(wrong)


@pytest.mark.parametrize("wrong", [None, "ZZ", ["Z"]])
def test_coefficients_only(wrong):
    with pytest.raises(UsageError, match="are not numbers"):
        circuits.real_coefficients(wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"a.qasm", ["a.qasm"]])
def test_paths_only(wrong):
    with pytest.raises(UsageError, match=r"^a path is expected, not .*; give a circuit as \.qpy"):
        circuits.read_circuit(wrong)
    with pytest.raises(UsageError, match=r"^a path is expected, not .*; give a file of angles"):
        circuits.read_parameters(wrong, CXGate())


@pytest.mark.parametrize(
    "use",
    [
        lambda state: tn.decompose(state, layers=1, seed=0).message,
        lambda state: tn.fit(qml.brickwall(2, 1), state, seed=0).message,
    ],
)
def test_a_path_is_a_circuit_where_a_state_is_expected(use, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.cx(0, 1)
    path = circuits.write_circuit(circuit, tmp_path / "a.qasm")
    assert use(path) == use(str(path)) == use(circuit)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("a.qasm", r"such as qiskit\.quantum_info\.Statevector\(circuit\)"),
        ("a.npy", r"of a file, pass numpy\.load\('a\.npy'\)"),
        ("a.npz", r"of a file, pass list\(numpy\.load\('a\.npz'\)\.values\(\)\)"),
        ("a.txt", r"of a file, pass bondwise\.tn\.read_bitstrings\('a\.txt'\)"),
    ],
)
def test_paths_of_states_are_refused_with_the_way_to_read_them(name, way):
    with pytest.raises(UsageError, match=f"{way}.$"):
        tn.site_tensors(name)
    if name != "a.qasm":
        with pytest.raises(UsageError, match=f"{way}.$"):
            tn.decompose(name)
