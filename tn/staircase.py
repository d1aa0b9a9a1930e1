"""Staircase circuits, layers of blocks on (0, 1), (1, 2), ..., (n - 2, n - 1), and what decompose returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.runs import Result
from bondwise.tn.gates import SO4, SU4, Block
from bondwise.tn.states import compress, inner
from bondwise.tn.window import Window


@dataclass(frozen=True, kw_only=True)
class Decomposition(Result):
    """A circuit that prepares a matrix product state from |0...0>.

    Attributes:
        value: The infidelity 1 - |<state|circuit>|^2, exact, computed from `parameters`.
        circuit: The circuit with a ParameterVector "theta"; qubit i is site i.
        parameters: Angles in radians in the order of `circuit.parameters`, float64, shape (P,).
        cx_count: CX gates in the circuit: 2 for every block of a real state, 3 of a complex one.
        depth: Two-qubit depth of the circuit.
        history: One entry a layer with `layers`, `cx_count`, `infidelity` and `start`, the candidate that
            won; the first is a product state.
        converged: Whether every target was met.
        message: What was done, or why a target was missed.
    """

    circuit: QuantumCircuit
    parameters: NDArray[np.float64]
    cx_count: int
    depth: int
    history: tuple[dict[str, Any], ...] = field(repr=False)
    converged: bool
    message: str

    @property
    def infidelity(self) -> float:
        """1 - |<state|circuit>|^2, the same number as `value`."""
        return float(self.value)

    def __str__(self) -> str:
        return (
            f"Decomposition: infidelity {self.infidelity:.3g}, {self.cx_count} CX, "
            f"two-qubit depth {self.depth}, {len(self.parameters)} angles"
        )


def staircase_pairs(sites: int, layers: int) -> list[tuple[int, int]]:
    """Neighbouring sites of `layers` staircases in time order."""
    return [(i, i + 1) for _ in range(layers) for i in range(sites - 1)]


def staircase_block(tensors: Sequence[NDArray[Any]]) -> Block:
    """The cheapest block that suits the state: SO4 if it is real, else SU4."""
    return SU4 if any(np.iscomplexobj(tensor) for tensor in tensors) else SO4


def staircase_circuit(
    tensors: Sequence[NDArray[Any]], gates: NDArray[Any]
) -> tuple[QuantumCircuit, NDArray[np.float64], float]:
    """Circuit, angles and exact infidelity of staircase gates (M, 4, 4)."""
    block = staircase_block(tensors)
    sites = len(tensors)
    pairs = staircase_pairs(sites, len(gates) // (sites - 1))
    angles = block.angles(gates)
    theta = ParameterVector("theta", angles.size)
    circuit = QuantumCircuit(sites)
    for k, (a, b) in enumerate(pairs):
        block.append(circuit, a, b, theta[k * block.size : (k + 1) * block.size])
    overlap = Window(tensors, pairs).overlap(block.matrix(angles))
    return circuit, angles.ravel(), max(0.0, 1 - abs(overlap) ** 2)


def product_circuit(tensors: Sequence[NDArray[Any]]) -> tuple[QuantumCircuit, NDArray[np.float64], float]:
    """Circuit of single-qubit gates, angles and exact infidelity of the state truncated to bond 1."""
    product = compress(tensors, 1)
    bits = np.array([tensor.ravel() for tensor in product])
    angles = 2 * np.arctan2(np.abs(bits[:, 1]), np.abs(bits[:, 0]))
    phases = np.angle(bits[:, 1]) - np.angle(bits[:, 0])
    turns: tuple[str, ...]
    if np.isrealobj(bits):
        angles, turns = np.where(np.cos(phases) < 0, -angles, angles)[:, None], ("ry",)
    else:
        angles, turns = np.stack([angles, phases], axis=1), ("ry", "rz")
    theta = iter(ParameterVector("theta", angles.size))
    circuit = QuantumCircuit(len(product))
    for qubit in range(len(product)):
        for turn in turns:
            getattr(circuit, turn)(next(theta), qubit)
    return circuit, angles.ravel(), max(0.0, 1 - abs(inner(tensors, product)) ** 2)


def two_qubit_depth(circuit: QuantumCircuit) -> int:
    """Depth of the circuit counting gates on two qubits only."""
    return circuit.depth(lambda instruction: len(instruction.qubits) == 2)
