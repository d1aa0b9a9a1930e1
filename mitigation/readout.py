"""Readout errors undone in the observable, so that any estimator can run the corrected measurement.

A qubit q that reads 1 for a prepared 0 with probability p(1|0), and 0 for a prepared 1 with p(0|1), turns the
mean of a measured Pauli factor into `a_q + b_q ⟨σ_q⟩` with `a = p(0|1) - p(1|0)` and `b = 1 - p(0|1) -
p(1|0)`. If qubits err independently, replacing every factor σ_q by `(σ_q - a_q) / b_q` gives the true mean: a
Pauli of weight w becomes 2^w terms, all measured in the same basis (the tensor product model of
arXiv:2006.14044).

Errors are assumed to be uncorrelated between qubits, and the errors of the X gates and of the initial state,
which the calibration cannot distinguish from readout errors, to be negligible.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.backends import Backend
from bondwise.circuits import Observable, as_operator
from bondwise.runs import RunError, UsageError

MAX_WEIGHT = 12


@dataclass(frozen=True)
class ReadoutCalibration:
    """How the Z outcomes of some qubits depend on their state: `measured = offset + slope · true`.

    Deprecated: `MitigatedEstimator` twirls the readout, which works on any number of qubits.

    Attributes:
        qubits: The k calibrated qubits, as numbered in the transpiled circuit.
        offset: a_q, float64, shape `(k,)`.
        slope: b_q, float64, shape `(k,)`; 1 for a perfect readout.
        std: The larger standard error of the two measured means of each qubit, shape `(k,)`.
        shots: Number of shots of each of the two circuits; 0 if none were requested.
        total_shots: Number of shots spent on the calibration.
        job_ids: Identifiers of the jobs that ran it.

    Example:
        >>> from bondwise.backends import get_backend
        >>> from bondwise.mitigation import ReadoutCalibration
        >>> import warnings
        >>> warnings.simplefilter("ignore", DeprecationWarning)
        >>> calibration = ReadoutCalibration.measure(get_backend("fake:manila"), [0], 5, shots=None)
        >>> calibration.slope.round(3)
        array([0.929])
    """

    qubits: tuple[int, ...]
    offset: np.ndarray
    slope: np.ndarray
    std: np.ndarray
    shots: int
    total_shots: int
    job_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        warnings.warn(
            "ReadoutCalibration goes in the next release; MitigatedEstimator(extrapolation=None) undoes "
            "readout errors on any number of qubits.",
            DeprecationWarning,
            stacklevel=3,
        )

    @classmethod
    def measure(
        cls,
        backend: Backend,
        qubits: Sequence[int],
        num_qubits: int,
        *,
        shots: int | None,
        seed: int | None = None,
    ) -> ReadoutCalibration:
        """Prepare all qubits in |0⟩, then all in |1⟩, and measure Z on each: two circuits in one job.

        Args:
            backend: Backend on which the corrected circuits will run.
            qubits: Qubits to calibrate, as numbered in the transpiled circuits.
            num_qubits: Number of qubits of those circuits.
            shots: Number of shots per circuit. None: exact values if the backend has them, otherwise the
                backend's default.
            seed: Random seed for sampling.

        Raises:
            RunError: If a qubit reads 0 and 1 almost alike, so that nothing can be undone.
            UsageError: If the target has no X gate to calibrate with.
        """
        zeros, ones = QuantumCircuit(num_qubits), QuantumCircuit(num_qubits)
        for qubit in qubits:
            _flip(ones, qubit, backend)
        factors = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits) for q in qubits]
        result = backend.run([(zeros, factors), (ones, factors)], shots=shots, seed=seed)
        # estimators that add Gaussian noise can leave the interval of possible values
        of_zero, of_one = (np.clip(pub_result.data["evs"], -1, 1) for pub_result in result)
        slope = (of_zero - of_one) / 2
        for qubit, value in zip(qubits, slope, strict=True):
            if value < 0.1:
                raise RunError(
                    f"qubit {qubit} reads 0 and 1 almost alike (slope {value:.2f}), so its readout error "
                    "cannot be undone; choose another layout or pass readout=False."
                )
        return cls(
            qubits=tuple(qubits),
            offset=(of_zero + of_one) / 2,
            slope=slope,
            std=np.maximum(result[0].data["stds"], result[1].data["stds"]),
            shots=shots or 0,
            total_shots=result.metadata["shots"],
            job_ids=tuple(result.metadata["job_ids"]),
        )

    def correct(self, observable: Observable) -> SparsePauliOp:
        """The observable whose measured mean is the true mean of the given one.

        Args:
            observable: Observable on the qubits of the transpiled circuit; it may read `qubits` only.

        Raises:
            UsageError: If a Pauli has a weight above 12, which would become more than 2^12 terms.
        """
        observable = as_operator(observable)
        x, z, coefficients = observable.paulis.x, observable.paulis.z, observable.coeffs
        qubits, offsets, slopes, _ = self._of(observable)
        biased = [qubit for qubit, offset in zip(qubits, offsets, strict=True) if offset]
        weight = int((x | z)[:, biased].sum(axis=1).max(initial=0))
        if weight > MAX_WEIGHT:
            raise UsageError(
                f"a Pauli of weight {weight} expands into 2^{weight} terms when readout errors are undone; "
                f"the largest weight supported is {MAX_WEIGHT}; pass readout=False."
            )
        for qubit, offset, slope in zip(qubits, offsets, slopes, strict=True):
            reads = x[:, qubit] | z[:, qubit]
            coefficients = np.where(reads, coefficients / slope, coefficients)
            if offset and reads.any():
                without = np.arange(x.shape[1]) != qubit
                x = np.concatenate([x, x[reads] & without])
                z = np.concatenate([z, z[reads] & without])
                coefficients = np.concatenate([coefficients, -offset * coefficients[reads]])
        return SparsePauliOp(PauliList.from_symplectic(z, x), coefficients).simplify(atol=0)

    def error_bound(self, observable: SparsePauliOp) -> float:
        """Upper bound on what the errors of the calibration add to the standard error of the corrected mean.

        To first order, with all expectation values bounded by 1 and errors of different qubits independent.
        """
        qubits, _, slopes, errors = self._of(observable)
        reads = (observable.paulis.x | observable.paulis.z)[:, qubits]
        return float(np.linalg.norm((np.abs(observable.coeffs) @ reads) * errors / slopes))

    def _of(self, observable: SparsePauliOp) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray]:
        """Qubits, offsets, slopes and errors, without the qubits that only wider circuits of the job have."""
        kept = [index for index, qubit in enumerate(self.qubits) if qubit < observable.num_qubits]
        return [self.qubits[index] for index in kept], self.offset[kept], self.slope[kept], self.std[kept]


def _flip(circuit: QuantumCircuit, qubit: int, backend: Backend) -> None:
    target = backend.target
    if target is None or target.instruction_supported("x", (qubit,)):
        circuit.x(qubit)
    elif target.instruction_supported("sx", (qubit,)):
        circuit.sx(qubit)
        circuit.sx(qubit)
    elif target.instruction_supported("rx", (qubit,)):
        circuit.rx(np.pi, qubit)
    else:
        raise UsageError(
            "readout errors are calibrated with x, sx or rx, and the target has none of them; pass "
            "readout=False."
        )
