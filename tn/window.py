"""Exact contraction of a nearest-neighbour circuit with a matrix product state, one site at a time.

The overlap <psi|U|0...0> of a shallow circuit U is built from left to right: only the gates in the causal
past of site q are applied to the qubits they touch, then site q is closed with its conjugated tensor and
leaves. What is kept in between is a window of w open qubits and one bond, an array of shape (2^w, chi), so
the cost is linear in the number of sites: gates * 2^w * chi. L staircase layers need w = L + 1. Nothing is
truncated. The overlap is linear in each gate, hence one pass forward and one backward give it together with
its derivative with respect to every gate (the gate's environment).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bondwise.runs import UsageError

_FRESH, _GATE, _CLOSE = 0, 1, 2
_LARGEST = 2**28  # numbers kept by one pass; 2 GiB in double precision


class Window:
    """Overlap and environments of circuits of one layout with one state.

    Gates are arrays of shape (M, 4, 4), gate k acts on `pairs[k] = (i, i + 1)`, and its row and column index
    is 2 * (bit of site i) + (bit of site i + 1), as in `numpy.kron(site i, site i + 1)`.

    Args:
        tensors: The state, one array of shape (left, 2, right) per site with outer bonds 1; site i is
            qubit i.
        pairs: Neighbouring sites (i, i + 1) in the order in which the gates are applied.

    Raises:
        UsageError: A pair is not a pair of neighbours, or the circuit is too deep for an exact contraction.
    """

    def __init__(self, tensors: Sequence[NDArray[Any]], pairs: Sequence[tuple[int, int]]) -> None:
        self.pairs = tuple((int(a), int(b)) for a, b in pairs)
        self.dtype = np.result_type(np.float64, *tensors)
        # stored as (2, left, right), so that closing a site is two matrix products
        closed = [np.conj(tensor).transpose(1, 0, 2).astype(self.dtype).ravel() for tensor in tensors]
        self._tensors = np.concatenate(closed)
        self._steps, self._starts = _plan([tensor.shape for tensor in tensors], self.pairs)

    def overlap(self, gates: NDArray[Any]) -> Any:
        """<psi|U|0...0>, a float when state and gates are real, else a complex number."""
        gates, data = self._cast(gates)
        tape = np.empty(self._starts[-1], gates.dtype)
        _forward(self._steps, self._starts, data, gates, tape)
        return tape[-1].item()

    def environments(self, gates: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """The overlap and the environments E (M, 4, 4): `overlap == (gates[k] * E[k]).sum()` for every k."""
        gates, data = self._cast(gates)
        tape = np.empty(self._starts[-1], gates.dtype)
        environments = np.empty_like(gates)
        _forward(self._steps, self._starts, data, gates, tape)
        _backward(self._steps, self._starts, data, gates, tape, environments)
        return tape[-1].item(), environments

    def sweep(self, gates: NDArray[Any], count: int = 1) -> NDArray[Any]:
        """Improve one gate after the other, from the right end to the left and back, `count` times.

        Each gate becomes the unitary with the largest overlap while the others stand still (Evenbly and
        Vidal, arXiv:0707.1454), so |overlap| never falls. Real gates keep determinant +1.

        Returns:
            New gates of shape (M, 4, 4).
        """
        gates, data = self._cast(gates)
        gates = gates.copy()
        tape = np.empty(self._starts[-1], gates.dtype)
        back = np.empty_like(tape)
        _forward(self._steps, self._starts, data, gates, tape)
        real = gates.dtype == np.float64
        for _ in range(count):
            _sweep(self._steps, self._starts, data, gates, tape, back, real)
        return gates

    def _cast(self, gates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if gates.shape != (len(self.pairs), 4, 4):
            raise UsageError(
                f"gates have shape {gates.shape}; give one 4 x 4 matrix for each of {len(self.pairs)} pairs."
            )
        dtype = np.result_type(self.dtype, gates)
        return np.ascontiguousarray(gates, dtype), self._tensors.astype(dtype, copy=False)


def _plan(
    shapes: Sequence[tuple[int, ...]], pairs: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps (kind, gate or offset, inner, left, right) in spatial order and their places on the tape."""
    size = len(shapes)
    latest = [-1] * size  # the last gate so far on each site
    before = []
    for k, (a, b) in enumerate(pairs):
        if b != a + 1 or not 0 <= a < size - 1:
            raise UsageError(
                f"pair {(a, b)} does not join neighbours; give (i, i + 1) with 0 <= i < {size - 1}."
            )
        before.append((latest[a], latest[b]))
        latest[a] = latest[b] = k

    steps, sizes = [], [1]
    applied = [False] * len(pairs)
    width, opened, offset = 0, 0, 0
    for site, (left, _, right) in enumerate(shapes):
        past, stack = [], [latest[site]]
        while stack:
            k = stack.pop()
            if k >= 0 and not applied[k]:
                applied[k] = True
                past.append(k)
                stack.extend(before[k])
        reach = max([site, *(pairs[k][1] for k in past)])
        for _ in range(opened, reach + 1):
            steps.append((_FRESH, 0, left, 0, 0))
            width += 1
            sizes.append(left << width)
        opened = max(opened, reach + 1)
        for k in sorted(past):
            steps.append((_GATE, k, left << (width - 2 - (pairs[k][0] - site)), 0, 0))
            sizes.append(left << width)
        width -= 1
        steps.append((_CLOSE, offset, 1 << width, left, right))
        sizes.append(right << width)
        offset += 2 * left * right
    if sum(sizes) > _LARGEST:
        raise UsageError(
            f"{len(pairs)} gates on {size} sites need windows of {max(sizes):.0e} numbers, "
            "too many to be exact; give fewer layers or a smaller bond."
        )
    return np.array(steps, np.int64), np.concatenate([[0], np.cumsum(sizes)])


