"""Every standard gate of Qiskit on Aer, with noise and without, against Qiskit's own states."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import (
    MCMTGate,
    RYGate,
    RZGate,
    UnitaryGate,
    XGate,
    ZGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector, SuperOp, random_unitary
from qiskit_aer.noise import NoiseModel, depolarizing_error

from bondwise.backends import estimate, get_backend, sample

STANDARD = {name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}
CONTROLLED = {
    "mcrz": RZGate(0.7).control(3),
    "mcry": RYGate(0.7).control(2),
    "mcx open": XGate().control(3, ctrl_state=2),
    "mcx": XGate().control(3),
    "mcmt": MCMTGate(ZGate(), 2, 2),
    "block": UnitaryGate(random_unitary(4, seed=1)).control(1),
}


def instance(name):
    if name in CONTROLLED:
        return CONTROLLED[name]
    gate = STANDARD[name]
    return gate.base_class(*(0.3 + 0.4 * np.arange(len(gate.params))))


def circuit_of(name):
    """The gate between rotations that make it matter, on at least two qubits."""
    gate = instance(name)
    size = max(gate.num_qubits, 2)
    circuit = QuantumCircuit(size)
    for qubit in range(size):
        circuit.ry(0.5 + 0.3 * qubit, qubit)
    circuit.append(gate, range(gate.num_qubits))
    for qubit in range(size):
        circuit.rx(0.4 + 0.2 * qubit, qubit)
    return circuit


def words(size):
    return ["".join("IXYZ"[(place + shift) % 4] for place in range(size)) for shift in range(4)] + [
        "Z" * size
    ]


@pytest.mark.parametrize("method", ["statevector", "density_matrix", "matrix_product_state"])
def test_exact_values(method):
    for name in [*STANDARD, *CONTROLLED]:
        circuit = circuit_of(name)
        state = Statevector(circuit)
        expected = [state.expectation_value(SparsePauliOp(word)).real for word in words(circuit.num_qubits)]
        found = estimate(circuit, words(circuit.num_qubits), backend=f"aer:{method}").value
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)


def noisy(circuit, strength):
    """The state when each gate on two qubits is followed by its error, gate by gate."""
    error = SuperOp(depolarizing_error(strength, 2))
    state = DensityMatrix.from_int(0, 2**circuit.num_qubits)
    for step in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        state = state.evolve(step.operation, where)
        if len(where) == 2:
            state = state.evolve(error, where)
    return state


def test_depolarizing_noise():
    backend = get_backend("aer:depolarizing=0.03")
    for name in [*STANDARD, *CONTROLLED]:
        circuit = circuit_of(name)
        isa = backend.transpile(circuit)
        assert all(len(step.qubits) <= 2 for step in isa.data)
        state = noisy(isa, 0.03)
        expected = [state.expectation_value(SparsePauliOp(word)).real for word in words(circuit.num_qubits)]
        found = estimate(circuit, words(circuit.num_qubits), backend=backend).value
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("backend", ["aer:depolarizing=0.03", "aer:statevector,depolarizing=0.03"])
@pytest.mark.parametrize("name", ["ccx", "ccz", "cswap", "cs", "csx", "mcrz", "block"])
def test_samples_with_noise(backend, name):
    circuit = circuit_of(name)
    expected = noisy(get_backend(backend).transpile(circuit), 0.03).probabilities_dict()
    counts = sample(circuit, shots=4000, seed=3, backend=backend).counts["meas"]
    distance = sum(abs(counts.get(w, 0) / 4000 - expected.get(w, 0)) for w in {*counts, *expected}) / 2
    assert distance < 0.05


def test_a_gate_the_method_lacks_takes_the_error_that_its_model_names():
    model = NoiseModel(basis_gates=["cx", "csx", "u", "rz", "sx", "ry"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), "csx")
    circuit = QuantumCircuit(2)
    circuit.ry(0.5, 0)
    circuit.csx(0, 1)
    state = DensityMatrix(circuit).evolve(SuperOp(depolarizing_error(0.2, 2)), [0, 1])
    expected = [state.expectation_value(SparsePauliOp(word)).real for word in words(2)]
    found = estimate(circuit, words(2), backend=get_backend("aer", noise=model)).value
    np.testing.assert_allclose(found, expected, atol=1e-9)
    counts = sample(circuit, shots=4000, seed=1, backend=get_backend("aer", noise=model)).counts["meas"]
    for word, probability in state.probabilities_dict().items():
        assert counts.get(word, 0) / 4000 == pytest.approx(probability, abs=0.04)


@pytest.mark.parametrize(
    "name", ["id", "x", "h", "s", "sdg", "sx", "cx", "cz", "swap", "ecr", "dcx", "iswap"]
)
def test_clifford_gates_on_stabilizers(name):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(instance(name), range(instance(name).num_qubits))
    state = Statevector(circuit)
    expected = [state.expectation_value(SparsePauliOp(word)).real for word in words(2)]
    np.testing.assert_allclose(
        estimate(circuit, words(2), backend="aer:stabilizer").value, expected, atol=1e-9
    )
