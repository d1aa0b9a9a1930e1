import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector


@pytest.fixture
def make_circuit():
    """Builds a real circuit on n qubits, ry and cx in layers, with new parameters at each call."""

    def make(n, layers):
        angles = iter(ParameterVector("a", n * (layers + 1)))
        circuit = QuantumCircuit(n)
        for layer in range(layers + 1):
            for qubit in range(n):
                circuit.ry(next(angles), qubit)
            for qubit in range(layer % 2, n - 1, 2):
                if layer < layers:
                    circuit.cx(qubit, qubit + 1)
        return circuit

    return make
