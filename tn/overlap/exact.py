"""Exact overlap of a circuit with a state, and its derivative with respect to every gate, in two passes.

The contraction follows `bondwise.tn.overlap.contraction_order`: light cones from the leaves of the state to
its root. Its cost is linear in the number of sites, gates * 2^w * bond for cones of w qubits; L staircase
layers have w = L + 1. Nothing is truncated. Because the overlap is linear in each gate, one pass up and one
down give it together with its derivative with respect to every gate (the environment of the gate).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.overlap.contraction_order import (
    ADD,
    DOWN,
    DOWN_LEFT,
    GATE,
    JOIN,
    LOAD,
    PROJECT,
    UP,
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
        self._steps = self._schedule.steps, self._schedule.starts
        self.dtype = self._schedule.arrays.dtype
        self._tapes: dict[Any, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = {}

    @property
    def cost(self) -> int:
        """Count of numbers written in one pass; memory holds twice as many, of 8 or 16 bytes each."""
        return self._schedule.cost

    def overlap(self, gates: NDArray[Any]) -> Any:
        """The overlap ⟨ψ|U|0…0⟩: a float if state and gates are real, otherwise a complex number."""
        gates, arrays, tape, _ = self._cast(gates)
        _up(*self._steps, arrays, gates, tape)
        return tape[-1].item()

    def environments(self, gates: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """The overlap and environments E (M, 4, 4): `overlap == (gates[k] * E[k]).sum()` for every k."""
        gates, arrays, tape, back = self._cast(gates)
        environments = np.zeros_like(gates)
        _up(*self._steps, arrays, gates, tape)
        _down(*self._steps, arrays, gates, tape, back, environments)
        return tape[-1].item(), environments

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
        gates, arrays, tape, back = self._cast(gates)
        gates = gates.copy()
        real = gates.dtype == np.float64
        _up(*self._steps, arrays, gates, tape)
        for _ in range(count):
            _sweep(*self._steps, self._schedule.visits, arrays, gates, tape, back, real)
        return gates

    def _cast(self, gates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        if gates.shape != (len(self.pairs), 4, 4):
            raise UsageError(
                f"gates have shape {gates.shape}; give one 4 x 4 matrix for each of {len(self.pairs)} pairs."
            )
        dtype = np.result_type(self.dtype, gates)
        if dtype not in self._tapes:  # large, so allocated once
            size = self._schedule.cost
            self._tapes[dtype] = (
                self._schedule.arrays.astype(dtype),
                np.empty(size, dtype),
                np.empty(size, dtype),
            )
        return np.ascontiguousarray(gates, dtype), *self._tapes[dtype]


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


@njit(cache=True, fastmath=True)
def _apply(gate: Any, x: Any, y: Any, first: int, second: int) -> None:
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
                y0[i] = gate[0, 0] * p + gate[0, 1] * q + gate[0, 2] * r + gate[0, 3] * s
                y1[i] = gate[1, 0] * p + gate[1, 1] * q + gate[1, 2] * r + gate[1, 3] * s
                y2[i] = gate[2, 0] * p + gate[2, 1] * q + gate[2, 2] * r + gate[2, 3] * s
                y3[i] = gate[3, 0] * p + gate[3, 1] * q + gate[3, 2] * r + gate[3, 3] * s


@njit(cache=True, fastmath=True)
def _environment(x: Any, back: Any, first: int, second: int, out: Any) -> None:
    """Set out[o, i] = sum of x[o] * back[i], with o and i the two bits with the given strides."""
    out[:] = 0
    high, low = max(first, second), min(first, second)
    for a in range(0, x.size, 2 * high):
        for b in range(a, a + high, 2 * low):
            y0, y1 = back[b : b + low], back[b + second : b + second + low]
            y2, y3 = back[b + first : b + first + low], back[b + first + second : b + first + second + low]
            for o in range(4):
                row = b + (o >> 1) * first + (o & 1) * second
                xo = x[row : row + low]
                e0, e1, e2, e3 = out[o, 0], out[o, 1], out[o, 2], out[o, 3]
                for i in range(low):
                    v = xo[i]
                    e0 += v * y0[i]
                    e1 += v * y1[i]
                    e2 += v * y2[i]
                    e3 += v * y3[i]
                out[o, 0], out[o, 1], out[o, 2], out[o, 3] = e0, e1, e2, e3


@njit(cache=True)
def _project(x: Any, y: Any, stride: int) -> None:
    """Set y to the half of x in which the bit is 0."""
    for k in range(y.size // stride):
        y[k * stride : (k + 1) * stride] = x[2 * k * stride : (2 * k + 1) * stride]


@njit(cache=True)
def _insert(y: Any, x: Any, stride: int) -> None:
    """The transpose of `_project`."""
    for k in range(y.size // stride):
        x[2 * k * stride : (2 * k + 1) * stride] = y[k * stride : (k + 1) * stride]
        x[(2 * k + 1) * stride : (2 * k + 2) * stride] = 0


@njit(cache=True)
def _spread(array: Any, right: Any, left_bond: int, right_bond: int) -> Any:
    """The right block (rows, right bond) contracted with the node's array: (left bond, rows * up)."""
    up = array.size // (left_bond * right_bond)
    rows = right.size // right_bond
    out = np.empty((left_bond, rows, up), right.dtype)
    cube, matrix = array.reshape(left_bond, right_bond, up), right.reshape(rows, right_bond)
    for k in range(left_bond):
        out[k] = np.dot(matrix, cube[k])
    return out.reshape(left_bond, rows * up)


