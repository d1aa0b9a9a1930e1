"""Sums of Pauli words in text, as people and packages write them.

    sum     terms separated by + or -, or one on each line; a line may begin or end with a sign
    term    factors side by side, or joined by one of * @ ⊗ /, and a word and its number also by one of : , ;
    factor  a number, a label `ZZI`, a letter with its qubit (`Z0`, `Z_0`, `Z(0)`), `[X0 Y1]`, or (a sum)

A number follows its word without a join only at the end of the term; with a sign only at the end of the line,
the sign attached to it and none before the word: `ZZ -1.0`. In `X0 - ZZ -1.0` it could as well be a constant.
A constant is a number as a term of its own, and the spaces around its sign tell: `ZZ - 1.0`, `2*ZZ-1`.
Nothing is evaluated: the text is read from left to right, one factor at a time.
"""

from __future__ import annotations

import cmath
import math
import re
from typing import NamedTuple, NoReturn, TypeAlias

from bondwise.runs import UsageError, limit, printable, require_within

Word: TypeAlias = str | dict[int, str]  # a letter for every qubit, or the letters of some qubits


class Term(NamedTuple):
    """A coefficient times a Pauli word, and where it is: its line, or its number in a list.

    A number on its own has no word; it is a constant times the identity.
    """

    place: int
    word: Word | None
    coefficient: complex


EXAMPLES = "write terms such as 0.5*ZZI or 0.5 Z0 Z1"
REAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = rf"(?:{REAL}[+-]{REAL}[jJ]|{REAL}[jJ]?|(?:nan|inf|pi)\b)"
_TOKEN = re.compile(
    rf"""(?:[^\S\n]|["'])*(?:
      (?P<projectors>[01]+[IXYZ][01IXYZ]*(?![\w.(]) | (?<![0-9])(?:[IXYZ][0-9]++)++[IXYZ]+(?![\w.(]))
    | (?P<indexed>(?:[IXYZ]_?[0-9]{{1,9}}(?![0-9.]) | (?:Pauli)?[IXYZ]\((?:wires=)?\[?[0-9]{{1,9}}\]?\)))
    | (?P<foreign>[0-9]+\^ | \(\(?[0-9]+,[ ]?[0-9]+ | [+-]_[0-9]+ | [abc](?:[⁺†^_(]|dag)[\w⁺†^(]*
        | (?:Fermion|Boson|Quad|Majorana)Operator | Fermionic)
    | (?P<number>{_NUMBER})
    | (?P<identity>(?:I|Identity)\((?:wires=)?\[?[0-9, ]*\]?\) | \[[ ]*\])
    | (?P<label>[IXYZ]+(?![\w.(]))
    | (?P<sign>[+-]) | (?P<join>[*@⊗/:,;])
    | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<newline>\n) | (?P<end>\Z) | (?P<unknown>\S{{1,24}}))""",
    re.VERBOSE,
)
_FACTORS = {"indexed", "foreign", "projectors", "number", "label", "identity", "open"}
_LINE = re.compile(  # most lines
    rf"[ \t]*([+-]?{_NUMBER})(?:[ \t]*\*[ \t]*|[ \t]+)([IXYZ]+)[ \t\r]*(?:\n|\Z)"
)
_LAST = re.compile(  # a coefficient after its word
    rf"[\s\"']+[+-]{_NUMBER}(?:[*/]{_NUMBER})*(?=[ \t\r\"']*(?:\n|\Z))"
)
_APART = re.compile(r"[+-]\s+[+-]?\Z")  # what precedes a constant
_FIRST = re.compile(r"[\n(\[][ \t]*[+-]?\Z")  # what precedes the first number on a line
_CLOSE = re.compile(r"\S[+-]\Z")
_GOES_ON = re.compile(rf"[ \t]+[+-](?:\S|[ \t]+{REAL}[jJ])")  # what follows a coefficient: -ZZ or + 0.5j
_SPELLINGS = {"−": "-", "–": "-", "⋅": "*", "·": "*", "×": "*", "π": "pi"}
_SPELLED = str.maketrans(_SPELLINGS | dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)))
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
    return _Parser(plain(text), name, lines).terms()


def parse_word(text: str, name: str) -> Word | None:
    """Read one Pauli word; None if the text is another sum.

    Args:
        text: The word.
        name: Name of the text in messages.

    Raises:
        UsageError: If the text is not a sum of Pauli words.
    """
    parser = _Parser(plain(text), name, lines=False)
    terms = parser.terms()
    return terms[0].word if len(terms) == 1 and terms[0].coefficient == 1 and not parser.numbers else None


