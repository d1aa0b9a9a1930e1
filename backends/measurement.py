"""Which bases measure a set of Pauli sums, and what the outcomes of each basis say about them.

Terms that commute qubit by qubit share a basis. In a basis, an observable is a number per outcome,
v(b) = sum over t of c_t (-1)^(parity of b on the support of t), so its mean and its variance, including the
covariances between the terms, are those of v over the outcomes.

Shots are the same for all bases, or in proportion to w_g = sum over t of |c_t|, the largest value of basis g:
with S shots in all, the variance of the sum is then at most (sum over g of w_g)² / S, the least such bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import PauliList, SparseObservable

from bondwise.backends.grouping import commuting_groups
from bondwise.runs import UsageError

ShotAllocation: TypeAlias = Literal["uniform", "weighted"]


class WeightedPub(EstimatorPub):
    """A PUB whose shots go to the bases by their weights."""


@dataclass(frozen=True)
class Basis:
    """One measurement setting.

    Attributes:
        letters: Pauli letter by measured qubit, in the order of the qubits.
        supports: Which of the m measured qubits each term reads, bool (T, m).
        coefficients: Weight of each term in each of K observables, float64 (K, T).
    """

    letters: dict[int, str]
    supports: np.ndarray
    coefficients: np.ndarray

    def values(self, bits: np.ndarray) -> np.ndarray:
        """Value of each observable on outcomes given as bits (S, m): float64 (K, S)."""
        parity = (bits.astype(np.int64) @ self.supports.T.astype(np.int64)) & 1
        return self.coefficients @ (1.0 - 2.0 * parity.T)

    @cached_property
    def table(self) -> np.ndarray:
        """Value of each observable on all 2^m outcomes, with measured qubit 0 as lowest bit: (K, 2^m)."""
        size = self.supports.shape[1]
        spectrum = np.zeros((len(self.coefficients), 2**size))
        for place, weights in zip(self.supports @ (1 << np.arange(size)), self.coefficients.T, strict=True):
            spectrum[:, place] += weights
        for qubit in range(size):  # fast Walsh-Hadamard transform
            pairs = spectrum.reshape(len(spectrum), -1, 2, 2**qubit)
            spectrum = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
            spectrum = spectrum.reshape(len(self.coefficients), -1)
        return spectrum


class Tally:
    """The outcomes of one estimator PUB with N parameter sets and K observables, as they come in.

    Attributes:
        pub: The PUB.
        sets: Parameter sets in the order of `pub.circuit.parameters`, float64 (N, P).
        terms: The T different terms of all observables, in the order of their labels.
        weights: Weight of each term in each observable, float64 (K, T).
    """

    def __init__(self, pub: EstimatorPub) -> None:
        self.pub = pub
        parameters = list(pub.circuit.parameters)
        bound = pub.parameter_values
        self.sets = np.asarray(bound.as_array(parameters), dtype=float).reshape(bound.size, len(parameters))
        observables = pub.observables.ravel().sparse_observables_array().tolist()
        self._set = np.broadcast_to(np.arange(bound.size).reshape(bound.shape), pub.shape).ravel()
        self._observable = np.broadcast_to(
            np.arange(len(observables)).reshape(pub.observables.shape), pub.shape
        ).ravel()
        self.terms, self.weights = _terms(observables, pub.circuit.num_qubits)
        self._identity = ~(self.terms.x | self.terms.z).any(axis=1)
        offset = self.weights[:, self._identity].sum(axis=1)
        self._means = np.tile(offset, (bound.size, 1))
        self._variances = np.zeros_like(self._means)
        self._shots = 0

    @cached_property
    def bases(self) -> list[Basis]:
        """The bases that together contain all terms; only grouped if measured."""
        return _bases(self.terms, self.weights, np.flatnonzero(~self._identity))

    @cached_property
    def needed(self) -> list[np.ndarray]:
        """For each basis, the indices of the parameter sets that have to be measured in it."""
        found = []
        for basis in self.bases:
            reads = np.abs(basis.coefficients).sum(axis=1) > 0
            found.append(np.unique(self._set[reads[self._observable]]))
        return found

    def shots(self, each: int) -> list[int]:
        """Shots of each basis and parameter set, `each` on average over the bases."""
        if not isinstance(self.pub, WeightedPub):
            return [each] * len(self.bases)
        # of several observables, the sum of the variances is bounded
        sizes = [float(np.linalg.norm(np.abs(basis.coefficients).sum(axis=1))) for basis in self.bases]
        return shared_out(each, sizes)

    def add_distribution(self, index: int, which: int, probabilities: np.ndarray) -> None:
        """Add the exact outcome distribution (2^m,) of parameter set `which` in basis number `index`."""
        self._means[which] += self.bases[index].table @ probabilities

    def add_counts(self, index: int, which: int, bits: np.ndarray, counts: np.ndarray) -> None:
        """Add sampled outcomes: distinct bit strings (S, m) and how often each occurred (S,)."""
        shots = int(counts.sum())
        values = self.bases[index].values(bits)
        mean = values @ counts / shots
        self._means[which] += mean
        spread = ((values - mean[:, None]) ** 2) @ counts
        if shots == 1:  # the scatter of one outcome is unknown
            spread = np.where(self.bases[index].coefficients.any(axis=1), np.nan, 0.0)
        self._variances[which] += spread / (max(shots - 1, 1) * shots)
        self._shots += shots

    def set_values(self, values: np.ndarray) -> None:
        """Set exact values (N, T) of all terms at once."""
        self._means = values.reshape(len(self.sets), len(self.terms)) @ self.weights.T

    def set_means(self, means: np.ndarray) -> None:
        """Set exact values (N, K) of all observables at once."""
        self._means = means.reshape(len(self.sets), len(self.weights))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Values and standard errors, both of the PUB's shape, and the number of shots spent.

        After a single shot the error is NaN.
        """
        values = self._means[self._set, self._observable].reshape(self.pub.shape)
        variances = self._variances[self._set, self._observable].reshape(self.pub.shape)
        return values, np.sqrt(variances), self._shots


