"""Errors of gates, read from a noise model, are the channels that were put into it."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SuperOp, random_quantum_channel, random_unitary
from qiskit_aer.noise import (
    NoiseModel,
    PauliLindbladError,
    QuantumError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
    thermal_relaxation_error,
)

from bondwise.backends.simulators.gate_errors import GateErrors
from bondwise.runs import UsageError


def of_gates():
    circuit = QuantumCircuit(2)
    circuit.rxx(0.3, 0, 1)
    circuit.s(1)
    circuit.cx(1, 0)
    circuit.reset(0)
    return QuantumError([(circuit, 0.25), (QuantumCircuit(2), 0.75)])


@pytest.mark.parametrize(
    "error",
    [
        depolarizing_error(0.1, 2),
        pauli_error([("XZ", 0.1), ("IY", 0.2), ("II", 0.7)]),
        coherent_unitary_error(random_unitary(4, seed=1).data),
        amplitude_damping_error(0.1).expand(thermal_relaxation_error(50, 70, 3)),
        QuantumError(random_quantum_channel(4, seed=2)),
        PauliLindbladError(["XX", "ZI"], [0.1, 0.2]),
        of_gates(),
    ],
)
def test_channels_are_those_of_aer(error):
    noise = NoiseModel(basis_gates=["cx"])
    noise.add_quantum_error(error, "cx", [4, 1])
    errors = GateErrors(noise)
    np.testing.assert_allclose(errors.channel("cx", (4, 1)).data, SuperOp(error).data, rtol=0, atol=1e-12)
    assert errors.channel("cx", (1, 4)) is None
    assert errors.channel("cz", (4, 1)) is None
    assert errors.two_qubit == ["cx"]


def test_errors_of_qubits_come_before_those_of_all():
    noise = NoiseModel(basis_gates=["x"])
    weak, strong = (pauli_error([("X", odds), ("I", 1 - odds)]) for odds in (0.1, 0.4))
    noise.add_all_qubit_quantum_error(weak, "x")
    noise.add_quantum_error(strong, "x", [2], warnings=False)
    errors = GateErrors(noise)
    np.testing.assert_allclose(errors.channel("x", (2,)).data, SuperOp(strong).data)
    np.testing.assert_allclose(errors.channel("x", (0,)).data, SuperOp(weak).data)
    assert errors.channel("x", (0,)) is errors.channel("x", (1,))
    assert errors.two_qubit == []


def test_what_is_refused():
    inner, outer = QuantumCircuit(1, name="own"), QuantumCircuit(1)
    inner.rx(0.3, 0)
    outer.append(inner.to_gate(), [0])
    noise = NoiseModel(basis_gates=["x"])
    noise.add_all_qubit_quantum_error(QuantumError(outer), "x")
    with pytest.raises(UsageError, match="an error with 'own'; write it as a unitary"):
        GateErrors(noise).channel("x", (0,))
    with pytest.raises(UsageError, match="noise is a float"):
        GateErrors(0.1)
