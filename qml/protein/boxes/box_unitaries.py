"""The unitaries of many boxes of one layout, and their gradient by running the gates backwards.

U = g_m … g_1, where g_j is exp(−i θ_j G_j / 2) or constant. Let Λ_m be the gradient of the loss with respect
to U, A_j = g_j … g_1, and Λ_{j−1} = g_j† Λ_j; then the gradient of θ_j is Re Σ conj(Λ_j) (−i/2) G_j A_j,
summed over matrix elements. Undoing the gates one by one turns U into A_j, so nothing is stored. Boxes are
small and many, so the loops are compiled: torch would spend its time on overhead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit

from bondwise.qml.protein.boxes.ansatz import Gate
from bondwise.runs.progress import announce_compilation

announce_compilation()

_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_Y = np.array([[0, -1j], [1j, 0]])
_Z = np.diag([1.0 + 0j, -1])
_ONE = np.diag([0.0 + 0j, 1])
# generators G; with G² = P a projector, exp(−iθG/2) = 1 − P + cos(θ/2) P − i sin(θ/2) G
_GENERATORS = {
    "Rx": _X,
    "Ry": _Y,
    "Rz": _Z,
    "CRx": np.kron(_ONE, _X),
    "CRz": np.kron(_ONE, _Z),
    "Rxx": np.kron(_X, _X),
    "Ryy": np.kron(_Y, _Y),
    "Rzz": np.kron(_Z, _Z),
}
_CONSTANT = {"H": (_X + _Z) / np.sqrt(2), "CX": np.eye(4, dtype=np.complex128)[[0, 1, 3, 2]]}


def unitaries(gates: Sequence[Gate], wires: int, angles: torch.Tensor) -> torch.Tensor:
    """Compute the unitaries of boxes with the same gates.

    Args:
        gates: Gates of a box, from `Ansatz.gates`.
        wires: Number of qubits n.
        angles: Angles in radians, float32 or float64 (K, P), one row per box.

    Returns:
        Complex (K, 2^n, 2^n), differentiable once; wire 0 is the most significant bit.
    """
    found = _Unitaries.apply(angles.cpu(), tuple(gates), wires)
    return found.to(angles.device)


class _Unitaries(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, gates: tuple[Gate, ...], wires: int) -> torch.Tensor:
        program, dtype = _program(gates, wires), _complex(angles)
        product = np.zeros((len(angles), 2**wires, 2**wires), dtype=dtype)
        product[:] = np.eye(2**wires, dtype=dtype)
        parameters, strides, matrices = program.arrays(dtype)
        _forward(angles.detach().numpy(), parameters, strides, matrices, product)
        ctx.program = program
        ctx.save_for_backward(angles, result := torch.from_numpy(product))
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        angles, product = ctx.saved_tensors
        slope = np.zeros(angles.shape, dtype=angles.detach().numpy().dtype)
        adjoint = gradient.detach().resolve_conj().contiguous().numpy().copy()
        parameters, strides, matrices = ctx.program.arrays(_complex(angles))
        undone = product.numpy().copy()
        _backward(angles.detach().numpy(), parameters, strides, matrices, undone, adjoint, slope)
        return torch.from_numpy(slope), None, None


class _Program:
    """Gates as arrays: indices of parameters (−1 for constant gates), strides of the two wires, matrices."""

    def __init__(self, gates: tuple[Gate, ...], wires: int) -> None:
        self.parameters = np.array(
            [-1 if g.parameter is None else g.parameter for g in gates], dtype=np.int64
        )
        self.strides = np.zeros((len(gates), 2), dtype=np.int64)  # the second is 0 for a gate on one wire
        matrices = np.zeros((len(gates), 4, 4), dtype=np.complex128)
        for row, gate in enumerate(gates):
            self.strides[row, : len(gate.wires)] = [2 ** (wires - 1 - wire) for wire in gate.wires]
            matrix = _CONSTANT[gate.name] if gate.parameter is None else _GENERATORS[gate.name]
            matrices[row, : len(matrix), : len(matrix)] = matrix
        single: np.ndarray = matrices.astype(np.complex64)
        self._matrices: dict[Any, np.ndarray] = {np.complex128: matrices, np.complex64: single}

    def arrays(self, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arguments of the compiled loops."""
        return self.parameters, self.strides, self._matrices[dtype]


