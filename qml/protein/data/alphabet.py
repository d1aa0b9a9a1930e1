"""Proteins as words: the accepted letters of a sequence, and its division into words.

A word is a residue, a group of residues (a reduced alphabet) or a run of k of them. The reduced alphabets of
10 and 4 groups are those that Murphy, Wallqvist and Levy (Protein Eng. 13, 149, 2000) derived from BLOSUM50;
"hp" divides residues into hydrophobic and polar ones.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from bondwise.qml.protein.data.labels import check_sequences
from bondwise.runs import UsageError, unknown_name, whole_number

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"

_GROUPS = {
    "residues": tuple(RESIDUES),
    "murphy10": ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H"),
    "murphy4": ("LVIMC", "AGSTP", "FYW", "EDNQKRH"),
    "hp": ("AVILMFWCYG", "DEKRHNQSTP"),
}
# U and O are variants of C and K; B, Z and J each mean one of two residues, of which the first is taken.
_NEAREST = bytes.maketrans(b"UOBZJ", b"CKNQL")
_OTHER = re.compile(rf"[^{RESIDUES}UOBZJX{RESIDUES.lower()}uobzjx]")  # str.upper would turn ß into SS
_MAX_WORDS = 160_000  # 4-mers of 20 residues


def standardize(sequence: str) -> str:
    """Write a sequence in the 20 standard residues.

    Letters become upper case. Selenocysteine U becomes C and pyrrolysine O becomes K; the ambiguous letters
    B, Z and J become N, Q and L. Unknown residues X, and one `*` at the end (the stop codon), are left out.

    Args:
        sequence: Letters as in FASTA files, without blanks.

    Returns:
        The sequence, at least one residue long.

    Raises:
        UsageError: If the sequence has another character, or no residues.

    Example:
        >>> from bondwise.qml.protein import standardize
        >>> standardize("mktUYx*")
        'MKTCY'
    """
    if not isinstance(sequence, str):
        raise UsageError(f"a sequence is text such as 'MKTAYIAK', not {type(sequence).__name__}.")
    letters = sequence.removesuffix("*")
    wrong = _OTHER.search(letters)
    if wrong:
        raise UsageError(
            f"{wrong[0]!r} at position {wrong.start() + 1} is not a residue; write {RESIDUES}, UOBZJX, or "
            "one * at the end."
        )
    clean = letters.encode().upper().translate(_NEAREST, b"X").decode()
    if not clean:
        raise UsageError(f"the sequence {sequence[:20]!r} has no residues; remove it or give its letters.")
    return clean


@dataclass(frozen=True)
class Alphabet:
    """The words into which proteins are divided.

    Args:
        name: Name of the alphabet, `"residues"` (20 letters), `"murphy10"`, `"murphy4"` or `"hp"` (groups of
            residues).
        k: Number of letters in a word. Words do not overlap; up to k − 1 letters left over at the end are
            dropped, except in sequences shorter than k, whose last letter is repeated.

    Attributes:
        words: All words, each group of residues written as its first letter; word i is token i.

    Raises:
        UsageError: If the name is unknown, k is not a positive whole number, or there would be more than
            160,000 words.

    Example:
        >>> from bondwise.qml.protein import Alphabet
        >>> Alphabet("hp", k=2).words
        ('AA', 'AD', 'DA', 'DD')
        >>> Alphabet("hp", k=2).tokenize("MKTAYI")
        array([1, 2, 0])
    """

    name: str = "residues"
    k: int = 1

    def __post_init__(self) -> None:
        if self.name not in _GROUPS:
            raise unknown_name("alphabet", str(self.name), _GROUPS)
        object.__setattr__(self, "k", whole_number("k", self.k))
        if len(self) > _MAX_WORDS:
            raise UsageError(
                f"k = {self.k} of {self.name} makes {len(self):,} words; at most {_MAX_WORDS:,} are accepted."
            )

    def __len__(self) -> int:
        return len(_GROUPS[self.name]) ** self.k

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words, each group of residues written as its first letter; word i is token i."""
        letters = [group[0] for group in _GROUPS[self.name]]
        return tuple("".join(word) for word in product(letters, repeat=self.k))

    @cached_property
    def _group_of(self) -> np.ndarray:
        """Group number by ASCII code."""
        table = np.zeros(128, dtype=np.int64)
        for number, group in enumerate(_GROUPS[self.name]):
            table[np.frombuffer(group.encode(), dtype=np.uint8)] = number
        return table

    def tokenize(self, sequence: str) -> np.ndarray:
        """Tokens of the words of a sequence, int64 (words,), at least one.

        Raises:
            UsageError: As for `standardize`.
        """
        letters = self._group_of[np.frombuffer(standardize(sequence).encode(), dtype=np.uint8)]
        if len(letters) < self.k:
            letters = np.pad(letters, (0, self.k - len(letters)), mode="edge")
        base = len(_GROUPS[self.name])
        words = letters[: len(letters) // self.k * self.k].reshape(-1, self.k)
        return words @ base ** np.arange(self.k - 1, -1, -1)

    def sentences(self, sequences: Sequence[str], name: str = "sequences") -> list[np.ndarray]:
        """Tokens of each of several sequences.

        Args:
            sequences: Proteins.
            name: Start of the message about a sequence that cannot be read.

        Raises:
            UsageError: If it is a single string, or as for `standardize`; the message gives the place.
        """
        check_sequences(sequences)
        found = []
        for number, sequence in enumerate(sequences):
            try:
                found.append(self.tokenize(sequence))
            except UsageError as error:
                raise UsageError(f"{name}[{number}]: {error}") from None
        return found

    def tokenise(self, sequence: str) -> np.ndarray:
        """Deprecated name of `tokenize`."""
        message = "Alphabet.tokenise is now Alphabet.tokenize; the old name goes in the next release."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.tokenize(sequence)
