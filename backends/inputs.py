"""Checks of what callers pass: observables become Pauli sums, parameters become float64 arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.circuits import Observable, as_operator, hermitian, is_matrix, is_observable
from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import AngleOrder
from bondwise.runs import UsageError, one_line

NOT_FINITE = (
    "a gate angle is not a finite real number for these parameters; change them or the angle's expression."
)


def as_operators(observables: Observable | Sequence[Observable], num_qubits: int) -> list[SparsePauliOp]:
    """Observables as a list of Hermitian Pauli sums with equal terms added up.

    Args:
        observables: Anything that `as_operator` takes, or a sequence of it; qubit 0 is the rightmost letter,
            wire i is qubit i.
        num_qubits: Number of qubits of the circuit.

    Returns:
        K Pauli sums with real coefficients; K = 1 for a single observable.

    Raises:
        UsageError: If there are no observables, or one is not a Pauli sum, is zero, is not finite or
            not Hermitian, or acts on another number of qubits.
    """
    if not num_qubits:
        raise UsageError(
            "the circuit has no qubits, so there is nothing to observe; pass one with at least 1."
        )
    several = (
        isinstance(observables, Iterable | PauliList)
        and not is_observable(observables)
        and not is_matrix(observables)
    )
    operators = [_as_operator(one, num_qubits) for one in (observables if several else [observables])]
    if not operators:
        raise UsageError("the list of observables is empty; pass a SparsePauliOp or a list of them.")
    return operators


def as_parameters(order: AngleOrder, parameters: Any) -> np.ndarray:
    """Angles of a circuit with P parameters as a contiguous float64 array (*batch, P), in its own order.

    Args:
        order: The order of a plain array.
        parameters: As for `as_angles`; None for P = 0.

    Raises:
        UsageError: As for `as_angles`.
    """
    given = [] if parameters is None else parameters
    if isinstance(given, Mapping):
        given = named_angles(given, order.parameters)
    return np.ascontiguousarray(order.to_circuit(as_angles("parameters", given, order.names, "circuit")))


def as_angles(what: str, given: Any, names: Sequence[str], owner: str, *, batch: bool = True) -> np.ndarray:
    """Finite real numbers with one column per name, as a contiguous float64 array (*batch, len(names)).

    Args:
        what: Name of the numbers in messages.
        given: An array, nested lists or a tensor, on any device and with or without a gradient; or a
            dictionary of these by name, as for `named_angles`.
        names: Names of the columns.
        owner: What the names belong to, for messages: "circuit" or "module".
        batch: Whether there may be leading axes.

    Raises:
        UsageError: If they are not real numbers, one is not finite, or the number of columns is wrong.
    """
    if isinstance(given, Mapping):
        given = named_angles(given, names, what)
    count = len(names)
    accepted = f"pass real numbers of shape {f'(*batch, {count})' if batch else f'({count},)'}."
    if hasattr(given, "detach"):
        check_tensor(given)
        given = given.detach().cpu().resolve_conj()
        given = (given if given.is_complex() else given.double()).numpy()
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "biufcO":
            raise TypeError(f"their type is {array.dtype}")
        angles = array if array.dtype.kind == "c" else np.array(array, dtype=float, order="C")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} are not numbers ({one_line(error)}); {accepted}") from None
    if np.iscomplexobj(angles):
        raise UsageError(f"{what} are complex; {accepted}")
    if angles.ndim == 0 or angles.shape[-1] != count or not (batch or angles.ndim == 1):
        raise UsageError(
            f"{what} have shape {angles.shape} and the {owner} has {count} {what}{listed(names)}; {accepted}"
        )
    check_finite(what, angles, names)
    return angles


def check_finite(what: str, angles: np.ndarray, names: Sequence[str]) -> None:
    """Refuse angles (*batch, P) of which one is NaN or infinite.

    Raises:
        UsageError: If one is.
    """
    if not np.isfinite(angles).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(angles))[0])
        raise UsageError(
            f"{what}{list(where)} is {angles[where]}, the angle of {names[where[-1]]!r}; "
            "angles must be finite numbers."
        )


def listed(names: Sequence[str]) -> str:
    """The first three names in parentheses, to follow their number in a message."""
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""


def check_tensor(tensor: Any) -> None:
    """Refuse tensors whose numbers cannot be read: simulators and devices compute outside of torch.

    Raises:
        UsageError: If the tensor is on the device "meta", or inside one of torch.func's transforms.
    """
    import torch

    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise UsageError(
            "torch.func's transforms (grad, vmap, jacrev, hessian) cannot see through circuits; pass all "
            "sets at once, with shape (N, P), and differentiate with torch.autograd.grad or "
            "torch.autograd.functional.jacobian."
        )
    if tensor.is_meta:
        raise UsageError(
            "the parameters are on the device 'meta', which holds no numbers; pass them on 'cpu'."
        )


def kept_columns(before: QuantumCircuit, after: QuantumCircuit, angles: np.ndarray) -> np.ndarray:
    """The columns of the angles (*batch, P) of a circuit whose parameters are left in the compiled one."""
    column = {parameter: index for index, parameter in enumerate(before.parameters)}
    return angles[..., [column[parameter] for parameter in after.parameters]]


@contextmanager
def finite_angles() -> Iterator[None]:
    """A context for binding circuits, in which an angle such as 1/x at 0 or log(x) at -1 is a UsageError."""
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