def parse_number(text: str, name: str) -> complex:
    """Read a number, such as -0.5, 1+2j or π/4.

    Args:
        text: The number.
        name: Name of the text in messages.

    Raises:
        UsageError: If the text is a sum of Pauli words or something else.
    """
    parser = _Parser(f"({plain(text)})", name, lines=False)
    terms = parser.factor(1)
    if len(terms) != 1 or terms[0].word is not None or parser.kind != "end":
        parser.refuse(f"{text[:60]!r} is not a number")
    return terms[0].coefficient


def plain(text: str) -> str:
    """The text in plain letters, without what follows `#` or `//` on a line."""
    return re.sub(r"(?:#|//).*", "", text).translate(_SPELLED)


def shown(word: Word) -> str:
    """A word as it is written, for messages."""
    if not isinstance(word, str):
        word = " ".join(f"{letter}{qubit}" for qubit, letter in list(word.items())[:8]) or "I"
    return repr(word if len(word) <= 24 else f"{word[:23]}…")


class _Parser:
    """The text, the token that comes next with its kind, and its line; and what was read so far."""

    def __init__(self, text: str, name: str, lines: bool) -> None:
        self.text, self.name, self.lines = text, name, lines
        self.line, self.depth, self.numbers = 1, 0, 0
        self.most_terms, self.most_qubits = limit("terms"), limit("qubits")
        self.go_to(0)

    def terms(self) -> list[Term]:
        terms = self.sum()
        if self.kind != "end":
            self.refuse(f"nothing is open that {self.token!r} could close; {EXAMPLES}")
        if terms and all(term.word is None for term in terms):
            self.refuse_number(terms[0])
        return [term if term.word is not None else term._replace(word={}) for term in terms]

    def sum(self) -> list[Term]:
        """All terms up to the end of the text or of a parenthesis."""
        terms: list[Term] = []
        unclear: Term | None = None
        numbered = False  # whether the term before has a number
        while True:
            if len(terms) > self.most_terms:
                require_within("terms", len(terms), self.name)
            if not self.depth and (simple := _LINE.match(self.text, self.start)):
                terms.append(Term(self.line, simple[2], _value(simple[1])))
                self.line, self.numbers, numbered = self.line + 1, self.numbers + 1, True
                self.go_to(simple.end())
                continue
            sign = self.signs()
            if self.kind in ("end", "close"):
                if sign:
                    self.refuse(f"a term is missing after the last sign; {EXAMPLES}")
                if unclear and not (self.depth and all(term.word is None for term in terms)):
                    self.refuse_number(unclear)
                return terms
            start, before = self.at, self.numbers
            added = self.term(sign)
            if len(added) == 1 and added[0].word is None and not self.is_constant(added[0], start, numbered):
                unclear = unclear or added[0]
            terms += added
            numbered = self.numbers > before

    def term(self, sign: int) -> list[Term]:
        """The product of some factors; a sum in parentheses gives several terms.

        Args:
            sign: 1 or -1; 0 without a sign, at the beginning of a line.
        """
        product, join, numbers = [Term(self.line, None, 1)], "*", 0
        begins, sign, last = not sign, sign or 1, ""
        while True:
            spaced = self.text[self.at - 1 : self.at].isspace()
            factor = self.factor(sign)
            is_number = len(factor) == 1 and factor[0].word is None
            has_word = any(term.word is not None for term in product)
            if is_number:
                numbers += 1
                if numbers > 1 and join not in ("*", "/"):
                    self.refuse(f"a term has two numbers; {EXAMPLES}, one to a line or separated by + and -")
                if has_word and join in ("", "end"):
                    last = _shown(factor[0].coefficient)
                    if not (spaced or join):
                        self.refuse(f"the number {last} adjoins a word; {EXAMPLES}")
            elif last:
                self.refuse(f"the number {last} is between two words; {EXAMPLES}")
            elif has_word and join in (":", ",", ";"):
                self.refuse(f"{join!r} is between two words; put * for their product or + for their sum")
            product = self.times(product, factor, join)
            letter, place = factor[0].word, self.token
            if self.kind == "number" and place.isdigit() and isinstance(letter, str) and len(letter) == 1:
                self.refuse(
                    f"'{letter} {place}' may be a letter with its qubit or with its coefficient; write "
                    f"{letter}{place} or {place}*{letter}"
                )
            if self.kind == "join":
                join, sign = self.take(), self.signs() or 1
            elif self.kind in _FACTORS:
                join, sign = "", 1
            elif self.kind == "sign" and begins and not numbers and _LAST.match(self.text, self.start):
                join, sign = "end", self.signs()
            else:
                return product

    def is_constant(self, number: Term, start: int, numbered: bool) -> bool:
        """Whether the spaces around a number without a word tell that it is not a coefficient.

        Args:
            number: The number.
            start: Where it begins.
            numbered: Whether the term before it has a coefficient.
        """
        before = "\n" * (start < 20) + self.text[max(0, start - 20) : start]
        if number.coefficient.imag or _GOES_ON.match(self.text, self.start):
            return False
        if _FIRST.search(before) and not _APART.search(before):
            return self.kind == "sign"
        return bool(_APART.search(before) or (numbered and _CLOSE.search(before)))

    def factor(self, sign: int) -> list[Term]:
        line, kind, token = self.line, self.kind, self.token
        if kind == "open":
            return self.times([Term(line, None, sign)], self.parentheses())
        if kind == "foreign":
            self.refuse(
                f"{token!r} belongs to an operator of fermions or bosons; write it in Pauli words, as "
                "openfermion.jordan_wigner, pennylane.jordan_wigner and qiskit_nature's JordanWignerMapper do"
            )
        if kind == "projectors":
            self.refuse(
                f"{token!r} looks like a label with the projectors 0 and 1; write (1 + Z0)/2 and (1 - Z0)/2 "
                "for these, and 1*Z0 for a number before a word"
            )
        if kind not in _FACTORS:
            what = repr(token) if token.strip() else "the end"
            unknown = "is neither a Pauli word nor a number" if kind == "unknown" else "is not expected here"
            self.refuse(f"{what} {unknown}; {EXAMPLES}")
        self.take()
        if kind == "number":
            self.numbers += 1
            return [Term(line, None, _value(f"-{token}" if sign < 0 else token))]  # -1+2j is one number
        if kind == "label":
            return [Term(line, token, sign)]
        qubits = [int(digits.lstrip("0")[:10] or 0) for digits in re.findall("[0-9]+", token)]
        if max(qubits, default=0) >= self.most_qubits:
            require_within("qubits", max(qubits) + 1, self.name)
        letter = "I" if kind == "identity" else token.removeprefix("Pauli")[0]
        return [Term(line, dict.fromkeys(qubits, letter), sign)]

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

    def times(self, left: list[Term], right: list[Term], join: str = "*") -> list[Term]:
        """The product of two sums; with "/", the quotient."""
        if join == "/":
            divisor = right[0].coefficient
            if len(right) > 1 or right[0].word is not None or not divisor or not cmath.isfinite(divisor):
                self.refuse(f"only a number other than 0 can follow '/'; {EXAMPLES}")
            return [term._replace(coefficient=term.coefficient / divisor) for term in left]
        if len(left) == len(right) == 1:
            (place, word, number), (_, other, factor) = left[0], right[0]
            return [Term(place, self.product(word, other, join), number * factor)]
        require_within("terms", len(left) * len(right), self.name)
        return [
            Term(
                place,
                self.product(dict(word) if isinstance(word, dict) else word, other, join),
                number * factor,
            )
            for place, word, number in left
            for _, other, factor in right
        ]

    def product(self, left: Word | None, right: Word | None, join: str) -> Word | None:
        """The product of two words; the first is changed, so that long words take linear time."""
        if left is None or right is None:
            return right if left is None else left
        if join == "⊗" and isinstance(left, str) and isinstance(right, str):
            return left + right
        if left == "I" or right == "I":  # the identity among letters with qubits
            left, right = ({} if word == "I" else word for word in (left, right))
        if isinstance(left, str) or isinstance(right, str):
            self.refuse(f"a term has two words, {shown(left)} and {shown(right)}; put + or - between them")
        for qubit, letter in right.items():
            before = left.get(qubit, "I")
            if "I" not in (before, letter):
                self.refuse(f"a term has two letters for qubit {qubit}; multiply them out, X0 Y0 = 1j Z0")
            left[qubit] = letter if before == "I" else before
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
        self.at, self.token = found.start(self.kind), found[self.kind]

    def refuse_number(self, term: Term) -> NoReturn:
        number = _shown(term.coefficient)
        self.line = term.place
        self.refuse(
            f"the number {number} has no Pauli word; write {number}*ZZ if it is a coefficient, and "
            f"ZZ {f'- {number[1:]}' if number[0] == '-' else f'+ {number}'}, with spaces, if it is a constant"
        )

    def refuse(self, reason: str) -> NoReturn:
        place = f"{self.name}, line {self.line}" if self.lines else self.name
        raise UsageError(f"{printable(place)}: {reason}.")


def _value(token: str) -> complex:
    if token.endswith("pi"):
        return complex(-math.pi if token[0] == "-" else math.pi)
    return complex(token)


def _shown(number: complex) -> str:
    return str(number if number.imag else number.real)
