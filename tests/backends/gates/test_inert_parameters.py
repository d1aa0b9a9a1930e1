"""Parameters that do not affect expectation values have a gradient of zero."""

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import GlobalPhaseGate

from bondwise.backends import expectation, to_torch

METHODS = [
    ("statevector", "auto"), ("statevector", "adjoint"), ("statevector", "backprop"),
    ("statevector", "parameter-shift"), ("statevector", "spsa"), ("aer", "parameter-shift"), ("aer", "spsa"),
]  # fmt: skip


def only_phase():
    circuit = QuantumCircuit(2, global_phase=Parameter("a"))
    circuit.append(GlobalPhaseGate(2 * Parameter("b")), [])
    circuit.h(0)
    return circuit


@pytest.mark.parametrize(("backend", "gradient"), METHODS)
@pytest.mark.parametrize("shape", [(2,), (3, 2), (130, 2), (0, 2)])
@pytest.mark.parametrize("observables", ["IX", ["IX", "XI"]])
def test_global_phase_alone(backend, gradient, shape, observables):
    parameters = torch.full(shape, 0.3, dtype=torch.float64, requires_grad=True)
    values = expectation(only_phase(), observables, parameters, backend, gradient=gradient, seed=0)
    assert values.shape == (*shape[:-1], *((2,) if isinstance(observables, list) else ()))
    (slopes,) = torch.autograd.grad(values.sum(), parameters)
    assert torch.equal(slopes, torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(("backend", "gradient"), [pair for pair in METHODS if pair[1] != "spsa"])
def test_global_phase_beside_a_rotation(backend, gradient):
    circuit = only_phase()
    circuit.ry(Parameter("c"), 1)
    parameters = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64, requires_grad=True)
    value = expectation(circuit, "XI", parameters, backend, gradient=gradient)
    (slopes,) = torch.autograd.grad(value, parameters)
    torch.testing.assert_close(slopes, parameters.detach().cos() * torch.tensor([0.0, 0.0, 1.0]))


def test_second_derivatives_by_backpropagation():
    parameters = torch.tensor([0.1, 0.2], dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(
        lambda angles: expectation(only_phase(), "IX", angles, gradient="backprop"), parameters
    )
    assert torch.equal(hessian, torch.zeros(2, 2, dtype=torch.float64))


@pytest.mark.parametrize("gradient", ["auto", "adjoint", "backprop", "parameter-shift", "spsa"])
def test_a_module_trains_past_it(gradient):
    module = to_torch(only_phase(), "IX", gradient=gradient, parameters=[0.1, 0.2], seed=0)
    module().backward()
    assert torch.equal(module.weight.grad, torch.zeros(2, dtype=torch.float64))


def test_no_gradient_where_none_is_asked_for():
    parameters = torch.zeros(2, requires_grad=True)
    with torch.no_grad():
        assert not expectation(only_phase(), "IX", parameters, gradient="backprop").requires_grad
    assert not expectation(only_phase(), "IX", parameters.detach()).requires_grad
