"""The order in which a circuit and a tree state are contracted: light cones from the leaves to the root.

The overlap ⟨ψ|U|0…0⟩ is built from blocks. A block holds some qubits of the state and a bond to the rest of
it. It grows by one node of the tree, which adds a qubit or joins two blocks. As soon as a block holds both
qubits of a gate, and all later gates on them are done, the gate is applied to the bra, backwards in time. A
qubit with no gates left is projected onto |0⟩ and disappears. The qubits that stay open form a light cone, so
a chain with L staircase layers needs blocks of L + 1 qubits, however long it is.

The contraction is written as programs of four instructions for one array of numbers, the memory. It begins
with the arrays of the state; then follow the blocks, the derivatives of the overlap with respect to the
blocks, and room for intermediate products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, limit
from bondwise.tn.states.trees import Tree

COPY, PRODUCT, GATE, ENVIRONMENT = range(4)
Instructions = list[tuple[int, ...]]
_WIDTH = 10  # numbers of an instruction


@dataclass(frozen=True)
class Schedule:
    """Programs that contract a state with a circuit; an instruction is a row of 10 integers.

    COPY (from, to, rows, step from, step to, columns, step from, step to, length) copies runs of numbers.
    PRODUCT (left, right, to, rows, inner, columns) multiplies two matrices. GATE (from, to, size, gate, two
    strides, transposed) applies a gate to two bits of a block. ENVIRONMENT (block, derivative, size, gate,
    two strides) computes the derivative of the overlap with respect to a gate.

    Attributes:
        arrays: The beginning of the memory; the rest of it is 0.
        size: Count of numbers in the memory.
        cost: Count of numbers in all blocks.
        overlap: Place of the overlap.
        slope: Place of the derivative of the overlap with respect to itself, which is 1.
        forward: Computes all blocks.
        backward: Computes the derivatives with respect to all blocks and gates.
        sweep: A walk from the root down and up again in which every block is up to date whenever it is used,
            although gates change at each ENVIRONMENT.
    """

    arrays: NDArray[Any]
    size: int
    cost: int
    overlap: int
    slope: int
    forward: NDArray[np.int64]
    backward: NDArray[np.int64]
    sweep: NDArray[np.int64]


@dataclass(eq=False)
class _Step:
    """A step of the contraction, which makes one block.

    Attributes:
        kind: "load" takes the array of a node as it is, "add" adds a qubit, "join" joins two blocks, "gate"
            applies a gate, and "project" projects a qubit.
        size: Count of numbers in the block.
        inputs: The steps that made the blocks it needs.
        numbers: For "add" rows, bond and columns; for "join" the rows of both inputs, their bonds and the
            upper bond; for "gate" its index and two strides; for "project" a stride.
        arrays: Places of the forms of the node's array.
        place: Place of the block.
        slope: Place of the derivative with respect to it.
    """

    kind: Literal["load", "add", "join", "gate", "project"]
    size: int
    inputs: tuple[_Step, ...]
    numbers: tuple[int, ...] = ()
    arrays: tuple[int, ...] = ()
    place: int = 0
    slope: int = 0


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

    steps: list[_Step] = []
    arrays: list[NDArray[Any]] = []
    used = 0
    blocks: list[tuple[_Step, list[int]] | None] = []  # the last step of each branch and its open qubits

    def add(step: _Step) -> _Step:
        if step.size > largest:
            raise UsageError(_too_large(len(pairs), sites, step.size))
        steps.append(step)
        return step

    for node in tree.nodes:
        array = node.array.conj()
        if node.left_is_qubit and not node.right_is_qubit:
            array = array.transpose(1, 0, 2)
        left, right, up = array.shape
        if node.left_is_qubit and node.right_is_qubit:
            opened = [node.left, node.right]
            made = add(_Step("load", array.size, ()))
            forms = [array]
        elif node.left_is_qubit or node.right_is_qubit:
            child, qubit = (node.right, node.left) if node.left_is_qubit else (node.left, node.right)
            source, qubits = _taken(blocks, child)
            opened = [*qubits, qubit]
            rows = 1 << len(qubits)
            made = add(_Step("add", rows * 2 * up, (source,), (rows, left, 2 * up)))
            forms = [array, array.transpose(1, 2, 0)]
        else:
            first, one = _taken(blocks, node.left)
            second, two = _taken(blocks, node.right)
            opened = one + two
            numbers = (1 << len(one), 1 << len(two), left, right, up)
            made = add(_Step("join", up << len(opened), (first, second), numbers))
            forms = [array.transpose(1, 0, 2), array.transpose(1, 2, 0), array.transpose(0, 2, 1)]
        made.arrays = tuple(used + k * array.size for k in range(len(forms)))
        used += len(forms) * array.size
        arrays += forms
        # apply gates that are ready and project qubits that are done; a gate may make others ready
        waiting = True
        while waiting:
            waiting = False
            for qubit in [q for q in opened if not pending[q]]:
                stride = up << (len(opened) - 1 - opened.index(qubit))
                opened.remove(qubit)
                made = add(_Step("project", up << len(opened), (made,), (stride,)))
            for qubit in opened:
                k = pending[qubit][-1] if pending[qubit] else -1
                if k < 0:
                    continue
                a, b = pairs[k]
                if a in opened and b in opened and pending[a][-1:] == pending[b][-1:] == [k]:
                    pending[a].pop()
                    pending[b].pop()
                    strides = [up << (len(opened) - 1 - opened.index(q)) for q in (a, b)]
                    made = add(_Step("gate", up << len(opened), (made,), (k, *strides)))
                    waiting = True
                    break
        blocks.append((made, opened))
    cost = sum(step.size for step in steps)
    if cost > largest:
        raise UsageError(_too_large(len(pairs), sites, cost))
    return _compiled(steps, np.concatenate([form.ravel() for form in arrays]).astype(tree.dtype), cost)


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


def _taken(blocks: list[tuple[_Step, list[int]] | None], child: int) -> tuple[_Step, list[int]]:
    block, blocks[child] = blocks[child], None
    assert block is not None
    return block


def _too_large(gates: int, sites: int, size: int) -> str:
    return (
        f"{gates} gates on {sites} sites need blocks of {size:.0e} numbers, too many to be exact; "
        "give fewer layers, a smaller bond, or gates between nearer qubits."
    )


def _compiled(steps: list[_Step], arrays: NDArray[Any], cost: int) -> Schedule:
    """Give every block its place in the memory and write the programs."""
    free = len(arrays)
    made = [step for step in steps if step.kind != "load"]
    for step in steps:
        if step.kind == "load":
            step.place = step.arrays[0]
    for step in made:
        step.place, free = free, free + step.size
    for step in made:
        step.slope, free = free, free + step.size
    room = 0
    for step in made:
        if step.kind == "join":
            rows, others, left, _, up = step.numbers
            room = max(room, left * others * up, left * rows)
    work = (free, free + room)
    forward: Instructions = []
    for step in made:
        forward += _forward(step, work)
    backward: Instructions = []
    for step in reversed(made):
        backward += _environment(step)
        for side in range(len(step.inputs)):
            backward += _backward(step, side, work)
    sweep: Instructions = []
    for step, way in _walk(steps[-1]):
        sweep += _environment(step)
        sweep += _forward(step, work) if way is None else _backward(step, way, work)
    return Schedule(
        arrays=arrays,
        size=free + 2 * room,
        cost=cost,
        overlap=steps[-1].place,
        slope=steps[-1].slope,
        forward=_table(forward),
        backward=_table(backward),
        sweep=_table(sweep),
    )


def _forward(step: _Step, work: tuple[int, int]) -> Instructions:
    """Compute the block of a step."""
    x, numbers = step.inputs[0].place, step.numbers
    if step.kind == "gate":
        gate, first, second = numbers
        return [(GATE, x, step.place, step.size, gate, first, second, 1)]
    if step.kind == "project":
        (stride,) = numbers
        return [(COPY, x, step.place, step.size // stride, 2 * stride, stride, 1, 0, 0, stride)]
    if step.kind == "add":
        return [(PRODUCT, x, step.arrays[0], step.place, *numbers)]
    rows, others, left, right, up = numbers
    return [
        # the right block and the node, (right rows, left bond, up), then (left bond, right rows, up)
        (PRODUCT, step.inputs[1].place, step.arrays[0], work[0], others, right, left * up),
        (COPY, work[0], work[1], others, left * up, up, left, up, others * up, up),
        (PRODUCT, x, work[1], step.place, rows, left, others * up),
    ]


def _backward(step: _Step, side: int, work: tuple[int, int]) -> Instructions:
    """Compute the derivative with respect to an input from that with respect to the block of a step."""
    x, y, numbers = step.inputs[side], step.slope, step.numbers
    if x.kind == "load":  # nothing changes below it
        return []
    if step.kind == "gate":
        gate, first, second = numbers
        return [(GATE, y, x.slope, step.size, gate, first, second, 0)]
    if step.kind == "project":  # where the qubit is 1 the derivative stays 0
        (stride,) = numbers
        return [(COPY, y, x.slope, step.size // stride, stride, 2 * stride, 1, 0, 0, stride)]
    if step.kind == "add":
        rows, bond, columns = numbers
        return [(PRODUCT, y, step.arrays[1], x.slope, rows, columns, bond)]
    rows, others, left, right, up = numbers
    if side == 0:
        return [
            # the right block and the node, (right rows, up, left bond)
            (PRODUCT, step.inputs[1].place, step.arrays[1], work[0], others, right, up * left),
            (PRODUCT, y, work[0], x.slope, rows, others * up, left),
        ]
    return [
        # the left block and the derivative, (left bond, right rows, up), then (right rows, left bond, up)
        (COPY, step.inputs[0].place, work[0], rows, left, 1, left, 1, rows, 1),
        (PRODUCT, work[0], y, work[1], left, rows, others * up),
        (COPY, work[1], work[0], left, others * up, up, others, up, left * up, up),
        (PRODUCT, work[0], step.arrays[2], x.slope, others, left * up, right),
    ]


def _environment(step: _Step) -> Instructions:
    if step.kind != "gate":
        return []
    gate, first, second = step.numbers
    return [(ENVIRONMENT, step.inputs[0].place, step.slope, step.size, gate, first, second)]


def _walk(last: _Step) -> Iterator[tuple[_Step, int | None]]:
    """Steps from the last one down, with the side on which to go on, and up again, without one."""
    passed, step = [], last
    while step.kind != "load":
        passed.append(step)
        if step.kind == "join":
            for side in range(2):
                yield step, side
                yield from _walk(step.inputs[side])
            break
        yield step, 0
        step = step.inputs[0]
    yield from ((step, None) for step in reversed(passed))


def _table(program: Instructions) -> NDArray[np.int64]:
    padded = [(*row, *[0] * (_WIDTH - len(row))) for row in program]
    return np.array(padded, np.int64).reshape(-1, _WIDTH)
