"""Groups of Pauli terms that commute qubit by qubit, and so are measured together.

Greedy coloring of the graph of clashing terms, those with most clashes first: the rule, and the groups, of
Qiskit's `PauliList.group_commuting`. The graph is never built. Clashes are counted by sets of terms packed
into 64-bit words, and a term joins the first group whose letters, all at once, do not clash with its own.
"""

from __future__ import annotations

import numpy as np
from qiskit.quantum_info import PauliList

_BYTES = 2**27  # of packed sets in memory at a time


def commuting_groups(terms: PauliList) -> list[np.ndarray]:
    """Partition terms into groups in which any two have the same letter, or an I, on each qubit.

    Args:
        terms: T terms; phases do not matter.

    Returns:
        Indices of the terms of each group. Groups are in the order of their first terms in the coloring.
    """
    order = np.argsort(-_clashes(terms.x, terms.z), kind="stable")
    x, z = _packed(terms.x), _packed(terms.z)
    # letters of each group so far, in arrays with room for as many groups as terms
    group_x, group_z = np.zeros_like(x), np.zeros_like(z)
    groups: list[list[int]] = []
    for term in order.tolist():
        gx, gz = group_x[: len(groups)], group_z[: len(groups)]
        clash = (gx | gz) & (x[term] | z[term]) & ((gx ^ x[term]) | (gz ^ z[term]))
        free = ~clash.any(axis=1)
        group = int(free.argmax()) if free.any() else len(groups)
        if group == len(groups):
            groups.append([])
        groups[group].append(term)
        group_x[group] |= x[term]
        group_z[group] |= z[term]
    return [np.array(group) for group in groups]


def _clashes(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How many other terms each of the T terms clashes with: int (T,)."""
    letters = np.stack([x & ~z, x & z, z & ~x]).swapaxes(1, 2)  # X, Y, Z: (3, n, T)
    others = _packed((x | z).T & ~letters)  # the terms with another letter on the qubit
    counts = np.empty(len(x), dtype=np.int64)
    step = max(1, _BYTES // (8 * others.shape[-1]))
    for start in range(0, len(x), step):
        part = letters[:, :, start : start + step]
        clashing = np.zeros((part.shape[-1], others.shape[-1]), dtype=np.uint64)
        for letter, qubit in np.argwhere(part.any(axis=-1)):
            clashing[part[letter, qubit]] |= others[letter, qubit]
        counts[start : start + step] = np.bitwise_count(clashing).sum(axis=1)
    return counts


def _packed(bits: np.ndarray) -> np.ndarray:
    """Bits of the last axis in words of 64: uint64 (..., words)."""
    size = -(-max(bits.shape[-1], 1) // 64) * 8
    packed = np.zeros((*bits.shape[:-1], size), dtype=np.uint8)
    packed[..., : -(-bits.shape[-1] // 8)] = np.packbits(bits, axis=-1)
    return packed.view(np.uint64)
