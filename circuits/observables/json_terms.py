"""Pauli sums in JSON.

    [["ZZI", -1.0], …]    [[-1.0, "ZZI"], …]    {"ZZI": -1.0, …}
    {"paulis": ["ZZI", …], "coeffs": [-1.0, …]}
    [["ZZ", [1, 2], -1.0], …]    as `SparsePauliOp.to_sparse_list` lists letters and their qubits
    {"__type__": "settings", …}  as Qiskit Runtime writes a `SparsePauliOp`

A word is a label (`ZZI`) or letters with their qubits (`Z1 Z2`), and a coefficient is a number, text
(`"1+0j"`) or `[re, im]`.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from typing import Any

import numpy as np

from bondwise.circuits.observables.sums import Term, Word, parse_sum
from bondwise.runs import UsageError, one_line

_EXAMPLE = 'write [["ZZI", -1.0], ["IIX", 0.5]] or {"ZZI": -1.0}'


def terms_in_json(content: Any, name: str) -> list[Term]:
    """The terms of a Pauli sum; their places count from 1.

    Args:
        content: What the JSON text holds.
        name: Name of the text in messages.

    Raises:
        UsageError: If this is not a Pauli sum, or holds something else than words and numbers.
    """
    if isinstance(content, dict) and "__type__" in content:
        rows = _of_qiskit(content, name)
    elif isinstance(content, dict) and isinstance(content.get("paulis"), list):
        rows = _paired(content["paulis"], content.get("coeffs", content.get("coefficients")), name)
    elif isinstance(content, dict):
        rows = list(content.items())
    elif isinstance(content, list):
        rows = content
    else:
        raise UsageError(f"{name}: {_shown(content)} is not a list of terms; {_EXAMPLE}.")
    return [_term(row, place, f"{name}, term {place}") for place, row in enumerate(rows, start=1)]


def word_of(given: Any, where: str) -> Word:
    """A label or letters with their qubits.

    Args:
        given: The text of the word.
        where: Its place, for messages.

    Raises:
        UsageError: If it is not one word.
    """
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{where}: {_shown(given)} is not a Pauli word; write ZZI or 'Z1 Z2'.")
    if re.fullmatch("[IXYZ]+", given):
        return given
    terms = parse_sum(given, where, lines=False)
    if len(terms) != 1 or terms[0].coefficient != 1:
        raise UsageError(f"{where}: {_shown(given)} is not one Pauli word; write ZZI or 'Z1 Z2'.")
    return terms[0].word or {}


def coefficient_of(given: Any, where: str) -> complex:
    """A number, the number that a text holds, or [real part, imaginary part].

    Args:
        given: The number.
        where: Its place, for messages.

    Raises:
        UsageError: If it is none of these.
    """
    if isinstance(given, dict) and given.get("__type__") == "complex":  # Qiskit Runtime's
        given = given.get("__value__")
    try:
        if isinstance(given, list):
            real, imaginary = given
            return complex(_real(real), _real(imaginary))
        if isinstance(given, str):
            return complex("".join(given.split()))
        return given if isinstance(given, complex) else complex(_real(given))
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{where}: {_shown(given)} is not a coefficient; write a real number such as -1.0."
        ) from None


def _real(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError
    return float(given)


def _term(row: Any, place: int, where: str) -> Term:
    pair = list(row) if isinstance(row, list | tuple) else []
    if len(pair) == 3 and isinstance(pair[1], list):
        return Term(place, _on_qubits(pair[0], pair[1], where), coefficient_of(pair[2], where))
    if len(pair) != 2:
        raise UsageError(f'{where}: expected ["ZZI", -1.0], found {_shown(row)}.')
    word, coefficient = pair if _is_word(pair[0]) or not _is_word(pair[1]) else pair[::-1]
    return Term(place, word_of(word, where), coefficient_of(coefficient, where))


def _is_word(given: Any) -> bool:
    return isinstance(given, str) and re.match(r"\s*([IXYZ(\[]*[IXYZ]|$)", given) is not None


def _on_qubits(letters: Any, qubits: list[Any], where: str) -> dict[int, str]:
    """A word of `to_sparse_list`: letters, and the qubit of each."""
    valid = isinstance(letters, str) and set(letters) <= set("IXYZ") and len(letters) == len(qubits)
    if (
        not valid
        or any(type(qubit) is not int or qubit < 0 for qubit in qubits)
        or len(set(qubits)) < len(qubits)
    ):
        raise UsageError(
            f'{where}: {_shown([letters, qubits])} is not a word with its qubits; write ["ZZ", [0, 1], -1.0].'
        )
    return dict(zip(qubits, letters, strict=True))


def _paired(words: Any, coefficients: Any, name: str) -> list[tuple[Any, Any]]:
    if not isinstance(words, list) or not isinstance(coefficients, list) or len(words) != len(coefficients):
        counts = [len(given) if isinstance(given, list) else "no" for given in (words, coefficients)]
        raise UsageError(
            f"{name}: {counts[0]} paulis and {counts[1]} coeffs; "
            'write {"paulis": ["ZZI", "IIX"], "coeffs": [-1.0, 0.5]}.'
        )
    return list(zip(words, coefficients, strict=True))


def _of_qiskit(content: dict[str, Any], name: str) -> list[tuple[Any, Any]]:
    """The labels and coefficients of a `SparsePauliOp` that Qiskit Runtime's encoder wrote."""
    try:
        if content["__class__"] != "SparsePauliOp":
            raise UsageError(
                f"{name} holds a {_shown(content['__class__'])} of Qiskit; write a SparsePauliOp."
            )
        value = content["__value__"]
        labels, packed = value["data"]["__value__"]["data"], value["coeffs"]["__value__"]
        size = 16 * len(labels)
        header_and_numbers = zlib.decompressobj().decompress(base64.b64decode(packed), size + 1024)
        file = io.BytesIO(header_and_numbers)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != (len(labels),) or dtype.kind not in "fc":
            raise ValueError("the coefficients are not numbers, one per label")
        return _paired(labels, np.frombuffer(file.read(), dtype).astype(complex).tolist(), name)
    except UsageError:
        raise
    except Exception as error:  # base64, zlib and NumPy's headers have their own
        raise UsageError(
            f"{name} cannot be read as a SparsePauliOp of Qiskit Runtime: {one_line(error, 80)}; "
            "write json.dumps(operator.to_list(), default=str)."
        ) from error


def _shown(given: Any) -> str:
    return repr(given)[:60]
