"""From gates as matrices to a Qiskit circuit with angles, and the result that every preparation returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.runs import Result, axes_or_new
from bondwise.tn.overlap.exact import ExactOverlap
from bondwise.tn.preparation.blocks import ISOMETRY, PAIR, REAL_PAIR, SO4, SU4, Block
from bondwise.tn.states.chains import Chain
from bondwise.tn.states.trees import Tree

_SWAP = np.array([0, 2, 1, 3])


@dataclass(frozen=True, kw_only=True)
class Decomposition(Result):
    """A circuit that prepares a state from |0…0⟩, as `decompose`, `decompose_analytically` and `fit` return
    it.

    Attributes:
        value: The infidelity 1 - |⟨state|circuit⟩|², computed from `parameters`.
        circuit: The circuit with free parameters; qubit i is site i.
        parameters: Angles in radians in the order of `circuit.parameters`, float64, shape (P,).
        cx_count: Number of CX gates that the circuit needs, as counted by `bondwise.circuits.cx_count`.
        depth: Depth counting two-qubit gates only.
        history: One entry per layer with `layers`, `cx_count`, `infidelity` and `start`, the starting point
            that won; the first entry is a product state. For a given circuit (`fit`), its start and its end,
            with `layers` None.
        exact: Whether the infidelity is exact up to rounding; if not, `message` says what was neglected.
        converged: Whether all targets were reached.
        message: What was done, or why a target was not reached.

    Example:
        >>> from qiskit.quantum_info import Statevector
        >>> from bondwise.tn import decompose
        >>> found = decompose([0.6, 0, 0, 0.8], seed=0)
        >>> abs(Statevector(found.circuit.assign_parameters(found.parameters)).data).round(6).tolist()
        [0.6, 0.0, 0.0, 0.8]
    """

    circuit: QuantumCircuit
    parameters: NDArray[np.float64]
    cx_count: int
    depth: int
    history: tuple[dict[str, Any], ...] = field(repr=False)
    exact: bool = True
    converged: bool
    message: str

    @property
    def infidelity(self) -> float:
        """The infidelity 1 - |⟨state|circuit⟩|²; same as `value`."""
        return float(self.value)

    def __str__(self) -> str:
        return (
            f"Decomposition: infidelity {self.infidelity:.3g}{'' if self.exact else ' (approximate)'}, "
            f"{self.cx_count} CX, two-qubit depth {self.depth}, {len(self.parameters)} angles"
        )

    def plot(self, ax: Any = None) -> Any:
        """Plot the infidelity against the number of CX.

        Args:
            ax: Matplotlib Axes; a new figure by default.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        counts = [entry["cx_count"] for entry in self.history]
        ax.semilogy(counts, [max(entry["infidelity"], 1e-16) for entry in self.history], marker="o")
        ax.set_xlabel("CX")
        ax.set_ylabel("infidelity")
        return ax


def blocks_of(pairs: Sequence[tuple[int, int]], real: bool) -> list[tuple[Block, bool]]:
    """The cheapest block for each gate of a circuit that starts in |0…0⟩, and whether its qubits are swapped.

    Args:
        pairs: Pairs of qubits in time order.
        real: Whether the gates are real.
    """
    touched: set[int] = set()
    blocks = []
    for a, b in pairs:
        fresh = (a not in touched, b not in touched)
        touched |= {a, b}
        if all(fresh):
            blocks.append((REAL_PAIR if real else PAIR, False))
        elif any(fresh) and not real:
            blocks.append((ISOMETRY, fresh[0]))
        else:
            blocks.append((SO4 if real else SU4, False))
    return blocks


def count_cx(pairs: Sequence[tuple[int, int]], real: bool) -> int:
    """Number of CX gates of the circuit that `assemble` builds."""
    return sum(block.cx_count for block, _ in blocks_of(pairs, real))


def assemble(
    state: Chain | Tree, pairs: Sequence[tuple[int, int]], gates: NDArray[Any]
) -> tuple[QuantumCircuit, NDArray[np.float64], float]:
    """Circuit, angles and exact infidelity of gates (M, 4, 4) on pairs of qubits, in time order."""
    blocks = blocks_of(pairs, bool(np.isrealobj(gates)))
    angles: list[tuple[int, NDArray[np.float64]]] = []
    made = np.empty_like(gates)
    for kind in {block.name: block for block, _ in blocks}.values():
        where = [k for k, (block, _) in enumerate(blocks) if block.name == kind.name]
        turned = np.array([blocks[k][1] for k in where])[:, None, None]
        chosen = gates[where]
        chosen = np.where(turned, chosen[:, _SWAP][:, :, _SWAP], chosen)
        found = kind.angles(chosen)
        matrices = kind.matrix(found)
        made[where] = np.where(turned, matrices[:, _SWAP][:, :, _SWAP], matrices)
        angles += [(k, row) for k, row in zip(where, found, strict=True)]
    in_order = [row for _, row in sorted(angles, key=lambda item: item[0])]
    theta = ParameterVector("theta", sum(map(len, in_order)))
    circuit = QuantumCircuit(state.sites)
    used = 0
    for (a, b), (block, swapped) in zip(pairs, blocks, strict=True):
        first, second = (b, a) if swapped else (a, b)
        block.append(circuit, first, second, theta[used : used + block.size])
        used += block.size
    overlap = ExactOverlap(state, pairs).overlap(made)
    return circuit, np.concatenate([np.zeros(0), *in_order]), max(1 - abs(overlap) ** 2, 0.0)


def product_circuit(state: Chain | Tree) -> tuple[QuantumCircuit, NDArray[np.float64], float]:
    """Circuit of single-qubit gates, angles and exact infidelity of the nearest product state."""
    product = state.nearest_product()
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
    return circuit, angles.ravel(), max(1 - abs(state.overlap(product)) ** 2, 0.0)
