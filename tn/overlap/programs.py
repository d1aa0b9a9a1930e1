"""The compiled function that runs a program of `bondwise.tn.overlap.contraction_order`.

The first contraction waits for its compilation, so it is written for a short one: few functions of numpy, and
a single body. The three parts below are merged into it, and the improvement of gates is written into it.
Functions that are compiled apart from it and again within it would round differently in the two places, and
results would depend on the state of numba's cache.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit

from bondwise.runs.progress import announce_compilation
from bondwise.tn.overlap.contraction_order import COPY, GATE, PRODUCT

announce_compilation()


@njit(inline="always")
def _apply(x: Any, y: Any, gate: Any, first: int, second: int) -> None:
    """Set y = gate x on the two bits with the given strides."""
    high, low = (first, second) if first > second else (second, first)
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
    high, low = (first, second) if first > second else (second, first)
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


@njit(cache=True, fastmath=True, error_model="numpy")
def run_program(
    program: Any, memory: Any, gates: Any, environments: Any, work: Any, improve: bool, real: bool
) -> None:
    """Run a program.

    Args:
        program: Instructions, int64 of shape (length, 10).
        memory: Float64 or complex128, as all further arrays.
        gates: Gates of shape (M, 16). If `improve`, each is replaced after the computation of its environment
            E by the unitary G that maximizes |sum(G * E)|.
        environments: Environments of shape (M, 16), to be filled.
        work: Room of shape (5, 16).
        improve: Whether to improve the gates.
        real: Whether gates keep determinant +1, for which two CX suffice.
    """
    turned = work[4]
    for row in range(len(program)):
        kind, x, y, size = program[row, 0], program[row, 1], program[row, 2], program[row, 3]
        k, first, second = program[row, 4], program[row, 5], program[row, 6]
        if kind == PRODUCT:
            _multiply(memory, x, y, size, k, first, second)
            continue
        if kind == COPY:
            inner, step_x, step_y = program[row, 6], program[row, 7], program[row, 8]
            for a in range(size):
                for b in range(inner):
                    i, j = x + a * k + b * step_x, y + a * first + b * step_y
                    for c in range(program[row, 9]):
                        memory[j + c] = memory[i + c]
            continue
        gate, environment = gates[k], environments[k]
        if kind == GATE:
            for a in range(4):
                for b in range(4):
                    turned[4 * a + b] = gate[4 * b + a] if program[row, 7] else gate[4 * a + b]
            _apply(memory[x : x + size], memory[y : y + size], turned, first, second)
            continue
        _environment(memory[x : x + size], memory[y : y + size], environment, first, second)
        weight = 0.0
        for c in range(16):
            weight += (environment[c] * environment[c].conjugate()).real
        if not improve or weight == 0:  # without weight, the gate acts on nothing
            continue
        # Rotations of pairs of columns (one-sided Jacobi) turn E into E V = U S with orthogonal columns; the
        # gate is the complex conjugate of U V†. A row of `work` holds a column of U S and one of V. Without
        # weight in some columns, the gate stays as near as possible to what it was.
        weight = 1e-13 * sqrt(weight)
        for a in range(4):
            for b in range(4):
                work[b, a] = environment[4 * a + b] + weight * gate[4 * a + b].conjugate()
                work[b, 4 + a] = a == b
        for _ in range(20):
            largest = 0.0
            for p in range(3):
                for q in range(p + 1, 4):
                    one, two, both = 0.0, 0.0, work[0, 0] * 0
                    for c in range(4):
                        u, v = work[p, c], work[q, c]
                        one += (u * u.conjugate()).real
                        two += (v * v.conjugate()).real
                        both += u.conjugate() * v
                    overlap = sqrt((both * both.conjugate()).real)
                    angle = overlap / sqrt(one * two)
                    if angle < 1e-15:
                        continue
                    if angle > largest:
                        largest = angle
                    ratio = (two - one) / (2 * overlap)
                    tangent = 1 / (abs(ratio) + sqrt(1 + ratio * ratio))
                    if ratio < 0:
                        tangent = -tangent
                    cosine = 1 / sqrt(1 + tangent * tangent)
                    sine = both * (cosine * tangent / overlap)
                    for c in range(8):
                        u, v = work[p, c], work[q, c]
                        work[p, c] = cosine * u - sine.conjugate() * v
                        work[q, c] = sine * u + cosine * v
            if largest < 1e-14:
                break
        # columns of little weight are orthogonal to the others only up to the rounding of these, so that they
        # are made orthogonal from the largest to the smallest, twice
        determinant = 1.0
        for p in range(4):
            for q in range(p + 1, 4):
                one, two = 0.0, 0.0
                for c in range(4):
                    one += (work[p, c] * work[p, c].conjugate()).real
                    two += (work[q, c] * work[q, c].conjugate()).real
                if two > one:
                    determinant = -determinant
                    for c in range(8):
                        work[p, c], work[q, c] = work[q, c], work[p, c]
            for q in range(2 * p):
                both = work[0, 0] * 0
                for c in range(4):
                    both += work[q % p, c].conjugate() * work[p, c]
                for c in range(4):
                    work[p, c] -= both * work[q % p, c]
            one = 0.0
            for c in range(4):
                one += (work[p, c] * work[p, c].conjugate()).real
            for c in range(4):
                work[p, c] *= 1 / sqrt(one)
        if real:
            total = 0.0
            for a in range(3):
                for b in range(a + 1, 4):
                    c = 0 if a > 0 else (1 if b > 1 else 2)
                    d = 6 - a - b - c
                    top = work[0, a] * work[1, b] - work[0, b] * work[1, a]
                    bottom = work[2, c] * work[3, d] - work[2, d] * work[3, c]
                    total += (top * bottom).real * (1 if (a + b) % 2 else -1)
            if determinant * total < 0:
                for c in range(4):
                    work[3, c] *= -1
        for a in range(4):
            for b in range(4):
                both = work[0, 0] * 0
                for c in range(4):
                    both += work[c, a].conjugate() * work[c, 4 + b]
                gate[4 * a + b] = both
