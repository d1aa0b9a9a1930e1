"""Exact overlap of a circuit with a state, and its derivative with respect to every gate, in two passes.

The contraction follows `bondwise.tn.overlap.contraction_order`: light cones from the leaves of the state to
its root. Its cost is linear in the number of sites, gates * 2^w * bond for cones of w qubits; L staircase
layers have w = L + 1. Nothing is truncated. Because the overlap is linear in each gate, one pass up and one
down give it together with its derivative with respect to every gate (the environment of the gate).

The programs run in one compiled function, for whose compilation the first contraction waits. Its parts are
merged into one body before they are compiled: this is faster, and a function that is compiled a second time
for another body rounds differently there, so that results would depend on the state of numba's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.overlap.contraction_order import (
    COPY,
    GATE,
    PRODUCT,
    Schedule,
    checked_pairs,
    plan,
)
from bondwise.tn.states.chains import Chain
from bondwise.tn.states.trees import Tree


class ExactOverlap:
    """Exact overlap ⟨ψ|U|0…0⟩ of a state with circuits of one layout, and its environments.

    Gates are arrays of shape (M, 4, 4). Gate k acts on `pairs[k] = (i, j)`, and its row and column index is 2
    * (bit of qubit i) + (bit of qubit j), as in `numpy.kron(qubit i, qubit j)`. Every call reuses the same
    buffers, so use an object in one thread only.

    Args:
        state: One array of shape (left, 2, right) per site with outer bonds 1, at least two sites, where site
            i is qubit i; or a `Tree`.
        pairs: Two qubits for each gate, in the order in which the gates are applied. Any pairs are allowed;
            the contraction is cheap if they are neighbors in the chain or tree and the circuit is shallow.

    Raises:
        UsageError: If a pair is not two qubits of the state, or the circuit is too deep or too entangling.
            The environment variable `BONDWISE_MAX_CONTRACTION_NUMBERS` sets the limit.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import ExactOverlap, site_tensors
        >>> state = site_tensors([0.6, 0, 0, 0.8])
        >>> overlap, environments = ExactOverlap(state, [(0, 1)]).environments(np.eye(4)[None])
        >>> round(overlap, 12), environments.shape
        (0.6, (1, 4, 4))
    """

    def __init__(
        self, state: Sequence[NDArray[Any]] | Chain | Tree, pairs: Sequence[tuple[int, int]]
    ) -> None:
        if not isinstance(state, Chain | Tree):
            state = Chain(list(state))
        self.pairs = checked_pairs(pairs, state.sites)
        if state.sites < 2:
            raise UsageError("the state has one site; a circuit of two-qubit gates needs at least 2.")
        self._schedule = _cheapest(state.trees(), self.pairs)
        self.dtype = self._schedule.arrays.dtype
        self._memories: dict[Any, NDArray[Any]] = {}

    @property
    def cost(self) -> int:
        """Count of numbers written in one pass; memory holds twice as many, of 8 or 16 bytes each."""
        return self._schedule.cost

    def overlap(self, gates: NDArray[Any]) -> Any:
        """The overlap ⟨ψ|U|0…0⟩: a float if state and gates are real, otherwise a complex number."""
        gates, memory = self._cast(gates)
        self._run(self._schedule.forward, memory, gates, gates)
        return memory[self._schedule.overlap].item()

    def environments(self, gates: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """The overlap and environments E (M, 4, 4): `overlap == (gates[k] * E[k]).sum()` for every k."""
        gates, memory = self._cast(gates)
        environments = np.zeros_like(gates)
        self._run(self._schedule.forward, memory, gates, environments)
        self._run(self._schedule.backward, memory, gates, environments)
        return memory[self._schedule.overlap].item(), environments

    def sweep(self, gates: NDArray[Any], count: int = 1) -> NDArray[Any]:
        """Improve one gate after the other, from the root to the leaves and back, `count` times.

        Each gate becomes the unitary with the largest overlap while the others stay fixed (Evenbly and Vidal,
        arXiv:0707.1454), so |overlap| never decreases. Real gates must have determinant +1, which they keep.

        Args:
            gates: Unitary matrices of shape (M, 4, 4).
            count: Number of sweeps.

        Returns:
            New gates of shape (M, 4, 4).
        """
        gates, memory = self._cast(gates)
        gates = gates.copy()
        environments = np.zeros_like(gates)
        self._run(self._schedule.forward, memory, gates, environments)
        for _ in range(count):
            self._run(self._schedule.sweep, memory, gates, environments, True)
        return gates

    def _run(
        self,
        program: NDArray[np.int64],
        memory: NDArray[Any],
        gates: NDArray[Any],
        environments: NDArray[Any],
        improve: bool = False,
    ) -> None:
        work = np.empty((9, 16), memory.dtype)
        rows = gates.reshape(-1, 16), environments.reshape(-1, 16)
        _run(program, memory, *rows, work, improve, memory.dtype == np.float64)

    def _cast(self, gates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if gates.shape != (len(self.pairs), 4, 4):
            raise UsageError(
                f"gates have shape {gates.shape}; give one 4 x 4 matrix for each of {len(self.pairs)} pairs."
            )
        dtype = np.result_type(self.dtype, gates)
        if dtype not in self._memories:  # large, so allocated once
            memory = np.zeros(self._schedule.size, dtype)
            memory[: len(self._schedule.arrays)] = self._schedule.arrays
            memory[self._schedule.slope] = 1
            self._memories[dtype] = memory
        return np.ascontiguousarray(gates, dtype), self._memories[dtype]


def _cheapest(trees: list[Tree], pairs: Sequence[tuple[int, int]]) -> Schedule:
    """The contraction of least cost among several forms of one state."""
    schedules: list[Schedule] = []
    for tree in trees:
        try:
            schedules.append(plan(tree, pairs))
        except UsageError:
            if tree is trees[-1] and not schedules:
                raise
    return min(schedules, key=lambda schedule: schedule.cost)


@njit(inline="always")
def _apply(x: Any, y: Any, gate: Any, first: int, second: int) -> None:
    """Set y = gate x on the two bits with the given strides."""
    high, low = max(first, second), min(first, second)
    for a in range(0, x.size, 2 * high):
        for b in range(a, a + high, 2 * low):
            x0, x1 = x[b : b + low], x[b + second : b + second + low]
            x2, x3 = x[b + first : b + first + low], x[b + first + second : b + first + second + low]
            y0, y1 = y[b : b + low], y[b + second : b + second + low]
            y2, y3 = y[b + first : b + first + low], y[b + first + second : b + first + second + low]
            for i in range(low):
                p, q, r, s = x0[i], x1[i], x2[i], x3[i]
                y0[i] = gate[0] * p + gate[1] * q + gate[2] * r + gate[3] * s
                y1[i] = gate[4] * p + gate[5] * q + gate[6] * r + gate[7] * s
                y2[i] = gate[8] * p + gate[9] * q + gate[10] * r + gate[11] * s
                y3[i] = gate[12] * p + gate[13] * q + gate[14] * r + gate[15] * s


@njit(inline="always")
def _environment(x: Any, back: Any, out: Any, first: int, second: int) -> None:
    """Set out[4 o + i] = sum of x[o] * back[i], with o and i the two bits with the given strides."""
    high, low = max(first, second), min(first, second)
    for k in range(16):
        out[k] = 0
    for a in range(0, x.size, 2 * high):
        for b in range(a, a + high, 2 * low):
            y0, y1 = back[b : b + low], back[b + second : b + second + low]
            y2, y3 = back[b + first : b + first + low], back[b + first + second : b + first + second + low]
            for o in range(4):
                row = b + (o >> 1) * first + (o & 1) * second
                xo = x[row : row + low]
                e0, e1, e2, e3 = out[4 * o], out[4 * o + 1], out[4 * o + 2], out[4 * o + 3]
                for i in range(low):
                    v = xo[i]
                    e0 += v * y0[i]
                    e1 += v * y1[i]
                    e2 += v * y2[i]
                    e3 += v * y3[i]
                out[4 * o], out[4 * o + 1], out[4 * o + 2], out[4 * o + 3] = e0, e1, e2, e3


@njit(inline="always")
def _multiply(memory: Any, i: int, j: int, k: int, rows: int, inner: int, columns: int) -> None:
    """Multiply the matrices that begin at i and j."""
    left = memory[i : i + rows * inner].reshape(rows, inner)
    right = memory[j : j + inner * columns].reshape(inner, columns)
    np.dot(left, right, memory[k : k + rows * columns].reshape(rows, columns))


@njit(inline="always")
def _improve(gate: Any, environment: Any, work: Any, real: bool) -> None:
    """Replace a gate by the unitary that maximizes |sum(gate * environment)|.

    Rotations of pairs of columns (one-sided Jacobi) turn the environment E into E V = U S with orthogonal
    columns; the unitary is the complex conjugate of U V†. A row of `work` holds a column of U S and one of V.
    """
    weight = 0.0
    for k in range(16):
        weight += (environment[k] * environment[k].conjugate()).real
    if weight == 0:  # the gate acts on nothing
        return
    # without weight in some columns, the gate stays as near as possible to what it was
    weight = 1e-13 * sqrt(weight)
    for a in range(4):
        for b in range(4):
            work[b, a] = environment[4 * a + b] + weight * gate[4 * a + b].conjugate()
            work[b, 4 + a] = 0
        work[a, 4 + a] = 1
    for _ in range(20):
        largest = 0.0
        for p in range(3):
            for q in range(p + 1, 4):
                one, two, both = 0.0, 0.0, work[0, 0] * 0
                for a in range(4):
                    x, y = work[p, a], work[q, a]
                    one += (x * x.conjugate()).real
                    two += (y * y.conjugate()).real
                    both += x.conjugate() * y
                size = sqrt((both * both.conjugate()).real)
                if size < 1e-15 * sqrt(one * two):
                    continue
                largest = max(largest, size / sqrt(one * two))
                ratio = (two - one) / (2 * size)
                tangent = 1 / (abs(ratio) + sqrt(1 + ratio * ratio))
                if ratio < 0:
                    tangent = -tangent
                cosine = 1 / sqrt(1 + tangent * tangent)
                sine = both * (cosine * tangent / size)
                for a in range(8):
                    x, y = work[p, a], work[q, a]
                    work[p, a] = cosine * x - sine.conjugate() * y
                    work[q, a] = sine * x + cosine * y
        if largest < 1e-14:
            break
    # columns of little weight come out orthogonal to the others only up to the rounding of these
    sign = 1.0
    for p in range(4):
        for q in range(p + 1, 4):
            one, two = 0.0, 0.0
            for a in range(4):
                one += (work[p, a] * work[p, a].conjugate()).real
                two += (work[q, a] * work[q, a].conjugate()).real
            if two > one:
                sign = -sign
                for a in range(8):
                    work[p, a], work[q, a] = work[q, a], work[p, a]
        for _ in range(2):
            for q in range(p):
                both = work[0, 0] * 0
                for a in range(4):
                    both += work[q, a].conjugate() * work[p, a]
                for a in range(4):
                    work[p, a] -= both * work[q, a]
            one = 0.0
            for a in range(4):
                one += (work[p, a] * work[p, a].conjugate()).real
            for a in range(4):
                work[p, a] *= 1 / sqrt(one)
    if real:  # real gates keep determinant +1, for which two CX suffice
        determinant = 0.0
        for a in range(3):
            for b in range(a + 1, 4):
                c = 0 if a > 0 else (1 if b > 1 else 2)
                d = 6 - a - b - c
                minor = (work[0, a] * work[1, b] - work[0, b] * work[1, a]) * (
                    work[2, c] * work[3, d] - work[2, d] * work[3, c]
                )
                determinant += minor.real if (a + b) % 2 else -minor.real
        if sign * determinant < 0:
            for a in range(4):
                work[3, a] *= -1
    for a in range(4):
        for b in range(4):
            total = work[0, 0] * 0
            for k in range(4):
                total += work[k, a].conjugate() * work[k, 4 + b]
            gate[4 * a + b] = total


@njit(cache=True, fastmath=True, error_model="numpy")
def _run(
    program: Any, memory: Any, gates: Any, environments: Any, work: Any, improve: bool, real: bool
) -> None:
    """Run a program of `bondwise.tn.overlap.contraction_order`."""
    turned = work[8]
    for row in range(len(program)):
        kind, x, y, size = program[row, 0], program[row, 1], program[row, 2], program[row, 3]
        k, first, second = program[row, 4], program[row, 5], program[row, 6]
        if kind == PRODUCT:
            _multiply(memory, x, y, size, k, first, second)
        elif kind == COPY:
            inner, step_x, step_y = program[row, 6], program[row, 7], program[row, 8]
            for a in range(size):
                for b in range(inner):
                    i, j = x + a * k + b * step_x, y + a * first + b * step_y
                    for c in range(program[row, 9]):
                        memory[j + c] = memory[i + c]
        elif kind == GATE:
            for a in range(4):
                for b in range(4):
                    turned[4 * a + b] = gates[k, 4 * b + a] if program[row, 7] else gates[k, 4 * a + b]
            _apply(memory[x : x + size], memory[y : y + size], turned, first, second)
        else:
            _environment(memory[x : x + size], memory[y : y + size], environments[k], first, second)
            if improve:
                _improve(gates[k], environments[k], work, real)
