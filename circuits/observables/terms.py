"""Terms of a Pauli sum as a `SparsePauliOp`."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.circuits.observables.sums import Term, shown
from bondwise.runs import UsageError, require_within


def operator_of(
    terms: Sequence[Term], name: str, place_of: Callable[[int], str], num_qubits: int | None = None
) -> SparsePauliOp:
    """The sum of some terms.

    Args:
        terms: At least one term, all labels with a letter for every qubit or all letters with their qubits.
        name: Name of the sum in messages.
        place_of: Name of the place of a term in messages.
        num_qubits: Number of qubits for letters with their qubits; None for the largest one plus one.

    Returns:
        The sum with the terms in order and complex128 coefficients.

    Raises:
        UsageError: If labels differ in length or come with letters that have qubits, a coefficient is not
            finite, or a limit is exceeded.
    """
    given = [term.word or {} for term in terms]
    indexed = next((word for word in given if isinstance(word, dict) and word), None)
    alone = {} not in given  # otherwise "I" is the identity on every qubit
    letters = next((word for word in given if isinstance(word, str) and (word != "I" or alone)), None)
    words: list[dict[int, str]] = []
    labels: list[str] = []
    for (place, _, coefficient), word in zip(terms, given, strict=True):
        if not cmath.isfinite(coefficient):
            number = coefficient if coefficient.imag else coefficient.real
            raise UsageError(f"{place_of(place)}: the coefficient {number} is not a finite number.")
        if indexed is None and letters is not None:
            label = word if isinstance(word, str) else "I" * len(letters)
            if len(label) != len(letters):
                raise UsageError(
                    f"{place_of(place)}: {shown(label)} has {len(label)} letters, the first term has "
                    f"{len(letters)}; write one letter per qubit."
                )
            labels.append(label)
        elif isinstance(word, dict) or word == "I":
            words.append(word if isinstance(word, dict) else {})
        else:
            raise UsageError(
                f"{place_of(place)}: {shown(word)} and {shown(indexed or {})} are of two kinds; write all "
                "terms as labels for all qubits, ZZI, or all as letters with their qubits, Z1 Z2."
            )
    if not math.isfinite(sum(abs(term.coefficient) for term in terms)):
        raise UsageError(f"{name}: the sum of the coefficients is infinite; scale them down.")
    largest = max((max(word, default=0) for word in words), default=0)
    size = len(labels[0]) if labels else max(largest + 1, num_qubits or 0)
    require_within("qubits", size, name)
    require_within("array_bytes", 2 * size * len(terms), name)
    z, x = _of_labels(labels, size) if labels else _of_words(words, size)
    coefficients = np.array([term.coefficient for term in terms], dtype=complex)
    return SparsePauliOp(PauliList.from_symplectic(z, x), coefficients)


def _of_labels(labels: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    letters = np.frombuffer("".join(labels).encode(), np.uint8).reshape(len(labels), size)
    return _bits(letters[:, ::-1])  # the rightmost letter is qubit 0


def _of_words(words: list[dict[int, str]], size: int) -> tuple[np.ndarray, np.ndarray]:
    z, x = np.zeros((2, len(words), size), dtype=bool)
    rows = np.repeat(np.arange(len(words)), [len(word) for word in words])
    qubits = np.fromiter(chain.from_iterable(words), dtype=np.int64, count=len(rows))
    letters = "".join(chain.from_iterable(word.values() for word in words))
    z[rows, qubits], x[rows, qubits] = _bits(np.frombuffer(letters.encode(), np.uint8))
    return z, x


def _bits(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each letter has a Z and whether it has an X."""
    return (letters == ord("Z")) | (letters == ord("Y")), (letters == ord("X")) | (letters == ord("Y"))
