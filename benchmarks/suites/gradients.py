"""Gradients of qiskit-algorithms on our estimators, against the exact gradient of `expectation`.

A test file for `run.py`, since pip does not install the tests of qiskit-algorithms. Circuits go through
the backend's `transpile`, as in `estimate`.
"""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_algorithms.gradients import (
    FiniteDiffEstimatorGradient,
    ParamShiftEstimatorGradient,
    SPSAEstimatorGradient,
)

from bondwise.backends import Backend, expectation, get_backend

EXACT = ["statevector", "aer", "aer:density_matrix", "aer:matrix_product_state"]
NOISY = ["aer:depolarizing=0.01", "fake:manila"]
ENERGY = SparsePauliOp(["ZII", "IZZ", "XIX", "IYI"], [0.5, -1.0, 0.3, 0.8])
ANGLES = np.random.default_rng(0).uniform(-2, 2, 5)


class Compiler:
    """A transpiler in the sense of qiskit-algorithms: an object that compiles a list of circuits."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def run(self, circuits: list[QuantumCircuit]) -> list[QuantumCircuit]:
        return [self._backend.transpile(circuit) for circuit in circuits]


def circuit() -> QuantumCircuit:
    theta = ParameterVector("theta", 5)
    made = QuantumCircuit(3)
    for qubit in range(3):
        made.ry(theta[qubit], qubit)
    made.cx(0, 1)
    made.rzz(theta[3], 1, 2)
    made.rx(theta[4], 1)
    made.cx(1, 2)
    made.ry(2 * theta[0], 2)  # a parameter that occurs twice
    return made


def reference(backend: str) -> np.ndarray:
    angles = torch.tensor(ANGLES, requires_grad=True)
    return torch.autograd.grad(expectation(circuit(), ENERGY, angles, backend), angles)[0].numpy()


def gradient_of(kind: type, where: object, **options: object) -> np.ndarray:
    backend = get_backend(where)
    compiler = None if backend.target is None else Compiler(backend)
    gradient = kind(backend.estimator, transpiler=compiler, **options)
    return gradient.run([circuit()], [ENERGY], [ANGLES]).result().gradients[0]


@pytest.mark.parametrize("backend", [*EXACT, *NOISY])
def test_parameter_shift(backend: str) -> None:
    np.testing.assert_allclose(
        gradient_of(ParamShiftEstimatorGradient, backend), reference(backend), atol=1e-9
    )


@pytest.mark.parametrize("method", ["central", "forward", "backward"])
@pytest.mark.parametrize("backend", [*EXACT, *NOISY])
def test_finite_differences(backend: str, method: str) -> None:
    found = gradient_of(FiniteDiffEstimatorGradient, backend, epsilon=1e-5, method=method)
    np.testing.assert_allclose(found, reference(backend), atol=1e-4)


@pytest.mark.parametrize("backend", [*EXACT, *NOISY])
def test_spsa(backend: str) -> None:
    exact, directions = reference(backend), 400
    found = gradient_of(SPSAEstimatorGradient, backend, epsilon=1e-4, batch_size=directions, seed=1)
    # each direction adds the other components with random signs
    error = np.sqrt(np.sum(exact**2) / directions)
    np.testing.assert_allclose(found, exact, atol=5 * error)


@pytest.mark.parametrize("name", ["statevector", "generic"])
def test_parameter_shift_from_shots(name: str) -> None:
    where = name if name == "statevector" else GenericBackendV2(3, noise_info=False, seed=1)
    precision = 0.01
    found = gradient_of(ParamShiftEstimatorGradient, where, precision=precision)
    # a shifted value errs by at most the precision times the sum of |coefficients|, the chain rule by 1 + 2
    limit = 5 * precision * np.abs(ENERGY.coeffs).sum() * np.sqrt(5 / 2)
    np.testing.assert_allclose(found, reference("statevector"), atol=limit)
