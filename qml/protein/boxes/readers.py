"""Proteins as lambeq diagrams: readers for paths, balanced trees and windows.

Wires have lambeq's sentence type S, and ancillas a type A; a circuit ansatz gives each type its qubits. The
names of the boxes are those that the models use: a word's own letters; START and END; MIX, STAIR and MERGE,
with an index as in MIX_0 if the network is hierarchical.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.runs import UsageError, unchanged_process, whole_number

with unchanged_process():
    from lambeq import AtomicType, Reader
    from lambeq.backend.grammar import Box, Diagram, Id, Ty, Word

S = AtomicType.SENTENCE
A = Ty("a")
MAX_WORDS = 2000


class _ProteinReader(Reader):
    """Base class of the readers: words of sequences, and names of shared boxes."""

    def __init__(self, alphabet: Alphabet | None = None, *, residues: str = "states", boxes: int = 1) -> None:
        super().__init__(verbose="suppress")
        if residues not in ("states", "gates"):
            raise UsageError(f"residues is {residues!r}; write 'states' or 'gates'.")
        self.alphabet = alphabet or Alphabet()
        self.residues = residues
        self.boxes = whole_number("boxes", boxes)
        self._ancilla = Ty()
        self._end = False

    def sentence2diagram(self, sentence: Any, tokenised: bool = False) -> Diagram:
        """Draw the diagram of a protein.

        Args:
            sentence: A sequence such as `"MKTAYIAK"`, or a list of words of the alphabet.
            tokenised: Whether `sentence` is a list of words (lambeq's spelling).

        Raises:
            UsageError: If a letter or word is outside the alphabet, or there are more than 2,000 words:
                lambeq's diagrams grow with the square of their length.
        """
        words = self._words(sentence, tokenised)
        if len(words) > MAX_WORDS:
            raise UsageError(
                f"{len(words):,} words are too many for a diagram ({MAX_WORDS:,} at most); "
                "the models, which need no diagram, take sequences of any length."
            )
        return self._diagram(words)

    def _words(self, sentence: Any, tokenised: bool) -> list[str]:
        if not tokenised:
            return [self.alphabet.words[token] for token in self.alphabet.tokenize(sentence)]
        if not sentence:
            raise UsageError("the sentence has no words; give at least one.")
        known = set(self.alphabet.words)
        for word in sentence:
            if word not in known:
                raise UsageError(f"{word!r} is not a word of the alphabet {self.alphabet.name!r}.")
        return list(sentence)

    @abstractmethod
    def _diagram(self, words: list[str]) -> Diagram:
        """The diagram of checked words."""

    def _name(self, stem: str, number: int) -> str:
        return stem if self.boxes == 1 else f"{stem}_{min(number, self.boxes - 1)}"

    def _leaf(self, word: str) -> Diagram:
        return Word(word, S).to_diagram()

    def _path(self, words: list[str]) -> Diagram:
        if self.residues == "gates":
            diagram = Word("START", S).to_diagram()
            for number, word in enumerate(words):
                mix = Box(self._name("MIX", number), S @ self._ancilla, S)
                diagram >>= Box(word, S, S @ self._ancilla) >> mix
            return diagram >> Box("END", S, S) if self._end else diagram
        diagram = self._leaf(words[0])
        for number, word in enumerate(words[1:]):
            diagram = diagram @ Word(word, S) >> Box(self._name("STAIR", number), S @ S, S)
        return diagram


class PathReader(_ProteinReader):
    """Reads a protein from left to right, like a recurrent network.

    Args:
        alphabet: Alphabet of the words; None for one residue per word.
        residues: `"states"`: each word is a state that a STAIR box fuses into the memory wire (if uniform,
            this is the diagram of lambeq's `stairs_reader`). `"gates"`: each word is a box on the memory
            wire, followed by a MIX box.
        boxes: Number of different boxes: 1 is uniform; n > 1 is hierarchical, where positions have boxes of
            their own, and the last one serves all positions from the n-th on.
        ancilla: With `"gates"`, whether each word adds a wire A that its MIX box removes again, so that the
            memory can forget.

    Example:
        >>> from bondwise.qml.protein import PathReader
        >>> diagram = PathReader(boxes=2).sentence2diagram("MKTA")
        >>> [box.name for box in diagram.boxes]
        ['M', 'K', 'STAIR_0', 'T', 'STAIR_1', 'A', 'STAIR_1']
    """

    def __init__(
        self,
        alphabet: Alphabet | None = None,
        *,
        residues: str = "states",
        boxes: int = 1,
        ancilla: bool = False,
    ) -> None:
        super().__init__(alphabet, residues=residues, boxes=boxes)
        if ancilla and residues == "states":
            raise UsageError("ancilla needs residues='gates'.")
        self._ancilla = A if ancilla else Ty()

    def _diagram(self, words: list[str]) -> Diagram:
        return self._path(words)


class TreeReader(_ProteinReader):
    """Merges neighbors level by level, like a convolutional network; a word without a partner moves up.

    Args:
        alphabet: Alphabet of the words; None for one residue per word.
        boxes: Number of different boxes: 1 is uniform; n > 1 is hierarchical, where levels have boxes of
            their own, and the last one serves all levels from the n-th on.

    Example:
        >>> from bondwise.qml.protein import TreeReader
        >>> diagram = TreeReader(boxes=2).sentence2diagram("MKTA")
        >>> [box.name for box in diagram.boxes]
        ['M', 'K', 'T', 'A', 'MERGE_0', 'MERGE_0', 'MERGE_1']
    """

    def __init__(self, alphabet: Alphabet | None = None, *, boxes: int = 1) -> None:
        super().__init__(alphabet, residues="states", boxes=boxes)

    def _diagram(self, words: list[str]) -> Diagram:
        wires = Id().tensor(*(self._leaf(word) for word in words))
        level = 0
        while len(wires.cod) > 1:
            pairs, odd = divmod(len(wires.cod), 2)
            box = Box(self._name("MERGE", level), S @ S, S)
            wires >>= Id().tensor(*[box] * pairs, *[Id(S)] * odd)
            level += 1
        return wires


class WindowReader(_ProteinReader):
    """Cuts a protein into overlapping windows, each of which is a path.

    Args:
        alphabet: Alphabet of the words; None for one residue per word.
        window: Number of words in a window; a shorter sentence is one window.
        stride: Number of words from the start of one window to the next; words that do not fill a last window
            are left out.
        residues: As for `PathReader`, within a window; with `"gates"` every window ends with an END box.

    Example:
        >>> from bondwise.qml.protein import WindowReader
        >>> len(WindowReader(window=3, stride=2).windows("MKTAYIA"))
        3
    """

    def __init__(
        self,
        alphabet: Alphabet | None = None,
        *,
        window: int = 15,
        stride: int = 3,
        residues: str = "gates",
    ) -> None:
        super().__init__(alphabet, residues=residues)
        self.window, self.stride = window, stride
        self._end = residues == "gates"

    def windows(self, sentence: Any, tokenised: bool = False) -> list[Diagram]:
        """A diagram per window; arguments and errors as for `sentence2diagram`."""
        words = self._words(sentence, tokenised)
        last = max(len(words) - self.window, 0)
        return [self._path(words[i : i + self.window]) for i in range(0, last + 1, self.stride)]

    def _diagram(self, words: list[str]) -> Diagram:
        return Id().tensor(*self.windows(words, tokenised=True))
