"""CX counts against what Qiskit's transpiler needs for the same gates."""

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Clifford, random_unitary

from bondwise import tn
from bondwise.circuits import cx_count, two_qubit_depth

GATES = {name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}


def needed(operation, level=1):
    """CX gates of one operation by itself; from level 2 on Qiskit merges gates and drops final swaps."""
    alone = QuantumCircuit(operation.num_qubits)
    alone.append(operation, alone.qubits)
    return transpile(alone, basis_gates=["cx", "u"], optimization_level=level).count_ops().get("cx", 0)


@pytest.mark.parametrize("name", [name for name, gate in GATES.items() if gate.num_qubits == 2])
def test_every_gate_on_two_qubits(name):
    kind = GATES[name].base_class
    numbers = 0.3 + np.arange(len(GATES[name].params))
    circuit = QuantumCircuit(2)
    circuit.append(kind(*numbers), [1, 0])
    assert cx_count(circuit) == needed(kind(*numbers))
    free = QuantumCircuit(2)
    free.append(kind(*map(Parameter, "abcd"[: len(numbers)])), [0, 1])
    assert cx_count(free) == needed(kind(*numbers))


def test_sums():
    circuit = QuantumCircuit(3, 1)
    angle = Parameter("a")
    for pair in ((0, 1), (1, 2), (0, 2)):
        circuit.rzz(angle, *pair)
    assert cx_count(circuit) == 6
    circuit.swap(0, 1)
    circuit.iswap(1, 2)
    assert cx_count(circuit) == 11
    circuit.barrier(0, 1)
    circuit.rzz(0.0, 0, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    assert cx_count(circuit) == 11
    circuit.ccx(0, 1, 2)
    assert cx_count(circuit) == 17
    with circuit.if_test((0, 1)):
        circuit.cx(0, 1)
    assert cx_count(circuit) == 18


def test_depth_of_larger_gates_branches_and_what_is_no_gate():
    circuit = QuantumCircuit(4, 1)
    circuit.ccx(0, 1, 2)
    assert two_qubit_depth(circuit) == cx_count(circuit) == 6
    written = transpile(circuit, basis_gates=["cx", "u"], optimization_level=0)
    assert two_qubit_depth(written) == 6
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.cx(1, 2)
    with otherwise:
        circuit.cx(1, 2)
        circuit.cz(2, 3)
    assert two_qubit_depth(circuit) == 8
    circuit.barrier()
    circuit.cx(0, 1)
    assert two_qubit_depth(circuit) == 9

    unitary = QuantumCircuit(4)
    unitary.unitary(random_unitary(16, seed=0), range(4))
    written = transpile(unitary, basis_gates=["cx", "u"], optimization_level=0)
    assert two_qubit_depth(unitary) == written.depth(lambda step: len(step.qubits) == 2) > 20


@pytest.mark.parametrize("seed", range(5))
def test_matrices_and_subcircuits(seed):
    unitary = random_unitary(4, seed=seed)
    circuit = QuantumCircuit(2)
    circuit.unitary(unitary, [0, 1])
    assert cx_count(circuit) == 3
    inner = QuantumCircuit(2, name="inner")
    inner.rzz(0.4, 0, 1)
    inner.rxx(0.3, 0, 1)
    fewest = needed(inner.to_gate(), level=3)
    inner.name = "barrier"
    circuit = QuantumCircuit(2)
    circuit.append(inner.to_gate(), [0, 1])
    assert cx_count(circuit) == fewest == 2
    circuit = QuantumCircuit(2)
    circuit.append(Clifford(GATES["swap"]), [0, 1])
    assert cx_count(circuit) == 3


def test_depth_leaves_barriers_out():
    circuit = QuantumCircuit(3)
    circuit.cx(0, 1)
    circuit.barrier(1, 2)
    circuit.cx(1, 2)
    circuit.h(2)
    assert two_qubit_depth(circuit) == 2


def test_a_fit_counts_what_the_circuit_needs():
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate(map(Parameter, "abc")):
        circuit.ry(angle, qubit)
    for first, second, angle in ((0, 1, "d"), (1, 2, "e"), (0, 1, "f")):
        circuit.rzz(Parameter(angle), first, second)
    state = tn.site_tensors(np.eye(8)[0])
    assert tn.fit(circuit, state, np.full(6, 0.1)).cx_count == 6
    circuit.swap(0, 1)
    circuit.iswap(1, 2)
    assert tn.fit(circuit, state, np.full(6, 0.1)).cx_count == 11