@lru_cache(maxsize=256)
def _program(gates: tuple[Gate, ...], wires: int) -> _Program:
    return _Program(gates, wires)


def _complex(angles: torch.Tensor) -> Any:
    return np.complex128 if angles.dtype == torch.float64 else np.complex64


@njit(cache=True)
def _gate(matrix: Any, angle: float, constant: bool, size: int, out: Any) -> None:
    """Write the matrix of a gate to `out`; `matrix` is the generator of a gate with an angle."""
    if constant:
        for i in range(size):
            for j in range(size):
                out[i, j] = matrix[i, j]
        return
    cos, sin = np.cos(angle / 2), np.sin(angle / 2)
    for i in range(size):
        for j in range(size):
            squared = matrix[i, 0] * 0
            for k in range(size):
                squared += matrix[i, k] * matrix[k, j]
            out[i, j] = (cos - 1) * squared - 1j * sin * matrix[i, j]
        out[i, i] += 1


@njit(cache=True)
def _apply(matrix: Any, strides: Any, product: Any, dagger: bool) -> None:
    """Multiply a product (N, N) in place, from the left, by a gate on the wires with these strides."""
    size = product.shape[0]
    first, second = strides[0], strides[1]
    legs = 2 if second == 0 else 4
    old = np.empty(4, product.dtype)
    rows = np.empty(4, np.int64)
    for base in range(size):
        if base & first or base & second:
            continue
        if legs == 2:
            rows[0], rows[1] = base, base + first
        else:
            rows[0], rows[1], rows[2], rows[3] = base, base + second, base + first, base + first + second
        for column in range(size):
            for i in range(legs):
                old[i] = product[rows[i], column]
            for i in range(legs):
                total = old[0] * 0
                for j in range(legs):
                    total += (np.conj(matrix[j, i]) if dagger else matrix[i, j]) * old[j]
                product[rows[i], column] = total


@njit(cache=True)
def _forward(angles: Any, parameters: Any, strides: Any, matrices: Any, product: Any) -> None:
    matrix = np.empty((4, 4), product.dtype)
    for box in range(len(product)):
        for gate in range(len(parameters)):
            number = parameters[gate]
            legs = 2 if strides[gate, 1] == 0 else 4
            _gate(matrices[gate], angles[box, number] if number >= 0 else 0.0, number < 0, legs, matrix)
            _apply(matrix, strides[gate], product[box], False)


@njit(cache=True)
def _backward(
    angles: Any, parameters: Any, strides: Any, matrices: Any, product: Any, adjoint: Any, slope: Any
) -> None:
    matrix = np.empty((4, 4), product.dtype)
    turned = np.empty(product.shape[1:], product.dtype)
    for box in range(len(product)):
        for gate in range(len(parameters) - 1, -1, -1):
            number = parameters[gate]
            legs = 2 if strides[gate, 1] == 0 else 4
            if number >= 0:
                turned[:] = product[box]
                _apply(matrices[gate], strides[gate], turned, False)
                total = 0.0
                for i in range(turned.shape[0]):
                    for j in range(turned.shape[1]):
                        total += (np.conj(adjoint[box, i, j]) * turned[i, j]).imag
                slope[box, number] += total / 2
            _gate(matrices[gate], angles[box, number] if number >= 0 else 0.0, number < 0, legs, matrix)
            _apply(matrix, strides[gate], product[box], True)
            _apply(matrix, strides[gate], adjoint[box], True)
