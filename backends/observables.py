"""Observables as sparse matrices and their expectation values in given states, in torch.

<psi|H|psi> is built from H psi, whose gradient is again H applied to something, so it can be differentiated
any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
import torch
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp

from bondwise.runs import UsageError

Observable: TypeAlias = SparsePauliOp | Pauli | str
_MEMORY = 8 * 2**30  # bytes that one sparse matrix may take


def as_operators(observables: Observable | Sequence[Observable], num_qubits: int) -> list[SparsePauliOp]:
    """Observables as a list of Hermitian Pauli sums.

    Args:
        observables: One Pauli sum, `Pauli` or label, or a sequence of them; qubit 0 is the rightmost letter.
        num_qubits: Of the circuit that they are measured on.

    Returns:
        K Pauli sums, K = 1 for a single observable.

    Raises:
        UsageError: There are none, or one is not a Pauli sum, not finite, zero, not Hermitian, or acts on
            another number of qubits.
    """
    single = isinstance(observables, SparsePauliOp | Pauli | str)
    operators = [_as_operator(one, num_qubits) for one in ([observables] if single else observables)]
    if not operators:
        raise UsageError("the list of observables is empty; pass a SparsePauliOp or a list of them.")
    return operators


def _as_operator(observable: Any, num_qubits: int) -> SparsePauliOp:
    if not isinstance(observable, SparsePauliOp | Pauli | str):
        raise UsageError(
            f"an observable is a {type(observable).__name__}; pass a SparsePauliOp, a Pauli or a label such "
            "as 'ZZ'."
        )
    operator = observable if isinstance(observable, SparsePauliOp) else SparsePauliOp(observable)
    if operator.num_qubits != num_qubits:
        raise UsageError(
            f"the observable acts on {operator.num_qubits} qubits and the circuit has {num_qubits}; write "
            "one letter for each qubit, 'I' where nothing is measured."
        )
    if operator.coeffs.dtype == object or not np.isfinite(operator.coeffs).all():
        raise UsageError(
            "the observable has a coefficient that is no finite number; bind its parameters first."
        )
    if not operator.coeffs.any():
        raise UsageError("the observable is zero; give at least one Pauli string a coefficient.")
    if np.abs(np.imag(operator.coeffs)).max(initial=0.0) > 1e-12:
        raise UsageError(
            "the observable is not Hermitian; the coefficients of its Pauli strings must be real."
        )
    return operator


def sparse_matrices(operators: Sequence[SparsePauliOp]) -> tuple[scipy.sparse.csr_matrix, ...]:
    """The matrices of K Pauli sums, complex128 (2^n, 2^n), qubit 0 the lowest bit of the indices; remembered.

    Raises:
        UsageError: A matrix would take more than 8 GiB.
    """
    keys = tuple((op.paulis.x.tobytes(), op.paulis.z.tobytes(), op.coeffs.tobytes()) for op in operators)
    return _matrices(operators[0].num_qubits, keys)


def expectation_values(states: torch.Tensor, matrices: Sequence[scipy.sparse.csr_matrix]) -> torch.Tensor:
    """Expectation values of all observables in all states.

    Args:
        states: complex128 (B, 2^n), normalised.
        matrices: K Hermitian matrices (2^n, 2^n).

    Returns:
        float64 (B, K), differentiable any number of times with respect to `states`.
    """
    values = [(states.conj() * _Product.apply(states, matrix)).sum(-1).real for matrix in matrices]
    return torch.stack(values, dim=-1)


class _Product(torch.autograd.Function):
    """Rows of `states` multiplied by a Hermitian sparse matrix."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, matrix: scipy.sparse.csr_matrix) -> torch.Tensor:
        ctx.matrix = matrix
        rows = states.detach().resolve_conj().numpy()
        if len(rows) == 1:  # several times faster than a matrix of one column
            return torch.from_numpy((matrix @ rows[0])[None])
        return torch.from_numpy(np.ascontiguousarray((matrix @ rows.T).T))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Product.apply(gradients[0], ctx.matrix), None


@lru_cache(maxsize=4)  # a few lists of observables, each of which may be large
def _matrices(
    num_qubits: int, keys: tuple[tuple[bytes, bytes, bytes], ...]
) -> tuple[scipy.sparse.csr_matrix, ...]:
    return tuple(_matrix(num_qubits, *key) for key in keys)


def _matrix(num_qubits: int, x: bytes, z: bytes, coefficients: bytes) -> scipy.sparse.csr_matrix:
    weights = np.frombuffer(coefficients, dtype=complex)
    flips, signs = (np.frombuffer(bits, dtype=bool).reshape(len(weights), num_qubits) for bits in (x, z))
    # terms with the same flips share their matrix elements; 24 bytes hold one of them and its column
    size = 24 * 2**num_qubits * len(np.unique(flips, axis=0))
    if size > _MEMORY:
        raise UsageError(
            f"the matrix of the observable on {num_qubits} qubits takes {size / 2**30:.0f} GiB; write "
            "backend='aer', which evaluates the terms one by one."
        )
    operator = SparsePauliOp(PauliList.from_symplectic(signs, flips), weights)
    matrix = operator.to_matrix(sparse=True).tocsr()
    matrix.eliminate_zeros()
    return matrix
