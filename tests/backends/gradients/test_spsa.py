"""Gradients by simultaneous perturbation: their mean and their seeds."""

from __future__ import annotations

import numpy as np
import torch
from helpers import mixture, tensor
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Backend, expectation

EXACT = Backend("exact", estimator=StatevectorEstimator(), exact=True)


def test_spsa_is_unbiased_up_to_its_step():
    circuit = QuantumCircuit(4)
    theta = ParameterVector("t", 4)
    for qubit in range(4):
        circuit.ry(theta[qubit], qubit)
    observable = SparsePauliOp(["IIIZ", "IIZI", "IZII", "ZIII"])
    point = np.array([0.2, 0.9, -1.4, 2.0])
    draws = 2000
    batch = torch.from_numpy(np.tile(point, (draws, 1))).requires_grad_()
    values = expectation(circuit, observable, batch, "statevector", gradient="spsa", seed=3)
    np.testing.assert_allclose(values.detach(), np.cos(point).sum(), atol=1e-12)
    mean = torch.autograd.grad(values.sum(), batch)[0].numpy().mean(axis=0)
    # the other parameters' slopes are the noise on each component
    sigma = np.sqrt(((np.sin(point) ** 2).sum() - np.sin(point) ** 2) / draws)
    assert (np.abs(mean + np.sin(point) * np.sin(0.1) / 0.1) < 4 * sigma).all()


def test_spsa_seeds():
    circuit, observables = mixture()
    theta = tensor([0.3, -0.8, 1.1], requires_grad=True)

    def slope(seed) -> torch.Tensor:
        return torch.autograd.grad(
            expectation(circuit, observables[0], theta, EXACT, gradient="spsa", seed=seed), theta
        )[0]

    assert torch.equal(slope(1), slope(1))
    generator = np.random.default_rng(1)
    assert len({tuple(slope(generator).sign().tolist()) for _ in range(12)}) > 1
