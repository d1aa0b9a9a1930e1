"""The front door of observables: everything that can be read becomes a `SparsePauliOp`, the rest is named.

Qubit 0 is the rightmost letter of a Pauli string; PennyLane's wire i and OpenFermion's index i are qubit i.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp

from bondwise.runs import UsageError

Observable: TypeAlias = (
    SparsePauliOp
    | Pauli
    | str
    | SparseObservable
    | Operator
    | Mapping[str, complex]
    | list[tuple[str, complex]]
)
_TOLERANCE = 1e-12  # of an imaginary part, relative to the largest coefficient: rounding errors are below


def as_operator(given: Any, num_qubits: int | None = None, *, what: str = "observable") -> SparsePauliOp:
    """An observable as a Pauli sum.

    Args:
        given: A Pauli sum, `Pauli`, `SparseObservable` or `Operator` of Qiskit, a label such as "ZZ", a dict
            `{"ZZ": 1.0}` or a list of pairs `[("ZZ", 1.0)]` of labels and coefficients, all with qubit 0 as
            the rightmost letter; or an operator of PennyLane that has a Pauli form or a matrix, or a
            `QubitOperator` of OpenFermion, with wire or index i as qubit i.
        num_qubits: Qubits of the circuit. None: as many as the observable has.
        what: Its name in messages.

    Returns:
        The sum with complex128 coefficients, terms as given; a `SparsePauliOp` of numbers is returned itself.

    Raises:
        UsageError: It is none of these, is on another number of qubits, or has a coefficient that is free or
            not finite.
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
        raise UsageError(f"the {what} has a coefficient that is no finite number; give finite ones.")
    return operator


def is_observable(given: Any) -> bool:
    """Whether this is one observable, rather than a sequence of them or something else."""
    if isinstance(given, SparsePauliOp | Pauli | str | SparseObservable | Operator | Mapping):
        return True
    return _are_pairs(given) or _is_foreign(given)


def is_matrix(given: Any) -> bool:
    """Whether this is a dense or sparse matrix of numbers."""
    return hasattr(given, "todense") or (hasattr(given, "dtype") and len(np.shape(given)) == 2)


def hermitian(operator: SparsePauliOp, *, what: str = "observable") -> SparsePauliOp:
    """The same sum with equal terms added up and real coefficients.

    Args:
        operator: With finite numbers as coefficients.
        what: Its name in messages.

    Returns:
        The sum; imaginary parts below 1e-12 of its largest coefficient are taken for rounding errors.

    Raises:
        UsageError: It is not Hermitian.
    """
    simple = operator.simplify(atol=0)
    return SparsePauliOp(simple.paulis, real_coefficients(simple.coeffs, what=what))


def real_coefficients(coefficients: np.ndarray, *, what: str = "observable") -> np.ndarray:
    """The coefficients, float64, of terms that are Hermitian each and different from one another.

    Args:
        coefficients: complex128 (T,), finite.
        what: The name of their sum in messages.

    Raises:
        UsageError: The sum is not Hermitian: an imaginary part exceeds 1e-12 of the largest coefficient.
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
    """A sum of labels with coefficients."""
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
    """A sum of words, each a letter by qubit, on `num_qubits` qubits or as many as the words need."""
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
    """Whether PennyLane's or OpenFermion's operator is given; told without importing either."""
    return hasattr(given, "pauli_rep") or type(given).__name__ in (
        "PauliSentence",
        "PauliWord",
        "QubitOperator",
    )


def _foreign_terms(given: Any, what: str) -> list[tuple[dict[Any, str], Any]]:
    """Its terms as a letter by wire, with coefficients."""
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
    """The terms of PennyLane's operator with a matrix; its first wire is the highest bit of the index."""
    wires = list(given.wires)
    try:
        operator = Operator(np.asarray(given.matrix()))
    except Exception as error:  # PennyLane's own kinds, for operators without a matrix
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
    """Whether this is a list of (label, coefficient): one sum, not several observables."""
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
            f"the {what} has a coefficient that is no finite number; bind its parameters first."
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
    if given is None:
        return f"None; {accepted}"
    if isinstance(given, os.PathLike):
        return f"a path; pass what is in the file, bondwise.qml.read_hamiltonian({os.fspath(given)!r})."
    if is_matrix(given):
        return (
            "a matrix, which does not say in which order it has the qubits; where qubit 0 is the lowest bit "
            "of the index, pass qiskit.quantum_info.Operator(matrix)."
        )
    if isinstance(given, PauliList | list | tuple | np.ndarray):
        return (
            f"a {type(given).__name__}, and one sum is wanted; give each label its coefficient, "
            "[('ZZ', 1.0), ('XX', 0.5)]."
        )
    shown = f" {given!r}" if isinstance(given, int | float | complex) else ""
    return f"a {type(given).__name__}{shown}; {accepted}"
