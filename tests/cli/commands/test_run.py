"""`bondwise run` and `bondwise backends`, from files to tables; bad input gives one line."""

import json

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm2, qasm3, qpy
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

from bondwise.circuits import read_circuit, read_parameters
from bondwise.cli.circuit_files import read_observable, say
from bondwise.runs import UsageError


@pytest.fixture
def bell():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


@pytest.mark.parametrize("version", [2, 3])
def test_counts_of_a_qasm_file(bondwise, bell, tmp_path, version):
    bell.measure_all()
    (tmp_path / "bell.qasm").write_text((qasm2 if version == 2 else qasm3).dumps(bell))
    done = bondwise("run", "bell.qasm", "--shots", 1000, "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "out" / "result.json").read_text())
    (counts,) = result["counts"].values()
    assert counts.keys() == {"00", "11"}
    assert sum(counts.values()) == result["shots"] == 1000
    again = bondwise("run", "bell.qasm", "--out", "out")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_whether_a_circuit_is_simulable_is_said(bondwise, bell, tmp_path):
    (tmp_path / "bell.qasm").write_text(qasm3.dumps(bell))
    done = bondwise("run", "bell.qasm", "--observable", "ZZ", "--shots", 0, "--backend", "mps")
    assert done.returncode == 0, done.stderr
    assert "this circuit is exactly simulable: bond 2, 0.0" in done.stdout
    result = json.loads((tmp_path / "runs" / "bell" / "result.json").read_text())
    assert result["values"] == [pytest.approx(1.0)]
    assert result["simulability"] == {
        "best": "mps",
        "seconds": result["simulability"]["seconds"],
        "log2_bond": 1.0,
        "light_cone": 2,
    }
    middle = QuantumCircuit(1, 1)
    middle.measure(0, 0)
    middle.x(0)
    (tmp_path / "middle.qasm").write_text(qasm3.dumps(middle))
    done = bondwise("run", "middle.qasm")
    assert done.returncode == 0, done.stderr
    assert "simulable" not in done.stdout


def test_counts_of_several_registers_are_joint_too(bondwise, tmp_path, monkeypatch):
    """Keys as Qiskit prints them: the last register first."""
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "c"), ClassicalRegister(1, "d"))
    circuit.x([0, 2])
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.measure(range(3), range(3))
    (tmp_path / "several.qasm").write_text(qasm3.dumps(circuit))
    monkeypatch.setenv("COLUMNS", "80")
    done = bondwise("run", "several.qasm", "--shots", 1000)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs" / "several" / "result.json").read_text())
    expected = StatevectorSampler(seed=1).run([circuit], shots=1000).result()[0].join_data().get_counts()
    joint = {word[0] + " " + word[1:] for word in expected}
    assert result["joint_counts"].keys() == joint == {"1 01", "0 11"}
    assert result["counts"]["d"] == {word[0]: count for word, count in result["joint_counts"].items()}
    assert "counts on statevector, 1,000 shots" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["d", "c", "1", "01", f"{result['joint_counts']['1 01']:,}"] in lines


