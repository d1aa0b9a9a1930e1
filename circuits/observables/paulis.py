"""Conversion of observables to `SparsePauliOp`, with errors that name what was passed.

Qubit 0 is the rightmost letter of a Pauli string; PennyLane's wire i and OpenFermion's index i are qubit i.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp

from bondwise.runs import UsageError, kind_of

Observable: TypeAlias = (
    SparsePauliOp
    | Pauli
    | str
    | SparseObservable
    | Operator
    | Mapping[str, complex]
    | list[tuple[str, complex]]
)
_TOLERANCE = 1e-12  # of imaginary parts, relative to the largest coefficient; rounding errors are smaller


def as_operator(given: Any, num_qubits: int | None = None, *, what: str = "observable") -> SparsePauliOp:
    """Turn an observable into a Pauli sum.

    Args:
        given: A `SparsePauliOp`, `Pauli`, `SparseObservable` or `Operator` of Qiskit, a label such as "ZZ",
            or labels with coefficients as a dictionary `{"ZZ": 1.0}` or a list of pairs `[("ZZ", 1.0)]`, all
            with qubit 0 as the rightmost letter; or a PennyLane operator with a Pauli form or a matrix, or an
            OpenFermion `QubitOperator`, with wire or index i as qubit i.
        num_qubits: Number of qubits of the circuit; None for the observable's own number.
        what: Name of the observable in messages.

    Returns:
        The sum with complex128 coefficients and the terms as given. A `SparsePauliOp` of numbers is returned
        itself.

    Raises:
        UsageError: If the observable is none of these, acts on another number of qubits, or has a coefficient
            that is a free parameter or not finite.

    Example:
        >>> from bondwise.circuits import as_operator
        >>> as_operator({"ZZ": 1.0, "XI": 0.5}).to_list()
        [('ZZ', (1+0j)), ('XI', (0.5+0j))]
    """
    operator = given if isinstance(given, SparsePauliOp) else _converted(given, num_qubits, what)
    if num_qubits is not None and operator.num_qubits != num_qubits:
        raise UsageError(
            f"the {what} acts on {operator.num_qubits} qubits and the circuit has {num_qubits}; write "
            "one letter for each qubit, 'I' where nothing is measured."
        )
    if operator.coeffs.dtype == object:
        operator = SparsePauliOp(operator.paulis, _numbers(operator.coeffs, what))
    if not np.isfinite(operator.coeffs).all():
        raise UsageError(f"the {what} has a coefficient that is not finite; give finite numbers.")
    return operator


def is_observable(given: Any) -> bool:
    """Check whether an object is a single observable, not a sequence of observables or anything else.

    Args:
        given: Any object.

    Example:
        >>> from bondwise.circuits import is_observable
        >>> is_observable("ZZ"), is_observable([("ZZ", 1.0)]), is_observable(["ZZ", "XX"])
        (True, True, False)
    """
    if isinstance(given, SparsePauliOp | Pauli | str | SparseObservable | Operator | Mapping):
        return True
    return _are_pairs(given) or _is_foreign(given)


def is_matrix(given: Any) -> bool:
    """Check whether an object is a dense or sparse matrix of numbers.

    Args:
        given: Any object.

    Example:
        >>> import numpy as np
        >>> from bondwise.circuits import is_matrix
        >>> is_matrix(np.eye(4)), is_matrix("ZZ")
        (True, False)
    """
    return hasattr(given, "todense") or (hasattr(given, "dtype") and len(np.shape(given)) == 2)


def hermitian(operator: SparsePauliOp, *, what: str = "observable") -> SparsePauliOp:
    """Add up equal terms of a Pauli sum, and refuse it if it is not Hermitian.

    Args:
        operator: The sum, with finite numbers as coefficients.
        what: Name of the sum in messages.

    Returns:
        The sum with real coefficients. Imaginary parts of at most 1e-12 of the largest coefficient are
        rounding errors and are dropped.

    Raises:
        UsageError: If the sum is not Hermitian.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.circuits import hermitian
        >>> hermitian(SparsePauliOp(["ZZ", "ZZ"], [0.5 + 1j, 0.5 - 1j])).to_list()
        [('ZZ', (1+0j))]
    """
    simple = operator.simplify(atol=0)
    return SparsePauliOp(simple.paulis, real_coefficients(simple.coeffs, what=what))


def real_coefficients(coefficients: np.ndarray, *, what: str = "observable") -> np.ndarray:
    """Return the real coefficients of a Hermitian sum of distinct Hermitian terms.

    Args:
        coefficients: Finite coefficients, complex128 of shape (T,).
        what: Name of the sum in messages.

    Returns:
        The real parts, float64 of shape (T,).

    Raises:
        UsageError: If an imaginary part exceeds 1e-12 of the largest coefficient.

    Example:
        >>> import numpy as np
        >>> from bondwise.circuits import real_coefficients
        >>> real_coefficients(np.array([1.0, 0.5 + 1e-16j]))
        array([1. , 0.5])
    """
    if np.abs(coefficients.imag).max(initial=0.0) > _TOLERANCE * np.abs(coefficients).max(initial=0.0):
        raise UsageError(
            f"the {what} is not Hermitian: some coefficients have an imaginary part, and they must be real; "
            "write (operator + operator.adjoint()) / 2 for its Hermitian part."
        )
    return coefficients.real


def _converted(given: Any, num_qubits: int | None, what: str) -> SparsePauliOp:
    if isinstance(given, Pauli | str):
        return _of_labels([(given, 1.0)], what)
    if isinstance(given, SparseObservable):
        return SparsePauliOp.from_sparse_observable(given.as_paulis())
    if isinstance(given, Operator):
        if set(given.input_dims()) | set(given.output_dims()) != {2} or given.dim[0] != given.dim[1]:
            raise UsageError(f"the {what} is an Operator of dimensions {given.dim}; it must act on qubits.")
        return SparsePauliOp.from_operator(given)
    if _is_foreign(given):  # before mappings: some of PennyLane's are dictionaries
        return _of_factors(_foreign_terms(given, what), num_qubits, what)
    if isinstance(given, Mapping):
        return _of_labels(list(given.items()), what)
    if _are_pairs(given):
        return _of_labels(list(given), what)
    raise UsageError(f"the {what} is {_described(given)}")


def _of_labels(terms: list[tuple[Any, Any]], what: str) -> SparsePauliOp:
    """The sum of labels with coefficients."""
    if not terms:
        raise UsageError(f"the {what} has no terms; write labels with coefficients, such as {{'ZZ': 1.0}}.")
    labels = [label.to_label() if isinstance(label, Pauli) else label for label, _ in terms]
    for label in labels:
        if not isinstance(label, str) or not label or not set(label.lstrip("+-i")) <= set("IXYZ"):
            hint = ""
            if isinstance(label, str) and (os.sep in label or "." in label):
                hint = f"; if it is a file, pass bondwise.qml.read_hamiltonian({label!r})"
            raise UsageError(f"the {what} {label!r} is not a label of letters I, X, Y, Z{hint}.")
        if len(label) != len(labels[0]) and not {label[0], labels[0][0]} & set("+-i"):
            raise UsageError(
                f"the {what} has terms of unequal length, {labels[0]!r} and {label!r}; write one letter for "
                "each qubit."
            )
    coefficients = _numbers([coefficient for _, coefficient in terms], what)
    try:
        return SparsePauliOp(PauliList(labels), coefficients)
    except (QiskitError, ValueError):
        raise UsageError(f"the {what} {labels[0]!r} is not a label of letters I, X, Y, Z.") from None


def _of_factors(terms: list[tuple[dict[Any, str], Any]], num_qubits: int | None, what: str) -> SparsePauliOp:
    """The sum of words (dictionaries from qubit to letter) on `num_qubits` qubits, or as many as needed."""
    places = {place for word, _ in terms for place in word}
    if not all(isinstance(place, int | np.integer) and place >= 0 for place in places):
        shown = next(place for place in places if not isinstance(place, int | np.integer) or place < 0)
        raise UsageError(
            f"the {what} acts on a wire {shown!r}; number the wires 0, 1, …, which are qubits 0, 1, …"
        )
    needed = max(places, default=0) + 1
    if num_qubits is not None and needed > num_qubits:
        raise UsageError(f"the {what} acts on qubit {needed - 1} and the circuit has {num_qubits} qubits.")
    coefficients = _numbers([coefficient for _, coefficient in terms], what)
    rows = [
        ("".join(word.values()), list(word), coefficient)
        for (word, _), coefficient in zip(terms, coefficients, strict=True)
    ]
    return SparsePauliOp.from_sparse_list(rows or [("", [], 0.0)], num_qubits=num_qubits or needed)


def _is_foreign(given: Any) -> bool:
    """Whether an object is an operator of PennyLane or OpenFermion; neither is imported."""
    return hasattr(given, "pauli_rep") or type(given).__name__ in (
        "PauliSentence",
        "PauliWord",
        "QubitOperator",
    )


def _foreign_terms(given: Any, what: str) -> list[tuple[dict[Any, str], Any]]:
    """The terms of a foreign operator: dictionaries from wire to letter, with coefficients."""
    kind = type(given).__name__
    if kind == "QubitOperator":
        return [(dict(word), coefficient) for word, coefficient in given.terms.items()]
    if kind == "PauliWord":
        return [(dict(given), 1.0)]
    sentence = given if kind == "PauliSentence" else given.pauli_rep
    if sentence is None:  # a matrix on its wires, such as `Hermitian`
        return _matrix_terms(given, what)
    return [(dict(word), coefficient) for word, coefficient in sentence.items()]


def _matrix_terms(given: Any, what: str) -> list[tuple[dict[Any, str], Any]]:
    """The terms of a PennyLane operator with a matrix; its first wire is the highest bit of the index."""
    wires = list(given.wires)
    try:
        operator = Operator(np.asarray(given.matrix()))
    except Exception as error:  # PennyLane has its own exceptions for operators without a matrix
        raise UsageError(
            f"the {what} is PennyLane's {type(given).__name__}, which has neither a Pauli form nor a matrix; "
            "write it as a sum of products of X, Y and Z."
        ) from error
    if operator.num_qubits != len(wires):
        raise UsageError(f"the {what} is PennyLane's {type(given).__name__}, which does not act on qubits.")
    return [
        ({wire: letter for wire, letter in zip(wires, label, strict=True) if letter != "I"}, coefficient)
        for label, coefficient in SparsePauliOp.from_operator(operator).to_list()
    ]


def _are_pairs(given: Any) -> bool:
    """Whether an object is a list of (label, coefficient), which is one sum and not several observables."""
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(isinstance(row, list | tuple) and len(row) == 2 for row in given)
        and all(
            isinstance(label, str | Pauli) and not isinstance(value, str | Pauli) for label, value in given
        )
    )


def _numbers(coefficients: Iterable[Any], what: str) -> np.ndarray:
    try:
        return np.array([complex(_plain(coefficient)) for coefficient in coefficients])
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"the {what} has a coefficient that is not a finite number; bind its parameters first."
        ) from None


def _plain(coefficient: Any) -> Any:
    if isinstance(coefficient, str | bytes):
        raise TypeError
    return coefficient.detach() if hasattr(coefficient, "detach") else coefficient


def _described(given: Any) -> str:
    """What was passed, what is accepted, and what to write instead."""
    accepted = (
        "pass a SparsePauliOp, a Pauli, a label such as 'ZZ', or labels with coefficients, {'ZZ': 1.0}."
    )
    if isinstance(given, os.PathLike):
        return f"a path; pass what is in the file, bondwise.qml.read_hamiltonian({os.fspath(given)!r})."
    if is_matrix(given):
        return (
            "a matrix, which does not specify the order of its qubits; if qubit 0 is the lowest bit of the "
            "index, pass qiskit.quantum_info.Operator(matrix)."
        )
    if isinstance(given, PauliList | list | tuple | np.ndarray):
        return (
            f"{kind_of(given)}, and one sum is expected; give each label its coefficient, "
            "[('ZZ', 1.0), ('XX', 0.5)]."
        )
    shown = f" {given!r}" if isinstance(given, int | float | complex) else ""
    return f"{kind_of(given)}{shown}; {accepted}"
