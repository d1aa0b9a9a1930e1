"""What is remembered of observables, and what is forgotten."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, random_pauli_list

from bondwise.backends.gradients import sparse_observables as observables
from bondwise.backends.gradients.sparse_observables import sparse_matrices


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observables, "_remembered", type(observables._remembered)())


def operator(seed: int, num_qubits: int = 13) -> SparsePauliOp:
    """Twelve terms that flip different qubits: 2.4 MB on 13 qubits."""
    return SparsePauliOp(random_pauli_list(num_qubits, 12, seed=seed, phase=False), np.ones(12))


def remembered() -> int:
    kept = observables._remembered.values()
    return sum(one.data.nbytes + one.indices.nbytes + one.indptr.nbytes for one in kept)


def test_many_observables_are_forgotten_again() -> None:
    """The oldest first; what was used last is still there."""
    first = sparse_matrices([operator(0)])[0]
    for seed in range(1, 150):
        sparse_matrices([operator(seed)])
        assert sparse_matrices([operator(0)])[0] is first
    assert 2**27 < remembered() <= 2**28
    last = sparse_matrices([operator(149)])[0]
    assert sparse_matrices([operator(149)])[0] is last


def test_a_hamiltonian_in_use_is_not_built_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observables, "_KEPT", 1000)  # as if it were larger than what is kept
    sparse_matrices([operator(0)])
    several = sparse_matrices([operator(1), operator(2)])
    assert all(a is b for a, b in zip(sparse_matrices([operator(1), operator(2)]), several, strict=True))
    assert len(observables._remembered) == 2
