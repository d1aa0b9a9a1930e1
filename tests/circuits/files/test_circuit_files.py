"""Circuits from files: what is read, what is refused before any work is done, and mutated files."""

import io
import json
import math
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator

from bondwise.circuits import bind_soundly, declared_parameters, read_circuit
from bondwise.runs import UsageError

QASM2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
QASM3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def rich(parameters=True):
    """A circuit with some of everything that the formats share."""
    inner = QuantumCircuit(2, name="inner")
    inner.h(0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(3, 2)
    circuit.append(inner.to_gate(), [2, 0])
    circuit.rx(Parameter("x") if parameters else 0.25, 1)
    circuit.rzz(-1.5e-3, 0, 1)
    circuit.ccx(0, 1, 2)
    circuit.barrier()
    circuit.measure([0, 1], [1, 0])
    circuit.reset(2)
    return circuit


def as_qpy(circuit):
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def conditional():
    circuit = QuantumCircuit(2, 1, global_phase=0.5)
    circuit.unitary(np.eye(4)[::-1], [0, 1])
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    with circuit.for_loop(range(3)):
        circuit.h(0)
    vector = ParameterVector("v", 2)
    circuit.ry(2 * vector[1] - vector[0], 1)
    return circuit


SAMPLES = {
    "a.qpy": [as_qpy(rich()), as_qpy(conditional())],
    "two.qasm": [
        qasm2.dumps(rich(parameters=False)).encode(),
        (
            QASM2 + "gate g(t) a,b{rx(t/2) a;cx a,b;}qreg q[4];creg c[4];g(pi) q[0],q[1];measure q->c;\n"
        ).encode(),
    ],
    "three.qasm": [
        qasm3.dumps(rich()).encode(),
        (
            QASM3 + "qubit[3] q;\nbit[2] c;\ngate g(t) a { rx(t / 2) a; }\nfor uint i in [0:2] { h q[0]; }\n"
            "ctrl @ g(pi) q[0], q[1];\nc[0] = measure q[0];\nif (c[0]) { x q[1]; }\nreset q;\n"
        ).encode(),
    ],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files_are_read_or_refused_in_one_line(assert_robust, name):
    assert_robust(read_circuit, SAMPLES[name], name, count=15)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_many_mutated_files(assert_robust, name):
    assert_robust(read_circuit, SAMPLES[name], name, count=2000, seed=1)


def doubling(version, angle):
    """A gate of 2**60 operations in 60 lines."""
    formal, actual = ("(t)", "(t)") if angle else ("", "")
    lines = [f"gate g0{formal} a {{ {'rx(t)' if angle else 'h'} a; }}"]
    lines += [f"gate g{i}{formal} a {{ g{i - 1}{actual} a; g{i - 1}{actual} a; }}" for i in range(1, 61)]
    start = QASM2 + "qreg q[1];" if version == 2 else QASM3 + "qubit[1] q;"
    return start + "\n".join(lines) + f"\ng60{'(0.1)' if angle else ''} q[0];\n"


def wide_qpy():
    """A QPY file of some 300 bytes that declares 2**25 qubits."""
    content = as_qpy(QuantumCircuit(173))
    assert content.count(struct.pack("!I", 173)) >= 1
    return content.replace(struct.pack("!I", 173), struct.pack("!I", 1 << 25))


HUNGRY = [
    ("a.qasm", doubling(2, False), "OPERATIONS"),
    ("a.qasm", doubling(2, True), "OPERATIONS"),
    ("a.qasm", doubling(3, False), "READ_SECONDS"),
    ("a.qasm", doubling(3, True), "READ_SECONDS"),
    ("a.qasm", QASM3 + "qubit[2000000000] q; h q[0];", "READ_(SECONDS|BYTES)"),
    ("a.qasm", QASM3 + "qubit[20000] q; h q[0];", "QUBITS"),
    ("a.qasm", QASM2 + "qreg q[2000000000]; h q[0];", None),
    ("a.qasm", QASM2 + "qreg q[9]; h q[99999999999999999999];", None),
    ("a.qasm", QASM3 + "qubit q; for uint i in [0:1000000000] { h q; }", "OPERATIONS"),
    ("a.qasm", QASM3 + "qubit q; for uint i in [0:9999] { for uint j in [0:9999] { h q; } }", "OPERATIONS"),
    ("a.qasm", QASM2 + "qreg q[9000];" + "h q;" * 9000, "READ_(SECONDS|BYTES)"),
    ("a.qpy", wide_qpy(), None),
]
READ_EACH = """
import json, os, resource, sys, traceback
from bondwise.circuits import read_circuit
from bondwise.runs import UsageError

def used():
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]

for path, limits in json.load(sys.stdin):
    receiving, sending = os.pipe()
    if not os.fork():  # so that each file has a memory of its own, which starts at that of the imports
        os.environ |= limits
        said = ""
        try:
            read_circuit(path)
        except UsageError as error:
            said = str(error)
        except BaseException:
            said = traceback.format_exc()
        found = {
            "said": said,
            "seconds": sum(one.ru_utime + one.ru_stime for one in used()),
            "bytes": 1024 * max(one.ru_maxrss for one in used()),
        }
        os.write(sending, json.dumps(found).encode())
        os._exit(0)
    os.close(sending)
    os.wait()
    print(os.read(receiving, 1 << 16).decode())
"""


@pytest.fixture(scope="module")
def hungry(tmp_path_factory):
    """What reading each file of `HUNGRY` said and took.

    A child's memory starts at that of its parent, which is not this process: other tests may have filled it.
    """
    folder, jobs = tmp_path_factory.mktemp("hungry"), []
    for index, (name, content, variable) in enumerate(HUNGRY):
        path = folder / f"{index}{name}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        limits = {"BONDWISE_MAX_READ_SECONDS": "1"} if variable == "READ_SECONDS" else {}
        jobs.append((str(path), limits))
    done = subprocess.run(
        [sys.executable, "-c", READ_EACH], input=json.dumps(jobs), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(path, one) for (path, _), one in zip(jobs, found, strict=True)]


@pytest.mark.parametrize("index", range(len(HUNGRY)))
def test_small_files_that_ask_for_much_are_refused_soon(hungry, index):
    (path, found), variable = hungry[index], HUNGRY[index][2]
    assert re.search(f"BONDWISE_MAX_{variable}" if variable else "cannot be read", found["said"]), found
    assert path in found["said"]
    assert found["said"].isprintable()
    assert found["seconds"] < 5, found
    assert found["bytes"] <= 2 << 30, found


def test_limit_is_raised_by_its_variable(tmp_path, monkeypatch):
    path = tmp_path / "a.qasm"
    path.write_text(QASM3 + "qubit q; for uint i in [0:2999999] { h q; }")
    with pytest.raises(UsageError, match="3,000,000|6,000,000"):
        read_circuit(path)
    monkeypatch.setenv("BONDWISE_MAX_OPERATIONS", "9000000")
    assert read_circuit(path).num_qubits == 1


@pytest.mark.parametrize(
    "line",
    [
        'include "/etc/passwd";',
        'include "../secret.inc";',
        'include "sub/../../secret.inc";',
        'include "link.inc";',
        'include "//etc/passwd";',
        "include '../secret.inc';",
        'include // "qelib1.inc"\n"../secret.inc";',
        'include "chain.inc";',
    ],
)
def test_files_from_elsewhere_are_not_included(tmp_path, line):
    (tmp_path / "secret.inc").write_text("root:x:0:0\n")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.inc").symlink_to(tmp_path / "secret.inc")
    (folder / "chain.inc").write_text('include "../secret.inc";\n')
    (folder / "a.qasm").write_text(f"OPENQASM 2.0;\n{line}\nqreg q[1];\n")
    with pytest.raises(UsageError, match="which is not in its folder") as caught:
        read_circuit(folder / "a.qasm")
    assert "x:0:0" not in str(caught.value)
    (folder / "a.qasm").write_text(f"OPENQASM 3.0;\n{line}\nqubit q;\n")
    with pytest.raises(UsageError) as caught:
        read_circuit(folder / "a.qasm")
    assert "x:0:0" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 300, "loop.inc", "absent.inc", "sub"])