@njit(cache=True)
def _step_up(step: Any, starts: Any, arrays: Any, gates: Any, tape: Any, j: int) -> None:
    """Write the block of one step."""
    kind, a, b = step[0], step[1], step[2]
    y = tape[starts[j] : starts[j + 1]]
    if kind == LOAD:
        y[:] = arrays[step[3] : step[3] + step[4]]
        return
    x = tape[starts[a] : starts[a + 1]]
    if kind == GATE:
        _apply(gates[step[3]].T.copy(), x, y, step[4], step[5])
    elif kind == PROJECT:
        _project(x, y, step[3])
    elif kind == ADD:
        matrix = arrays[step[3] : step[3] + step[5] * step[6]].reshape(step[5], step[6])
        np.dot(x.reshape(step[4], step[5]), matrix, y.reshape(step[4], step[6]))
    else:
        left, right = step[6], step[7]
        up = y.size // (step[4] * step[5])
        other = tape[starts[b] : starts[b + 1]]
        spread = _spread(arrays[step[3] : step[3] + left * right * up], other, left, right)
        np.dot(x.reshape(step[4], left), spread, y.reshape(step[4], step[5] * up))


@njit(cache=True)
def _step_down(step: Any, starts: Any, arrays: Any, gates: Any, back: Any, j: int) -> None:
    """Derivative with respect to the only input of a step, from that with respect to its output."""
    kind, a = step[0], step[1]
    y, x = back[starts[j] : starts[j + 1]], back[starts[a] : starts[a + 1]]
    if kind == GATE:
        _apply(gates[step[3]], y, x, step[4], step[5])
    elif kind == PROJECT:
        _insert(y, x, step[3])
    else:
        matrix = arrays[step[3] : step[3] + step[5] * step[6]].reshape(step[5], step[6])
        np.dot(y.reshape(step[4], step[6]), matrix.T, x.reshape(step[4], step[5]))


@njit(cache=True)
def _join_left(step: Any, starts: Any, arrays: Any, tape: Any, back: Any, j: int) -> None:
    """Derivative of a join with respect to its left block."""
    a, b, left, right = step[1], step[2], step[6], step[7]
    y = back[starts[j] : starts[j + 1]]
    up = y.size // (step[4] * step[5])
    array = arrays[step[3] : step[3] + left * right * up]
    spread = _spread(array, tape[starts[b] : starts[b + 1]], left, right)
    np.dot(y.reshape(step[4], step[5] * up), spread.T, back[starts[a] : starts[a + 1]].reshape(step[4], left))


