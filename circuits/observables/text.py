"""Pauli sums from text: lines and sums, OpenFermion's, PennyLane's and Qiskit's prints, JSON, and CSV.

The format is recognized from the text itself. Letters that come with a number act on that qubit; in a label,
the rightmost letter is qubit 0.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from qiskit.quantum_info import SparsePauliOp

from bondwise.circuits.observables.hermiticity import with_real_coefficients
from bondwise.circuits.observables.json_terms import coefficient_of, python_terms, terms_in_json, word_of
from bondwise.circuits.observables.sums import Term, parse_sum, plain
from bondwise.circuits.observables.tables import terms_in_table
from bondwise.circuits.observables.terms import operator_of
from bondwise.runs import UsageError, is_file, printable, read_bytes, read_json, read_text, require_within

_PRINTED = re.compile(r"\s*SparsePauliOp\(\s*\[(.*?)\]\s*,\s*coeffs=\[(.*?)\]\s*\)\s*", re.DOTALL)
_OBSERVABLE = re.compile(r"\s*<SparseObservable with \d+ terms? on (\d+) qubits?: (.*)>\s*", re.DOTALL)
_PYTHON = re.compile(r"""\s*(?:[\[(]\s*\(\s*['"]|\[\s*\[\s*'|\{\s*')""")  # repr() of lists and dictionaries


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
    text, name, unit, declared = _text(path), printable(path), "line", None
    if _PYTHON.match(text):
        form, unit, (terms, declared) = "printed terms", "term", terms_in_json(python_terms(text, name), name)
    elif re.match(r"\s*(\{|\[(?!\s*[IXYZ]))", text):
        form, unit, (terms, declared) = "JSON", "term", terms_in_json(read_json(path), name)
    elif text.lstrip().startswith("SparsePauliOp("):
        form, unit, terms = "a printed SparsePauliOp", "term", _printed_terms(text, name)
    elif text.lstrip().startswith("<SparseObservable"):
        form, (terms, declared) = "a printed SparseObservable", _observable_terms(text, name)
    elif (table := terms_in_table(text, name)) is not None:
        form, terms = "CSV", table
    else:
        form, terms = _form(plain(text)), parse_sum(re.sub(r"\A\s*(Qubit|Ising)Operator:", "", text), name)
    if not terms:
        raise UsageError(f"{name} holds no terms; write lines such as '-1.0 ZZI'.")
    require_within("terms", len(terms), name)
    operator = operator_of(terms, name, lambda place: f"{name}, {unit} {place}", declared or num_qubits)
    if declared not in (None, operator.num_qubits):
        raise UsageError(
            f"{name} gives {declared} as the number of qubits, and its terms act on {operator.num_qubits}; "
            f"write {operator.num_qubits}, or leave it out."
        )
    operator = with_real_coefficients(operator, lambda index: f"{name}, {unit} {terms[index].place}")
    indexed = any(isinstance(term.word, dict) and term.word for term in terms)
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


def names_file(text: str) -> bool:
    """Whether a text that is not a file looks like the name of one rather than like a sum."""
    return re.search(r"\.[A-Za-z]\w*$|\\|/(?!\s*(?:[\d.(]|pi\b|π))", text) is not None


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UsageError:
        if is_file(path) and re.match(rb".\x02..?\w+Operator", read_bytes(path)[:64], re.DOTALL):
            raise UsageError(
                f"{printable(path)} is a binary file of OpenFermion, which only OpenFermion reads; save it "
                "with openfermion.save_operator(operator, name, plain_text=True)."
            ) from None
        raise


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


def _observable_terms(text: str, name: str) -> tuple[list[Term], int]:
    """The terms of `print(observable)`, and its number of qubits."""
    instead = "save str(SparsePauliOp.from_sparse_observable(observable).to_list())"
    found = _OBSERVABLE.fullmatch(text)
    if found is None:
        raise UsageError(f"{name} is not a whole printed SparseObservable; {instead}.")
    if other := re.search(r"[01+\-lr]_[0-9]+", found[2]):
        raise UsageError(f"{name}: {other[0]!r} is a projector and not a Pauli letter; {instead}.")
    return parse_sum(found[2].replace("()", "[]"), name), int(found[1][:10])
