"""Proteins as lambeq diagrams: readers for paths, balanced trees and windows.

Wires are of lambeq's sentence type S, ancillas of a type A; a circuit ansatz decides about their qubits. Box
names are the contract with the models: a word's own letters; START and END; MIX, STAIR and MERGE, followed by
their number, as in MIX_0, when hierarchical.
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
    """What the readers share: words from sequences, and names of shared boxes."""

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
        """The diagram of a protein.

        Args:
            sentence: A sequence such as `"MKTAYIAK"`, or a list of words of the alphabet if `tokenised`.
            tokenised: Whether the sentence is a list of words.

        Raises:
            UsageError: A letter or word outside the alphabet, or more than 2,000 words: diagrams of lambeq
                grow with the square of their length.
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
                raise UsageError(f"{word!r} is no word of the alphabet {self.alphabet.name!r}.")
        return list(sentence)

    @abstractmethod
    def _diagram(self, words: list[str]) -> Diagram:
        """The diagram of words that have been checked."""

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
    """Reads a protein from left to right, as recurrent networks do.

    Args:
        alphabet: What counts as a word; None is one residue per word.
        residues: `"states"`: each word is a state that a box STAIR fuses into the memory wire (the diagram of
            lambeq's `stairs_reader` if uniform). `"gates"`: each word is a box on the memory wire, followed
            by a box MIX.
        boxes: 1 is uniform; n > 1 is hierarchical: positions have boxes of their own, the n-th and all later
            ones share the last.
        ancilla: With `"gates"`, each word brings along a wire A that its MIX box takes away again, as a
            recurrent network that forgets does.
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
    """Merges neighbors level by level, as convolutional networks do; a word without a partner moves up.

    Args:
        alphabet: What counts as a word; None is one residue per word.
        boxes: 1 is uniform; n > 1 is hierarchical: one box per level, the n-th and all higher ones share the
            last.
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
    """Cuts a protein into overlapping windows, each a path of its own.

    Args:
        alphabet: What counts as a word; None is one residue per word.
        window: Words in a window; a sentence that is shorter is one window.
        stride: Words from the beginning of one window to the next; words that do not fill a last window are
            left out.
        residues: As for `PathReader`, within the windows; with `"gates"`, each ends in a box END.
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
        """A diagram for each window; arguments and errors as for `sentence2diagram`."""
        words = self._words(sentence, tokenised)
        last = max(len(words) - self.window, 0)
        return [self._path(words[i : i + self.window]) for i in range(0, last + 1, self.stride)]

    def _diagram(self, words: list[str]) -> Diagram:
        return Id().tensor(*self.windows(words, tokenised=True))
