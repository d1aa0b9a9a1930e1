"""The compiled function that runs a program of `bondwise.tn.overlap.contraction_order`.

The first contraction waits for its compilation, so it is written for a short one: few functions and loops,
and few slices and matrices, which take several times longer to compile than numbers of one flat array. Those
that are left make loops faster. Functions that are compiled apart from it and again within it would round
differently in the two places, and results would depend on the state of numba's cache; the two below are
compiled within it only.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit

from bondwise.runs.progress import announce_compilation
from bondwise.tn.overlap.contraction_order import COPY, GATE, PRODUCT

announce_compilation()

_u = np.uint64  # numba prepares other integers for negative indices, which prevents vectorization
_WITHIN: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # nothing but `run_program` calls it


@njit(**_WITHIN)
def _matrix(memory: Any, start: int, rows: int, columns: int) -> Any:
    return memory[start : start + rows * columns].reshape(rows, columns)


@njit(fastmath=True, error_model="numpy", **_WITHIN)
def _inner(x: Any, i: int, j: int) -> Any:
    """The inner product of four numbers from i on with four from j on."""
    total = x[0] * 0
    for k in range(4):
        total += x[i + k].conjugate() * x[j + k]
    return total


@njit(cache=True, fastmath=True, error_model="numpy")
def run_program(
    program: Any, memory: Any, gates: Any, environments: Any, work: Any, improve: bool, real: Any
) -> None:
    """Run a program.

    Args:
        program: Instructions, int64 of shape (length, 10).
        memory: Float64 or complex128, as all further arrays.
        gates: Gates of shape (M, 16). If `improve`, each is replaced after the computation of its environment
            E by the unitary G that maximizes |sum(G * E)|.
        environments: Environments of shape (M, 16), to be filled.
        work: Room for 32 numbers.
        improve: Whether to improve the gates.
        real: True for gates that keep determinant +1, for which two CX suffice; None for complex ones, whose
            function is compiled without determinants.
    """
    for row in range(len(program)):
        kind, x, y, size = program[row, 0], program[row, 1], program[row, 2], program[row, 3]
        k, first, second = program[row, 4], program[row, 5], program[row, 6]
        if kind == PRODUCT:
            left, right = _matrix(memory, x, k, first), _matrix(memory, y, first, second)
            np.dot(left, right, _matrix(memory, size, k, second))
            continue
        if kind == COPY:
            inner, step_x, step_y = program[row, 6], program[row, 7], program[row, 8]
            for a in range(size):
                for b in range(inner):
                    i, j = x + a * k + b * step_x, y + a * first + b * step_y
                    for c in range(program[row, 9]):
                        memory[j + c] = memory[i + c]
            continue
        gate, e = gates[k], environments[k]
        high, low = (first, second) if first > second else (second, first)
        block, up, down = _matrix(memory, x, size // low, low), first // low, second // low
        one, two, three = _u(second), _u(first), _u(first + second)  # the other values of both bits
        turn, step = (1, 4) if program[row, 7] else (4, 1)
        if kind != GATE:
            for c in range(16):
                e[c] = 0
        for a in range(0, size, 2 * high):
            for b in range(a, a + high, 2 * low):
                for o in range(4):
                    place = b + (o >> 1) * first + (o & 1) * second
                    if kind == GATE:  # y = gate x
                        d, n = turn * o, b // low
                        p, q, r, s = gate[d], gate[d + step], gate[d + 2 * step], gate[d + 3 * step]
                        out = memory[y + place : y + place + low]
                        for i in range(low):
                            last = r * block[n + up, i] + s * block[n + up + down, i]
                            out[i] = p * block[n, i] + q * block[n + down, i] + last
                    else:  # e[4 o + i] = sum of x[o] y[i]
                        d, at, start = 4 * o, _u(x + place), _u(y + b)
                        p, q, r, s = e[d], e[d + 1], e[d + 2], e[d + 3]
                        for i in range(_u(low)):
                            u, j = memory[at + i], start + i
                            p += u * memory[j]
                            q += u * memory[j + one]
                            r += u * memory[j + two]
                            s += u * memory[j + three]
                        e[d], e[d + 1], e[d + 2], e[d + 3] = p, q, r, s
        if kind == GATE or not improve:
            continue
        weight = 0.0
        for p in range(0, 16, 4):
            weight += _inner(e, p, p).real
        if weight == 0:  # the gate acts on nothing
            continue
        # Rotations of pairs of columns (one-sided Jacobi) turn E into E V = U S with orthogonal columns, the
        # largest first; the gate is the complex conjugate of U V†. Eight numbers of `work` hold a column of U
        # S and one of V. Without weight in some columns, the gate stays as near as possible to what it was.
        weight = 1e-13 * sqrt(weight)
        for a in range(4):
            for b in range(4):
                work[8 * b + a] = e[4 * a + b] + weight * gate[4 * a + b].conjugate()
                work[8 * b + 4 + a] = a == b
                gate[4 * a + b] = 0
        for _ in range(20):
            largest = 0.0
            for p in range(0, 24, 8):
                for q in range(p + 8, 32, 8):
                    before, after = _inner(work, p, p).real, _inner(work, q, q).real
                    both = _inner(work, p, q)
                    overlap = sqrt((both * both.conjugate()).real)
                    angle = overlap / sqrt(before * after)
                    if angle > largest:
                        largest = angle
                    if angle > 1e-15:
                        ratio = (after - before) / (2 * overlap)
                        root = sqrt(1 + ratio * ratio)
                        tangent = -ratio - root if ratio > 0 else 1 / (ratio - root)
                        cosine = 1 / sqrt(1 + tangent * tangent)
                        sine = both * (cosine * tangent / overlap)
                    elif after > before:
                        cosine, sine = 0.0, both * 0 - 1
                    else:
                        continue
                    for c in range(8):
                        u, v = work[p + c], work[q + c]
                        work[p + c] = cosine * u - sine.conjugate() * v
                        work[q + c] = sine * u + cosine * v
            if largest < 1e-14:
                break
        # columns of little weight are orthogonal to the others only up to the rounding of these, so that they
        # are made orthogonal from the largest to the smallest, twice
        for p in range(0, 32, 8):
            for q in range(0, 2 * p, 8):
                both = _inner(work, q % p, p)
                for c in range(4):
                    work[p + c] -= both * work[q % p + c]
            length = sqrt(_inner(work, p, p).real)
            for c in range(4):
                work[p + c] *= 1 / length
            if real is not None and p == 24:
                determinant = 0.0  # of U; that of V is 1
                for a in range(3):
                    for b in range(a + 1, 4):
                        c = 0 if a > 0 else (1 if b > 1 else 2)
                        d = 6 - a - b - c
                        top = work[a] * work[8 + b] - work[b] * work[8 + a]
                        bottom = work[16 + c] * work[24 + d] - work[16 + d] * work[24 + c]
                        determinant += (top * bottom).real * (1 if (a + b) % 2 else -1)
                if determinant < 0:
                    for c in range(24, 28):
                        work[c] *= -1
            for a in range(4):
                for b in range(4):
                    gate[4 * a + b] += work[p + a].conjugate() * work[p + 4 + b]
