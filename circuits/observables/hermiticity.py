"""The one rule for what counts as a Hermitian Pauli sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from bondwise.runs import UsageError, kind_of

_TOLERANCE = 1e-12  # of imaginary parts, relative to the largest coefficient; rounding errors are smaller


def hermitian(operator: SparsePauliOp, *, what: str = "observable") -> SparsePauliOp:
    """Add up equal terms of a Pauli sum, and refuse it if it is not Hermitian.

    Args:
        operator: The sum, with finite numbers as coefficients.
        what: Name of the sum in messages.

    Returns:
        The sum with real coefficients. Imaginary parts of at most 1e-12 of the largest coefficient are
        rounding errors and are dropped.

    Raises:
        UsageError: If the sum is not Hermitian, or not a `SparsePauliOp`.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.circuits import hermitian
        >>> hermitian(SparsePauliOp(["ZZ", "ZZ"], [0.5 + 1j, 0.5 - 1j])).to_list()
        [('ZZ', (1+0j))]
    """
    if not isinstance(operator, SparsePauliOp):
        raise UsageError(
            f"the {what} is {kind_of(operator)}, and a SparsePauliOp is expected; "
            "pass bondwise.circuits.as_operator(observable)."
        )
    simple = operator.simplify(atol=0)
    return SparsePauliOp(simple.paulis, real_coefficients(simple.coeffs, what=what))


def real_coefficients(coefficients: np.ndarray, *, what: str = "observable") -> np.ndarray:
    """Return the real coefficients of a Hermitian sum of distinct Hermitian terms.

    Args:
        coefficients: Coefficients, complex128 of shape (T,).
        what: Name of the sum in messages.

    Returns:
        The real parts, float64 of shape (T,).

    Raises:
        UsageError: If an imaginary part exceeds 1e-12 of the largest coefficient, or the coefficients are not
            finite numbers.

    Example:
        >>> import numpy as np
        >>> from bondwise.circuits import real_coefficients
        >>> real_coefficients(np.array([1.0, 0.5 + 1e-16j]))
        array([1. , 0.5])
    """
    coefficients = np.asarray(coefficients)
    if coefficients.dtype.kind not in "iufc":
        raise UsageError(
            f"the coefficients of the {what} are not numbers; pass an array such as operator.coeffs."
        )
    if not np.isfinite(coefficients).all():
        raise UsageError(f"the {what} has a coefficient that is not finite; give finite numbers.")
    if np.abs(coefficients.imag).max(initial=0.0) > _TOLERANCE * np.abs(coefficients).max(initial=0.0):
        raise UsageError(
            f"the {what} is not Hermitian: some coefficients have an imaginary part, and they must be real; "
            "write (operator + operator.adjoint()) / 2 for its Hermitian part."
        )
    return coefficients.real


def with_real_coefficients(operator: SparsePauliOp, place_of: Callable[[int], str]) -> SparsePauliOp:
    """The operator without the rounding errors in its imaginary parts.

    Args:
        operator: The operator.
        place_of: Name of the place of a term in messages, by its index.

    Raises:
        UsageError: If it is not Hermitian.
    """
    try:
        hermitian(operator)
    except UsageError:
        worst = int(np.abs(operator.coeffs.imag).argmax())
        raise UsageError(
            f"{place_of(worst)}: the coefficient {complex(operator.coeffs[worst])} is not real, so the "
            "operator is not Hermitian."
        ) from None
    return SparsePauliOp(operator.paulis, operator.coeffs.real)