def test_includes_that_are_not_there(tmp_path, name):
    (tmp_path / "loop.inc").symlink_to("loop.inc")
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.qasm").write_text(f'OPENQASM 2.0;\ninclude "{name}";\nqreg q[1];\n')
    with pytest.raises(UsageError, match=r"a\.qasm, line 2 includes .* no such file in its folder"):
        read_circuit(tmp_path / "a.qasm")


def test_files_beside_are_included_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.inc").write_text("gate twice a { h a; h a; }\n")
    (tmp_path / "a.qasm").write_text(
        QASM2 + '// "/etc/passwd"\ninclude "sub/mine.inc";\nqreg q[1];\ntwice q[0];\n'
    )
    monkeypatch.chdir("/")
    assert Operator(read_circuit(tmp_path / "a.qasm")).equiv(np.eye(2))


@pytest.mark.parametrize(
    "body",
    [
        QASM2 + "qreg q[1]; rx(1e999) q[0];",
        QASM2 + "qreg q[1]; u3(0, 0, -1e999) q[0];",
        QASM2 + "gate g(t) a { rx(t * 1e200) a; } qreg q[1]; g(1e200) q[0];",
        QASM3 + "qubit q; rx(1e999) q;",
        QASM3 + "qubit q; gphase(1e999);",
        QASM3 + "qubit q; delay[1e999s] q;",
        QASM3 + "gate g(t) a { rx(t * 1e200) a; } qubit q; g(1e200) q;",
        QASM3 + "qubit q; for uint i in [0:1] { rx(1e999) q; }",
        QASM3 + "qubit q; ctrl @ gphase(1e999) q;",
    ],
)
def test_numbers_that_are_not_finite_are_refused(tmp_path, body):
    (tmp_path / "a.qasm").write_text(body)
    with pytest.raises(UsageError, match=r"a\.qasm.*(infinite|not unitary|finite)"):
        read_circuit(tmp_path / "a.qasm")


