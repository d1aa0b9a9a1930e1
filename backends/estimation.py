"""The verb `estimate`: expectation values with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import Backend
from bondwise.backends.names import get_backend
from bondwise.runs import Result, UsageError


@dataclass(frozen=True, kw_only=True)
class Estimate(Result):
    """Expectation values: `value` and `std` of the batch's shape, with a last axis K for K observables."""


def estimate(
    circuit: QuantumCircuit,
    observables: SparsePauliOp | Sequence[SparsePauliOp],
    parameters: ArrayLike | None = None,
    *,
    shots: int | None = None,
    backend: str | Backend | Any = "statevector",
    seed: int | None = None,
) -> Estimate:
    """Expectation values of a circuit's final state, in one job.

    Args:
        circuit: Without measurements at its end.
        observables: One Hermitian operator on the circuit's qubits, or a sequence of K.
        parameters: Angles in radians in the order of `circuit.parameters`, shape (*batch, P).
        shots: Per measured basis and parameter set; None for exact values where the backend has them, else
            4096.
        backend: Anything that `get_backend` takes.
        seed: Of the sampling.

    Returns:
        `value` and `std` of shape (*batch), with K as last axis for a sequence; `shots` is the total spent.

    Raises:
        UsageError: Observables that are not Hermitian or of another number of qubits, a wrong number of
            parameters, angles that are not finite, or anything that the backend cannot run.
    """
    place = get_backend(backend)
    single = isinstance(observables, SparsePauliOp)
    operators = [_checked(o, circuit) for o in ([observables] if single else observables)]
    if not operators:
        raise UsageError("observables is empty; pass a SparsePauliOp or a sequence of them.")
    angles = checked_parameters(circuit, parameters)
    isa = place.transpile(circuit)
    if isa.layout is not None:
        operators = [operator.apply_layout(isa.layout) for operator in operators]
    angles = for_transpiled(circuit, isa, angles)
    pub = (isa, operators[0], angles) if single else (isa, operators, angles[..., None, :])
    result = place.run([pub], shots=shots, seed=seed)
    value, std = np.asarray(result[0].data.evs, dtype=float), np.asarray(result[0].data.stds, dtype=float)
    return Estimate(
        value=value if value.ndim else float(value),
        std=std if std.ndim else float(std),
        shots=result.metadata["shots"],
        seed=seed,
        job_ids=result.metadata["job_ids"],
    )


def checked_parameters(circuit: QuantumCircuit, parameters: ArrayLike | None) -> np.ndarray:
    """Angles as float64 (*batch, P).

    Raises:
        UsageError: Their number is not that of the circuit's parameters, or one of them is not finite.
    """
    count = circuit.num_parameters
    try:
        angles = np.asarray([] if parameters is None else parameters, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"parameters are not numbers ({error}); pass an array of shape (*batch, {count})."
        ) from None
    if angles.ndim == 0 or angles.shape[-1] != count:
        names = ", ".join(parameter.name for parameter in circuit.parameters[:3]) + (
            ", …" if count > 3 else ""
        )
        raise UsageError(
            f"parameters have shape {angles.shape} and the circuit has {count} parameters"
            f"{f' ({names})' if count else ''}; pass an array of shape (*batch, {count})."
        )
    if not np.isfinite(angles).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(angles))[0])
        raise UsageError(f"parameters{list(where)} is {angles[where]}; angles must be finite numbers.")
    return angles


def for_transpiled(circuit: QuantumCircuit, isa: QuantumCircuit, angles: np.ndarray) -> np.ndarray:
    """The columns of the angles that the transpiled circuit still has; compilers drop idle parameters."""
    column = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    return angles[..., [column[parameter] for parameter in isa.parameters]]


def _checked(observable: Any, circuit: QuantumCircuit) -> SparsePauliOp:
    if not isinstance(observable, SparsePauliOp):
        raise UsageError(
            f"an observable is a {type(observable).__name__}; pass a SparsePauliOp: SparsePauliOp('ZZ')."
        )
    if observable.num_qubits != circuit.num_qubits:
        raise UsageError(
            f"the observable has {observable.num_qubits} qubits and the circuit {circuit.num_qubits}; "
            "they must be the same."
        )
    simple = observable.simplify(atol=0)
    if not simple.coeffs.any():
        raise UsageError("the observable is zero; its expectation value is 0 in every state.")
    if np.abs(simple.coeffs.imag).max(initial=0.0) > 1e-12 * max(
        np.abs(simple.coeffs).max(initial=0.0), 1e-300
    ):
        raise UsageError(
            "the observable is not Hermitian: some coefficients have an imaginary part; take .real."
        )
    return SparsePauliOp(simple.paulis, simple.coeffs.real)
