"""A circuit as blocks on two qubits, and its adjoint gradient (arXiv:2009.02823) block by block.

Neighboring gates on the same two qubits form one block, so that a state of many qubits is read once for all
of them. A rotation is exp(-i s θ P) with P³ = P, hence 1 - P² + cos(sθ) P² - i sin(sθ) P; gates without an
angle are multiplied into the rotations before them.

For a real function f of the final state with cotangent v (df = Re ⟨v|dψ⟩), the derivative with respect to θ
is Re tr(D F), where D = -i s P and F = tr' |ψ⟩⟨v| behind the gate, with the trace over the qubits outside
the block. F is computed once per block and then moved through its gates as a 4 × 4 matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bondwise.backends.gradients.gathering import Pair, Wide, gather, on_pair, rotation_terms
from bondwise.backends.gradients.sweeps import carry_back, multiply, multiply_wide, sweep
from bondwise.circuits.splitting import SplitCircuit


@dataclass(frozen=True)
class _Wide:
    """A gate on three or more qubits."""

    before: int  # number of blocks that come first
    qubits: np.ndarray
    offsets: np.ndarray
    matrix: np.ndarray


class Blocks:
    """A circuit of blocks.

    Args:
        parts: The circuit.

    Raises:
        UsageError: If it contains something that is not a gate; the message names it.
    """

    def __init__(self, parts: SplitCircuit) -> None:
        self.num_qubits = parts.circuit.num_qubits
        self._width = max(self.num_qubits, 2)  # a second qubit that nothing acts on, if there is only one
        found = gather(parts.circuit)
        self._phase, blocks = found.phase, found.blocks
        self._wide = list(map(_wide, found.wide))
        self._places = np.array([block.pair for block in blocks], dtype=np.int64).reshape(-1, 2)
        first, fixed, rotations = [0], [], []
        for block in blocks:
            constant, rotating = _merged(block)
            fixed.append(constant)
            rotations += rotating
            first.append(len(rotations))
        self._first = np.array(first)
        self._fixed = np.array(fixed, dtype=complex).reshape(-1, 4, 4)
        self._terms = np.array([one[0] for one in rotations], dtype=complex).reshape(-1, 3, 4, 4)
        slopes = np.array([one[1] for one in rotations], dtype=complex).reshape(-1, 4, 4)
        self._slopes = slopes.transpose(0, 2, 1).copy()
        self._speeds = np.array([one[2] for one in rotations], dtype=float)
        self._columns = np.array([one[3] for one in rotations], dtype=np.int64)

    @property
    def speeds(self) -> dict[int, float]:
        """The factor s of each angle."""
        return dict(zip(self._columns.tolist(), self._speeds.tolist(), strict=True))

    def state(self, angles: np.ndarray) -> np.ndarray:
        """The final state for angles (G,), complex128 (2^n,), qubit 0 the lowest bit of the index."""
        vectors = np.zeros((1, 2**self._width), dtype=complex)
        vectors[0, 0] = np.exp(1j * self._phase)
        matrices, none = self._matrices(angles)[1], np.empty((0, 4, 4), dtype=complex)
        start = 0
        for wide in self._wide:
            sweep(vectors.view(float), self._places[start : wide.before], matrices[start : wide.before], none)
            multiply_wide(vectors, wide.qubits, wide.offsets, wide.matrix)
            start = wide.before
        sweep(vectors.view(float), self._places[start:], matrices[start:], none)
        return vectors[0, : 2**self.num_qubits]

    def pullback(self, angles: np.ndarray, state: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Re ⟨cotangent|∂state/∂angle⟩ for angles (G,), float64 (G,), at the final state."""
        slopes = np.zeros(len(angles))
        if not len(self._columns):
            return slopes
        vectors = np.zeros((2, 2**self._width), dtype=complex)
        vectors[:, : len(state)] = state, cotangent
        gates, matrices = self._matrices(angles)
        overlaps = np.zeros_like(matrices)
        stop = len(matrices)
        places, inverses = self._places[::-1].copy(), matrices.conj().transpose(0, 2, 1)[::-1].copy()
        done = 0
        for wide in reversed(self._wide):
            upto = stop - wide.before
            part = slice(done, upto)
            sweep(vectors.view(float), places[part], inverses[part], overlaps[part])
            multiply_wide(vectors, wide.qubits, wide.offsets, wide.matrix.conj().T.copy())
            done = upto
        sweep(vectors.view(float), places[done:], inverses[done:], overlaps[done:])
        behind = np.empty_like(gates)
        carry_back(self._first, gates, overlaps[::-1].copy(), behind)
        slopes[self._columns] = (self._slopes * behind).sum(axis=(1, 2)).real
        return slopes

    def _matrices(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrices of all rotations (R, 4, 4) and of all blocks (S, 4, 4)."""
        turned = (self._speeds * angles[self._columns])[:, None, None]
        gates = self._terms[:, 0] + np.cos(turned) * self._terms[:, 1] + np.sin(turned) * self._terms[:, 2]
        blocks = self._fixed.copy()
        multiply(self._first, gates, blocks)
        return gates, blocks


@lru_cache(maxsize=64)
def blocks(parts: SplitCircuit) -> Blocks:
    """The blocks of a circuit, made once."""
    return Blocks(parts)


def _merged(block: Pair) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, float, int]]]:
    """The constant that a block begins with, and its rotations: terms (3, 4, 4), D (4, 4), s and angle."""
    constant = np.eye(4, dtype=complex)
    rotations: list[tuple[np.ndarray, np.ndarray, float, int]] = []
    for given, qubits, speed, angle in block.gates:
        matrix = on_pair(given, qubits, block.pair)
        if angle is not None:
            rotations.append((rotation_terms(matrix), -1j * speed * matrix, speed, angle))
        elif rotations:
            terms, slope, *rest = rotations[-1]
            rotations[-1] = (matrix @ terms, matrix @ slope @ matrix.conj().T, *rest)
        else:
            constant = matrix @ constant
    return constant, rotations


def _wide(gate: Wide) -> _Wide:
    places, matrix = np.array(gate.qubits, dtype=np.int64), gate.matrix
    changed = matrix != np.eye(len(matrix))
    touched = np.flatnonzero(changed.any(axis=0) | changed.any(axis=1))
    offsets = ((touched[:, None] >> np.arange(len(places)) & 1) << places).sum(axis=1)
    return _Wide(gate.before, np.sort(places), offsets, matrix[np.ix_(touched, touched)])
