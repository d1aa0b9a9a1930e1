"""Circuits out and in again: nothing changes, and other programs read them too."""

import numpy as np
import pytest
import quimb.tensor as qtn
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import GlobalPhaseGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, random_unitary

from bondwise.circuits import declared_parameters, read_circuit, read_parameters, write_circuit
from bondwise.runs import UsageError, json_text

A, B = Parameter("a"), Parameter("b")
SUFFIXES = [".qpy", ".qasm", ".qasm2"]
GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in {"measure", "reset", "delay", "global_phase"}
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", sorted(GATES))
def test_every_standard_gate_comes_back(tmp_path, name, suffix):
    gate = GATES[name]
    circuit = QuantumCircuit(max(gate.num_qubits, 2))
    circuit.append(gate, range(gate.num_qubits)[::-1])
    circuit = circuit.assign_parameters(np.linspace(0.3, 1.0, circuit.num_parameters))
    back = read_circuit(write_circuit(circuit, tmp_path / f"a{suffix}"))
    assert Operator(back).equiv(circuit)
    if suffix == ".qpy":
        np.testing.assert_allclose(Operator(back).data, Operator(circuit).data, atol=1e-14)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(5))
def test_random_circuits_come_back(tmp_path, suffix, seed):
    circuit = random_circuit(4, 8, max_operands=4, seed=seed)
    circuit.append(UnitaryGate(random_unitary(4, seed=seed)), [2, 0])
    circuit.append(UnitaryGate(random_unitary(4, seed=seed + 50)), [1, 3])
    inner = random_circuit(2, 3, seed=seed)
    circuit.append(inner.to_gate(), [3, 1])
    back = read_circuit(write_circuit(circuit, tmp_path / f"a{suffix}"))
    assert Operator(back).equiv(circuit, atol=1e-10)


def test_global_phases_come_back_from_openqasm_3(tmp_path):
    inner, circuit = QuantumCircuit(1), QuantumCircuit(2)
    inner.x(0)
    inner.append(GlobalPhaseGate(0.3), [])
    circuit.append(GlobalPhaseGate(-2 * Parameter("a")), [])
    circuit.append(inner.to_gate(), [1])
    back = read_circuit(write_circuit(circuit, tmp_path / "a.qasm")).assign_parameters([0.2])
    np.testing.assert_allclose(
        Operator(back).data, Operator(circuit.assign_parameters([0.2])).data, atol=1e-14
    )


def test_names_of_parameters_survive_openqasm_3(tmp_path):
    vector, other = ParameterVector("w", 12), Parameter("θ")
    circuit = QuantumCircuit(2)
    for index, parameter in enumerate(vector):
        circuit.ry(2 * parameter + other, index % 2)
        circuit.cx(0, 1)
    values = np.random.default_rng(0).normal(size=13)
    names = [parameter.name for parameter in circuit.parameters]
    (tmp_path / "angles.json").write_text(json_text(dict(zip(names, values.tolist(), strict=True))))
    np.save(tmp_path / "angles.npy", values)
    back = read_circuit(write_circuit(circuit, tmp_path / "a.qasm"))
    assert [parameter.name for parameter in declared_parameters(back)][:3] == ["_w_0_", "_w_1_", "_w_2_"]
    for name in ("angles.json", "angles.npy"):
        bound = back.assign_parameters(read_parameters(tmp_path / name, back))
        np.testing.assert_allclose(
            Operator(bound).data, Operator(circuit.assign_parameters(values)).data, atol=1e-14
        )


def amplitudes(circuit):
    """The state that a circuit prepares, qubit 0 first, as quimb orders it."""
    return Operator(circuit.reverse_bits()).data[:, 0]


