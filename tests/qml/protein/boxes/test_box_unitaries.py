"""Compiled boxes against Qiskit's matrices, and their gradient against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from bondwise.qml.protein.boxes.ansatz import Ansatz, Gate, latch_gates
from bondwise.qml.protein.boxes.box_unitaries import unitaries

LAYOUTS = {
    "all": (
        Gate("H", (2,)),
        Gate("Rx", (0,), 0),
        Gate("Ry", (1,), 1),
        Gate("CX", (2, 0)),
        Gate("Rz", (2,), 2),
        Gate("CRx", (0, 2), 3),
        Gate("CRz", (2, 1), 4),
        Gate("Rxx", (1, 0), 5),
        Gate("Ryy", (0, 2), 6),
        Gate("Rzz", (1, 2), 0),  # an angle that occurs twice
    ),
    "sim14": Ansatz("sim14", layers=2).gates(3, "merge"),
    "latch": latch_gates(3, 1),
}


def by_qiskit(gates, wires, angles):
    circuit = QuantumCircuit(wires)
    for gate in gates:
        qubits = [wires - 1 - wire for wire in gate.wires]  # Qiskit's matrices have qubit 0 rightmost
        values = [] if gate.parameter is None else [float(angles[gate.parameter])]
        getattr(circuit, gate.name.lower())(*values, *qubits)
    return Operator(circuit).data


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(LAYOUTS)), seed=st.integers(0, 10**6))
def test_equals_qiskit(name, seed):
    gates = LAYOUTS[name]
    count = 1 + max(gate.parameter for gate in gates if gate.parameter is not None)
    angles = torch.from_numpy(np.random.default_rng(seed).normal(scale=3, size=(2, count)))
    for row, found in zip(angles, unitaries(gates, 3, angles), strict=True):
        np.testing.assert_allclose(found, by_qiskit(gates, 3, row), atol=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_gradient(name):
    gates = LAYOUTS[name]
    count = 1 + max(gate.parameter for gate in gates if gate.parameter is not None)
    angles = torch.randn(2, count, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a: torch.view_as_real(unitaries(gates, 3, a)), angles, fast_mode=True
    )
    assert torch.autograd.gradcheck(lambda a: unitaries(gates, 3, a)[:, :, 0].abs() ** 2, angles)


def test_single_precision():
    angles = torch.randn(3, 24)
    found = unitaries(LAYOUTS["sim14"], 3, angles)
    assert found.dtype == torch.complex64
    exact = unitaries(LAYOUTS["sim14"], 3, angles.double())
    assert (found - exact).abs().max() < 1e-6
