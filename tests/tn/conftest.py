"""States and Hamiltonians that several tests share."""

from collections.abc import Callable

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from bondwise.tn import GroundState, ground_state


@pytest.fixture(scope="session")
def heisenberg() -> Callable[[list[tuple[int, int]], int], SparsePauliOp]:
    """Sum of S.S over edges."""

    def build(edges: list[tuple[int, int]], sites: int) -> SparsePauliOp:
        terms = [(letter * 2, list(edge), 0.25) for edge in edges for letter in "XYZ"]
        return SparsePauliOp.from_sparse_list(terms, sites)

    return build


@pytest.fixture(scope="session")
def heisenberg12(heisenberg: Callable[..., SparsePauliOp]) -> GroundState:
    """Ground state of the open Heisenberg chain of 12 sites."""
    return ground_state(heisenberg([(i, i + 1) for i in range(11)], 12), 32, seed=0)


@pytest.fixture(scope="session")
def random_tensors() -> Callable[..., list[np.ndarray]]:
    """A normalised matrix product state with random tensors."""

    def build(sites: int, bond: int, rng: np.random.Generator, *, real: bool = True) -> list[np.ndarray]:
        bonds = [min(bond, 2**i, 2 ** (sites - i)) for i in range(sites + 1)]
        tensors = []
        for left, right in zip(bonds, bonds[1:], strict=False):
            tensor = rng.normal(size=(left, 2, right))
            if not real:
                tensor = tensor + 1j * rng.normal(size=tensor.shape)
            tensors.append(tensor)
        environment = np.ones((1, 1))
        for tensor in tensors:
            environment = np.einsum("ab,asc,bsd->cd", environment, tensor.conj(), tensor)
        tensors[0] = tensors[0] / np.sqrt(environment.item().real)
        return tensors

    return build


@pytest.fixture(scope="session")
def random_gates() -> Callable[..., np.ndarray]:
    """Random orthogonal matrices of determinant +1, or random unitary ones."""

    def build(count: int, rng: np.random.Generator, *, real: bool = True) -> np.ndarray:
        matrices = rng.normal(size=(count, 4, 4))
        if not real:
            return np.linalg.qr(matrices + 1j * rng.normal(size=matrices.shape))[0]
        gates = np.linalg.qr(matrices)[0]
        gates[:, :, 0] *= np.linalg.det(gates)[:, None]
        return gates

    return build
