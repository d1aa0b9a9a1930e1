"""Pauli sums from text: lines and sums, OpenFermion's, PennyLane's and Qiskit's prints, JSON, and CSV.

The format is recognized from the text itself. Letters that come with a number act on that qubit; in a label,
the rightmost letter is qubit 0.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from qiskit.quantum_info import SparsePauliOp

from bondwise.circuits.observables.hermiticity import with_real_coefficients
from bondwise.circuits.observables.json_terms import coefficient_of, terms_in_json, word_of
from bondwise.circuits.observables.sums import Term, parse_sum, without_comments
from bondwise.circuits.observables.terms import operator_of
from bondwise.runs import UsageError, printable, read_json, read_text, require_within

_PRINTED = re.compile(r"\s*SparsePauliOp\(\s*\[(.*?)\]\s*,\s*coeffs=\[(.*?)\]\s*\)\s*", re.DOTALL)
_COLUMNS = {
    "word": {"pauli", "paulis", "label", "labels", "word", "words", "term", "terms", "operator", "string"},
    "number": {"coefficient", "coefficients", "coeff", "coeffs", "coef", "weight", "weights", "value"},
}


def read_operator(path: str | os.PathLike[str], num_qubits: int | None = None) -> tuple[SparsePauliOp, str]:
    """Read a Hermitian Pauli sum from a file.

    Args:
        path: The file.
        num_qubits: Number of qubits if the letters come with their qubits; None for as many as needed.

    Returns:
        The sum with real coefficients, terms in the order of the file; and what was read, with its format and
        the place of qubit 0, as a sentence.

    Raises:
        UsageError: If the file cannot be read, is not a Pauli sum or not Hermitian, or exceeds a limit.
    """
    path = Path(path)
    text, name, unit = read_text(path), printable(path), "line"
    if re.match(r"\s*(\{|\[(?!\s*[IXYZ]))", text):
        form, unit, terms = "JSON", "term", terms_in_json(read_json(path), name)
    elif text.lstrip().startswith("SparsePauliOp("):
        form, unit, terms = "a printed SparsePauliOp", "term", _printed_terms(text, name)
    elif (table := _table(text, name)) is not None:
        form, terms = "CSV", table
    else:
        form, terms = _form(text), parse_sum(re.sub(r"\A\s*(Qubit|Ising)Operator:", "", text), name)
    if not terms:
        raise UsageError(f"{name} holds no terms; write lines such as '-1.0 ZZI'.")
    require_within("terms", len(terms), name)
    operator = operator_of(terms, name, lambda place: f"{name}, {unit} {place}", num_qubits)
    operator = with_real_coefficients(operator, lambda index: f"{name}, {unit} {terms[index].place}")
    indexed = any(isinstance(term.word, dict) for term in terms)
    first = "the rightmost letter" if not indexed else "wire 0" if form == "PennyLane" else "index 0"
    counts = f"{len(terms)} term{'s'[: len(terms) != 1]} on {operator.num_qubits} qubits"
    return operator, f"{counts} from {name} ({form}: {first} is qubit 0)"


def operator_in(text: str, name: str, num_qubits: int | None = None) -> SparsePauliOp:
    """Read a Pauli sum from a short text, such as a flag.

    Args:
        text: A sum such as `0.5*XX - ZZ` or `0.5 X0 - Z0 Z1`.
        name: Name of the sum in messages.
        num_qubits: Number of qubits if the letters come with their qubits; None for as many as needed.

    Raises:
        UsageError: If the text is not a Pauli sum.
    """
    terms = parse_sum(text, name, lines=False)
    if not terms:
        raise UsageError(f"{name} has no terms; write 0.5*ZZI - IIX or 0.5 Z1 Z2 - X0.")
    return operator_of(terms, name, lambda _: name, num_qubits)


def _form(text: str) -> str:
    """The name of a format of lines or sums, for people."""
    if re.search(r"\[\s*(\]|[IXYZ]\d)", text):
        return "OpenFermion"
    if re.search(r"[IXYZ]\(", text):
        return "PennyLane"
    return "letters with qubits" if re.search(r"[IXYZ]_?[0-9]", text) else "labels"


def _printed_terms(text: str, name: str) -> list[Term]:
    """The terms of `print(operator)`."""
    instead = "save json.dumps(operator.to_list(), default=str) in a .json file"
    found = _PRINTED.fullmatch(text)
    if found is None:
        raise UsageError(f"{name} is not a whole printed SparsePauliOp; {instead}.")
    if "..." in text:
        raise UsageError(f"{name} was printed with ... in place of most terms; {instead}.")
    words, numbers = ([cell.strip() for cell in part.split(",")] for part in found.groups())
    if len(words) != len(numbers):
        raise UsageError(f"{name} has {len(words)} labels and {len(numbers)} coefficients; {instead}.")
    return [
        Term(
            place,
            word_of(word.strip("'\""), f"{name}, term {place}"),
            coefficient_of(number, f"{name}, term {place}"),
        )
        for place, (word, number) in enumerate(zip(words, numbers, strict=True), start=1)
    ]


def _table(text: str, name: str) -> list[Term] | None:
    """The terms of a table whose first line names its columns; None for any other text."""
    lines = list(enumerate(without_comments(text).splitlines(), start=1))
    header = next((line for _, line in lines if line.strip()), "")
    separator = next((letter for letter in "\t;," if letter in header), " ")
    columns = [cell.strip(" \"'").lower() for cell in header.split(separator)]
    place = {kind: [i for i, cell in enumerate(columns) if cell in names] for kind, names in _COLUMNS.items()}
    if not any(place.values()):
        return None
    if [len(found) for found in place.values()] != [1, 1]:
        raise UsageError(
            f"{name}: the columns are {header.strip()[:60]!r}; call two of them pauli and coefficient."
        )
    word, number = place["word"][0], place["number"][0]
    terms = []
    for line, content in lines[1 + [line for _, line in lines].index(header) :]:
        where, cells = f"{name}, line {line}", next(csv.reader([content], delimiter=separator), [])
        if not content.strip():
            continue
        if len(cells) != len(columns):
            raise UsageError(
                f"{where}: {len(cells)} cells, and the header names {len(columns)}; write one for each."
            )
        terms.append(Term(line, word_of(cells[word].strip(), where), coefficient_of(cells[number], where)))
    return terms