def shared_out(each: int, weights: Sequence[float]) -> list[int]:
    """Share out `each` shots per weight, in proportion to the weights.

    Two shots each come first, or one if there is but one: fewer have no standard error. The largest
    remainders are rounded up, so that the total is exact.
    """
    least = min(each, 2)
    spare = (each - least) * len(weights)
    ideal = spare * np.asarray(weights, dtype=float) / (np.sum(weights) or 1.0)
    shots = np.floor(ideal).astype(int)
    left = spare - int(shots.sum())
    shots[np.argsort(shots - ideal, kind="stable")[:left]] += 1
    return (shots + least).tolist()


def _terms(observables: Sequence[SparseObservable], num_qubits: int) -> tuple[PauliList, np.ndarray]:
    """The different terms of all observables, and the weight of each in each observable, float64 (K, T)."""
    for observable in observables:
        _refuse_projectors(observable)
    written = [observable.pauli_bases() for observable in observables]
    none = np.zeros((0, num_qubits), dtype=bool)
    x, z = (np.concatenate([none, *(getattr(part, name) for part in written)]) for name in ("x", "z"))
    # letters in alphabetical order, the highest qubit first, as bytes that sort like labels
    letters = np.ones((len(x), max(num_qubits, 1)), dtype=np.uint8)
    letters[:, :num_qubits] += np.where(x, 1 + z, 3 * z)[:, ::-1].astype(np.uint8)
    words = np.ascontiguousarray(letters).view(f"S{letters.shape[1]}").ravel()
    _, first, column = np.unique(words, return_index=True, return_inverse=True)
    weights = np.zeros((len(observables), len(first)))
    row = np.repeat(np.arange(len(observables)), list(map(len, written)))
    coefficients = np.concatenate([[], *(observable.coeffs for observable in observables)])
    np.add.at(weights, (row, column), coefficients.real)
    return PauliList.from_symplectic(z[first], x[first]), weights


def _refuse_projectors(observable: SparseObservable) -> None:
    letters = np.asarray(observable.bit_terms)
    if (letters > 3).any():  # 1 to 3 are Z, X and Y
        strange = next(term for term in observable if (np.asarray(term.bit_terms) > 3).any())
        label = ["I"] * observable.num_qubits
        for qubit, letter in zip(strange.indices, strange.bit_labels(), strict=True):
            label[-1 - int(qubit)] = letter
        raise UsageError(
            f"observable term {''.join(label)!r} contains projectors; write it as a sum of Paulis I, X, Y, Z."
        )


def _bases(terms: PauliList, weights: np.ndarray, columns: np.ndarray) -> list[Basis]:
    """Bases of the terms in these columns, all but the identity."""
    bases = []
    for group in commuting_groups(terms[columns]) if len(columns) else []:
        group = columns[group]
        x, z = terms.x[group], terms.z[group]
        has_x, has_z = x.any(axis=0), z.any(axis=0)
        measured = np.flatnonzero(has_x | has_z)
        letters = {int(q): "YX"[not has_z[q]] if has_x[q] else "Z" for q in measured}
        bases.append(Basis(letters, (x | z)[:, measured], weights[:, group]))
    return bases
