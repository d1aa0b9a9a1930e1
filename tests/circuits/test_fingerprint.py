"""Fingerprints: what counts, what does not, and the same in every process."""

import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from qiskit import QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import ClassicalRegister, Parameter, ParameterVector
from qiskit.circuit.classical import expr
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import Clifford, SparsePauliOp, random_unitary

from bondwise.circuits import fingerprint
from bondwise.runs import UsageError


def rich() -> QuantumCircuit:
    """Expressions, matrices, own gates, branches, and names with running numbers."""
    t, a = ParameterVector("t", 3), Parameter("a")
    inner = QuantumCircuit(2)
    inner.rx(2 * t[0] + 0.1, 0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2), global_phase=a)
    circuit.append(inner.to_gate(), [0, 2])
    circuit.append(inner.to_gate().control(1, ctrl_state=0), [0, 1, 2])
    circuit.unitary(random_unitary(8, seed=1), [0, 1, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), t[1].sin()), [0, 1])
    circuit.ry(np.float64(0.3), 1)
    circuit.barrier()
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rz(t[2], 2)
    with circuit.switch(circuit.cregs[0]) as case:
        with case(2):
            circuit.x(2)
        with case(case.DEFAULT):
            circuit.y(2)
    return circuit


def test_every_process_finds_the_same():
    code = "from test_fingerprint import rich, fingerprint; rich(); print(fingerprint(rich()))"
    found = {fingerprint(rich())}
    for seed in ("1", "2"):
        path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.add(run.stdout.strip())
    assert len(found) == 1


def test_names_and_registers_do_not_count():
    named = QuantumCircuit(QuantumRegister(1, "a"), QuantumRegister(1, "b"), name="one", metadata={"x": 1})
    plain = QuantumCircuit(2)
    for circuit in (named, plain):
        circuit.ry(Parameter("angle"), 0)
        circuit.cx(0, 1)
    assert fingerprint(named) == fingerprint(plain)


def test_files_keep_it():
    circuit = rich()
    buffer = BytesIO()
    qpy.dump(circuit, buffer)
    buffer.seek(0)
    assert fingerprint(qpy.load(buffer)[0]) == fingerprint(circuit)


X = Parameter("x")
VARIANTS = [
    lambda q: q.ry(0.1, 0),
    lambda q: q.ry(0.1 + 1e-16, 0),
    lambda q: q.ry(0.1, 1),
    lambda q: q.rx(0.1, 0),
    lambda q: q.ry(X, 0),
    lambda q: q.ry(Parameter("y"), 0),
    lambda q: q.ry(X + 0.1, 0),
    lambda q: q.ry(X - 0.1, 0),
    lambda q: (q.ry(0.1, 0), q.ry(0.1, 0)),
    lambda q: q.unitary(np.eye(2), 0),
    lambda q: q.unitary(np.diag([1, np.exp(1e-12j)]), 0),
    lambda q: q.append(PauliEvolutionGate(SparsePauliOp("XX"), X), [0, 1]),
    lambda q: q.append(PauliEvolutionGate(SparsePauliOp("XX", 2.0), X), [0, 1]),
    lambda q: q.measure(0, 0),
    lambda q: q.measure(0, 1),
    lambda q: q.if_test((q.clbits[0], 1), QuantumCircuit(1), [0], []),
    lambda q: q.if_test((q.clbits[1], 1), QuantumCircuit(1), [0], []),
    lambda q: q.if_test((q.clbits[1], 0), QuantumCircuit(1), [0], []),
    lambda q: q.if_test(expr.logic_not(q.clbits[0]), QuantumCircuit(1), [0], []),
    lambda q: q.for_loop(range(2), None, QuantumCircuit(1), [0], []),
    lambda q: q.for_loop(range(3), None, QuantumCircuit(1), [0], []),
]


def test_everything_else_counts():
    made = [
        QuantumCircuit(2, 2),
        QuantumCircuit(2),
        QuantumCircuit(3, 2),
        QuantumCircuit(2, 2, global_phase=1),
    ]
    for write in VARIANTS:
        made.append(QuantumCircuit(2, 2))
        write(made[-1])
    assert len({fingerprint(circuit) for circuit in made}) == len(made)


def test_what_cannot_be_read_is_named():
    circuit = QuantumCircuit(1)
    circuit.append(Clifford(QuantumCircuit(1)), [0])
    with pytest.raises(UsageError, match="holds 'clifford', which has no fingerprint"):
        fingerprint(circuit)
    circuit = QuantumCircuit(1)
    circuit.add_var("held", expr.lift(False))
    with pytest.raises(UsageError, match="variables"):
        fingerprint(circuit)