@pytest.mark.parametrize("content", [b"OPENQASM 3.0;\nqubit q;\n", b"junk", b""])
def test_other_content_in_a_qpy_file(tmp_path, content):
    (tmp_path / "a.qpy").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"a.qpy cannot be read as a circuit: it is not a QPY file.* ends in .qasm"
    ):
        read_circuit(tmp_path / "a.qpy")


def test_qpy_with_numbers_that_are_not_finite(tmp_path):
    for number in (math.nan, math.inf):
        circuit = QuantumCircuit(2)
        circuit.append(rotated(number), [1])
        (tmp_path / "a.qpy").write_bytes(as_qpy(circuit))
        with pytest.raises(UsageError, match=r"a\.qpy.*(infinite|finite)"):
            read_circuit(tmp_path / "a.qpy")


def rotated(angle):
    inner = QuantumCircuit(1)
    inner.rx(angle, 0)
    return inner.to_gate()


@pytest.mark.parametrize("matrix", [2 * np.eye(2), [[1, 0.5], [0, 1]]], ids=["scaled", "sheared"])
def test_matrices_that_are_not_unitary_are_refused(tmp_path, matrix):
    circuit, inner = QuantumCircuit(1), QuantumCircuit(1)
    inner.append(UnitaryGate(matrix, check_input=False), [0])
    circuit.append(inner.to_instruction(), [0])
    with (tmp_path / "a.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    with pytest.raises(UsageError, match=r"a\.qpy: the matrix of 'unitary' is not unitary"):
        read_circuit(tmp_path / "a.qpy")


def test_numbers_that_become_infinite_with_their_angles():
    circuit = QuantumCircuit(1)
    circuit.rx(1e300 * Parameter("x"), 0)
    with pytest.raises(UsageError, match=r"a\.qpy.*infinite"):
        bind_soundly(circuit, [1e300], "a.qpy")


def test_deep_definitions_are_refused(tmp_path):
    lines = "".join(f"gate g{i} a {{ g{i - 1} a; }}" for i in range(1, 400))
    (tmp_path / "a.qasm").write_text(QASM2 + f"gate g0 a {{ h a; }}{lines}qreg q[1]; g399 q[0];")
    with pytest.raises(UsageError, match=r"a\.qasm.* nested"):
        read_circuit(tmp_path / "a.qasm")


def test_syntax_errors_say_where(tmp_path):
    (tmp_path / "a.qasm").write_text(QASM3 + "qubit[2] q;\nh q[0]\nx q[1];\n")
    with pytest.raises(UsageError, match="line 5, column 0: 'x' is not expected here"):
        read_circuit(tmp_path / "a.qasm")


def test_order_of_declaration(tmp_path):
    path = tmp_path / "a.qasm"
    path.write_text(QASM3 + "input float b;\ninput angle a;\ninput float c;\nqubit q;\nrx(a) q; ry(b) q;\n")
    assert [parameter.name for parameter in declared_parameters(read_circuit(path))] == ["b", "a", "c"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipes_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.qasm")
    with pytest.raises(UsageError, match="there is no file"):
        read_circuit(tmp_path / "a.qasm")
