"""Observables as sparse matrices and their expectation values in given states, in torch.

⟨ψ|H|ψ⟩ is built from Hψ, whose gradient is again H applied to a vector, so it can be differentiated any
number of times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
import torch
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.runs import require_memory

_Key: TypeAlias = tuple[int, bytes, bytes, bytes]


class SparseMatrices:
    """Matrices of Pauli sums, complex128 (2^n, 2^n) with qubit 0 the lowest bit of the indices.

    The matrices used last are kept for the next call, so that training on many qubits does not rebuild its
    Hamiltonian at every step. If a single call needs more than `kept` bytes, only its matrices are kept.

    Args:
        kept: Number of bytes of matrices to keep between calls.
    """

    def __init__(self, *, kept: int = 2**28) -> None:
        self._kept = kept
        self._matrices: OrderedDict[_Key, scipy.sparse.csr_matrix] = OrderedDict()
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """Number of bytes of the matrices that are kept."""
        return sum(map(_size, self._matrices.values()))

    def __call__(self, operators: Sequence[SparsePauliOp]) -> tuple[scipy.sparse.csr_matrix, ...]:
        """The matrices of K Pauli sums on n qubits.

        Raises:
            UsageError: If they would take more than `limit("memory_bytes")`.
        """
        keys = [
            (op.num_qubits, op.paulis.x.tobytes(), op.paulis.z.tobytes(), op.coeffs.tobytes())
            for op in operators
        ]
        with self._lock:
            found = {key: self._matrices.pop(key) for key in dict.fromkeys(keys) if key in self._matrices}
            missing = [key for key in dict.fromkeys(keys) if key not in found]
            self._matrices.update(found)  # the last used at the end
        needed = sum(map(_size, found.values())) + sum(_expected_size(*key) for key in missing)
        what = f"the matrices of the observables on {keys[0][0]} qubits"
        require_memory(what, needed, "write backend='aer', which evaluates the terms one by one")
        if missing:
            found |= {key: _matrix(*key) for key in missing}
            with self._lock:
                self._matrices.update(found)
                surplus = self.num_bytes - self._kept
                while surplus > 0 and next(iter(self._matrices)) not in found:
                    surplus -= _size(self._matrices.popitem(last=False)[1])
        return tuple(found[key] for key in keys)


sparse_matrices = SparseMatrices()  # shared by all calls of this process


def expectation_values(states: torch.Tensor, matrices: Sequence[scipy.sparse.csr_matrix]) -> torch.Tensor:
    """Expectation values of all observables in all states.

    Args:
        states: complex128 (B, 2^n), normalized.
        matrices: K Hermitian matrices (2^n, 2^n).

    Returns:
        float64 (B, K), differentiable any number of times with respect to `states`.
    """
    values = [(states.conj() * _Product.apply(states, matrix)).sum(-1).real for matrix in matrices]
    return torch.stack(values, dim=-1)


def product(rows: np.ndarray, matrix: scipy.sparse.csr_matrix) -> np.ndarray:
    """Multiply each row of an array (B, 2^n) by a matrix."""
    if len(rows) == 1:  # several times faster than with a one-column matrix
        return (matrix @ rows[0])[None]
    return np.ascontiguousarray((matrix @ rows.T).T)


class _Product(torch.autograd.Function):
    """Rows of `states` multiplied by a Hermitian sparse matrix."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, matrix: scipy.sparse.csr_matrix) -> torch.Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(product(states.detach().resolve_conj().numpy(), matrix))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Product.apply(gradients[0], ctx.matrix), None


def _terms(num_qubits: int, x: bytes, z: bytes, coefficients: bytes) -> tuple[np.ndarray, ...]:
    weights = np.frombuffer(coefficients, dtype=complex)
    flips, signs = (np.frombuffer(bits, dtype=bool).reshape(len(weights), num_qubits) for bits in (x, z))
    return weights, flips, signs


def _expected_size(*key: Any) -> int:
    # terms with the same flips share their matrix elements; each takes 24 bytes with its column index
    return 24 * 2 ** key[0] * len(np.unique(_terms(*key)[1], axis=0))


def _size(matrix: scipy.sparse.csr_matrix) -> int:
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes


def _matrix(*key: Any) -> scipy.sparse.csr_matrix:
    weights, flips, signs = _terms(*key)
    operator = SparsePauliOp(PauliList.from_symplectic(signs, flips), weights)
    matrix = operator.to_matrix(sparse=True).tocsr()
    matrix.eliminate_zeros()
    return matrix
