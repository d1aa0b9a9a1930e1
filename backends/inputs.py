"""What callers give the verbs, checked once: observables as Pauli sums, parameters as float64 arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp

from bondwise.runs import UsageError

Observable: TypeAlias = SparsePauliOp | Pauli | str
NOT_FINITE = (
    "a gate angle is not a finite real number for these parameters; change them or the angle's expression."
)


def is_single(observables: Any) -> bool:
    """Whether this is one observable rather than a sequence of them."""
    return isinstance(observables, SparsePauliOp | Pauli | str)


def as_operators(observables: Observable | Sequence[Observable], num_qubits: int) -> list[SparsePauliOp]:
    """Observables as a list of Hermitian Pauli sums, equal terms added up.

    Args:
        observables: One Pauli sum, `Pauli` or label, or a sequence of them; qubit 0 is the rightmost letter.
        num_qubits: Of the circuit that they are measured on.

    Returns:
        K Pauli sums with real coefficients, K = 1 for a single observable.

    Raises:
        UsageError: There are none, or one is not a Pauli sum, not finite, zero, not Hermitian, or acts on
            another number of qubits.
    """
    several = not is_single(observables) and isinstance(observables, Iterable)
    operators = [_as_operator(one, num_qubits) for one in (observables if several else [observables])]
    if not operators:
        raise UsageError("the list of observables is empty; pass a SparsePauliOp or a list of them.")
    return operators


def without_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit before its final measurements, whose outcome no expectation value depends on."""
    if not circuit.clbits or any(isinstance(step.operation, ControlFlowOp) for step in circuit.data):
        return circuit  # Qiskit also removes measurements that a branch depends on
    bare = circuit.copy()
    bare.remove_final_measurements()
    return bare


def as_parameters(circuit: QuantumCircuit, parameters: Any) -> np.ndarray:
    """Angles as a contiguous float64 array (*batch, P).

    Args:
        circuit: Of P parameters.
        parameters: An array, nested lists or a tensor, on any device and with or without a gradient; None
            for P = 0.

    Raises:
        UsageError: They are not real numbers, their number is not that of the circuit's parameters, or one of
            them is not finite.
    """
    count = circuit.num_parameters
    try:
        if hasattr(parameters, "detach"):  # a tensor
            parameters = parameters.detach().cpu()
            parameters = (parameters if parameters.is_complex() else parameters.double()).numpy()
        given = np.asarray([] if parameters is None else parameters)
        if given.dtype.kind not in "biufO":
            raise TypeError(f"their type is {given.dtype}")
        angles = np.array(given, dtype=float, order="C")
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"parameters are not numbers ({reason}); pass an array of shape (*batch, {count})."
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


@contextmanager
def finite_angles() -> Iterator[None]:
    """Where circuits are bound: an angle such as 1/x at 0 or log(x) at -1 raises UsageError."""
    try:
        yield
    except (ZeroDivisionError, TypeError) as error:
        if isinstance(error, TypeError) and "parameter expression" not in str(error):
            raise
        raise UsageError(NOT_FINITE) from None


def _as_operator(observable: Any, num_qubits: int) -> SparsePauliOp:
    if not is_single(observable):
        raise UsageError(
            f"an observable is a {type(observable).__name__}; pass a SparsePauliOp, a Pauli or a label such "
            "as 'ZZ'."
        )
    try:
        operator = observable if isinstance(observable, SparsePauliOp) else SparsePauliOp(observable)
    except QiskitError:
        raise UsageError(f"the observable {observable!r} is not a label of letters I, X, Y, Z.") from None
    if operator.num_qubits != num_qubits:
        raise UsageError(
            f"the observable acts on {operator.num_qubits} qubits and the circuit has {num_qubits}; write "
            "one letter for each qubit, 'I' where nothing is measured."
        )
    if operator.coeffs.dtype == object or not np.isfinite(operator.coeffs).all():
        raise UsageError(
            "the observable has a coefficient that is no finite number; bind its parameters first."
        )
    paulis = operator.paulis
    return _summed(num_qubits, paulis.x.tobytes(), paulis.z.tobytes(), operator.coeffs.tobytes())


@lru_cache(maxsize=64)
def _summed(num_qubits: int, x: bytes, z: bytes, coefficients: bytes) -> SparsePauliOp:
    weights = np.frombuffer(coefficients, dtype=complex)
    flips, signs = (np.frombuffer(bits, dtype=bool).reshape(len(weights), num_qubits) for bits in (x, z))
    simple = SparsePauliOp(PauliList.from_symplectic(signs, flips), weights).simplify(atol=0)
    largest = np.abs(simple.coeffs).max(initial=0.0)
    if not largest:
        raise UsageError("the observable is zero; its expectation value is 0 in every state.")
    if np.abs(simple.coeffs.imag).max() > 1e-12 * largest:
        raise UsageError(
            "the observable is not Hermitian: some coefficients have an imaginary part; take .real."
        )
    return SparsePauliOp(simple.paulis, simple.coeffs.real)
