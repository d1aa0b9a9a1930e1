"""What callers give the verbs, checked once: observables as Pauli sums, parameters as float64 arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.circuits import Observable, as_operator, hermitian, is_matrix, is_observable
from bondwise.runs import UsageError

NOT_FINITE = (
    "a gate angle is not a finite real number for these parameters; change them or the angle's expression."
)


def as_operators(observables: Observable | Sequence[Observable], num_qubits: int) -> list[SparsePauliOp]:
    """Observables as a list of Hermitian Pauli sums, equal terms added up.

    Args:
        observables: Anything that `as_operator` takes, or a sequence of it; qubit 0 is the rightmost letter,
            wire i is qubit i.
        num_qubits: Of the circuit that they are measured on.

    Returns:
        K Pauli sums with real coefficients, K = 1 for a single observable.

    Raises:
        UsageError: There are none, or one is not a Pauli sum, not finite, zero, not Hermitian, or acts on
            another number of qubits.
    """
    if not num_qubits:
        raise UsageError("the circuit has no qubits, so there is nothing to observe; give one on at least 1.")
    several = (
        isinstance(observables, Iterable | PauliList)
        and not is_observable(observables)
        and not is_matrix(observables)
    )
    operators = [_as_operator(one, num_qubits) for one in (observables if several else [observables])]
    if not operators:
        raise UsageError("the list of observables is empty; pass a SparsePauliOp or a list of them.")
    return operators


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
            check_tensor(parameters)
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


def check_tensor(tensor: Any) -> None:
    """Refuse tensors whose numbers cannot be read: simulators and devices compute outside of torch.

    Raises:
        UsageError: It is on the device "meta", or inside one of torch.func's transforms.
    """
    import torch

    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise UsageError(
            "torch.func's transforms (grad, vmap, jacrev, hessian) do not see through circuits; pass all "
            "sets at once, shape (N, P), and differentiate by torch.autograd.grad or "
            "torch.autograd.functional.jacobian."
        )
    if tensor.is_meta:
        raise UsageError(
            "the parameters are on the device 'meta', which holds no numbers; pass them on 'cpu'."
        )


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
    operator = as_operator(observable, num_qubits)
    paulis = operator.paulis
    return _summed(num_qubits, paulis.x.tobytes(), paulis.z.tobytes(), operator.coeffs.tobytes())


@lru_cache(maxsize=64)
def _summed(num_qubits: int, x: bytes, z: bytes, coefficients: bytes) -> SparsePauliOp:
    weights = np.frombuffer(coefficients, dtype=complex)
    flips, signs = (np.frombuffer(bits, dtype=bool).reshape(len(weights), num_qubits) for bits in (x, z))
    simple = hermitian(SparsePauliOp(PauliList.from_symplectic(signs, flips), weights))
    if not simple.coeffs.any():
        raise UsageError("the observable is zero; its expectation value is 0 in every state.")
    return simple
