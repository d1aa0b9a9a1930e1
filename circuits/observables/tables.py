"""Pauli sums as tables, whose first line names the columns.

    pauli,coefficient           ZZI,-1.0
    pauli,qubits,coefficient    ZZ,"0 1",-1.0    as `SparsePauliOp.to_sparse_list` lists letters and qubits

A column `imag` may be there too. The column without a name that comes first in tables of pandas counts the
rows from 0.
"""

from __future__ import annotations

import csv
import re

from bondwise.circuits.observables.json_terms import coefficient_of, on_qubits, word_of
from bondwise.circuits.observables.sums import Term, Word, plain
from bondwise.runs import UsageError

_COLUMNS = {
    "word": {"pauli", "paulis", "label", "labels", "word", "words", "term", "terms", "operator", "string"},
    "qubits": {"qubits", "qubit", "indices", "wires", "wire", "sites", "site"},
    "number": {"coefficient", "coefficients", "coeff", "coeffs", "coef", "weight", "weights", "value"}
    | {"real", "re", "coeff_real", "coefficient_real"},
    "imaginary": {"imag", "imaginary", "im", "coeff_imag", "coefficient_imag"},
    "count": {"", "unnamed: 0"},
}
_QUBITS = re.compile(r"[\[(]?\s*([0-9]{1,9}(?:[\s,;]+[0-9]{1,9})*)?\s*,?[\])]?")


def terms_in_table(text: str, name: str) -> list[Term] | None:
    """The terms of a table whose first line names its columns; None for any other text.

    Args:
        text: The table, with tabs, semicolons, commas or spaces between its cells.
        name: Name of the text in messages.

    Raises:
        UsageError: If a column is missing, given twice or unknown, or a row is malformed.
    """
    lines = enumerate(map(plain, text.splitlines()), start=1)
    first, header = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    separator = next((letter for letter in "\t;," if letter in header), " ")
    columns = [cell.strip(" \"'").lower() for cell in _cells(header[:1000], separator)]
    kinds = [next((kind for kind, names in _COLUMNS.items() if cell in names), None) for cell in columns]
    if not {"word", "qubits", "number", "imaginary"} & set(kinds) or (
        separator == " " and "number" not in kinds
    ):
        return None
    place: dict[str, int] = {}
    for index, (cell, kind) in enumerate(zip(columns, kinds, strict=True)):
        if kind is None or kind in place or (kind == "count" and index):
            problem = "is not known" if kind is None else "has no name" if not cell else f"is a second {kind}"
            raise UsageError(
                f"{name}, line {first}: the column {cell[:40]!r} {problem}; the columns may be pauli, "
                'coefficient, imag and qubits (such as "0 1").'
            )
        place[kind] = index
    if "word" not in place or "number" not in place:
        raise UsageError(
            f"{name}: the columns are {header.strip()[:60]!r}; call two of them pauli and coefficient."
        )
    terms: list[Term] = []
    for number, line in lines:
        where, cells = f"{name}, line {number}", _cells(line[:100_000], separator)
        if not line.strip():
            continue
        if len(cells) != len(columns):
            raise UsageError(
                f"{where}: {len(cells)} cells, and the header names {len(columns)}; write one for each."
            )
        row = {kind: cells[index].strip() for kind, index in place.items()}
        if "count" in row and row["count"] != str(len(terms)):
            raise UsageError(
                f"{where}: {row['count'][:20]!r} is in a column without a name, which may only count the "
                "rows from 0; name it, or leave it out."
            )
        coefficient = coefficient_of(row["number"], where)
        if "imaginary" in row:
            imaginary = coefficient_of(row["imaginary"], where)
            if coefficient.imag or imaginary.imag:
                raise UsageError(
                    f"{where}: beside a column of imaginary parts both are real; write 0.5,0 for 0.5."
                )
            coefficient += 1j * imaginary
        terms.append(Term(number, _word(row["word"], row.get("qubits"), where), coefficient))
    return terms


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line.strip(" \r")], delimiter=separator, skipinitialspace=True), [])


def _word(letters: str, qubits: str | None, where: str) -> Word:
    if qubits is None:
        return word_of(letters, where)
    found = _QUBITS.fullmatch(qubits.strip())
    if found is None:
        raise UsageError(f"{where}: {qubits[:40]!r} is not a list of qubits; write 0 1, one for each letter.")
    places = [int(digits) for digits in re.findall("[0-9]+", found[1] or "")]
    return on_qubits("" if letters == "I" and not places else letters, places, where)