@pytest.mark.parametrize(("version", "size"), [(2, 1), (3, 3)])
def test_a_unitary_in_a_qasm_file_runs_as_what_it_is(bondwise, tmp_path, version, size):
    """Qiskit writes it as a gate called `unitary`, a name that Aer takes for a matrix."""
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.unitary(random_unitary(2**size, seed=size), range(size))
    path = tmp_path / "u.qasm"
    path.write_text((qasm2 if version == 2 else qasm3).dumps(circuit))
    assert Operator(read_circuit(path)).equiv(Operator(circuit))
    words = ["XYZ", "IZI"]
    flags = [flag for word in words for flag in ("--observable", word)]
    done = bondwise("run", "u.qasm", *flags, "--shots", 0, "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    state = Statevector(circuit)
    expected = [state.expectation_value(SparsePauliOp(word)).real for word in words]
    np.testing.assert_allclose(json.loads(done.stdout)["values"], expected, atol=1e-8)


def test_values_of_a_qpy_file(bondwise, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("x"), 1)
    with (tmp_path / "c.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    (tmp_path / "angles.json").write_text('{"x": 0.5}')
    words = ("run", "c.qpy", "--observable", "ZI", "--observable", "2*ZI - 0.5*IZ", "--shots", 0, "--json")
    done = bondwise(*words, "--parameters", "angles.json", "--out", "deep/out")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        json.loads(done.stdout)["values"], [np.cos(0.5), 2 * np.cos(0.5) - 0.5], atol=1e-9
    )
    bare = bondwise(*words, "--out", "other")
    assert bare.returncode == 2
    assert "1 free parameter;" in bare.stderr
    assert not (tmp_path / "other").exists()


@pytest.fixture
def turned(tmp_path):
    """RX(x) on qubit 0 and RY(y) on qubit 1, measured into two registers."""
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("x"), 0)
    circuit.ry(Parameter("y"), 1)
    circuit.measure_all()
    with (tmp_path / "turned.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    return circuit


def test_several_sets_of_angles(bondwise, turned, tmp_path):
    (tmp_path / "named.json").write_text('{"x": [0.1, 0.2], "y": [1.0, 2.0]}')
    np.save(tmp_path / "rows.npy", np.array([[0.1, 1.0], [0.2, 2.0]]))
    for name in ("named.json", "rows.npy"):
        words = ("run", "turned.qpy", "--parameters", name, "--overwrite", "--out", "out")
        done = bondwise(*words, "--observable", "IZ", "--observable", "ZI", "--shots", 0, "--json")
        assert done.returncode == 0, done.stderr
        expected = np.cos([[0.1, 1.0], [0.2, 2.0]])
        np.testing.assert_allclose(json.loads(done.stdout)["values"], expected, atol=1e-12)
        table = bondwise(*words, "--observable", "IZ", "--shots", 100)
        assert "no shots" not in table.stdout
        sampled = bondwise(*words, "--shots", 100)
        assert sampled.returncode == 0, sampled.stderr
        assert "meas" in sampled.stdout


def test_mitigated_values(bondwise, turned, tmp_path):
    (tmp_path / "angles.json").write_text("[0.3, 0.4]")
    words = (
        "run",
        "turned.qpy",
        "--parameters",
        "angles.json",
        "--observable",
        "ZZ",
        "--backend",
        "fake:manila",
    )
    raw, mitigated = (
        json.loads(bondwise(*words, "--mitigate", name, "--shots", 0, "--out", name, "--json").stdout)
        for name in ("none", "linear")
    )
    exact = np.cos(0.3) * np.cos(0.4)
    assert abs(mitigated["values"][0] - exact) < abs(raw["values"][0] - exact) / 5
    assert mitigated["mitigate"] == "linear"


def test_readout_alone_is_undone(bondwise, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.x([0, 1])
    (tmp_path / "x.qasm").write_text(qasm3.dumps(circuit))
    words = ("run", "x.qasm", "--observable", "ZI", "--observable", "IZ", "--backend", "fake:manila")
    raw, undone = (
        json.loads(bondwise(*words, "--mitigate", name, "--shots", 0, "--out", name, "--json").stdout)
        for name in ("none", "readout")
    )
    assert max(raw["values"]) > -0.97
    assert undone["values"] == pytest.approx([-1, -1], abs=1e-3)  # the error of the gates is left
    assert undone["mitigate"] == "readout"
    unknown = bondwise(*words, "--mitigate", "reedout")
    assert unknown.returncode == 2
    assert "Did you mean 'readout'" in unknown.stderr


def test_what_was_not_extrapolated_is_said(bondwise, tmp_path):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    (tmp_path / "h.qasm").write_text(qasm3.dumps(circuit))  # <Z> = 0: no decay to fit
    words = ("run", "h.qasm", "--observable", "Z", "--backend", "fake:manila", "--mitigate", "exponential")
    done = bondwise(*words, "--shots", 100)
    assert done.returncode == 0, done.stderr
    assert "no decay above their shot noise" in done.stdout


def test_measured_circuit_without_gates_has_exact_values(bondwise, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    (tmp_path / "m.qasm").write_text(qasm3.dumps(circuit))
    done = bondwise("run", "m.qasm", "--observable", "ZZ", "--shots", 0)
    assert done.returncode == 0, done.stderr
    assert "expectation values on statevector, exact" in done.stdout
    assert "no shots" in done.stdout


@pytest.mark.parametrize("gate", ["sx", "swap", "rzz", "cp", "ecr", "rxx", "csx"])
def test_qasm2_as_qiskit_writes_it(tmp_path, gate):
    circuit = QuantumCircuit(2)
    getattr(circuit, gate)(
        *([0.3] if gate in ("rzz", "cp", "rxx") else []), *([0] if gate == "sx" else [0, 1])
    )
    path = tmp_path / "a.qasm"
    path.write_text(qasm2.dumps(circuit))
    assert Operator(read_circuit(path)).equiv(circuit)


def test_wrong_use_leaves_an_earlier_run_alone(bondwise, turned, tmp_path):
    (tmp_path / "angles.json").write_text("[0.3, 0.4]")
    words = ("run", "turned.qpy", "--parameters", "angles.json", "--out", "out")
    assert bondwise(*words).returncode == 0
    before = (tmp_path / "out" / "result.json").read_bytes()
    for wrong in (
        ("--shots", 0),
        ("--shots", 10**30),
        ("--backend", "fake:nowhere"),
        ("--mitigate", "linear"),
        ("--seed", -1),
    ):
        done = bondwise(*words, "--overwrite", *wrong)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert (tmp_path / "out" / "result.json").read_bytes() == before
    again = bondwise(*words)
    assert "--resume" in again.stderr


def test_unknown_backend_is_one_line_and_leaves_nothing(bondwise, bell, tmp_path):
    (tmp_path / "bell.qasm").write_text(qasm3.dumps(bell))
    done = bondwise("run", "bell.qasm", "--backend", "statevectr", "--out", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'statevector'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_unknown_flag_is_one_line(bondwise):
    done = bondwise("run", "bell.qasm", "--bakend", "aer")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--bakend" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.qasm", 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nfrobnicate q;\n', "frobnicate"),
        ("a.qasm", 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];\nfrobnicate q[0];\n', "frobnicate"),
        ("a.qpy", "no circuit", "cannot be read as a circuit"),
        ("a.qasm", "", "the file is empty"),
        ("a.txt", "", r"ends in '\.txt'"),
    ],
)
def test_bad_circuit_files(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_circuit(path)


def test_missing_circuit_file(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        read_circuit(tmp_path / "b.qpy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": 1.0}', "lack 'y'; give all 2 by name"),
        ('{"x": 1.0, "y": 2.0, "z": 3.0}', "unknown parameter 'z'"),
        ("[1.0]", "the circuit has 2 parameters"),
        ("[1.0, NaN]", "finite"),
        ('["a", "b"]', "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_bad_angle_files(tmp_path, text, message):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    circuit.ry(Parameter("y"), 0)
    path = tmp_path / "angles.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_parameters(path, circuit)
    path.write_text('{"y": 2.0, "x": 1}')
    assert read_parameters(path, circuit).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ZA", "'ZA' is neither a Pauli word nor a number; write terms such as 0.5"),
        ("", "has no terms; write"),
        ("ZZ+", "a term is missing after the last sign"),
        ("Z Z", "a term has two words, 'Z' and 'Z'; put"),
        ("*ZZ", "'\\*' is not expected here"),
        ("0.5*A+" * 100, "'A\\+0.5"),
        ("ZZZ", "write one letter for each, or Z0 to Z1"),
        ("ZZ+Z", "'Z' has 1 letters, the first term has 2; write one letter"),
        ("1e999*ZZ", "inf is not a finite number"),
        ("Z5", "has 6 qubits and the circuit 2"),
        ("h.json", "there is no file h.json; give one, or write"),
    ],
)
def test_bad_observables(text, message):
    with pytest.raises(UsageError, match=message) as error:
        read_observable(text, 2)
    assert "observable" in str(error.value)
    assert "\n" not in str(error.value)


def test_observables(tmp_path, capsys):
    operator = read_observable("0.5*XX - 1e-1*ZZ + IY", 2)
    assert sorted(operator.to_list()) == [("IY", 1.0), ("XX", 0.5), ("ZZ", -0.1)]
    assert read_observable("0.5 X0 - Z0 @ Z1", 3).to_list() == [("IIX", 0.5), ("IZZ", -1.0)]
    (tmp_path / "h.txt").write_text("0.5 [X0] +\n-1 [Z0 Z1]\n")
    said = []
    read = read_observable(str(tmp_path / "h.txt"), 3, said=said)
    assert read.to_list() == [("IIX", 0.5), ("IZZ", -1.0)]
    line = f"read 2 terms on 3 qubits from {tmp_path}/h.txt (OpenFermion: index 0 is qubit 0)"
    assert said == [line]
    assert capsys.readouterr().err == ""
    say(said, quiet=True)
    assert capsys.readouterr().err == ""
    say(said, quiet=False)
    assert capsys.readouterr().err == line + "\n"


def test_backends(bondwise):
    done = bondwise("backends", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["fake:torino"]["num_qubits"] == 133
    assert 0 < rows["fake:torino"]["two_qubit_error"] < 0.1
    assert not rows["statevector"]["noisy"]
    shown = bondwise("backends").stdout
    assert ["fake:kyoto", "127", "not", "reported", "noisy"] in [line.split() for line in shown.splitlines()]


def test_version_and_help(bondwise):
    assert bondwise("--version").stdout.startswith("bondwise 0.")
    shown = bondwise("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("vqe", "run", "backends"))
    unknown = bondwise("vqee")
    assert unknown.returncode == 2
    assert len(unknown.stderr.splitlines()) == 1


def test_names_are_shown_and_not_obeyed(bondwise, tmp_path, monkeypatch):
    name = "[red]a[/b]\x1b[31m\n:smile:"
    circuit = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(1, "[bold]c[/x]"))
    circuit.measure(0, 0)
    (tmp_path / name).parent.mkdir()  # the slash is one of folders
    with (tmp_path / f"{name}.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    (tmp_path / f"{name}.json").write_text('[["Z", 1.0]]')
    monkeypatch.setenv("COLUMNS", "200")
    for words in ([], ["--observable", f"{name}.json"]):
        done = bondwise("run", f"{name}.qpy", *words, "--out", f"{name}{len(words)}")
        assert done.returncode == 0, done.stderr
        assert r"[red]a[/b]\x1b[31m\n:smile:" in done.stdout
        assert "\x1b" not in done.stdout
    assert "[bold]c[/x]" in bondwise("run", f"{name}.qpy", "--out", "other").stdout
    wrong = bondwise("run", "\x1b[31m.qpy")
    assert r"\x1b[31m.qpy" in wrong.stderr


def test_one_shot_has_no_error_bar(bondwise, bell, tmp_path):
    (tmp_path / "bell.qasm").write_text(qasm3.dumps(bell))
    words = ("run", "bell.qasm", "--observable", "ZI", "--observable", "II", "--shots", 1, "--backend", "aer")
    done = bondwise(*words, "--json", "--out", "a")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout, parse_constant=pytest.fail)["std"] == [None, 0.0]
    assert "unknown" in bondwise(*words, "--out", "b").stdout


def test_mitigation_without_noise_says_that_it_does_nothing(bondwise, bell, tmp_path):
    (tmp_path / "bell.qasm").write_text(qasm3.dumps(bell))
    words = ("run", "bell.qasm", "--observable", "ZZ", "--mitigate", "linear", "--shots", 0)
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    assert "statevector has no noise, so --mitigate linear has nothing to do" in done.stdout
