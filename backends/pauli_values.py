"""Expectation values of Pauli terms in state vectors.

A term with X or Y on the bits of x and Z or Y on those of z takes |i⟩ to |i ^ x⟩, times i^(number of Y) and
the sign (-1)^|i & z|. So terms with the same x share the products conj(ψ[i ^ x]) ψ[i], and their values are
entries of one Walsh-Hadamard transform of these. Only the requested entries are computed: a few terms cost
one pass over the state, all of them n passes.
"""

from __future__ import annotations

import numpy as np
from qiskit.quantum_info import PauliList

_SMALL = 32  # number of amplitudes up to which a matrix of signs is faster than folding again


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
    values = np.empty((len(states), len(terms)))
    for group in np.split(order, np.flatnonzero(np.diff(flips[order])) + 1):
        if len(group):
            sums = _sums(states, int(flips[group[0]]), signs[group])
            values[:, group] = (1j ** (ys[group] % 4) * sums).real
    return values


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
    size = products.shape[1]
    if size <= _SMALL:
        return products @ (1.0 - 2.0 * (np.bitwise_count(np.arange(size)[:, None] & signs) & 1))
    half = size // 2
    odd = (signs & half) > 0
    sums = np.empty((len(products), len(signs)), dtype=products.dtype)
    for chosen, fold in ((~odd, np.add), (odd, np.subtract)):
        if chosen.any():
            sums[:, chosen] = _signed_sums(fold(products[:, :half], products[:, half:]), signs[chosen])
    return sums
