"""Measurements in random local bases, from which the mean of any observable can be estimated.

Each shot measures X, Y or Z on each qubit, with probabilities β of its own. A word of Paulis contributes, if
the shot has measured all its letters, its outcome ±1 divided by the product of their β (locally biased
classical shadows, arXiv:2006.15788). For a sum of words in matrix product form, the value of a shot is one
contraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SWEEPS, _SETTLED = 50, 1e-4


@dataclass(frozen=True)
class RandomBases:
    """Bases for an observable.

    Attributes:
        probabilities: β of X, Y and Z at each site, shape `(n, 3)`.
        variance: Variance of one shot, averaged over all states (that is, in the maximally mixed state).
    """

    probabilities: np.ndarray
    variance: float

    def draw(self, shots: int, rng: np.random.Generator) -> np.ndarray:
        """The basis of each shot and site, 0, 1, 2 for X, Y, Z: integers (shots, n)."""
        uniform = rng.random((shots, len(self.probabilities), 1))
        drawn: np.ndarray = (uniform >= np.cumsum(self.probabilities, axis=1)[:, :2]).sum(axis=2)
        return drawn

    def values(self, tensors: Sequence[np.ndarray], bases: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """The values (N,) of shots, whose means are that of the observable.

        Args:
            tensors: The observable, (left, 4, right) with the letters I, X, Y, Z.
            bases: Basis of each site, integers (N, n).
            factors: What each outcome counts, (N, n): ±1 without readout errors.
        """
        partial = np.ones((len(bases), 1))
        for site, tensor in enumerate(tensors):
            following = partial @ tensor[:, 0]
            for basis in range(3):
                mine = bases[:, site] == basis
                if mine.any():
                    weight = factors[mine, site] / self.probabilities[site, basis]
                    following[mine] += weight[:, None] * (partial[mine] @ tensor[:, 1 + basis])
            partial = following
        return partial[:, 0]


def best_bases(tensors: Sequence[np.ndarray], scatter: np.ndarray) -> RandomBases:
    """The probabilities with the smallest variance, averaged over all states.

    The variance is the sum of c² / β over all words but the identity, where c is the coefficient of a word
    and β the product of the probabilities of its letters. Of one site at a time, the best β are proportional
    to the roots of the weights of its letters, and the sum has no other minima than the smallest.

    Args:
        tensors: The observable, (left, 4, right) with the letters I, X, Y, Z.
        scatter: Mean square of what an outcome of each site counts, (n,); 1 without readout errors.
    """
    sites = len(tensors)
    probabilities = np.full((sites, 3), 1 / 3)
    identity, last = float(np.linalg.multi_dot([*(t[:, 0] for t in tensors), np.eye(1)]).item()) ** 2, np.inf
    for _ in range(_SWEEPS):
        rights = [np.ones((1, 1))]
        for site in range(sites - 1, 0, -1):
            rights.append(_weighed(tensors[site], rights[-1], _costs(probabilities[site], scatter[site])))
        left = np.ones((1, 1))
        for site, tensor in enumerate(tensors):
            right = rights.pop()
            weights = np.einsum("lar,lm,mas,sr->a", tensor, left, tensor, right, optimize=True)[1:]
            roots = np.sqrt(np.maximum(weights, 0))
            probabilities[site] = roots / roots.sum() if roots.any() else (0, 0, 1)
            left = _weighed(tensor.T, left, _costs(probabilities[site], scatter[site]))
        total = left.item() - identity
        if total >= last * (1 - _SETTLED):
            break
        last = total
    return RandomBases(probabilities, total)


def _costs(probabilities: np.ndarray, scatter: float) -> np.ndarray:
    """Mean square of what each letter counts; 0 for those that are never measured, whose weight is 0."""
    seen = probabilities > 0
    return np.concatenate([[1.0], np.where(seen, scatter / np.where(seen, probabilities, 1), 0.0)])


def _weighed(tensor: np.ndarray, right: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The sum of squares of all words, weighed by their costs, from one more site on."""
    return np.einsum("lar,rs,mas,a->lm", tensor, right, tensor, costs, optimize=True)
