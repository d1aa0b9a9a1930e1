"""PUBs prepared for mitigation: folded circuits, and observables on the qubits of the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from bondwise.backends.inputs import kept_columns
from bondwise.mitigation.readout import ReadoutCalibration


@dataclass(frozen=True)
class PreparedPub:
    """A PUB ready to run.

    Attributes:
        pub: The PUB as it was passed.
        transpiled: Who transpiled the circuit, for the result's metadata.
        circuits: The folded circuits, one per scale factor.
        factors: The scale factors that folding reached.
        observables: Array of `SparsePauliOp` on the device's qubits, of the shape of the PUB's observables.
    """

    pub: EstimatorPub
    transpiled: str
    circuits: list[QuantumCircuit]
    factors: tuple[float, ...]
    observables: np.ndarray

    def tasks(self, calibration: ReadoutCalibration | None) -> list[tuple[QuantumCircuit, Any, np.ndarray]]:
        """One PUB per scale factor, with readout errors undone if there is a calibration."""
        observables = _map(calibration.correct, self.observables) if calibration else self.observables
        values = self.pub.parameter_values.as_array(self.pub.circuit.parameters)
        parameters = kept_columns(self.pub.circuit, self.circuits[0], values)
        return [(circuit, observables, parameters) for circuit in self.circuits]

    def measured_qubits(self) -> set[int]:
        """The qubits of the device that the observables read."""
        return {
            int(qubit)
            for observable in self.observables.flat
            for qubit in np.flatnonzero((observable.paulis.x | observable.paulis.z).any(axis=0))
        }

    def identities(self) -> np.ndarray:
        """Coefficient of the identity in each observable, Tr(O) / 2^n, of the PUB's shape."""
        return self._broadcast(_identity)

    def spectra(self) -> np.ndarray:
        """Bounds on the smallest and largest value of each observable, from its coefficients: (..., 2)."""
        middle, reach = self.identities(), self._broadcast(_weight)
        return np.stack([middle - reach, middle + reach], axis=-1)

    def error_bounds(self, calibration: ReadoutCalibration | None) -> np.ndarray:
        """Upper bound on what the calibration's errors add to each standard error, of the PUB's shape."""
        if calibration is None:
            return np.zeros(self.pub.shape)
        return self._broadcast(calibration.error_bound)

    def _broadcast(self, function: Callable[[SparsePauliOp], float]) -> np.ndarray:
        return np.broadcast_to(_map(function, self.observables).astype(np.float64), self.pub.shape)


def pauli_sums(observables: ObservablesArray) -> np.ndarray:
    """An array of `SparsePauliOp`; projectors are written out, as they cannot be corrected qubit by qubit."""
    return _map(_pauli_sum, observables.sparse_observables_array())


def _pauli_sum(observable: SparseObservable) -> SparsePauliOp:
    return SparsePauliOp.from_sparse_observable(observable.as_paulis())


def _map(function: Callable[[Any], Any], observables: np.ndarray) -> np.ndarray:
    """Apply a function to each observable; numpy would take the operators themselves for matrices."""
    mapped = np.empty(observables.shape, dtype=object)
    for index, observable in np.ndenumerate(observables):
        mapped[index] = function(observable)
    return mapped


def _weight(observable: SparsePauliOp) -> float:
    """Sum of the sizes of all coefficients but the identity's."""
    return float(np.abs(observable.coeffs[(observable.paulis.x | observable.paulis.z).any(axis=1)]).sum())


def _identity(observable: SparsePauliOp) -> float:
    constant = ~(observable.paulis.x | observable.paulis.z).any(axis=1)
    return float(observable.coeffs[constant].real.sum())
