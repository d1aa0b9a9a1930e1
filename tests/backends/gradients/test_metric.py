"""The metric of a circuit's state against finite differences of a dense state."""

import numpy as np
import pytest
import torch
from helpers import metric_by_differences, mixture, phased, real_circuit
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from bondwise.backends.gradients.metric import metric_tensor
from bondwise.runs import UsageError


def shared() -> QuantumCircuit:
    """Parameters that occur several times, with factors, in rotations of two qubits and controlled ones."""
    a, b, c = ParameterVector("t", 3)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rx(2 * a + b, 0)
    circuit.rzz(a, 0, 2)
    circuit.crx(0.5 * b, 2, 1)
    circuit.rxx(b - c, 1, 2)
    circuit.ry(c**2, 1)
    circuit.cp(c, 0, 1)
    circuit.p(a, 2)
    return circuit


@pytest.mark.parametrize("circuit", [shared(), mixture()[0], phased(), real_circuit(4, 2)])
def test_it_is_what_differences_give(circuit):
    for seed in range(2):
        point = np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters)
        found = metric_tensor(circuit, torch.from_numpy(point)).numpy()
        assert found == pytest.approx(metric_by_differences(circuit, point), abs=1e-8)
        assert np.array_equal(found, found.T) or found == pytest.approx(found.T, abs=1e-14)
        assert np.linalg.eigvalsh(found).min() > -1e-12


def test_one_rotation():
    """A rotation of |0⟩ about y moves the state at the speed 1/2, one about z not at all."""
    angle = Parameter("angle")
    for gate, speed in (("ry", 0.5), ("rz", 0.0)):
        circuit = QuantumCircuit(1)
        getattr(circuit, gate)(angle, 0)
        metric = metric_tensor(circuit, torch.tensor([0.4], dtype=torch.float64))
        assert metric.item() == pytest.approx(speed**2, abs=1e-15)


def test_too_much_memory_is_refused():
    circuit = QuantumCircuit(40)
    for qubit, angle in enumerate(ParameterVector("t", 40)):
        circuit.ry(angle, qubit)
    with pytest.raises(UsageError, match="derivatives of a state of 40 qubits by 40 parameters"):
        metric_tensor(circuit, torch.zeros(40, dtype=torch.float64))
