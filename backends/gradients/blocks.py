"""A circuit as blocks on two qubits, and its adjoint gradient (arXiv:2009.02823) block by block.

Neighboring gates on the same two qubits form one block, so that a state of many qubits is read once for all
of them. A rotation is exp(-i s θ P) with P³ = P, hence 1 - P² + cos(sθ) P² - i sin(sθ) P; gates without an
angle are multiplied into the rotations before them.

For a real function f of the final state with cotangent v (df = Re ⟨v|dψ⟩), the derivative with respect to θ
is Re tr(D F), where D = -i s P and F = tr' |ψ⟩⟨v| behind the gate, with the trace over the qubits outside
the block. F is computed once per block and then moved through its gates as a 4 × 4 matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitError, Delay, Operation, ParameterVectorElement
from qiskit.circuit import library as gates

from bondwise.backends.gradients.sweeps import carry_back, multiply, multiply_wide, sweep
from bondwise.circuits.splitting import SplitCircuit, closed_kind, definition_of
from bondwise.runs import UsageError

_X, _Y, _Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
_ONE = np.diag([0, 1])  # the projector on |1⟩
# s and P of the rotations; as in Qiskit, the first qubit of a gate is the right factor
_ROTATIONS: dict[type, tuple[float, np.ndarray]] = {
    gates.RXGate: (0.5, _X),
    gates.RYGate: (0.5, _Y),
    gates.RZGate: (0.5, _Z),
    gates.PhaseGate: (1.0, -_ONE),
    gates.RXXGate: (0.5, np.kron(_X, _X)),
    gates.RYYGate: (0.5, np.kron(_Y, _Y)),
    gates.RZZGate: (0.5, np.kron(_Z, _Z)),
    gates.RZXGate: (0.5, np.kron(_X, _Z)),
    gates.CPhaseGate: (1.0, np.kron(-_ONE, _ONE)),
    gates.CRXGate: (0.5, np.kron(_X, _ONE)),
    gates.CRYGate: (0.5, np.kron(_Y, _ONE)),
    gates.CRZGate: (0.5, np.kron(_Z, _ONE)),
}
_LARGEST = 4  # qubits up to which a gate's matrix is preferred to its definition

_Gate: TypeAlias = tuple[np.ndarray, tuple[int, ...], float, int | None]  # matrix or P, qubits, s, angle


@dataclass
class _Block:
    pair: tuple[int, int]
    gates: list[_Gate] = field(default_factory=list)


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
        self._phase = float(parts.circuit.global_phase)
        self._wide: list[_Wide] = []
        blocks = self._gathered(parts.circuit)
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

    def _gathered(self, circuit: QuantumCircuit) -> list[_Block]:
        index = {qubit: number for number, qubit in enumerate(circuit.qubits)}
        blocks: list[_Block] = []
        last: dict[int, _Block] = {}  # the block that acted last on a qubit
        waiting: dict[int, list[_Gate]] = {}  # gates on a qubit before its first block

        def opened(first: int, second: int) -> _Block:
            block = _Block((min(first, second), max(first, second)))
            blocks.append(block)
            for qubit in block.pair:
                block.gates += waiting.pop(qubit, [])
                last[qubit] = block
            return block

        def pair_up(qubits: list[int]) -> None:
            while qubits:
                first = qubits.pop()
                opened(first, qubits.pop() if qubits else int(first == 0))  # or any other qubit

        for instruction in circuit.data:
            wires = tuple(index[qubit] for qubit in instruction.qubits)
            for gate in self._gates(instruction.operation, wires):
                qubits = gate[1]
                if len(qubits) > 2:
                    pair_up([qubit for qubit in qubits if qubit in waiting])
                    self._wide.append(_wide(gate[0], qubits, len(blocks)))
                    for qubit in qubits:
                        last.pop(qubit, None)
                elif len(qubits) == 1 and qubits[0] not in last:
                    waiting.setdefault(qubits[0], []).append(gate)
                else:
                    block = last.get(qubits[0])
                    if block is None or block is not last.get(qubits[-1]):
                        block = opened(*qubits)
                    block.gates.append(gate)
        pair_up(sorted(waiting))
        return blocks

    def _gates(self, operation: Operation, qubits: tuple[int, ...], inside: str = "") -> Iterator[_Gate]:
        """The gates that an operation is made of; those on no qubits are added to the phase."""
        kind = closed_kind(operation)
        if isinstance(operation, Barrier | Delay):
            return
        if kind in _ROTATIONS and isinstance(operation.params[0], ParameterVectorElement):
            speed, generator = _ROTATIONS[kind]
            yield generator, qubits, speed, operation.params[0].index
        elif kind is gates.GlobalPhaseGate:
            self._phase += float(operation.params[0])
        elif (matrix := _matrix(operation)) is not None:
            yield matrix, qubits, 0.0, None
        elif (definition := definition_of(operation)) is not None:
            self._phase += float(definition.global_phase)
            place = dict(zip(definition.qubits, qubits, strict=True))
            for step in definition.data:
                wires = tuple(place[qubit] for qubit in step.qubits)
                yield from self._gates(step.operation, wires, inside or f" (inside '{operation.name}')")
        else:
            raise UsageError(
                f"'{operation.name}'{inside} on qubits {list(qubits)} is not a gate with a matrix or a "
                "definition, which is all that the exact state is made of; drop final measurements with "
                "circuit.remove_final_measurements(), or write backend='aer' with shots."
            )


@lru_cache(maxsize=64)
def blocks(parts: SplitCircuit) -> Blocks:
    """The blocks of a circuit, made once."""
    return Blocks(parts)


def _matrix(operation: Any) -> np.ndarray | None:
    """The matrix of a gate that is better applied by its matrix than by its definition."""
    if isinstance(operation, gates.PauliEvolutionGate):
        return None  # the definition is the product formula that hardware runs; the matrix is exact
    large = operation.num_qubits > _LARGEST and not isinstance(operation, gates.UnitaryGate)
    if large and definition_of(operation) is not None:
        return None
    try:
        return np.array(operation.to_matrix(), dtype=complex)
    except (AttributeError, CircuitError):  # not a gate, or one without a matrix
        return None


def _merged(block: _Block) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, float, int]]]:
    """The constant that a block begins with, and its rotations: terms (3, 4, 4), D (4, 4), s and angle."""
    constant = np.eye(4, dtype=complex)
    rotations: list[tuple[np.ndarray, np.ndarray, float, int]] = []
    for given, qubits, speed, angle in block.gates:
        matrix = _on_pair(given, qubits, block.pair)
        if angle is not None:
            square = matrix @ matrix
            terms = np.array([np.eye(4) - square, square, -1j * matrix])
            rotations.append((terms, -1j * speed * matrix, speed, angle))
        elif rotations:
            terms, slope, *rest = rotations[-1]
            rotations[-1] = (matrix @ terms, matrix @ slope @ matrix.conj().T, *rest)
        else:
            constant = matrix @ constant
    return constant, rotations


def _on_pair(matrix: np.ndarray, qubits: tuple[int, ...], pair: tuple[int, int]) -> np.ndarray:
    """A matrix on one or two qubits as one on the lower and the higher qubit of a pair."""
    if len(qubits) == 1:
        return np.kron(np.eye(2), matrix) if qubits[0] == pair[0] else np.kron(matrix, np.eye(2))
    order = [0, 1, 2, 3] if qubits == pair else [0, 2, 1, 3]
    return matrix[np.ix_(order, order)]


def _wide(matrix: np.ndarray, qubits: tuple[int, ...], before: int) -> _Wide:
    places = np.array(qubits, dtype=np.int64)
    changed = matrix != np.eye(len(matrix))
    touched = np.flatnonzero(changed.any(axis=0) | changed.any(axis=1))
    offsets = ((touched[:, None] >> np.arange(len(places)) & 1) << places).sum(axis=1)
    return _Wide(before, np.sort(places), offsets, matrix[np.ix_(touched, touched)])
