"""Pauli sums in JSON.

    [["ZZI", -1.0], …]    [[-1.0, "ZZI"], …]    {"ZZI": -1.0, …}
    {"paulis": ["ZZI", …], "coeffs": [-1.0, …]}    {"terms": [["ZZI", -1.0], …], "num_qubits": 3}
    [["ZZ", [1, 2], -1.0], …]    as `SparsePauliOp.to_sparse_list` lists letters and their qubits
    [('ZZI', (-1+0j)), …]        as Python prints such lists
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

from bondwise.circuits.observables.sums import REAL, Term, Word, parse_number, parse_word
from bondwise.runs import UsageError, one_line
from bondwise.runs.reading import json_in

_PRINTED = re.compile(  # what Python prints otherwise than JSON: strings, complex numbers, tuples
    rf"""'[^'"\\]*' | "[^"]*"
    | (?<![\w.])(?:\([+-]?{REAL}[+-]{REAL}j\) | [+-]?{REAL}(?:[+-]{REAL})?j) | [()]""",
    re.VERBOSE,
)
_QUOTES = "()'"
_EXAMPLE = 'write [["ZZI", -1.0], ["IIX", 0.5]] or {"ZZI": -1.0}'


def terms_in_json(content: Any, name: str) -> tuple[list[Term], int | None]:
    """The terms of a Pauli sum, whose places count from 1, and the number of qubits if it is given.

    Args:
        content: What the JSON text holds.
        name: Name of the text in messages.

    Raises:
        UsageError: If this is not a Pauli sum, or holds something else than words and numbers.
    """
    qubits = None
    if isinstance(content, dict) and "__type__" in content:
        rows = _of_qiskit(content, name)
    elif isinstance(content, dict):
        rest = dict(content)
        qubits = _number_of_qubits(rest, name)
        rows = _rows(rest, name)
    elif isinstance(content, list):
        rows = content
    else:
        raise UsageError(f"{name}: {_shown(content)} is not a list of terms; {_EXAMPLE}.")
    return [_term(row, place, f"{name}, term {place}") for place, row in enumerate(rows, start=1)], qubits


def python_terms(text: str, name: str) -> Any:
    """What a text holds that Python printed: lists, tuples, dictionaries, strings and numbers.

    Args:
        text: The text; it is rewritten as JSON and not evaluated.
        name: Name of the text in messages.

    Raises:
        UsageError: If it holds anything else.
    """
    plain_numbers = re.sub(r"np\.[a-z]+[0-9]+\(([^()]*)\)", r"\1", text)
    return json_in(re.sub(r",(?=\s*[\])}])", "", _PRINTED.sub(_as_json, plain_numbers)), name)


def _as_json(found: re.Match[str]) -> str:
    text = found[0]
    if text in "()":
        return "[" if text == "(" else "]"
    return text if text[0] == '"' else f'"{text.strip(_QUOTES)}"'


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
    word = parse_word(given, where)
    if word is None:
        raise UsageError(f"{where}: {_shown(given)} is not one Pauli word; write ZZI or 'Z1 Z2'.")
    return word


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
            return parse_number(given, where)
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
        return Term(place, on_qubits(pair[0], pair[1], where), coefficient_of(pair[2], where))
    if len(pair) != 2:
        raise UsageError(f'{where}: expected ["ZZI", -1.0], found {_shown(row)}.')
    word, coefficient = pair if _is_word(pair[0]) or not _is_word(pair[1]) else pair[::-1]
    return Term(place, word_of(word, where), coefficient_of(coefficient, where))


def _is_word(given: Any) -> bool:
    return isinstance(given, str) and re.match(r"\s*([IXYZ(\[]*[IXYZ]|$)", given) is not None


def on_qubits(letters: Any, qubits: list[Any], where: str) -> dict[int, str]:
    """A word of `to_sparse_list`.

    Args:
        letters: Its letters.
        qubits: The qubit of each.
        where: Its place, for messages.

    Raises:
        UsageError: If they are not one letter and one qubit each, or a qubit is given twice.
    """
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


def _number_of_qubits(content: dict[str, Any], name: str) -> int | None:
    """The number of qubits beside the terms, taken out."""
    given = [content.pop(key) for key in ("num_qubits", "n_qubits") if key in content]
    if any(type(number) is not int or number < 1 or number != given[0] for number in given):
        raise UsageError(f'{name}: num_qubits is {_shown(given[-1])}; write a whole number, "num_qubits": 3.')
    return given[0] if given else None


def _rows(content: dict[str, Any], name: str) -> list[Any]:
    """The terms of an object: columns by name, one list, or words with their coefficients."""
    terms = content.get("terms")
    if len(content) == 1 and isinstance(terms, list | dict):
        return list(terms.items()) if isinstance(terms, dict) else terms
    if not any(isinstance(content.get(key), list) for key in ("paulis", "labels", "terms")):
        return list(content.items())
    words = [content.pop(key) for key in ("paulis", "labels") if key in content]
    numbers = [content.pop(key) for key in ("coeffs", "coefficients") if key in content]
    places = [content.pop(key) for key in ("qubits", "indices") if key in content]
    if content or max(len(words), len(numbers), len(places)) > 1:
        unknown = next(iter(content), "coefficients" if len(numbers) > 1 else "labels")
        raise UsageError(
            f"{name}: {_shown(unknown)} is not expected; the keys may be paulis, qubits, coeffs, num_qubits."
        )
    return _paired(*words, *places, *(numbers or [None]), name=name)


def _paired(*columns: Any, name: str) -> list[Any]:
    if any(not isinstance(column, list) or len(column) != len(columns[0]) for column in columns):
        counts = [len(column) if isinstance(column, list) else "no" for column in columns]
        raise UsageError(
            f"{name}: {counts[0]} paulis and {counts[-1]} coeffs; "
            'write {"paulis": ["ZZI", "IIX"], "coeffs": [-1.0, 0.5]}.'
        )
    return list(zip(*columns, strict=True))


def _of_qiskit(content: dict[str, Any], name: str) -> list[Any]:
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
        return _paired(labels, np.frombuffer(file.read(), dtype).astype(complex).tolist(), name=name)
    except UsageError:
        raise
    except Exception as error:  # base64, zlib and NumPy's headers have their own
        raise UsageError(
            f"{name} cannot be read as a SparsePauliOp of Qiskit Runtime: {one_line(error, 80)}; "
            "write json.dumps(operator.to_list(), default=str)."
        ) from error


def _shown(given: Any) -> str:
    return repr(given)[:60]
