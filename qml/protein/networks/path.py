"""Sentences read from left to right: the path-shaped quantum tensor network of arXiv:2308.07865.

Residues are states that a shared two-in, one-out box fuses into the memory (as in arXiv:2403.06890), or gates
that act on the memory itself, each followed by a MIX box (re-uploading). The boxes are uniform (the same at
all positions) or hierarchical (one per position, the last one for all later positions).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz, Gate, count_parameters
from bondwise.qml.protein.boxes.box_unitaries import unitaries
from bondwise.qml.protein.boxes.channels import (
    kraus,
    pauli_vector,
    probabilities,
    real_matrix,
    transfer_matrix,
)
from bondwise.qml.protein.boxes.scanning import scan

MEMORY = 0.07  # radians of swap per residue: a residue is forgotten over about (1 / 0.07)² = 200 residues


class PathNetwork(nn.Module):
    """Contracts sentences on one memory.

    Args:
        words: Size of the vocabulary.
        qubits: Number of qubits of the memory, and of the state of a residue.
        ansatz: Ansatz of the boxes.
        residues: `"states"` or `"gates"`.
        boxes: Number of different STAIR or MIX boxes; 1 is uniform.
        discard: Whether the second wire of a STAIR box, or the ancilla, is traced out instead of
            post-selected on |0⟩.
        ancillas: Qubits that every residue gate adds and its MIX box removes.
        end: Whether a final END box rotates the memory, so that the axis of the measurement is trained; needs
            `"gates"` without ancillas.
        spread: Standard deviation of the initial angles in radians.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import Ansatz, PathNetwork
        >>> network = PathNetwork(20, qubits=2, ansatz=Ansatz(), residues="gates")
        >>> outcomes, log10 = network(torch.randint(20, (8, 100)))
        >>> outcomes.shape
        torch.Size([8, 4])
    """

    def __init__(
        self,
        words: int,
        *,
        qubits: int,
        ansatz: Ansatz,
        residues: str,
        boxes: int = 1,
        discard: bool = True,
        ancillas: int = 0,
        end: bool = False,
        spread: float = 0.1,
    ) -> None:
        super().__init__()
        self.words, self.qubits, self.boxes, self.discard, self.ancillas = (
            words,
            qubits,
            boxes,
            discard,
            ancillas,
        )
        self.states = residues == "states"
        self.word_gates = ansatz.gates(qubits + ancillas, "word")
        self.start_gates = ansatz.gates(qubits, "word")
        self.box_gates = (
            ansatz.gates(2 * qubits, "merge") if self.states else ansatz.gates(qubits + ancillas, "mix")
        )
        self.word = _angles(words, count_parameters(self.word_gates), spread)
        if not self.states:
            self.start = _angles(1, count_parameters(self.start_gates), spread)
        self.box = _angles(boxes, count_parameters(self.box_gates), spread)
        self.end_gates = ansatz.gates(qubits, "end") if end else ()
        if end:
            self.end = _angles(1, count_parameters(self.end_gates), spread)
        if ansatz.name == "exchange" and self.states:
            begin_as_swap(self.word, self.box, self.box_gates, MEMORY)

    @property
    def pure(self) -> bool:
        """Whether states stay pure because nothing is traced out."""
        return not (self.discard and (self.states or self.ancillas))

    @property
    def legal_on_hardware(self) -> bool:
        """Whether nothing is post-selected, so that every shot counts."""
        return not (self.states or self.ancillas) or self.discard

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outcome probabilities (B, 2^qubits) of the memory, and log10 (B,) of passing the post-selections.

        Args:
            tokens: Integers (B, T), −1 beyond the end of a sentence.
        """
        state, log = self.final(tokens)
        return probabilities(state, pure=self.pure), 2 * log / math.log(10)

    def final(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Final states (B, D) of norm 1 (pure) or trace 1 (mixed), and the log (B,) of the original norm."""
        start = self._word_states()[tokens[:, 0]] if self.states else self._start(len(tokens))
        steps = tokens[:, 1:] if self.states else tokens
        box = torch.arange(steps.shape[1], device=tokens.device).clamp(max=self.boxes - 1)
        numbers = torch.where(steps >= 0, steps + self.words * box, -1)
        states, log = scan(self.matrices(), numbers, start, rescale=self.pure and not self.legal_on_hardware)
        last = states[:, -1]
        if self.end_gates:
            last = last @ real_matrix(unitaries(self.end_gates, self.qubits, self.end))[0].T
        return last, log

    def matrices(self) -> torch.Tensor:
        """Action of every word on the memory, real (boxes · words, D, D)."""
        qubits, wires = self.qubits, self.qubits + self.ancillas
        if self.states:
            operators = kraus(
                unitaries(self.box_gates, 2 * qubits, self.box), 2 * qubits, qubits, discard=self.discard
            )
            if self.pure:
                maps = operators[:, 0].reshape(self.boxes, 2**qubits, 2**qubits, 2**qubits)
                fused = torch.einsum("xcab,wb->xwca", maps, self._amplitudes())
                return real_matrix(fused.flatten(0, 1))
            maps = transfer_matrix(operators).reshape(self.boxes, 4**qubits, 4**qubits, 4**qubits)
            return torch.einsum("xcab,wb->xwca", maps, self._word_states()).flatten(0, 1)
        words = unitaries(self.word_gates, wires, self.word)
        mixed = unitaries(self.box_gates, wires, self.box)
        both = torch.einsum("xab,wbc->xwac", mixed, words).flatten(0, 1)
        operators = kraus(both, qubits, qubits, discard=self.discard)
        return real_matrix(operators[:, 0]) if self.pure else transfer_matrix(operators)

    def angles(self, words: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Angles in radians by the name of the box in the diagram.

        Args:
            words: Names of the words in the order of the tokens.
        """
        named = dict(zip(words, self.word, strict=True))
        if not self.states:
            named["START"] = self.start[0]
        if self.end_gates:
            named["END"] = self.end[0]
        stem = "STAIR" if self.states else "MIX"
        return named | numbered_boxes(stem, self.box)

    def _amplitudes(self) -> torch.Tensor:
        return unitaries(self.word_gates, self.qubits, self.word)[:, :, 0]

    def _word_states(self) -> torch.Tensor:
        amplitudes = self._amplitudes()
        return torch.cat([amplitudes.real, amplitudes.imag], 1) if self.pure else pauli_vector(amplitudes)

    def _start(self, count: int) -> torch.Tensor:
        amplitudes = unitaries(self.start_gates, self.qubits, self.start)[:, :, 0]
        state = torch.cat([amplitudes.real, amplitudes.imag], 1) if self.pure else pauli_vector(amplitudes)
        return state.expand(count, -1)


def numbered_boxes(stem: str, angles: torch.Tensor) -> dict[str, torch.Tensor]:
    """Angles of shared boxes by name: the stem itself for a single box, else stem_0, stem_1, …"""
    if len(angles) == 1:
        return {stem: angles[0]}
    return {f"{stem}_{number}": row for number, row in enumerate(angles)}


def begin_as_swap(word: torch.Tensor, box: torch.Tensor, gates: tuple[Gate, ...], angle: float) -> None:
    """Start boxes of the ansatz "exchange" as a partial swap, and words near the equator of the Bloch sphere.

    Args:
        word: Angles of the words (V, P), changed in place to where ⟨Z⟩ is steep and words differ.
        box: Angles of the boxes (K, P), changed in place.
        gates: Gates of the boxes.
        angle: Angle of RXX = RYY = RZZ, radians; π/2 is a full swap.
    """
    swap = [gate.parameter for gate in gates if gate.name in ("Rxx", "Ryy", "Rzz")]
    with torch.no_grad():
        word *= 3
        word[:, 0::2] += math.pi / 2
        box *= 0.05
        box[:, swap] += angle


def _angles(rows: int, columns: int, spread: float) -> nn.Parameter:
    return nn.Parameter(spread * torch.randn(rows, columns))
