"""A circuit as a network of nodes that each act on two lines, as the matrix product state simulator needs it.

The lines 0 … n-1 are the qubits. A block of gates on two qubits is one node. If its only entangling part is a
sum of two products, Σ_k A_k ⊗ B_k, as for cx, cz and all rotations, it becomes two nodes instead, which are
joined by a line of their own: with C = Σ_k A_k ⊗ |k⟩⟨0| and D = Σ_k B_k ⊗ |0⟩⟨k| it is ⟨0| D C |0⟩ on this
line. So a distant gate is a single line between its qubits, and all nodes are 4 × 4 matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from bondwise.backends.gradients.gathering import Gate, Pair, gather, on_pair, rotation_terms
from bondwise.circuits.splitting import SplitCircuit

_ROUNDING = 1e-13  # relative size below which a part of a gate is rounding
_HERE = (0, 1)


@dataclass
class _Node:
    """A node's lines, lowest bit first, and the product of its factors: constants, or rotations by an angle.

    A rotation is `terms[0] + cos(sθ) terms[1] + sin(sθ) terms[2]`.
    """

    lines: tuple[int, ...]
    constant: np.ndarray
    rotations: list[tuple[np.ndarray, float, int]] = field(default_factory=list)

    def multiply(self, terms: np.ndarray, speed: float, angle: int | None) -> None:
        """Multiply by a constant from the left, or by a rotation, (3, 4, 4)."""
        if angle is not None:
            self.rotations.append((terms, speed, angle))
        elif self.rotations:
            before, *rest = self.rotations[-1]
            self.rotations[-1] = (terms[0] @ before, *rest)
        else:
            self.constant = terms[0] @ self.constant


class Network:
    """The nodes of a circuit in the order of application.

    Attributes:
        sites: Number of qubits.
        lines: Lines of each node, lowest bit of its matrix first.
        inner: Number of lines beside the qubits. They start in |0⟩ and end in ⟨0|.
        pairs: For each node that is one half of a split block, the number of the other; itself otherwise.

    Args:
        parts: The circuit.

    Raises:
        UsageError: If it contains something that is not a gate.
    """

    def __init__(self, parts: SplitCircuit) -> None:
        self.sites = parts.circuit.num_qubits
        self.inner = 0
        self._nodes: list[_Node] = []
        self.pairs: list[int] = []
        found = gather(parts.circuit)
        done = 0
        for wide in found.wide:
            for block in found.blocks[done : wide.before]:
                self._add_block(block)
            self._add(wide.qubits, wide.matrix)
            done = wide.before
        for block in found.blocks[done:]:
            self._add_block(block)
        self.lines = [node.lines for node in self._nodes]
        self._arrange()

    def matrices(self, angles: torch.Tensor) -> list[torch.Tensor]:
        """The matrix of each node, (B, 2^k, 2^k) for k lines, for angles (B, G)."""
        turned = self._speeds * angles[:, self._columns]
        cosines, sines = turned.cos()[..., None, None], turned.sin()[..., None, None]
        gates = self._terms[:, 0] + cosines * self._terms[:, 1] + sines * self._terms[:, 2]
        matrices = self._constants.expand(len(angles), -1, -1, -1)
        start = 0
        for count in self._rounds:  # nodes with the most rotations come first
            turned_now = gates[:, start : start + count] @ matrices[:, :count]
            matrices = torch.cat([turned_now, matrices[:, count:]], dim=1)
            start += count
        rows = matrices.unbind(1)
        return [rows[row] if row >= 0 else self._wide[node] for node, row in enumerate(self._rows)]

    def _add(self, lines: tuple[int, ...], constant: np.ndarray | None = None) -> _Node:
        node = _Node(lines, np.eye(4, dtype=complex) if constant is None else constant)
        self.pairs.append(len(self._nodes))
        self._nodes.append(node)
        return node

    def _line(self) -> int:
        self.inner += 1
        return self.sites + self.inner - 1

    def _add_block(self, block: Pair) -> None:
        entangling = [number for number, gate in enumerate(block.gates) if len(gate[1]) > 1]
        if not entangling:
            for site in block.pair:
                own = [gate for gate in block.gates if gate[1] == (site,)]
                if own:
                    _append(self._add((site, self._line())), own)
            return
        first, last = entangling[0], entangling[-1] + 1
        core = _merged(block.gates[first:last], block.pair)
        halves = None if core is None else _halves(core[0])
        if core is None or halves is None:
            node = self._add(block.pair)
            for matrix, qubits, speed, angle in block.gates:
                node.multiply(_terms(on_pair(matrix, qubits, block.pair), angle), speed, angle)
            return
        joined, both = halves
        line = self._line()
        nodes = [self._add((block.pair[0], line))]
        nodes.append(self._add((block.pair[1], line if joined else self._line())))
        if joined:
            self.pairs[-2:] = [len(self._nodes) - 1, len(self._nodes) - 2]
        for node, terms in zip(nodes, both, strict=True):
            qubit = node.lines[:1]
            _append(node, [gate for gate in block.gates[:first] if gate[1] == qubit])
            angle = core[2] if len(terms) > 1 else None
            node.multiply(terms, core[1], angle)
            _append(node, [gate for gate in block.gates[last:] if gate[1] == qubit])

    def _arrange(self) -> None:
        """Constants and rotations of all nodes on two lines as arrays, those with most rotations first."""
        wide = {number for number, node in enumerate(self._nodes) if len(node.lines) > 2}
        order = [number for number in range(len(self._nodes)) if number not in wide]
        order.sort(key=lambda number: -len(self._nodes[number].rotations))
        self._rows = [-1] * len(self._nodes)
        for row, number in enumerate(order):
            self._rows[number] = row
        nodes = [self._nodes[number] for number in order]
        most = max((len(node.rotations) for node in nodes), default=0)
        self._rounds = [sum(len(node.rotations) > turn for node in nodes) for turn in range(most)]
        rotations = [node.rotations[turn] for turn in range(most) for node in nodes[: self._rounds[turn]]]
        arrays = [
            np.array([node.constant for node in nodes], dtype=complex).reshape(-1, 4, 4),
            np.array([one[0] for one in rotations], dtype=complex).reshape(-1, 3, 4, 4),
            *(self._nodes[number].constant for number in wide),
        ]
        real = not any(np.any(np.imag(array)) for array in arrays)
        tensors = [torch.from_numpy(np.ascontiguousarray(a.real if real else a)) for a in arrays]
        self._constants, self._terms = tensors[:2]
        self._wide = {number: one[None] for number, one in zip(wide, tensors[2:], strict=True)}
        self.dtype = self._constants.dtype
        self._speeds = torch.tensor([one[1] for one in rotations], dtype=torch.float64)
        self._columns = torch.tensor([one[2] for one in rotations], dtype=torch.int64)


@lru_cache(maxsize=64)
def network(parts: SplitCircuit) -> Network:
    """The network of a circuit, made once."""
    return Network(parts)


def _terms(matrix: np.ndarray, angle: int | None) -> np.ndarray:
    return matrix[None] if angle is None else rotation_terms(matrix)


def _append(node: _Node, gates: Sequence[Gate]) -> None:
    for matrix, _, speed, angle in gates:
        node.multiply(_terms(on_pair(matrix, (0,), _HERE), angle), speed, angle)


def _merged(gates: Sequence[Gate], pair: tuple[int, int]) -> tuple[np.ndarray, float, int | None] | None:
    """The product of gates as terms (1 or 3, 4, 4) of at most one rotation; None if there are more."""
    product: Any = np.eye(4)[None]
    speed, angle = 0.0, None
    for matrix, qubits, own_speed, own_angle in gates:
        if own_angle is not None and angle is not None:
            return None
        if own_angle is not None:
            speed, angle = own_speed, own_angle
        # at most one of the two has several terms
        product = _terms(on_pair(matrix, qubits, pair), own_angle) @ product
    return product, speed, angle


def _halves(terms: np.ndarray) -> tuple[bool, tuple[np.ndarray, np.ndarray]] | None:
    """Terms on two qubits as the matrices C and D of two nodes; None if a side needs more than two products.

    One side is constant, (1, 4, 4), and the other has all the terms. First comes whether there are two
    products, so that the nodes have to be joined.
    """
    count = len(terms)
    parts = terms.reshape(count, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(count, 4, 4)  # high, low
    for constant in (0, 1):
        rows = (parts if constant else parts.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(4, -1)
        u, s, v = np.linalg.svd(rows, full_matrices=False)
        rank = int((s > _ROUNDING * s[0]).sum())
        if rank <= 2:
            weights = (np.sqrt(s[:rank])[:, None] * v[:rank]).reshape(rank, count, 2, 2)
            basis = (u[:, :rank] * np.sqrt(s[:rank])).T.reshape(rank, 1, 2, 2)
            low, high = (weights, basis) if constant else (basis, weights)
            unit = np.eye(2)
            opening = sum(np.kron(np.outer(unit[k], unit[0]), low[k]) for k in range(rank))
            closing = sum(np.kron(np.outer(unit[0], unit[k]), high[k]) for k in range(rank))
            return rank == 2, (np.asarray(opening), np.asarray(closing))
    return None
