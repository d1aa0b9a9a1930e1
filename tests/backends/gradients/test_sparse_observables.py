"""Which matrices of observables are kept, which are dropped again, and which are too large."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, random_pauli_list

from bondwise.backends.gradients.sparse_observables import SparseMatrices
from bondwise.runs import UsageError


def operator(seed: int, num_qubits: int = 13) -> SparsePauliOp:
    """Twelve terms that flip different qubits: 2.4 MB on 13 qubits."""
    return SparsePauliOp(random_pauli_list(num_qubits, 12, seed=seed, phase=False), np.ones(12))


def test_many_observables_are_forgotten_again() -> None:
    """The oldest are dropped first; those used last are kept."""
    matrices = SparseMatrices()
    first = matrices([operator(0)])[0]
    for seed in range(1, 150):
        matrices([operator(seed)])
        assert matrices([operator(0)])[0] is first
    assert 2**27 < matrices.num_bytes <= 2**28
    last = matrices([operator(149)])[0]
    assert matrices([operator(149)])[0] is last


def test_a_hamiltonian_in_use_is_not_built_twice() -> None:
    matrices = SparseMatrices(kept=1000)  # less than a single matrix
    matrices([operator(0)])
    several = matrices([operator(1), operator(2)])
    assert all(a is b for a, b in zip(matrices([operator(1), operator(2)]), several, strict=True))
    assert matrices.num_bytes == sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in several)


def test_matrices_are_bound_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONDWISE_MAX_MEMORY_BYTES", str(24 * 16 * 5))
    matrices = SparseMatrices()
    terms = [SparsePauliOp(["XXXX", "ZZZZ"], [1.0, weight]) for weight in (1.0, 2.0, 3.0)]
    for term in terms:
        matrix = matrices([term, term])[0]
        np.testing.assert_array_equal(matrix.toarray(), term.to_matrix())
    with pytest.raises(UsageError, match="matrices of the observables on 4 qubits"):
        matrices(terms)
