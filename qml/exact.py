"""Exact ground states by Lanczos iteration on the sparse matrix: the reference for up to 18 qubits."""

from __future__ import annotations

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse.linalg import eigsh

from bondwise.runs import UsageError

EXACT_QUBITS = 18
_MAX_ENTRIES = 2**26  # of the sparse matrix, 12 to 20 bytes each


def exact_ground_state(hamiltonian: SparsePauliOp) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue and an eigenvector of it.

    Args:
        hamiltonian: Hermitian operator on at most 18 qubits.

    Returns:
        The energy, and the state vector of shape (2**n,) in Qiskit's order (qubit 0 is the last bit of the
        index), normalised; float64 when the matrix is real, complex128 otherwise. Of a degenerate level it is
        one vector, always the same.

    Raises:
        UsageError: Too many qubits (use `bondwise.tn.ground_state`), or not Hermitian.
    """
    num_qubits = hamiltonian.num_qubits
    flips = len(np.unique(hamiltonian.paulis.x, axis=0))  # each pattern of X and Y fills one entry per row
    if num_qubits > EXACT_QUBITS or flips * 2**num_qubits > _MAX_ENTRIES:
        raise UsageError(
            f"the exact ground state of {num_qubits} qubits and {len(hamiltonian)} terms takes too much "
            f"memory (at most {EXACT_QUBITS} qubits); use bondwise.tn.ground_state."
        )
    if not np.all(np.isfinite(hamiltonian.coeffs)) or np.any(hamiltonian.simplify().coeffs.imag):
        raise UsageError("the operator is not Hermitian: its coefficients must be finite and real.")
    matrix = hamiltonian.to_matrix(sparse=True)
    if not matrix.imag.data.any():
        matrix = matrix.real
    if not matrix.data.any():  # ARPACK has no answer for the zero matrix
        return 0.0, np.eye(1, 2**num_qubits)[0]
    if num_qubits <= 6:  # Lanczos needs room between the number of eigenvalues and the dimension
        energies, states = np.linalg.eigh(matrix.toarray())
    else:
        start = np.random.default_rng(0).standard_normal(2**num_qubits)
        energies, states = eigsh(matrix, k=1, which="SA", v0=start)
    return float(energies[0]), states[:, 0]