@njit(cache=True)
def _join_right(step: Any, starts: Any, arrays: Any, tape: Any, back: Any, j: int) -> None:
    """Derivative of a join with respect to its right block."""
    a, b, left, right = step[1], step[2], step[6], step[7]
    y = back[starts[j] : starts[j + 1]]
    up = y.size // (step[4] * step[5])
    cube = arrays[step[3] : step[3] + left * right * up].reshape(left, right, up)
    x = tape[starts[a] : starts[a + 1]].reshape(step[4], left)
    slope = np.dot(x.T, y.reshape(step[4], step[5] * up)).reshape(left, step[5], up)
    out = back[starts[b] : starts[b + 1]].reshape(step[5], right)
    out[:] = 0
    for k in range(left):
        out += np.dot(slope[k], cube[k].T)


@njit(cache=True)
def _up(steps: Any, starts: Any, arrays: Any, gates: Any, tape: Any) -> None:
    """Fill the tape with all blocks; its last number is the overlap."""
    for j in range(len(steps)):
        _step_up(steps[j], starts, arrays, gates, tape, j)


@njit(cache=True)
def _down(steps: Any, starts: Any, arrays: Any, gates: Any, tape: Any, back: Any, environments: Any) -> None:
    """Fill `back` with the derivative of the overlap with respect to every block, and the environments."""
    back[-1] = 1
    for j in range(len(steps) - 1, -1, -1):
        step = steps[j]
        if step[0] == LOAD:
            continue
        if step[0] == JOIN:
            _join_left(step, starts, arrays, tape, back, j)
            _join_right(step, starts, arrays, tape, back, j)
            continue
        if step[0] == GATE:
            x = tape[starts[step[1]] : starts[step[1] + 1]]
            _environment(x, back[starts[j] : starts[j + 1]], step[4], step[5], environments[step[3]])
        _step_down(step, starts, arrays, gates, back, j)


@njit(cache=True)
def _sweep(
    steps: Any, starts: Any, visits: Any, arrays: Any, gates: Any, tape: Any, back: Any, real: bool
) -> None:
    """Walk down and up; the tape matches the gates on entry and again on return."""
    environment = np.empty((4, 4), tape.dtype)
    back[-1] = 1
    for v in range(len(visits)):
        j, direction = visits[v, 0], visits[v, 1]
        step = steps[j]
        if step[0] == GATE:
            x = tape[starts[step[1]] : starts[step[1] + 1]]
            _environment(x, back[starts[j] : starts[j + 1]], step[4], step[5], environment)
            _improve(gates[step[3]], environment, real)
        if direction == UP:
            _step_up(step, starts, arrays, gates, tape, j)
        elif direction == DOWN:
            _step_down(step, starts, arrays, gates, back, j)
        elif direction == DOWN_LEFT:
            _join_left(step, starts, arrays, tape, back, j)
        else:
            _join_right(step, starts, arrays, tape, back, j)


@njit(cache=True)
def _improve(gate: Any, environment: Any, real: bool) -> None:
    """Replace a gate by the unitary that maximizes |sum(gate * environment)|."""
    # without weight in the environment (columns that act on nothing) the gate stays unchanged
    weight = 0.0
    for a in range(4):
        for b in range(4):
            weight = max(weight, abs(environment[a, b]))
    if weight == 0:
        return
    for a in range(4):
        for b in range(4):
            environment[a, b] += 1e-13 * weight * np.conj(gate[a, b])
    u, _, v = np.linalg.svd(environment)
    # real gates keep determinant +1, for which two CX suffice
    sign = -1 if real and (np.linalg.det(u) * np.linalg.det(v)).real < 0 else 1
    for a in range(4):
        for b in range(4):
            gate[a, b] = np.conj(
                u[a, 0] * v[0, b] + u[a, 1] * v[1, b] + u[a, 2] * v[2, b] + sign * u[a, 3] * v[3, b]
            )
