"""Expectation values of Clifford circuits that differ only in their angles, of any number of qubits.

A Clifford gate U turns a Pauli string P into one other, `U† P U = ± P'`, which depends on the letters at its
qubits only. So a term of an observable goes back through the circuit by looking up one letter and sign after
another, for all choices of angles at once. In the state |0…0⟩ its value is ± 1 if only the letters I and Z
are left, otherwise 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import pi

import numpy as np
from qiskit.circuit import Gate
from qiskit.quantum_info import Operator, SparsePauliOp

# the letters I, X, Z, Y have the numbers 0 to 3: one bit for x and one for z
_LETTERS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]])


@dataclass(frozen=True)
class CliffordGate:
    """What a gate makes of the letters at its qubits, for four multiples of `step` in each of its angles.

    Attributes:
        step: Smallest angle whose multiples are all Clifford, π/2 or π; 0 for a gate without angles.
        table: Number of the new letters for each choice of angles and number of the old ones, shape
            `(4^angles, 4^qubits)`, plus 4^qubits if the sign changes; the first qubit counts least.
    """

    step: float
    table: np.ndarray

    @classmethod
    def of(cls, gate: Gate, angles: int) -> CliffordGate | None:
        """The tables of a gate whose first parameters are angles; None if no angles make it Clifford."""
        for step in (pi / 2, pi) if angles else (0.0,):
            rows = []
            for choice in np.ndindex(*[4] * angles):
                turned = gate.to_mutable()
                turned.params = [*(step * turn for turn in choice), *gate.params[angles:]]
                rows.append(_row(Operator(turned).data))
            made = [row for row in rows if row is not None]
            if len(made) == len(rows):
                return cls(step, np.stack(made))
        return None


class CliffordValues:
    """Values of K observables as a function of the angles.

    Args:
        gates: Each gate with its qubits and the columns of its angles, in the order of the circuit.
        observables: Pauli sums on n qubits, with real coefficients.
    """

    def __init__(
        self,
        gates: Sequence[tuple[CliffordGate, Sequence[int], Sequence[int]]],
        observables: Sequence[SparsePauliOp],
    ) -> None:
        self._gates = gates
        strings = np.concatenate([one.paulis.x + 2 * one.paulis.z for one in observables])
        owner = np.repeat(np.arange(len(observables)), [len(one) for one in observables])
        distinct, where = np.unique(strings.astype(np.uint8), axis=0, return_inverse=True)
        self._strings = np.ascontiguousarray(distinct.T)  # (n, terms)
        self._weights = np.zeros((len(observables), len(distinct)))
        np.add.at(
            self._weights, (owner, where.ravel()), np.concatenate([one.coeffs.real for one in observables])
        )

    def __call__(self, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the values of C circuits.

        Args:
            turns: Angles in multiples of each gate's step, whole numbers from 0 to 3, shape `(C, P)`.

        Returns:
            The values, shape `(C, K)`, and the same with 2^-w in the place of 0 for a term with w letters X
            or Y, so that a search sees how far from a value it is.
        """
        count, terms = len(turns), self._strings.shape[1]
        letters = np.repeat(self._strings[:, None], count, axis=1)
        flipped = np.zeros((count, terms), dtype=bool)
        for gate, qubits, columns in reversed(self._gates):
            old = reduce(np.add, [letters[qubit] << (2 * place) for place, qubit in enumerate(qubits)])
            if not old.any():
                continue
            row = np.zeros(count, dtype=np.intp)
            for column in columns:
                row = 4 * row + turns[:, column]
            new = gate.table.take(row[:, None] * gate.table.shape[1] + old)
            for place, qubit in enumerate(qubits):
                letters[qubit] = (new >> (2 * place)) & 3
            flipped ^= new >= gate.table.shape[1]
        misplaced = (letters & 1).sum(axis=0, dtype=np.int64)
        signs = 1.0 - 2.0 * flipped
        return (signs * (misplaced == 0)) @ self._weights.T, (signs * 0.5**misplaced) @ self._weights.T


def _row(matrix: np.ndarray) -> np.ndarray | None:
    """New letters and sign for all 4^q old letters, or None if the matrix is not Clifford."""
    size = len(matrix)
    basis = np.ones((1, 1, 1))
    while basis.shape[-1] < size:  # further qubits count more, and stand to the left
        wide = 2 * basis.shape[-1]
        basis = np.einsum("aij,bkl->abikjl", _LETTERS, basis).reshape(4 * len(basis), wide, wide)
    moved = matrix.conj().T @ basis @ matrix
    overlaps = np.einsum("pij,qji->pq", moved, basis).real / size
    letters = np.abs(overlaps).argmax(axis=1)
    largest = overlaps[np.arange(len(basis)), letters]
    if np.abs(np.abs(largest) - 1).max() > 1e-9:
        return None
    return (letters + len(basis) * (largest < 0)).astype(np.uint8)
