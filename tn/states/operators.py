"""Pauli sums as matrix product operators.

The operator is built in one pass from left to right. A sum of Pauli words is a vector in the orthonormal
basis of words. At every bond it is a matrix with one column for each distinct remainder of a word, and a
singular value decomposition of this matrix splits off one site. Because the columns are orthonormal, only
rounding is lost and the bonds are the smallest possible: 5 for the Heisenberg chain, whatever the order and
number of the terms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import Observable, as_operator, hermitian
from bondwise.tn.states.chains import Tensors, rank

_ROUNDING = 1e-13  # relative size below which a number is rounding
# with Y replaced by iY every word with an even number of Y is real
LETTERS = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, 1], [-1, 0]], np.diag([1, -1])])


def expectation_value(operators: list[NDArray[Any]], tensors: Tensors) -> float:
    """Expectation value ⟨state|operator|state⟩ of a state of norm 1."""
    bonds = np.ones((1, 1, 1))  # bra, operator, ket
    for w, tensor in zip(operators, tensors, strict=True):
        ket = np.tensordot(bonds, tensor, 1)
        ket = np.tensordot(ket, w, ((1, 2), (0, 3)))  # bra, next ket, next operator, bit
        bonds = np.tensordot(tensor.conj(), ket, ((0, 1), (0, 3))).transpose(0, 2, 1)
    return float(bonds.item().real)


def read_operator(hamiltonian: Observable) -> tuple[NDArray[np.int64], NDArray[Any], float]:
    """Split a Hermitian Pauli sum into words and coefficients.

    Args:
        hamiltonian: A Pauli sum without free parameters, or anything else that `as_operator` accepts.

    Returns:
        Words (terms, sites) as indices into `LETTERS`; their coefficients, float64 or complex128; and the
        coefficient of the identity, which has no word.

    Raises:
        UsageError: If the input is not a Hermitian Pauli sum with finite numbers as coefficients.
    """
    operator = hermitian(as_operator(hamiltonian, what="Hamiltonian"), what="Hamiltonian")
    coefficients = operator.coeffs.real
    size = np.abs(coefficients).max()
    x, z = operator.paulis.x, operator.paulis.z
    words = np.where(x, np.where(z, 2, 1), np.where(z, 3, 0))
    identity = ~words.any(axis=1)
    constant = float(coefficients[identity].sum())
    keep = ~identity & (np.abs(coefficients) > _ROUNDING * size)
    # Y = -i (iY)
    signs = (-1j) ** (words[keep] == 2).sum(axis=1)
    turned = coefficients[keep] * signs
    return words[keep], turned if np.abs(turned.imag).max(initial=0) > 0 else turned.real, constant


def matrix_product(words: NDArray[np.int64], coefficients: NDArray[Any]) -> list[NDArray[Any]]:
    """Site operators (left, right, 2, 2), bra before ket, whose product is the sum of the words."""
    weights, rests = coefficients[None, :], words
    tensors = []
    for _ in range(words.shape[1] - 1):
        unique, column = np.unique(rests[:, 1:], axis=0, return_inverse=True)
        joint = np.zeros((len(weights), 4, len(unique)), weights.dtype)
        joint[:, rests[:, 0], column.ravel()] = (
            weights  # a letter and a remainder make one word, so no two weights collide
        )
        u, s, v = np.linalg.svd(joint.reshape(-1, len(unique)), full_matrices=False)
        keep = rank(s, _ROUNDING)
        tensors.append(u[:, :keep].reshape(-1, 4, keep))
        weights, rests = s[:keep, None] * v[:keep], unique
    last = np.zeros((len(weights), 4, 1), weights.dtype)
    last[:, rests[:, 0], 0] = weights
    return [np.tensordot(tensor, LETTERS, (1, 0)) for tensor in [*tensors, last]]
