"""The parameter-shift rule on noisy backends, and for gates that a device decomposes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import jacobian, mixture, tensor
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping

from bondwise.backends import expectation


def test_gradient_of_noisy_values():
    circuit, observables = mixture()
    theta = tensor([0.3, -0.8, 1.1], requires_grad=True)
    backend = "aer:depolarizing=0.05"
    assert torch.autograd.gradcheck(lambda t: expectation(circuit, observables, t, backend), (theta,))
    noisy, ideal = (expectation(circuit, observables[1], theta, where) for where in (backend, "statevector"))
    assert abs(noisy.item()) < abs(ideal.item())


def test_gradient_on_a_device_snapshot():
    circuit, observables = mixture()
    theta = tensor([0.3, -0.8, 1.1], requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda t: expectation(circuit, observables, t, "fake:sherbrooke"), (theta,)
    )


@pytest.mark.parametrize("name", ["p", "u1", "rxx", "rzx", "cp", "cu1", "crx", "cry", "crz", "cu"])
def test_gates_that_a_device_takes_apart_have_its_exact_slopes(name):
    # on sherbrooke cp becomes three rotations by half its angle, with errors in between
    kind = get_standard_gate_name_mapping()[name].base_class
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(0.7 + qubit, qubit)
        circuit.rz(0.3, qubit)
    gate = kind(*ParameterVector("t", 4 if name == "cu" else 1))
    circuit.append(gate, range(gate.num_qubits))
    circuit.rx(0.4, 0)
    circuit.ry(0.9, 1)
    theta = tensor(np.linspace(0.8, 1.4, circuit.num_parameters), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda t: expectation(circuit, ["ZZ", "XY", "IZ"], t, "fake:sherbrooke"),
        (theta,),
        atol=1e-7,
        rtol=1e-5,
    )


def test_resets_are_shifted_where_the_backend_runs_them():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(2)
    circuit.ry(x, 0)
    circuit.reset(0)
    circuit.ry(y, 0)
    np.testing.assert_allclose(
        jacobian(circuit, "IZ", [0.4, 0.7], "auto", "aer:depolarizing=0.1"), [0, -np.sin(0.7)], atol=1e-9
    )
