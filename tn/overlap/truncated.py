"""Approximate overlap of a wide circuit with a matrix product state, and its derivatives, by truncation.

It replaces `bondwise.tn.overlap.exact` if light cones are too wide: |0…0⟩ is carried forwards through the
gates and the state backwards, both as matrix product states whose bonds are truncated after every gate. Each
gate in turn stands between the two, and everything around it is the derivative with respect to that gate.
Gates between distant qubits are moved next to each other and back by swaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.tn.states.chains import Tensors, inner, left_block, merge, split

_CUTOFF = 1e-10  # relative to the largest singular value
_SWAP = np.eye(4)[[0, 2, 1, 3]]


class TruncatedOverlap:
    """Like `bondwise.tn.overlap.exact.ExactOverlap`, with truncation.

    Args:
        tensors: Right-canonical site tensors of norm 1.
        pairs: Two qubits (a, b), a < b, for every gate, in time order.
        max_bond: Largest bond kept.

    Attributes:
        lost: Weight that truncation dropped from the circuit's state in the last call.
    """

    def __init__(
        self, tensors: Sequence[NDArray[Any]], pairs: Sequence[tuple[int, int]], max_bond: int
    ) -> None:
        self._state = list(tensors)
        self._max_bond = max_bond
        self.lost = 0.0
        self.dtype = np.result_type(np.float64, *tensors)
        # neighbors only: (left site, gate or None for a swap)
        self._moves: list[tuple[int, int | None]] = []
        for k, (a, b) in enumerate(pairs):
            there: list[tuple[int, int | None]] = [(site, None) for site in range(b - 1, a, -1)]
            self._moves += [*there, (a, k), *reversed(there)]

    def overlap(self, gates: NDArray[Any]) -> Any:
        """The overlap ⟨ψ|U|0…0⟩, approximately."""
        return inner(self._state, self._forward(gates)[-1])

    def environments(self, gates: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """The overlap and its derivative with respect to every gate, (M, 4, 4), approximately."""
        kets = self._forward(gates)
        overlap = inner(self._state, kets[-1])
        environments = np.zeros(gates.shape, np.result_type(gates, self.dtype))
        bra, center = list(self._state), 0
        for (site, k), ket in zip(reversed(self._moves), kets[-2::-1], strict=True):
            if k is not None:
                environments[k] = _hole(bra, ket, site)
            gate = _SWAP if k is None else gates[k]
            center, _ = _apply(bra, gate.conj().T, site, center, self._max_bond)
        return overlap, environments

    def _forward(self, gates: NDArray[Any]) -> list[Tensors]:
        """The states before the first and after every move."""
        ket: Tensors = [np.array([1.0, 0.0]).reshape(1, 2, 1) for _ in self._state]
        states, center, kept = [list(ket)], 0, 1.0
        for site, k in self._moves:
            center, weight = _apply(ket, _SWAP if k is None else gates[k], site, center, self._max_bond)
            kept *= weight
            states.append(list(ket))  # all but a few arrays are shared
        self.lost = max(1 - kept, 0.0)
        return states


def _apply(tensors: Tensors, gate: NDArray[Any], site: int, center: int, max_bond: int) -> tuple[int, float]:
    """Apply a gate to sites (site, site + 1) in place; return the new center and the weight kept."""
    joint = merge(tensors, site, center)
    joint = joint.reshape(joint.shape[0], 4, -1)
    u, s, v, kept = split(np.einsum("ab,lbr->lar", gate, joint), _CUTOFF, max_bond)
    # the norm is kept, so that gates stay unitary in effect
    tensors[site], tensors[site + 1] = u, s[:, None, None] * v / np.sqrt(kept)
    return site + 1, kept


def _hole(bra: Tensors, ket: Tensors, site: int) -> NDArray[Any]:
    """⟨bra| · |ket⟩ without a gate on (site, site + 1), (4, 4), with rows for the bits of the bra."""
    left = left_block(bra[:site], ket[:site])
    mirrored = [[t.transpose(2, 1, 0) for t in state[: site + 1 : -1]] for state in (bra, ket)]
    right = left_block(*mirrored)
    above = np.tensordot(bra[site], bra[site + 1], 1).conj()
    below = np.tensordot(ket[site], ket[site + 1], 1)
    below = np.tensordot(
        np.tensordot(left, below, 1), right, (3, 1)
    )  # bra's bonds outside, ket's bits inside
    return np.tensordot(above, below, ((0, 3), (0, 3))).reshape(4, 4)
