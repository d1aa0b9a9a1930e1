"""The order in which a circuit and a tree state are contracted: light cones from the leaves to the root.

The overlap ⟨ψ|U|0…0⟩ is built from blocks. A block holds some qubits of the state and a bond to the rest of
it. It grows by one node of the tree, which adds a qubit or joins two blocks. As soon as a block holds both
qubits of a gate, and all later gates on them are done, the gate is applied to the bra, backwards in time. A
qubit with no gates left is projected onto |0⟩ and disappears. The qubits that stay open form a light cone, so
a chain with L staircase layers needs blocks of L + 1 qubits, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, limit
from bondwise.tn.states.trees import Tree

LOAD, ADD, JOIN, GATE, PROJECT = range(5)
UP, DOWN, DOWN_LEFT, DOWN_RIGHT = range(4)


@dataclass(frozen=True)
class Schedule:
    """Steps of a contraction; step j writes the block from `starts[j]` to `starts[j + 1]` of a tape.

    Attributes:
        steps: Rows (kind, first input, second input, five numbers), where inputs are earlier steps: LOAD
            (offset, size), ADD (offset, rows, bond, 2 * up), JOIN (offset, left qubits, right qubits, left
            bond, right bond; up follows from the sizes), GATE (gate, strides of its first and second qubit),
            PROJECT (stride of the qubit).
        starts: Positions on the tape, one more than there are steps.
        arrays: All arrays of the state, conjugated, one after the other.
        visits: Rows (step, direction): a walk from the root down and up again in which every block is up to
            date whenever it is used, although gates change on the way.
    """

    steps: NDArray[np.int64]
    starts: NDArray[np.int64]
    arrays: NDArray[Any]
    visits: NDArray[np.int64]

    @property
    def cost(self) -> int:
        """Count of numbers written in one pass."""
        return int(self.starts[-1])


def plan(tree: Tree, pairs: Sequence[tuple[int, int]]) -> Schedule:
    """Plan the contraction of a state with gates on `pairs`, given in time order.

    Raises:
        UsageError: If the contraction would need more numbers than `limit("contraction_numbers")`.
    """
    sites, largest = tree.sites, limit("contraction_numbers")
    pending: list[list[int]] = [[] for _ in range(sites)]  # gates left on each qubit, the latest last
    for k, (a, b) in enumerate(pairs):
        pending[a].append(k)
        pending[b].append(k)

    steps: list[tuple[int, ...]] = []
    sizes: list[int] = []
    arrays: list[NDArray[Any]] = []
    offset = 0
    blocks: list[tuple[int, list[int], int] | None] = []  # last step, open qubits, bond

    def step(kind: int, size: int, first: int = -1, second: int = -1, *numbers: int) -> int:
        steps.append((kind, first, second, *numbers, *[0] * (5 - len(numbers))))
        sizes.append(size)
        if size > largest:
            raise UsageError(_too_large(len(pairs), sites, size))
        return len(steps) - 1

    for node in tree.nodes:
        array = node.array
        if node.left_is_qubit and not node.right_is_qubit:
            array = array.transpose(1, 0, 2)
        left, right, up = array.shape
        if node.left_is_qubit and node.right_is_qubit:
            opened = [node.left, node.right]
            made = step(LOAD, array.size, -1, -1, offset, array.size)
        elif node.left_is_qubit or node.right_is_qubit:
            child, qubit = (node.right, node.left) if node.left_is_qubit else (node.left, node.right)
            source, qubits, _ = _taken(blocks, child)
            opened = [*qubits, qubit]
            rows = 1 << len(qubits)
            made = step(ADD, rows * 2 * up, source, -1, offset, rows, left, 2 * up)
        else:
            first, one, _ = _taken(blocks, node.left)
            second, two, _ = _taken(blocks, node.right)
            opened = one + two
            made = step(
                JOIN, up << len(opened), first, second, offset, 1 << len(one), 1 << len(two), left, right
            )
        arrays.append(array.conj().ravel())
        offset += array.size
        opened = list(opened)
        # apply gates that are ready and project qubits that are done; a gate may make others ready
        waiting = True
        while waiting:
            waiting = False
            for qubit in [q for q in opened if not pending[q]]:
                stride = up << (len(opened) - 1 - opened.index(qubit))
                opened.remove(qubit)
                made = step(PROJECT, up << len(opened), made, -1, stride)
            for qubit in opened:
                k = pending[qubit][-1] if pending[qubit] else -1
                if k < 0:
                    continue
                a, b = pairs[k]
                if a in opened and b in opened and pending[a][-1:] == pending[b][-1:] == [k]:
                    pending[a].pop()
                    pending[b].pop()
                    strides = [up << (len(opened) - 1 - opened.index(q)) for q in (a, b)]
                    made = step(GATE, up << len(opened), made, -1, k, *strides)
                    waiting = True
                    break
        blocks.append((made, opened, up))
    if sum(sizes) > largest:
        raise UsageError(_too_large(len(pairs), sites, sum(sizes)))
    table = np.array(steps, np.int64)
    return Schedule(
        steps=table,
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        arrays=np.concatenate(arrays).astype(tree.dtype),
        visits=np.array(_walk(table), np.int64),
    )


def checked_pairs(pairs: Iterable[tuple[int, int]], qubits: int) -> list[tuple[int, int]]:
    """Convert pairs of qubits to Python integers.

    Raises:
        UsageError: If the input is not a sequence of pairs of integers, or a pair is not two different
            qubits.
    """
    try:
        found = [(index(a), index(b)) for a, b in pairs]
    except (TypeError, ValueError):
        raise UsageError(
            f"pairs is {pairs!r}; give pairs of qubits in time order, such as [(0, 1), (1, 2)]."
        ) from None
    for a, b in found:
        if a == b or not (0 <= a < qubits and 0 <= b < qubits):
            raise UsageError(f"pair {(a, b)} is not two different qubits out of 0 to {qubits - 1}.")
    return found


def _taken(blocks: list[tuple[int, list[int], int] | None], child: int) -> tuple[int, list[int], int]:
    block, blocks[child] = blocks[child], None
    assert block is not None
    return block


def _too_large(gates: int, sites: int, size: int) -> str:
    return (
        f"{gates} gates on {sites} sites need blocks of {size:.0e} numbers, too many to be exact; "
        "give fewer layers, a smaller bond, or gates between nearer qubits."
    )


def _walk(steps: NDArray[np.int64]) -> list[tuple[int, int]]:
    visits: list[tuple[int, int]] = []

    def visit(j: int) -> None:
        passed = []
        while True:
            kind, first, second = steps[j, :3].tolist()
            passed.append(j)
            if kind == LOAD:
                break
            if kind == JOIN:
                visits.append((j, DOWN_LEFT))
                visit(first)
                visits.append((j, DOWN_RIGHT))
                visit(second)
                break
            visits.append((j, DOWN))
            j = first
        visits.extend((j, UP) for j in reversed(passed))

    visit(len(steps) - 1)
    return visits
