"""PUBs prepared for mitigation: folded circuits, and observables on the qubits of the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from bondwise.backends.inputs import kept_columns
from bondwise.backends.primitives import estimator_pub
from bondwise.circuits.fingerprint import fingerprint
from bondwise.mitigation.scan import NoiseScan
from bondwise.mitigation.twirled_readout import Fidelity, Support, Twirl, averaged, measured_qubits


@dataclass(frozen=True)
class PreparedPub:
    """A PUB ready to run.

    Attributes:
        pub: The PUB as it was passed.
        transpiled: Who transpiled the circuit, for the result's metadata.
        circuit: The compiled circuit.
        circuits: For each scale factor, the folded circuit, or several that do the same.
        factors: The scale factors that folding reached.
        repeats: How many PUBs measure each of them; they take turns with the circuits.
        observables: Array of `SparsePauliOp` on the device's qubits, of the shape of the PUB's observables.
    """

    pub: EstimatorPub
    transpiled: str
    circuit: QuantumCircuit
    circuits: list[list[QuantumCircuit]]
    factors: tuple[float, ...]
    repeats: tuple[int, ...]
    observables: np.ndarray

    @cached_property
    def qubits(self) -> list[int]:
        """The qubits of the device that the observables read."""
        return measured_qubits(self.observables)

    @cached_property
    def supports(self) -> set[Support]:
        """The sets of qubits on which the Paulis of the observables act."""
        return {support for _, groups in self._by_support.flat for support in groups}

    @cached_property
    def key(self) -> str:
        """A hash of what is calibrated by twins: the circuit, its folds and the observables."""
        content = [fingerprint(self.circuit), repr(self.factors), repr(self.observables.shape)]
        for observable in self.observables.flat:
            paulis = observable.paulis
            content += [str((paulis.x.tobytes(), paulis.z.tobytes(), observable.coeffs.tobytes()))]
        return sha256("\n".join(content).encode()).hexdigest()

    def values(self) -> np.ndarray:
        """The values of the parameters that are left in the folded circuits, shape `(*batch, P)`."""
        values = self.pub.parameter_values.as_array(self.pub.circuit.parameters)
        return kept_columns(self.pub.circuit, self.circuit, values)

    @property
    def size(self) -> int:
        """Number of PUBs that are run for it."""
        return sum(self.repeats)

    def tasks(self, twirl: Twirl | None) -> list[EstimatorPub]:
        """The PUBs of all scale factors; with a twirl, of observables that it can correct."""
        elements, values = self._elements(), self.values()

        def task(circuit: QuantumCircuit) -> EstimatorPub:
            if twirl is None:
                return estimator_pub((circuit, self.observables, values))
            return twirl.pub(circuit, elements, values)

        pubs = []
        for circuits, times in zip(self.circuits, self.repeats, strict=True):
            made = [task(circuit) for circuit in circuits[:times]]
            pubs += [made[turn % len(made)] for turn in range(times)]
        return pubs

    def scan(
        self, parts: Sequence[PubResult], known: Mapping[Support, Fidelity] | None, meta: dict[str, Any]
    ) -> NoiseScan:
        """The scan that the results of the tasks make up.

        Args:
            parts: Results of the tasks.
            known: The readout fidelities of all supports; None if there was no twirl.
            meta: What else is known of the scan.
        """
        shape, covariance, rest = self.pub.shape, None, iter(parts)
        measured = [[next(rest) for _ in range(times)] for times in self.repeats]

        def of_copies(circuits: list[QuantumCircuit], results: list[PubResult]) -> list[np.ndarray]:
            """Value, variance and error of the calibration of circuits that do the same."""
            copies = [_merged(results[first :: len(circuits)]) for first in range(len(circuits))]
            if known is None:
                plain = [(part.data["evs"], np.square(part.data["stds"]), 0.0) for part in copies]
                return _over_copies([[np.broadcast_to(one, shape) for one in found] for found in plain])
            return _over_copies([self._corrected(part, known) for part in copies])

        found = [
            of_copies(circuits[: len(results)], results)
            for circuits, results in zip(self.circuits, measured, strict=True)
        ]
        value, variance, shared = (np.stack(some, axis=-1) for some in zip(*found, strict=True))
        if known is None:
            std = np.sqrt(variance)
        else:
            # all scales are divided by the same fidelities
            covariance = shared[..., :, None] * shared[..., None, :]
            diagonal = np.arange(len(found))
            covariance[..., diagonal, diagonal] += variance
            std = np.sqrt(covariance[..., diagonal, diagonal])
            covariance = covariance if shared.any() else None
        return NoiseScan(
            value=value,
            std=std,
            scale_factors=np.array(self.factors),
            shots=sum(part.metadata.get("shots", 0) for results in measured for part in results),
            covariance=covariance,
            asymptote=self._broadcast(_identity),
            spectrum=self._spectra(),
            meta=meta,
        )

    @cached_property
    def _by_support(self) -> np.ndarray:
        """For each observable, the part without the identity, and its terms by support."""
        return _map(_grouped, self.observables)

    def _elements(self) -> np.ndarray:
        """The observables that are measured, shape `(E, *shape)`.

        The first is the observable itself; if its terms have several supports, those of each follow.
        """
        most = max((len(groups) for _, groups in self._by_support.flat), default=1)
        elements = np.empty((1 + most if most > 1 else 1, *self.observables.shape), dtype=object)
        for index, (whole, groups) in np.ndenumerate(self._by_support):
            parts = list(groups.values()) if most > 1 else []
            nothing = SparsePauliOp("I" * self.circuit.num_qubits)  # which is not measured
            filled = [whole or nothing, *parts, *[nothing] * (len(elements) - 1 - len(parts))]
            for row, part in enumerate(filled):
                elements[(row, *index)] = part
        return elements

    def _corrected(
        self, part: PubResult, known: Mapping[Support, Fidelity]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, variance, and the error that the calibration adds, each of the PUB's shape.

        The error of the calibration is at most this, if the errors of its fidelities are correlated.
        """
        means, variances = averaged(part)
        of_terms = np.zeros((3, max(1, len(means) - 1), *self.observables.shape))
        for index, (_, groups) in np.ndenumerate(self._by_support):
            for row, support in enumerate(groups):
                fidelity = known[support]
                filled = 1.0, 1 / fidelity.value, fidelity.std / fidelity.value
                of_terms[(slice(None), row, *index)] = filled
        axes = (1,) * (means.ndim - 1 - self.observables.ndim)
        there, inverse, error = of_terms.reshape(*of_terms.shape[:2], *axes, *self.observables.shape)
        # the first is the sum of the others, and its variance knows their covariances
        whole, spread = means[0] * there.any(axis=0), variances[0] * there.any(axis=0)
        terms, each = there * (means[-len(there) :]), there * variances[-len(there) :]
        roots = np.sqrt(each)
        mean = np.divide((roots * inverse).sum(0), roots.sum(0), out=np.ones(spread.shape), where=spread > 0)
        variance = (each * inverse**2).sum(axis=0) + (spread - each.sum(axis=0)) * mean**2
        least = spread * np.where(there, inverse, np.inf).min(axis=0, initial=1.0) ** 2
        return (
            self._broadcast(_identity) + whole + (terms * (inverse - 1)).sum(axis=0),
            np.maximum(variance, least),
            np.abs(terms * inverse * error).sum(axis=0),
        )

    def _spectra(self) -> np.ndarray:
        """The limits of each observable, shape (..., 2)."""
        low = self._broadcast(lambda observable: limits(observable)[0])
        high = self._broadcast(lambda observable: limits(observable)[1])
        return np.stack([low, high], axis=-1)

    def _broadcast(self, function: Callable[[SparsePauliOp], float]) -> np.ndarray:
        return np.broadcast_to(_map(function, self.observables).astype(np.float64), self.pub.shape)


