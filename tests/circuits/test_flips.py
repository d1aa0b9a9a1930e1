"""Circuits that only flip qubits read what a simulator reads."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorSampler

from bondwise.circuits.flips import certain_bits


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_bits_are_those_of_a_simulator(seed):
    rng = np.random.default_rng(seed)
    circuit, angles = QuantumCircuit(3, 3), ParameterVector("a", 4)
    for angle in angles:
        qubit = int(rng.integers(3))
        circuit.sx(qubit)
        circuit.rz(np.pi - 2 * angle, qubit)
        circuit.sx(qubit)
        circuit.rx(angle, qubit)
        if rng.random() < 0.3:
            circuit.x(qubit)
            circuit.barrier()
            circuit.h(qubit)
            circuit.z(qubit)
            circuit.h(qubit)
    circuit.measure(rng.permutation(3).tolist(), [0, 1, 2])
    sets = np.pi * rng.integers(0, 3, (5, 4))
    expected = certain_bits(circuit, sets)
    bits = StatevectorSampler(seed=seed).run([(circuit, sets)], shots=3).result()[0].data.c
    np.testing.assert_array_equal(expected, bits.to_bool_array(order="little")[:, 0])


def test_what_is_not_certain():
    superposed, entangling, free = QuantumCircuit(1, 1), QuantumCircuit(2, 2), QuantumCircuit(1, 1)
    superposed.h(0)
    entangling.cx(0, 1)
    free.u(ParameterVector("a", 1)[0], 0.0, 0.0, 0)
    for circuit in (superposed, entangling, free):
        circuit.measure(range(circuit.num_qubits), range(circuit.num_qubits))
        assert certain_bits(circuit, np.zeros((2, circuit.num_parameters))) is None
