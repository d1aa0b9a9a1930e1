"""OpenQASM: the version of a file, its includes, and what is said about a wrong line."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Statevector

from bondwise.backends import estimate, sample, to_pennylane
from bondwise.circuits import as_circuit, read_circuit, write_circuit
from bondwise.runs import UsageError
from bondwise.tn import fit

TWO = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\n'
THREE = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n'


def expected():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.rz(0.25, 1)
    return circuit


BODY = "h q[0];\ncx q[0], q[1];\nrz(0.25) q[1];\n"


@pytest.mark.parametrize(
    "text",
    [
        TWO + BODY,
        THREE + BODY,
        "\ufeff" + TWO + BODY,
        "\ufeff" + (THREE + BODY).replace("\n", "\r\n"),
        (TWO + BODY).replace("\n", "\r\n"),
        "// as OPENQASM 2.0; was\n/* OPENQASM 2.0;\n */" + THREE + BODY,
        "// not OPENQASM 3.0;\n" + TWO + BODY,
        THREE + '// "OPENQASM 2.0;"\n' + BODY,
        THREE.replace("3.0", "3") + BODY + '// include "absent.inc";\n/* include "absent.inc"; */',
        THREE.replace("3.0", "3.1") + BODY,
        TWO.removeprefix("OPENQASM 2.0;\n") + BODY,
        THREE.removeprefix("OPENQASM 3.0;\n") + BODY,
    ],
)
def test_the_first_statement_is_the_version(tmp_path, text):
    (tmp_path / "a.qasm").write_bytes(text.encode())
    np.testing.assert_allclose(
        Operator(read_circuit(tmp_path / "a.qasm")).data, Operator(expected()).data, atol=1e-15
    )


@pytest.mark.parametrize("start", [TWO, THREE], ids=["2", "3"])
def test_includes_beside_the_file(tmp_path, monkeypatch, start):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pair.inc").write_text('include "twist.inc";\ngate pair a, b { h a; cx a, b; }\n')
    (tmp_path / "twist.inc").write_text("gate twist(t) a { rz(t) a; }")
    (tmp_path / "a.qasm").write_text(
        start + 'include "sub/pair.inc"; pair q[0], q[1];\n// "/etc/passwd"\ntwist(0.25) q[1];\n'
    )
    monkeypatch.chdir("/")
    np.testing.assert_allclose(
        Operator(read_circuit(tmp_path / "a.qasm")).data, Operator(expected()).data, atol=1e-15
    )


REFUSED = {
    "gate 'h' is not defined; write include \"qelib1.inc\";": ("OPENQASM 2.0;\nqreg q[1];\nh q[0];", 3),
    "gate 'h' is not defined; write include \"stdgates.inc\";": ("OPENQASM 3.0;\nqubit q;\nh q;", 3),
    "'foo' is not defined; define it above: a gate as in gate foo a": (TWO + "foo q[0];", 4),
    "'bar' is not defined; define it above: a gate as in gate bar a": (THREE + "bar q[0];", 4),
    "give each gate its angles, as in rx(0.5) q[0];": (TWO + "h q[0];\n\nrx q[0];\nh q[0];", 6),
    "__init__() missing": (THREE + "h q[0];\nrx q[0];", 5),
    "'rx' takes 1 parameter, but got 2; give each gate its angles": (TWO + "rx(1, 2) q[0];", 4),
    "got 1; give each gate its qubits, as in cx q[0], q[1];": (TWO + "cx q[0];", 4),
    "expectation (2); give each gate its qubits": (THREE + "cx q[0];", 4),
    "index 7 is out-of-range": (TWO + "h q[7];", 4),
    "number qubits from 0, as in h q[0];": (THREE + "h q[7];", 4),
    "free angles need OpenQASM 3, with input float t;": (TWO + "rx(t) q[0];", 4),
    "free angle, input float theta;": (THREE + "rx(theta) q[0];", 4),
    "name different qubits": (THREE + "cx q[0], q[0];", 4),
    "already": (THREE + "qubit[2] q;", 4),
    "instead saw an identifier; end each statement with a semicolon": (TWO + "h q[0]\nh q[1];", 5),
    "'h' is not expected here; end each statement with a semicolon": (THREE + "h q[0]\nh q[1];", 5),
    "the end of the file is not expected here": (THREE + "h q[0]", 5),
    "not 'bit == const int'; write if (c[0]) for a bit, or if (c == 1) for a register": (
        THREE + "bit[2] c;\nif (c[0] == 1) { h q[0]; }",
        5,
    ),
    "write gates, measurements and resets": (THREE + "int x;", 4),
    "OpenQASM 4 is unknown; give OpenQASM 2 or 3": ("\n\nOPENQASM 4.0;", 3),
    'which is not for OpenQASM 3; write include "stdgates.inc";': ('OPENQASM 3;\ninclude "qelib1.inc";', 2),
    'which is not for OpenQASM 2; write include "qelib1.inc";': ('OPENQASM 2.0;\ninclude "stdgates.inc";', 2),
    'put it there, or write include "stdgates.inc";': (THREE + 'include "absent.inc";', 4),
}


@pytest.mark.parametrize("message", REFUSED)
def test_wrong_lines_are_named_with_an_accepted_one(tmp_path, message):
    text, line = REFUSED[message]
    (tmp_path / "a.qasm").write_text(text)
    with pytest.raises(UsageError) as refusal:
        read_circuit(tmp_path / "a.qasm")
    said = str(refusal.value)
    assert said.startswith(str(tmp_path / "a.qasm"))
    assert message in said
    assert f"line {line}" in said
    assert said.isprintable()
    assert "<input>" not in said


@pytest.mark.parametrize("start", [TWO, THREE], ids=["2", "3"])
def test_a_wrong_line_of_an_included_file(tmp_path, start):
    (tmp_path / "mine.inc").write_text("gate good a { h a; }\ngate bad a {\n  foo a; }\n")
    (tmp_path / "a.qasm").write_text(start + 'include "mine.inc";\ngood q[0];\n')
    with pytest.raises(UsageError, match=r"a\.qasm .*: mine\.inc, line 3, column 2: 'foo' is not defined"):
        read_circuit(tmp_path / "a.qasm")
    (tmp_path / "mine.inc").write_text("gate good a { h a; }\n\n")
    (tmp_path / "a.qasm").write_text(start + 'h q[0];\n  include "mine.inc"; good q[0]; bad q[1];\n')
    with pytest.raises(UsageError, match=r"a\.qasm .*: line 5, column 33: 'bad' is not defined"):
        read_circuit(tmp_path / "a.qasm")


def test_a_file_that_includes_itself(tmp_path):
    (tmp_path / "a.inc").write_text('include "b.inc";')
    (tmp_path / "b.inc").write_text('include "a.inc";')
    (tmp_path / "a.qasm").write_text(THREE + 'include "a.inc";')
    with pytest.raises(UsageError, match=r"a\.qasm: a\.inc includes itself"):
        read_circuit(tmp_path / "a.qasm")


@pytest.mark.parametrize("start", ["", "include "])
@pytest.mark.parametrize("comment", ["// // ", "/* /* */ ", "// /* "])
def test_comments_of_comments_are_read_in_linear_time(tmp_path, start, comment):
    (tmp_path / "a.qasm").write_text(start + comment * 2000 + "\n;" + comment * 2000)
    with pytest.raises(UsageError, match="cannot be read as a circuit"):  # and soon: it would take forever
        read_circuit(tmp_path / "a.qasm")


def test_includes_that_double_at_each_step(tmp_path):
    for step in range(30):
        (tmp_path / f"{step}.inc").write_text(f'include "{step + 1}.inc";\n' * 2)
    (tmp_path / "30.inc").write_text("// nothing\n")
    (tmp_path / "a.qasm").write_text(THREE + 'include "0.inc";')
    with pytest.raises(UsageError, match="includes more than 100 files"):
        read_circuit(tmp_path / "a.qasm")


def test_a_path_stands_for_the_circuit_in_it(tmp_path):
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    for name in ("a.qasm", "a.qasm2", "a.qpy"):
        path = write_circuit(circuit, tmp_path / name)
        for given in (path, str(path)):
            assert as_circuit(given) == circuit
            assert to_pennylane(given).__name__
            assert estimate(given, "ZZ").value == pytest.approx(1.0)
            assert estimate(given, "IZ").value == pytest.approx(np.cos(0.3))
            assert sum(sample(given, shots=20, seed=0).counts["meas"].values()) == 20
    (tmp_path / "free.qasm").write_text(THREE + "input float theta;\nry(theta) q[0];\n")
    assert fit(tmp_path / "free.qasm", circuit, restarts=1, seed=0).circuit.num_parameters == 1


@pytest.mark.parametrize(("text", "call"), [(TWO, "qasm2.loads"), (THREE, "qasm3.loads")])
def test_a_program_as_text_is_refused_with_the_call_that_reads_it(text, call):
    with pytest.raises(UsageError, match=f"OpenQASM text; pass qiskit.{call}") as refusal:
        as_circuit(text)
    assert "\n" not in str(refusal.value)


def test_inputs_of_two_files_are_two_parameters(tmp_path):
    """Files are parsed in forked processes, whose random numbers may be alike."""
    circuits = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.qasm").write_text(THREE + f"input float {name};\nrx({name}) q[0];\n")
        circuits.append(read_circuit(tmp_path / f"{name}.qasm"))
    both = circuits[0].compose(circuits[1])
    both.rx(Parameter("c"), 0)
    assert [parameter.name for parameter in both.parameters] == ["a", "b", "c"]
    state = Statevector(both.assign_parameters([0.1, 0.2, 0.3]))
    assert state.probabilities([0])[1] == pytest.approx(np.sin(0.3) ** 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("for uint i in [0:1] { h q[i]; }\n", r"write the passes of the loop out, as in h q\[0\]; h q\[1\];"),
        ("input float w;\nrx(sin(w)) q[0];\n", "write the number, or declare an input and compute its angle"),
        ("input float w;\nrx(w**2) q[0];\n", "write the number, or declare an input and compute its angle"),
        ("float t = 0.3;\nrx(t) q[0];\n", r"write the number in the gate, as in rx\(0\.3\) q\[0\];"),
        ("const float t = 0.3;\n", r"write the number in the gate, as in rx\(0\.3\) q\[0\];"),
        (
            "input float x;\nrx(x) q[0];\n",
            r"'x' is the name of a gate in stdgates\.inc; give another, as",
        ),
        ("input array[float[64], 3] t;\n", "declare one for each number, as in input float theta;"),
        ("def f(qubit a) { h a; }\n", "define a gate, as in gate bell a, b"),
        ("output bit c;\n", "declare bit.2. c; and write c = measure q;"),
    ],
)
def test_what_is_beyond_the_reader_says_what_to_write(tmp_path, body, message):
    (tmp_path / "a.qasm").write_text(THREE + body)
    start = r"a\.qasm cannot be read as a circuit: line \d, .*"
    with pytest.raises(UsageError, match=start + message) as refusal:
        read_circuit(tmp_path / "a.qasm")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["qubit[2] q;\nh q[0];\n", "qreg q[2];\nh q[0];\n", "hello\n", "h q[0];\n"])
def test_a_file_without_a_version_says_what_to_add(tmp_path, text):
    (tmp_path / "a.qasm").write_text(text)
    message = 'there is no version line: begin with OPENQASM 3.0; include "stdgates.inc"; or with OPENQA'
    with pytest.raises(UsageError, match=message):
        read_circuit(tmp_path / "a.qasm")