@njit(cache=True, fastmath=True)
def _apply(gate: Any, x: Any, y: Any, inner: int) -> None:
    """Set y = gate x, with x seen as (outer, 4, inner)."""
    for start in range(0, x.size, 4 * inner):
        for i in range(start, start + inner):
            a, b, c, d = x[i], x[i + inner], x[i + 2 * inner], x[i + 3 * inner]
            y[i] = gate[0, 0] * a + gate[0, 1] * b + gate[0, 2] * c + gate[0, 3] * d
            y[i + inner] = gate[1, 0] * a + gate[1, 1] * b + gate[1, 2] * c + gate[1, 3] * d
            y[i + 2 * inner] = gate[2, 0] * a + gate[2, 1] * b + gate[2, 2] * c + gate[2, 3] * d
            y[i + 3 * inner] = gate[3, 0] * a + gate[3, 1] * b + gate[3, 2] * c + gate[3, 3] * d


@njit(cache=True, fastmath=True)
def _environment(r: Any, x: Any, inner: int, out: Any) -> None:
    """Set out[o, i] = sum of r[outer, o, inner] * x[outer, i, inner]."""
    out[:] = 0
    for start in range(0, x.size, 4 * inner):
        for o in range(4):
            row = start + o * inner
            e0, e1, e2, e3 = out[o, 0], out[o, 1], out[o, 2], out[o, 3]
            for i in range(inner):
                v = r[row + i]
                e0 += v * x[start + i]
                e1 += v * x[start + inner + i]
                e2 += v * x[start + 2 * inner + i]
                e3 += v * x[start + 3 * inner + i]
            out[o, 0], out[o, 1], out[o, 2], out[o, 3] = e0, e1, e2, e3


@njit(cache=True, fastmath=True)
def _close(tensor: Any, x: Any, y: Any, rows: int, left: int, right: int) -> None:
    """Set y[row, r] = sum of x[bit, row, l] * tensor[bit, l, r]."""
    y[:] = 0
    for bit in range(2):
        for row in range(rows):
            for low in range(left):
                v = x[(bit * rows + row) * left + low]
                start = (bit * left + low) * right
                for r in range(right):
                    y[row * right + r] += v * tensor[start + r]


@njit(cache=True, fastmath=True)
def _reopen(tensor: Any, y: Any, x: Any, rows: int, left: int, right: int) -> None:
    """Set x[bit, row, l] = sum of y[row, r] * tensor[bit, l, r]."""
    for bit in range(2):
        for row in range(rows):
            for low in range(left):
                start = (bit * left + low) * right
                total = x[0] * 0
                for r in range(right):
                    total += y[row * right + r] * tensor[start + r]
                x[(bit * rows + row) * left + low] = total