def _over_copies(copies: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Means of values, their variance, and of errors of the calibration, over copies of a circuit.

    Copies with different twirls of coherent errors scatter by more than their shot noise.
    """
    values, variances, errors = (np.stack(part) for part in zip(*copies, strict=True))
    count = len(copies)
    variance = variances.sum(axis=0) / count**2
    if count > 1:
        variance = np.maximum(variance, values.var(axis=0, ddof=1) / count)
    return [values.mean(axis=0), variance, errors.mean(axis=0)]


def _merged(parts: Sequence[PubResult]) -> PubResult:
    """The mean of several results of one PUB."""
    if len(parts) == 1:
        return parts[0]
    stds = np.sqrt(np.sum([np.square(part.data["stds"]) for part in parts], axis=0)) / len(parts)
    evs = np.mean([part.data["evs"] for part in parts], axis=0)
    shots = sum(part.metadata.get("shots", 0) for part in parts)
    return PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), {**parts[0].metadata, "shots": shots})


def pauli_sums(observables: ObservablesArray) -> np.ndarray:
    """An array of `SparsePauliOp`; projectors are written out, as they cannot be corrected qubit by qubit."""
    return _map(_pauli_sum, observables.sparse_observables_array())


def _pauli_sum(observable: SparseObservable) -> SparsePauliOp:
    return SparsePauliOp.from_sparse_observable(observable.as_paulis())


def _grouped(observable: SparsePauliOp) -> tuple[SparsePauliOp | None, dict[Support, SparsePauliOp]]:
    """The observable without its identity, None if nothing is left, and its terms by support."""
    reads = (observable.paulis.x | observable.paulis.z) & (observable.coeffs.real != 0)[:, None]
    rows: dict[Support, list[int]] = {}
    for row, mask in enumerate(reads):
        if mask.any():
            rows.setdefault(tuple(np.flatnonzero(mask).tolist()), []).append(row)
    kept = np.flatnonzero(reads.any(axis=1))
    whole = observable[kept] if len(kept) else None
    return whole, {support: observable[np.array(some)] for support, some in rows.items()}


def _map(function: Callable[[Any], Any], observables: np.ndarray) -> np.ndarray:
    """Apply a function to each observable; numpy would take the operators themselves for matrices."""
    mapped = np.empty(observables.shape, dtype=object)
    for index, observable in np.ndenumerate(observables):
        mapped[index] = function(observable)
    return mapped


def limits(observable: SparsePauliOp) -> tuple[float, float]:
    """Bounds on its smallest and largest value, from its coefficients; between them lies its identity's."""
    middle = _identity(observable)
    others = (observable.paulis.x | observable.paulis.z).any(axis=1)
    reach = float(np.abs(observable.coeffs[others]).sum())
    return middle - reach, middle + reach


def _identity(observable: SparsePauliOp) -> float:
    constant = ~(observable.paulis.x | observable.paulis.z).any(axis=1)
    return float(observable.coeffs[constant].real.sum())
