"""Sums of Pauli words in text, as people and packages write them.

    sum     terms separated by + or -, or one on each line; a line may begin or end with a sign
    term    factors side by side, or joined by one of * @ : , ;
    factor  a number, a label `ZZI`, a letter with its qubit (`Z0`, `Z_0`, `Z(0)`), `[X0 Y1]`, or (a sum)

A number follows its word without a join only at the end of a line, with its sign attached and none before the
word: `ZZ -1.0`. In `X0 - ZZ -1.0` it could as well be a term of its own.
Nothing is evaluated: the text is read from left to right, one factor at a time.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn, TypeAlias

from bondwise.runs import UsageError, limit, printable, require_within

Word: TypeAlias = str | dict[int, str]  # a letter for every qubit, or the letters of some qubits


class Term(NamedTuple):
    """A coefficient times a Pauli word, and where it is: its line, or its number in a list.

    A number on its own has no word.
    """

    place: int
    word: Word | None
    coefficient: complex


EXAMPLES = "write terms such as 0.5*ZZI or 0.5 Z0 Z1"
_REAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = rf"(?:{_REAL}[+-]{_REAL}[jJ]|{_REAL}[jJ]?|(?:nan|inf)\b)"
_TOKEN = re.compile(
    rf"""[ \t\r\f\v"']*(?:
      (?P<indexed>(?:[IXYZ]_?[0-9]{{1,9}}(?![0-9]) | (?:Pauli)?[IXYZ]\((?:wires=)?\[?[0-9]{{1,9}}\]?\)))
    | (?P<fermion>[0-9]+\^|FermionOperator)
    | (?P<number>{_NUMBER})
    | (?P<label>[IXYZ]+(?![\w(]))
    | (?P<identity>I\(\)|\[[ ]*\])
    | (?P<sign>[+-]) | (?P<join>[*@:,;])
    | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<newline>\n) | (?P<end>\Z) | (?P<unknown>\S{{1,24}}))""",
    re.VERBOSE,
)
_FACTORS = {"indexed", "fermion", "number", "label", "identity", "open"}
_LINE = re.compile(rf"[ \t]*([+-]?{_NUMBER})[ \t]*\*?[ \t]*([IXYZ]+)[ \t\r]*(?:\n|\Z)")  # most lines
_LAST = re.compile(rf"[\s\"']+([+-]{_NUMBER})(?=[ \t\r\"']*(?:\n|\Z))")  # a coefficient after its word
_NESTED = 20  # parentheses in parentheses


def parse_sum(text: str, name: str, *, lines: bool = True) -> list[Term]:
    """Read a sum of Pauli words.

    Args:
        text: The sum; comments start with `#` or `//`.
        name: Name of the text in messages.
        lines: Whether messages count its lines.

    Returns:
        The terms in order, each with a word; equal terms are not added up.

    Raises:
        UsageError: If the text is not such a sum, or is too long.
    """
    return _Parser(without_comments(text), name, lines).terms()


def without_comments(text: str) -> str:
    """The text without what follows `#` or `//` on a line."""
    return re.sub(r"(?:#|//).*", "", text)


def shown(word: Word) -> str:
    """A word as it is written, for messages."""
    if not isinstance(word, str):
        word = " ".join(f"{letter}{qubit}" for qubit, letter in list(word.items())[:8]) or "I"
    return repr(word if len(word) <= 24 else f"{word[:23]}…")


class _Parser:
    """The text, the token that comes next with its kind, and its line."""

    def __init__(self, text: str, name: str, lines: bool) -> None:
        self.text, self.name, self.lines = text, name, lines
        self.line, self.depth = 1, 0
        self.most_terms, self.most_qubits = limit("terms"), limit("qubits")
        self.go_to(0)

    def terms(self) -> list[Term]:
        terms = self.sum()
        if self.kind != "end":
            self.refuse(f"nothing is open that {self.token!r} could close; {EXAMPLES}")
        for line, word, coefficient in terms:
            if word is None:
                self.line = line
                number = coefficient if coefficient.imag else coefficient.real
                self.refuse(f"the number {number} has no Pauli word; {EXAMPLES}")
        return terms

    def sum(self) -> list[Term]:
        """All terms up to the end of the text or of a parenthesis."""
        terms: list[Term] = []
        while True:
            if len(terms) > self.most_terms:
                require_within("terms", len(terms), self.name)
            if not self.depth and (simple := _LINE.match(self.text, self.start)):
                terms.append(Term(self.line, simple[2], complex(simple[1])))
                self.line += 1
                self.go_to(simple.end())
                continue
            sign = self.signs()
            if self.kind in ("end", "close"):
                if sign:
                    self.refuse(f"a term is missing after the last sign; {EXAMPLES}")
                return terms
            terms += self.term(sign)

    def term(self, sign: int) -> list[Term]:
        """The product of some factors; a sum in parentheses gives several terms.

        Args:
            sign: 1 or -1; 0 without a sign, at the beginning of a line.
        """
        product, join, numbers = [Term(self.line, None, 1)], "*", 0
        begins, sign = not sign, sign or 1
        while True:
            factor = self.factor(sign)
            if factor[0].word is None and len(factor) == 1:
                numbers += 1
                if numbers > 1 and join != "*":
                    self.refuse(f"a term has two numbers; {EXAMPLES}, one to a line or separated by + and -")
            product = self.times(product, factor)
            letter, place = factor[0].word, self.token
            if self.kind == "number" and place.isdigit() and isinstance(letter, str) and len(letter) == 1:
                self.refuse(
                    f"'{letter} {place}' may be a letter with its qubit or with its coefficient; write "
                    f"{letter}{place} or {place}*{letter}"
                )
            if (
                self.kind == "sign"
                and begins
                and not numbers
                and (last := _LAST.match(self.text, self.start))
            ):
                self.go_to(last.end())
                product, numbers = self.times(product, [Term(self.line, None, complex(last[1]))]), 1
            if self.kind == "join":
                join, sign = self.take(), self.signs() or 1
            elif self.kind in _FACTORS:
                join, sign = "", 1
            else:
                return product

    def factor(self, sign: int) -> list[Term]:
        line, kind, token = self.line, self.kind, self.token
        if kind == "open":
            return self.times([Term(line, None, sign)], self.parentheses())
        if kind == "fermion":
            self.refuse(
                f"{token!r} belongs to a FermionOperator; write openfermion.jordan_wigner(operator), "
                "which is a sum of Pauli words"
            )
        if kind not in _FACTORS:
            what = repr(token) if token.strip() else "the end"
            unknown = "is neither a Pauli word nor a number" if kind == "unknown" else "is not expected here"
            self.refuse(f"{what} {unknown}; {EXAMPLES}")
        self.take()
        if kind == "number":
            return [Term(line, None, complex(f"-{token}" if sign < 0 else token))]  # -1+2j is one number
        if kind == "label":
            return [Term(line, token, sign)]
        if kind == "identity":
            return [Term(line, {}, sign)]
        qubit = int("".join(filter(str.isdigit, token)))
        if qubit >= self.most_qubits:
            require_within("qubits", qubit + 1, self.name)
        return [Term(line, {qubit: token.removeprefix("Pauli")[0]}, sign)]

    def parentheses(self) -> list[Term]:
        line, opened = self.line, self.token
        self.depth += 1
        if self.depth > _NESTED:
            self.refuse(f"more than {_NESTED} parentheses are nested; write the sum out")
        self.take()
        terms = self.sum()
        if self.token != {"(": ")", "[": "]"}[opened]:
            self.line = line
            self.refuse(f"{opened!r} is not closed; write {'(Z0 Z1)' if opened == '(' else '[Z0 Z1]'}")
        self.depth -= 1
        self.take()
        numbers = all(word is None for _, word, _ in terms)
        if opened == "[" and (numbers or len(terms) > 1):
            self.refuse(f"letters with their qubits are expected in []; {EXAMPLES} or 0.5 [Z0 Z1]")
        if not terms:
            self.refuse(f"() is empty; {EXAMPLES}")
        return [Term(line, None, sum(term.coefficient for term in terms))] if numbers else terms  # (1+2j)

    def signs(self) -> int:
        """The product of the signs that come next, over several lines; 0 if there are none."""
        product = 0
        while self.kind in ("sign", "newline"):
            token = self.take()
            if token != "\n":
                product = (product or 1) * (-1 if token == "-" else 1)
        return product

    def times(self, left: list[Term], right: list[Term]) -> list[Term]:
        """The product of two sums."""
        if len(left) == len(right) == 1:
            (place, word, number), (_, other, factor) = left[0], right[0]
            return [Term(place, self.product(word, other), number * factor)]
        require_within("terms", len(left) * len(right), self.name)
        return [
            Term(place, self.product(dict(word) if isinstance(word, dict) else word, other), number * factor)
            for place, word, number in left
            for _, other, factor in right
        ]

    def product(self, left: Word | None, right: Word | None) -> Word | None:
        """The product of two words; the first is changed, so that long words take linear time."""
        if left is None or right is None:
            return right if left is None else left
        if left == "I" or right == "I":  # the identity among letters with qubits
            left, right = ({} if word == "I" else word for word in (left, right))
        if isinstance(left, str) or isinstance(right, str):
            self.refuse(f"a term has two words, {shown(left)} and {shown(right)}; put + or - between them")
        for qubit, letter in right.items():
            if qubit in left:
                self.refuse(f"a term has two letters for qubit {qubit}; multiply them out, X0 Y0 = 1j Z0")
            left[qubit] = letter
        return left

    def take(self) -> str:
        """The token that comes next, after which the parser moves on."""
        token = self.token
        self.line += token == "\n"
        self.go_to(self.end)
        return token

    def go_to(self, start: int) -> None:
        """Look at the token at a place; inside parentheses the ends of lines do not count."""
        found = _TOKEN.match(self.text, start)
        while self.depth and found is not None and found.lastgroup == "newline":
            self.line += 1
            found = _TOKEN.match(self.text, found.end())
        assert found is not None  # "unknown" matches what nothing else does
        assert found.lastgroup is not None
        self.start, self.end, self.kind = start, found.end(), found.lastgroup
        self.token = found[self.kind]

    def refuse(self, reason: str) -> NoReturn:
        place = f"{self.name}, line {self.line}" if self.lines else self.name
        raise UsageError(f"{printable(place)}: {reason}.")
