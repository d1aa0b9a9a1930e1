"""A circuit as blocks on two qubits: neighboring gates on the same pair of qubits belong to one block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitError, Delay, Operation, ParameterVectorElement
from qiskit.circuit import library as gates

from bondwise.circuits.splitting import closed_kind, definition_of
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

# matrix or P, qubits, s, angle; the first qubit is the lowest bit of the matrix's index
Gate: TypeAlias = tuple[np.ndarray, tuple[int, ...], float, int | None]


@dataclass
class Pair:
    """The gates of a block on one or two qubits each; the lower qubit of the block comes first."""

    pair: tuple[int, int]
    gates: list[Gate] = field(default_factory=list)


@dataclass(frozen=True)
class Wide:
    """A gate on three or more qubits, and the number of blocks that come first."""

    before: int
    qubits: tuple[int, ...]
    matrix: np.ndarray


@dataclass
class Gathered:
    """The blocks of a circuit in the order of application, the wide gates between them, and its phase."""

    blocks: list[Pair] = field(default_factory=list)
    wide: list[Wide] = field(default_factory=list)
    phase: float = 0.0


def gather(circuit: QuantumCircuit) -> Gathered:
    """The blocks of a circuit whose parameters are `angle[0]` … `angle[G-1]`, as in a `SplitCircuit`.

    Raises:
        UsageError: If it contains something that is not a gate; the message names it.
    """
    index = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    found = Gathered(phase=float(circuit.global_phase))
    last: dict[int, Pair] = {}  # the block that acted last on a qubit
    waiting: dict[int, list[Gate]] = {}  # gates on a qubit before its first block

    def opened(first: int, second: int) -> Pair:
        block = Pair((min(first, second), max(first, second)))
        found.blocks.append(block)
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
        for gate in _gates(instruction.operation, wires):
            qubits = gate[1]
            if not qubits:
                found.phase += float(gate[0])
            elif len(qubits) > 2:
                pair_up([qubit for qubit in qubits if qubit in waiting])
                found.wide.append(Wide(len(found.blocks), qubits, gate[0]))
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
    return found


def on_pair(matrix: np.ndarray, qubits: tuple[int, ...], pair: tuple[int, int]) -> np.ndarray:
    """A matrix on one or two qubits as one on the lower and the higher qubit of a pair."""
    if len(qubits) == 1:
        return np.kron(np.eye(2), matrix) if qubits[0] == pair[0] else np.kron(matrix, np.eye(2))
    order = [0, 1, 2, 3] if qubits == pair else [0, 2, 1, 3]
    return matrix[np.ix_(order, order)]


def rotation_terms(generator: np.ndarray) -> np.ndarray:
    """exp(-i θ P) with P³ = P as terms[0] + cos(θ) terms[1] + sin(θ) terms[2]."""
    square = generator @ generator
    return np.array([np.eye(len(generator)) - square, square, -1j * generator])


def generator_of(gate: Operation) -> np.ndarray:
    """K of a rotation exp(-i θ K) among `circuits.splitting.ROTATIONS`; its first qubit is the lowest bit."""
    speed, generator = _ROTATIONS[closed_kind(gate)]
    return speed * generator


def _gates(operation: Operation, qubits: tuple[int, ...], inside: str = "") -> Iterator[Gate]:
    """The gates that an operation is made of; one on no qubits is a phase."""
    kind = closed_kind(operation)
    if isinstance(operation, Barrier | Delay):
        return
    if kind in _ROTATIONS and isinstance(operation.params[0], ParameterVectorElement):
        speed, generator = _ROTATIONS[kind]
        yield generator, qubits, speed, operation.params[0].index
    elif kind is gates.GlobalPhaseGate:
        yield np.array(float(operation.params[0])), (), 0.0, None
    elif (matrix := _matrix(operation)) is not None:
        yield matrix, qubits, 0.0, None
    elif (definition := definition_of(operation)) is not None:
        yield np.array(float(definition.global_phase)), (), 0.0, None
        place = dict(zip(definition.qubits, qubits, strict=True))
        for step in definition.data:
            wires = tuple(place[qubit] for qubit in step.qubits)
            yield from _gates(step.operation, wires, inside or f" (inside '{operation.name}')")
    else:
        raise UsageError(
            f"'{operation.name}'{inside} on qubits {list(qubits)} is not a gate with a matrix or a "
            "definition, which is all that the exact state is made of; drop final measurements with "
            "circuit.remove_final_measurements(), or write backend='aer' with shots."
        )


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
