"""The verb `estimate`: expectation values with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import placed
from bondwise.backends.inputs import as_operators, as_parameters, finite_angles, kept_columns
from bondwise.backends.measurement import ShotAllocation
from bondwise.backends.names import BackendLike, get_backend
from bondwise.backends.primitives import check_shots
from bondwise.circuits import Observable, is_observable, without_measurements
from bondwise.circuits.files.orders import with_order
from bondwise.runs import Result


@dataclass(frozen=True, kw_only=True)
class Estimate(Result):
    """Expectation values: `value` and `std` of the batch's shape, with a last axis K for K observables.

    `lost` is 1 - the least fidelity of the states if "mps" truncated them, and 0 otherwise.

    `std` is 0 for exact values, and NaN after a single shot, whose scatter is unknown.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import estimate
        >>> estimate(QuantumCircuit(1), "X")
        Estimate(value=0.0, std=0.0, shots=0, seed=None, job_ids=())
        >>> print(estimate(QuantumCircuit(1), "Z", shots=100, seed=1))
        Estimate: 1 ± 0, 100 shots, seed 1
    """

    lost: float = field(default=0.0, repr=False)

    def __str__(self) -> str:
        return super().__str__() + truncated(self.lost)


def truncated(lost: float) -> str:
    """What the line of a result says of states that were truncated."""
    return f", truncated: 1 - fidelity {lost:.1e}" if lost else ""


def estimate(
    circuit: QuantumCircuit,
    observables: Observable | Sequence[Observable],
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    *,
    shots: int | None = None,
    backend: BackendLike = "statevector",
    seed: int | None = None,
    shot_allocation: ShotAllocation = "uniform",
) -> Estimate:
    """Compute expectation values of a circuit's final state, in one job.

    Args:
        circuit: A circuit or gate. Final measurements are left out: values refer to the state before them.
        observables: One Hermitian operator on the circuit's qubits, or a sequence of K: a Pauli sum, `Pauli`
            or `SparseObservable` of Qiskit, `{"ZZ": 1.0}`, `[("ZZ", 1.0)]`, or text such as "0.5*ZZ - IX"
            (qubit 0 is the rightmost letter) or "0.5 Z0 Z1 - X0"; or an operator of PennyLane or OpenFermion
            (wire or index i is qubit i).
        parameters: Angles in radians in the order of `circuit.parameters`, shape (*batch, P), or, for the
            path of an OpenQASM 3 file, in that of its declarations; or by name, `{"theta": 0.1}`, where a key
            is a parameter or its name, with angles (*batch,), or a vector of parameters, its name or a tuple,
            with angles (*batch, length). Batches are broadcast.
        shots: Number of shots per measured basis and parameter set. None: exact values if the backend has
            them, otherwise 4096.
        backend: Anything that `get_backend` takes.
        seed: Random seed for sampling.
        shot_allocation: "uniform", or "weighted": bases get shots in proportion to the sum of their terms'
            |coefficients|, two at least, and `shots` is the average. This bounds the error of one sum of
            unequal terms better. Jobs of devices have one number of shots for all circuits and refuse it.

    Returns:
        `value` and `std` of shape (*batch), with K as last axis for a sequence; `shots` is the total spent.

    Raises:
        UsageError: If an observable is not Hermitian or acts on another number of qubits, the number of
            parameters is wrong, an angle is not finite, the backend cannot run the circuit, or there are no
            shots to allocate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import estimate
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> estimate(bell, ["ZZ", "XX", "IZ"]).value.round(12)
        array([1., 1., 0.])
    """
    place = get_backend(backend)
    circuit, order = with_order(circuit)
    circuit = without_measurements(circuit)
    single = is_observable(observables)
    operators: Sequence[SparsePauliOp] = as_operators(observables, circuit.num_qubits)
    angles = as_parameters(order, parameters)
    if 0 in angles.shape[:-1]:  # nothing to run
        check_shots(shots)
        empty = np.zeros(angles.shape[:-1] if single else (*angles.shape[:-1], len(operators)))
        return Estimate(value=empty, std=empty.copy(), shots=0, seed=seed, job_ids=())
    isa = place.transpile(circuit)
    operators = placed(operators, circuit, isa)
    angles = kept_columns(circuit, isa, angles)
    pub = (isa, operators[0], angles) if single else (isa, operators, angles[..., None, :])
    with finite_angles():
        result = place.run([pub], shots=shots, seed=seed, shot_allocation=shot_allocation)
    value, std = np.asarray(result[0].data.evs, dtype=float), np.asarray(result[0].data.stds, dtype=float)
    return Estimate(
        value=value if value.ndim else float(value),
        std=std if std.ndim else float(std),
        shots=result.metadata["shots"],
        seed=seed,
        job_ids=result.metadata["job_ids"],
        lost=float(result[0].metadata.get("lost", 0.0)),
    )