@pytest.mark.parametrize("name", sorted(GATES))
def test_quimb_and_qiskit_read_every_standard_gate_in_version_2(tmp_path, name):
    gate = GATES[name]
    circuit = QuantumCircuit(max(gate.num_qubits, 2))
    for qubit in circuit.qubits:
        circuit.u(0.4, 0.5, 0.6, qubit)
    circuit.append(gate, range(gate.num_qubits)[::-1])
    circuit = circuit.assign_parameters(np.linspace(0.3, 1.0, circuit.num_parameters))
    path = write_circuit(circuit, tmp_path / "a.qasm2")
    assert Operator(qasm2.load(path)).equiv(circuit)
    state = qtn.Circuit.from_openqasm2_file(str(path)).to_dense().ravel()
    assert abs(np.vdot(state, amplitudes(circuit))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_quimb_and_qiskit_read_random_circuits_in_version_2(tmp_path, seed):
    circuit = random_circuit(5, 6, max_operands=4, seed=seed)
    circuit.append(UnitaryGate(random_unitary(4, seed=seed)), [2, 0])
    circuit.append(random_circuit(2, 3, seed=seed).to_gate(), [3, 1])
    path = write_circuit(circuit, tmp_path / "a.qasm", qasm=2)
    assert Operator(qasm2.load(path)).equiv(circuit, atol=1e-10)
    state = qtn.Circuit.from_openqasm2_file(str(path)).to_dense().ravel()
    assert abs(np.vdot(state, amplitudes(circuit))) == pytest.approx(1, abs=1e-10)


def test_versions_and_endings(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    for name, qasm, start in [
        ("a.qasm", None, "3"),
        ("b.qasm", 2, "2"),
        ("c.qasm3", None, "3"),
        ("d.QASM2", 2, "2"),
    ]:
        assert write_circuit(circuit, tmp_path / name, qasm=qasm).read_text().startswith(f"OPENQASM {start}")
    for name, qasm, message in [
        ("a.txt", None, r"ends in \.qpy, \.qasm \(OpenQASM 3\) or \.qasm2"),
        ("a.qasm2", 3, r"cannot hold OpenQASM 3; give a name that ends in \.qasm\."),
        ("a.qpy", 2, r"cannot hold OpenQASM 2"),
        ("a.qasm", 4, "OpenQASM 4 is unknown; give 2 or 3"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_circuit(circuit, tmp_path / name, qasm=qasm)
    with pytest.raises(UsageError, match="cannot write .*: there is no folder .*absent; create it"):
        write_circuit(circuit, tmp_path / "absent" / "a.qpy")


def test_what_a_format_cannot_hold(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    with pytest.raises(UsageError, match=r"a\.qasm2 cannot hold .*; bind its parameters, or write \.qasm"):
        write_circuit(circuit, tmp_path / "a.qasm2")
    assert not (tmp_path / "a.qasm2").exists()
    looped = QuantumCircuit(1)
    with looped.for_loop(range(2)):
        looped.h(0)
    with pytest.raises(UsageError, match=r"a\.qasm2 cannot hold .*; write \.qasm"):
        write_circuit(looped, tmp_path / "a.qasm2")


def test_the_same_circuit_makes_the_same_file(tmp_path):
    contents = []
    for name in ("a.qpy", "b.qpy"):
        circuit = QuantumCircuit(2)
        circuit.cx(0, 1)
        contents.append(write_circuit(circuit, tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_one_of_several_circuits(tmp_path):
    circuits = [QuantumCircuit(1), QuantumCircuit(2), QuantumCircuit(3)]
    with (tmp_path / "a.qpy").open("wb") as file:
        qpy.dump(circuits, file)
    with pytest.raises(
        UsageError, match=r"holds 3 circuits; pass one of them.*read_circuit\('.*a\.qpy', index=0\)"
    ):
        read_circuit(tmp_path / "a.qpy")
    assert [read_circuit(tmp_path / "a.qpy", index=index).num_qubits for index in range(3)] == [1, 2, 3]
    with pytest.raises(UsageError, match="no index 3"):
        read_circuit(tmp_path / "a.qpy", index=3)
    path = write_circuit(circuits[0], tmp_path / "a.qasm")
    with pytest.raises(UsageError, match="index is for QPY"):
        read_circuit(path, index=0)


NAMES = ["float", "é", "x", "pi", "a b", "U", "theta"]


def test_names_that_openqasm_3_cannot_hold_are_found_again(tmp_path):
    circuit = QuantumCircuit(1)
    for name in NAMES:
        circuit.rx(Parameter(name), 0)
        circuit.rz(0.3, 0)
    angles = dict(zip(NAMES, np.linspace(0.1, 1.3, len(NAMES)).tolist(), strict=True))
    (tmp_path / "angles.json").write_text(json_text(angles))
    (tmp_path / "more.json").write_text(json_text({**angles, "y": 0.1}))
    back = read_circuit(write_circuit(circuit, tmp_path / "a.qasm"))
    bound = back.assign_parameters(read_parameters(tmp_path / "angles.json", back))
    assert Operator(bound).equiv(circuit.assign_parameters(angles))
    with pytest.raises(UsageError, match="unknown parameter 'y'"):
        read_parameters(tmp_path / "more.json", back)


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        (A.sin(), "sin"),
        (abs(A), "abs"),
        (A**2, r"\*\*"),
        (2 * (A + B).exp(), "exp"),
        (1 - A.arctan(), "atan"),
        (A.conjugate() / 2, "conj"),
    ],
)
def test_expressions_that_no_reader_takes_are_refused_in_openqasm_3(tmp_path, expression, name):
    circuit = QuantumCircuit(1)
    circuit.rx(expression, 0)
    with pytest.raises(qasm3.QASM3ImporterError):
        qasm3.loads(qasm3.dumps(circuit))
    message = rf"a\.qasm cannot hold the circuit \(.*{name}.*; write \.qpy\.$"
    with pytest.raises(UsageError, match=message) as refusal:
        write_circuit(circuit, tmp_path / "a.qasm")
    assert "\n" not in str(refusal.value)
    assert read_circuit(write_circuit(circuit, tmp_path / "a.qpy")).parameters == circuit.parameters


@pytest.mark.parametrize("expression", [A / B, -A, 2 * A - B, A * B, (A + 1) / 2])
def test_other_expressions_come_back(tmp_path, expression):
    circuit = QuantumCircuit(1)
    circuit.rx(expression, 0)
    back = read_circuit(write_circuit(circuit, tmp_path / "a.qasm"))
    angles = [0.3, 0.7][: circuit.num_parameters]
    assert Operator(back.assign_parameters(angles)).equiv(circuit.assign_parameters(angles))
