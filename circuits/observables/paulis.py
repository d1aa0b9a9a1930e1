"""Conversion of observables to `SparsePauliOp`, with errors that name what was passed.

Qubit 0 is the rightmost letter of a Pauli string; PennyLane's wire i and OpenFermion's index i are qubit i.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp

from bondwise.circuits.observables.json_terms import word_of
from bondwise.circuits.observables.sums import Term, Word
from bondwise.circuits.observables.terms import operator_of
from bondwise.circuits.observables.text import names_file, operator_in
from bondwise.runs import UsageError, kind_of
from bondwise.runs.text import counted

Observable: TypeAlias = (
    SparsePauliOp
    | Pauli
    | str
    | SparseObservable
    | Operator
    | Mapping[str, complex]
    | list[tuple[str, complex]]
)

_LABEL = re.compile("[+-]?i?[IXYZ]+")  # with Qiskit's phases
_PHASES = {"": 1, "+": 1, "-": -1, "i": 1j, "+i": 1j, "-i": -1j}


def as_operator(given: Any, num_qubits: int | None = None, *, what: str = "observable") -> SparsePauliOp:
    """Turn an observable into a Pauli sum.

    Args:
        given: A `SparsePauliOp`, `Pauli`, `SparseObservable` or `Operator` of Qiskit, or a PennyLane operator
            with a Pauli form or a matrix, or an OpenFermion `QubitOperator`; or text: a sum such as
            "0.5*ZZ - XI" or "0.5 Z0 Z1 - X1", or words with coefficients as a dictionary `{"ZZ": 1.0}` or a
            list of pairs `[("ZZ", 1.0)]`. The rightmost letter of a label, wire 0 and index 0 are qubit 0.
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
            f"the {what} acts on {counted(operator.num_qubits, 'qubit')}"
            f" and the circuit has {num_qubits}; write "
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


def _converted(given: Any, num_qubits: int | None, what: str) -> SparsePauliOp:
    if isinstance(given, str) and not _LABEL.fullmatch(given):
        if names_file(given):
            raise UsageError(
                f"the {what} {given!r} is not a sum of Pauli words; if it is a file, pass "
                f"bondwise.qml.read_hamiltonian({given!r})."
            )
        return operator_in(given, f"the {what} {given[:60]!r}", num_qubits)
    if isinstance(given, Pauli | str):
        return _of_labels([(given, 1.0)], num_qubits, what)
    if isinstance(given, SparseObservable):
        return SparsePauliOp.from_sparse_observable(given.as_paulis())
    if isinstance(given, Operator):
        if set(given.input_dims()) | set(given.output_dims()) != {2} or given.dim[0] != given.dim[1]:
            raise UsageError(f"the {what} is an Operator of dimensions {given.dim}; it must act on qubits.")
        return SparsePauliOp.from_operator(given)
    if _is_foreign(given):  # before mappings: some of PennyLane's are dictionaries
        return _of_factors(_foreign_terms(given, what), num_qubits, what)
    package, kind = type(given).__module__.partition(".")[0], type(given).__name__
    if package in ("openfermion", "pennylane") and re.match("Fermi|Interaction|Majorana", kind):
        raise UsageError(
            f"the {what} is a {kind}, whose letters are not Paulis; pass {package}.jordan_wigner(operator)."
        )
    if isinstance(given, Mapping):
        return _of_labels(list(given.items()), num_qubits, what)
    if _are_pairs(given):
        return _of_labels(list(given), num_qubits, what)
    raise UsageError(f"the {what} is {_described(given)}")


def _of_labels(terms: list[tuple[Any, Any]], num_qubits: int | None, what: str) -> SparsePauliOp:
    """The sum of labels, or letters with their qubits, with coefficients."""
    if not terms:
        raise UsageError(f"the {what} has no terms; write labels with coefficients, such as {{'ZZ': 1.0}}.")
    coefficients = _numbers([coefficient for _, coefficient in terms], what)
    labels = [label.to_label() if isinstance(label, Pauli) else label for label, _ in terms]
    if all(isinstance(label, str) and _LABEL.fullmatch(label) for label in labels):
        words: list[Word] = [label.lstrip("+-i") for label in labels]
        phases = [_PHASES[label.rstrip("IXYZ")] for label in labels]
    else:
        words, phases = [word_of(label, f"the {what}") for label in labels], [1] * len(labels)
    return operator_of(
        [
            Term(0, word, phase * number)
            for word, phase, number in zip(words, phases, coefficients, strict=True)
        ],
        f"the {what}",
        lambda _: f"the {what}",
        num_qubits,
    )


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