@njit(cache=True)
def _step(step: Any, tensors: Any, gates: Any, x: Any, y: Any) -> None:
    """One step to the right: open a qubit in |0>, apply a gate, or close a site."""
    kind, index, inner, left, right = step[0], step[1], step[2], step[3], step[4]
    if kind == _FRESH:
        y[:] = 0
        for start in range(0, x.size, inner):
            for i in range(start, start + inner):
                y[start + i] = x[i]
    elif kind == _GATE:
        _apply(gates[index], x, y, inner)
    else:
        _close(tensors[index:], x, y, inner, left, right)


@njit(cache=True)
def _step_back(step: Any, tensors: Any, gates: Any, y: Any, x: Any) -> None:
    """One step to the left, the transpose of `_step`: x = step^T y."""
    kind, index, inner, left, right = step[0], step[1], step[2], step[3], step[4]
    if kind == _FRESH:
        for start in range(0, x.size, inner):
            for i in range(start, start + inner):
                x[i] = y[start + i]
    elif kind == _GATE:
        _apply(gates[index].T.copy(), y, x, inner)
    else:
        _reopen(tensors[index:], y, x, inner, left, right)


@njit(cache=True)
def _forward(steps: Any, starts: Any, tensors: Any, gates: Any, tape: Any) -> None:
    """Fill the tape with the window before the first and after every step; its last number is the overlap."""
    tape[0] = 1
    for j in range(len(steps)):
        x, y = tape[starts[j] : starts[j + 1]], tape[starts[j + 1] : starts[j + 2]]
        _step(steps[j], tensors, gates, x, y)


@njit(cache=True)
def _backward(steps: Any, starts: Any, tensors: Any, gates: Any, tape: Any, environments: Any) -> None:
    largest = 1
    for j in range(len(starts) - 1):
        largest = max(largest, starts[j + 1] - starts[j])
    y, x = np.empty(largest, tape.dtype), np.empty(largest, tape.dtype)
    y[0] = 1
    for j in range(len(steps) - 1, -1, -1):
        before, after = starts[j + 1] - starts[j], starts[j + 2] - starts[j + 1]
        if steps[j, 0] == _GATE:
            _environment(y[:after], tape[starts[j] : starts[j + 1]], steps[j, 2], environments[steps[j, 1]])
        _step_back(steps[j], tensors, gates, y[:after], x[:before])
        y, x = x, y


@njit(cache=True)
def _sweep(steps: Any, starts: Any, tensors: Any, gates: Any, tape: Any, back: Any, real: bool) -> None:
    """Right to left, then left to right; the tape must fit the gates on entry and does so again on return."""
    environment = np.empty((4, 4), tape.dtype)
    back[-1] = 1
    for j in range(len(steps) - 1, -1, -1):
        x, y = back[starts[j] : starts[j + 1]], back[starts[j + 1] : starts[j + 2]]
        if steps[j, 0] == _GATE:
            _environment(y, tape[starts[j] : starts[j + 1]], steps[j, 2], environment)
            _improve(gates[steps[j, 1]], environment, real)
        _step_back(steps[j], tensors, gates, y, x)
    for j in range(len(steps)):
        x, y = tape[starts[j] : starts[j + 1]], tape[starts[j + 1] : starts[j + 2]]
        if steps[j, 0] == _GATE:
            _environment(back[starts[j + 1] : starts[j + 2]], x, steps[j, 2], environment)
            _improve(gates[steps[j, 1]], environment, real)
        _step(steps[j], tensors, gates, x, y)


@njit(cache=True)
def _improve(gate: Any, environment: Any, real: bool) -> None:
    """Replace a gate by the unitary that maximises |sum(gate * environment)|."""
    # where the environment has no weight (columns that act on nothing) the gate stays as it was
    weight = 0.0
    for a in range(4):
        for b in range(4):
            weight = max(weight, abs(environment[a, b]))
    for a in range(4):
        for b in range(4):
            environment[a, b] += 1e-13 * weight * np.conj(gate[a, b])
    u, _, v = np.linalg.svd(environment)
    # determinant +1 of real gates: two CX are enough for them
    sign = -1 if real and (np.linalg.det(u) * np.linalg.det(v)).real < 0 else 1
    for a in range(4):
        for b in range(4):
            gate[a, b] = np.conj(
                u[a, 0] * v[0, b] + u[a, 1] * v[1, b] + u[a, 2] * v[2, b] + sign * u[a, 3] * v[3, b]
            )
