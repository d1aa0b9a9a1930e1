"""Exact ground levels by Lanczos iteration on the sparse matrix, the reference for up to 18 qubits.

Lanczos iteration finds one state of a degenerate level. The states found are therefore lifted above the
spectrum, `H + 3s V V†` with s above the norm of H, until the next state lies above the level.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import aslinearoperator, eigsh

from bondwise.circuits import Observable, as_operator, hermitian
from bondwise.runs import UsageError

EXACT_QUBITS = 18
_MAX_STATES = 32  # of a ground level on more than 8 qubits
_DENSE_QUBITS = 8
_MAX_ENTRIES = 2**26  # of the sparse matrix, 12 to 20 bytes each


def exact_ground_state(hamiltonian: Observable) -> tuple[float, np.ndarray | None]:
    """Compute the lowest eigenvalue and all states that have it.

    Odd Heisenberg chains, for example, have two ground states, and any mixture of them is a ground state. The
    weight of a state vector outside the level is `1 - np.linalg.norm(states.conj().T @ state) ** 2`.

    Args:
        hamiltonian: Hermitian operator on at most 18 qubits, of any kind that `estimate` takes; qubit 0 is
            the rightmost letter, and PennyLane's wire i is qubit i.

    Returns:
        The energy, and an orthonormal basis of the ground level of shape (2**n, d) for d states, in Qiskit's
        order (qubit 0 is the last bit of the index); float64 if the matrix is real, complex128 otherwise.
        Repeated calls return the same basis. Energies count as one level if they differ by at most 1e-8 times
        the sum of the absolute values of the non-identity coefficients. The basis is None if n > 8 and the
        level has more than 32 states.

    Raises:
        UsageError: If the Hamiltonian has too many qubits (use `bondwise.tn.ground_state`) or is not a
            Hermitian operator.

    Example:
        >>> from bondwise.qml import exact_ground_state, heisenberg
        >>> energy, states = exact_ground_state(heisenberg(3))
        >>> print(f"{energy:.4f}", states.shape)
        -1.0000 (8, 2)
    """
    hamiltonian = as_operator(hamiltonian, what="Hamiltonian")
    num_qubits = hamiltonian.num_qubits
    flips = len(np.unique(hamiltonian.paulis.x, axis=0))  # each pattern of X and Y fills one entry per row
    if num_qubits > EXACT_QUBITS or flips * 2**num_qubits > _MAX_ENTRIES:
        raise UsageError(
            f"the exact ground state of {num_qubits} qubits and {len(hamiltonian)} terms takes too much "
            f"memory (at most {EXACT_QUBITS} qubits); use bondwise.tn.ground_state."
        )
    terms = hermitian(hamiltonian, what="Hamiltonian")
    matrix = terms.to_matrix(sparse=True)
    if not matrix.imag.data.any():
        matrix = matrix.real
    scale = float(np.abs(terms.coeffs[(terms.paulis.x | terms.paulis.z).any(axis=1)]).sum())
    width = 1e-8 * scale
    if num_qubits <= _DENSE_QUBITS:
        energies, states = np.linalg.eigh(matrix.toarray())
    elif scale:
        energies, states = _lowest(matrix, scale, width)
    else:  # a constant
        return float(terms.coeffs.real.sum()), None
    level = energies <= energies.min() + width
    whole = num_qubits <= _DENSE_QUBITS or np.count_nonzero(level) <= _MAX_STATES
    return float(energies.min()), states[:, level] if whole else None


def _lowest(matrix: csr_matrix, scale: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenstates from below, until one lies above the ground level or there are too many."""
    random = np.random.default_rng(0)
    energies, states = np.empty(0), np.empty((matrix.shape[0], 0), matrix.dtype)
    while len(energies) <= _MAX_STATES and np.all(energies <= energies.min(initial=np.inf) + width):
        found = aslinearoperator(states)
        lifted = aslinearoperator(matrix) + 3 * scale * found @ found.H
        energy, state = eigsh(lifted, k=1, which="SA", v0=random.standard_normal(len(states)))
        energies = np.append(energies, energy)
        states, _ = np.linalg.qr(np.hstack([states, state]))
    return energies, states
