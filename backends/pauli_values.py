"""Expectation values of Pauli terms in state vectors.

A term with X or Y on the bits of x and Z or Y on those of z takes |i⟩ to |i ^ x⟩, times i^(number of Y) and
the sign (-1)^|i & z|. So terms with the same x share the products conj(ψ[i ^ x]) ψ[i], and their values are
entries of one Walsh-Hadamard transform of these. Only the requested entries are computed: a few terms cost
one pass over the state, all of them n passes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from qiskit.quantum_info import PauliList

_BITS = 12  # number of bits up to which two products with matrices of signs are faster than folding again
_ONE = 5  # and up to which a single product is


def pauli_values(states: np.ndarray, terms: PauliList) -> np.ndarray:
    """Expectation values of all terms in all states.

    Args:
        states: complex128 (N, 2^n), normalized, qubit 0 the lowest bit of the index.
        terms: T terms on n qubits without phases.

    Returns:
        float64 (N, T).
    """
    place = 1 << np.arange(terms.num_qubits)
    flips, signs = terms.x @ place, terms.z @ place
    ys = (terms.x & terms.z).sum(axis=1)
    order = np.argsort(flips, kind="stable")
    sums = np.empty((len(states), len(terms)), dtype=complex)
    for group in np.split(order, np.flatnonzero(np.diff(flips[order])) + 1):
        if len(group):
            sums[:, group] = _sums(states, int(flips[group[0]]), signs[group])
    return (1j ** (ys % 4) * sums).real


def _sums(states: np.ndarray, flip: int, signs: np.ndarray) -> np.ndarray:
    """sum_i (-1)^|i & s| conj(ψ[i ^ flip]) ψ[i] for each s, up to parts that do not affect the value."""
    if not flip:
        return _signed_sums(states.real**2 + states.imag**2, signs)
    # i and i ^ flip contribute conjugates, so only the i without the highest flipped bit are needed
    highest = 1 << (flip.bit_length() - 1)
    pairs = states.reshape(len(states), -1, 2, highest)
    there, here = (pairs[:, :, bit].reshape(len(states), -1) for bit in (1, 0))
    products = there[:, np.arange(here.shape[1]) ^ (flip - highest)].conj() * here
    lower, upper = signs & (highest - 1), signs >> flip.bit_length()
    return 2 * _signed_sums(products, lower | (upper * highest))


def _signed_sums(products: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """sum_i (-1)^|i & s| products[:, i] for each s: (N, 2^m) and (S,) to (N, S)."""
    number, size = products.shape
    bits = size.bit_length() - 1
    if bits <= _BITS:
        low = bits if bits <= _ONE else bits // 2
        columns, rows = _hadamard(low)[signs % 2**low], _hadamard(bits - low)[(signs % size) >> low]
        halves = products.reshape(-1, 2**low) @ columns.T
        return np.einsum("nrs,sr->ns", halves.reshape(number, -1, len(signs)), rows)
    half = size // 2
    odd = (signs & half) > 0
    sums = np.empty((number, len(signs)), dtype=products.dtype)
    for chosen, fold in ((~odd, np.add), (odd, np.subtract)):
        if chosen.any():
            sums[:, chosen] = _signed_sums(fold(products[:, :half], products[:, half:]), signs[chosen])
    return sums


@cache
def _hadamard(bits: int) -> np.ndarray:
    """(-1)^|i & s| for all i and s below 2^bits."""
    numbers = np.arange(2**bits)
    return 1.0 - 2.0 * (np.bitwise_count(numbers[:, None] & numbers) & 1)
