"""Compiled sweeps through a circuit of two-qubit blocks, forward and back.

A block is one 4 × 4 matrix, however many gates it has, and a sweep reads and writes each state once per
block. Amplitudes are copied into a small table, 64 groups of 4 at a time, real and imaginary parts apart,
which the processor can multiply several at a time wherever the two qubits are.

Vectors are arrays of floats, real and imaginary parts in turns. Whole numbers are unsigned, which spares the
test for negative indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from bondwise.runs.progress import announce_compilation

announce_compilation()

compiled: Callable[[Any], Any] = njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})

_ROW = 128  # floats per row of the table: 64 real parts, 64 imaginary parts
_TABLE = 4 * _ROW


@compiled
def sweep(vectors: np.ndarray, places: np.ndarray, matrices: np.ndarray, overlaps: np.ndarray) -> None:
    """Multiply vectors by the matrices of blocks, in place.

    Args:
        vectors: float64 (1 or 2, 2^(n+1)), n ≥ 2: complex vectors, qubit 0 the lowest bit of the index.
        places: int64 (S, 2): lower and higher qubit of each block.
        matrices: complex128 (S, 4, 4), the lower qubit as the lowest bit of the index.
        overlaps: complex128 (S, 4, 4), zero, or (0, 4, 4). For two vectors u and v, Σ u[row] v[column]* over
            the other qubits, just before each block is applied.
    """
    one, half = np.uint64(1), np.uint64(_ROW // 2)
    groups = np.uint64(vectors.shape[1] // 8)
    count = min(groups, half)  # columns of the table
    table, product = np.empty(2 * _TABLE), np.empty(_TABLE)
    for block in range(len(places)):
        matrix = matrices[block]
        low, high = np.uint64(places[block, 0]), np.uint64(places[block, 1])
        below_low, below_high = (one << low) - one, (one << high) - one
        run = min(count, one << low)  # columns whose amplitudes are neighbors
        for chunk in range(groups // count):
            for number in range(len(vectors)):
                vector = vectors[number]
                top = np.uint64(number * _TABLE)
                for step in range(2):
                    for row in range(np.uint64(4)):
                        bits = ((row & one) << low) | ((row >> one) << high)
                        for part in range(count // run):
                            at = chunk * count + part * run
                            at = ((at >> low) << (low + one)) | (at & below_low)
                            at = ((at >> high) << (high + one)) | (at & below_high)
                            at = (at | bits) << one
                            cell = row * np.uint64(_ROW) + part * run
                            if step == 0:
                                cell += top
                                for j in range(run):
                                    table[cell + j] = vector[at + j + j]
                                    table[cell + half + j] = vector[at + j + j + one]
                            else:
                                for j in range(run):
                                    vector[at + j + j] = product[cell + j]
                                    vector[at + j + j + one] = product[cell + half + j]
                    if step == 1:
                        continue
                    for row in range(4):
                        a0, b0 = matrix[row, 0].real, matrix[row, 0].imag
                        a1, b1 = matrix[row, 1].real, matrix[row, 1].imag
                        a2, b2 = matrix[row, 2].real, matrix[row, 2].imag
                        a3, b3 = matrix[row, 3].real, matrix[row, 3].imag
                        cell = np.uint64(row * _ROW)
                        for j in range(count):
                            f = top + j
                            x0, y0 = table[f], table[f + half]
                            x1, y1 = table[f + np.uint64(_ROW)], table[f + np.uint64(_ROW) + half]
                            x2, y2 = table[f + np.uint64(2 * _ROW)], table[f + np.uint64(2 * _ROW) + half]
                            x3, y3 = table[f + np.uint64(3 * _ROW)], table[f + np.uint64(3 * _ROW) + half]
                            product[cell + j] = (
                                a0 * x0 - b0 * y0 + a1 * x1 - b1 * y1 + a2 * x2 - b2 * y2 + a3 * x3 - b3 * y3
                            )
                            product[cell + half + j] = (
                                a0 * y0 + b0 * x0 + a1 * y1 + b1 * x1 + a2 * y2 + b2 * x2 + a3 * y3 + b3 * x3
                            )
            if len(overlaps):
                for row in range(4):
                    for column in range(4):
                        f, g = np.uint64(row * _ROW), np.uint64(_TABLE + column * _ROW)
                        real = imag = 0.0
                        for j in range(count):
                            x, y = table[f + j], table[f + half + j]
                            u, v = table[g + j], table[g + half + j]
                            real += x * u + y * v
                            imag += y * u - x * v
                        overlaps[block, row, column] += complex(real, imag)


@compiled
def multiply(first: np.ndarray, gates: np.ndarray, blocks: np.ndarray) -> None:
    """Multiply each block by its gates, in place.

    Args:
        first: int64 (S + 1,): the gates of block s are first[s] … first[s+1] - 1.
        gates: complex128 (R, 4, 4), in the order of application.
        blocks: complex128 (S, 4, 4).
    """
    old = np.empty((4, 4), np.complex128)
    for block in range(len(blocks)):
        for k in range(first[block], first[block + 1]):
            for i in range(4):
                for j in range(4):
                    old[i, j] = blocks[block, i, j]
            for i in range(4):
                for j in range(4):
                    total = 0j
                    for m in range(4):
                        total += gates[k, i, m] * old[m, j]
                    blocks[block, i, j] = total


@compiled
def carry_back(first: np.ndarray, gates: np.ndarray, overlaps: np.ndarray, behind: np.ndarray) -> None:
    """From the overlaps behind each block, compute those behind each of its gates.

    Args:
        first: As for `multiply`.
        gates: As for `multiply`.
        overlaps: complex128 (S, 4, 4), overwritten.
        behind: complex128 (R, 4, 4), filled.
    """
    half = np.empty((4, 4), np.complex128)
    for block in range(len(overlaps)):
        for k in range(first[block + 1] - 1, first[block] - 1, -1):
            for i in range(4):
                for j in range(4):
                    behind[k, i, j] = overlaps[block, i, j]
                    total = 0j
                    for m in range(4):
                        total += gates[k, m, i].conjugate() * overlaps[block, m, j]
                    half[i, j] = total
            for i in range(4):
                for j in range(4):
                    total = 0j
                    for m in range(4):
                        total += half[i, m] * gates[k, m, j]
                    overlaps[block, i, j] = total


@compiled
def multiply_wide(vectors: np.ndarray, qubits: np.ndarray, offsets: np.ndarray, matrix: np.ndarray) -> None:
    """Multiply vectors by a matrix on any number of qubits, in place.

    Args:
        vectors: complex128 (N, 2^n).
        qubits: int64 (k,), ascending.
        offsets: int64 (t,): amplitudes that the matrix changes, as sums of powers of two of its qubits.
        matrix: complex128 (t, t): the matrix on these amplitudes; it is the identity on all others.
    """
    found = np.empty(len(offsets), np.complex128)
    for number in range(len(vectors)):
        for group in range(vectors.shape[1] >> len(qubits)):
            base = group
            for qubit in qubits:
                base = ((base >> qubit) << (qubit + 1)) | (base & ((1 << qubit) - 1))
            for i in range(len(offsets)):
                found[i] = vectors[number, base | offsets[i]]
            for i in range(len(offsets)):
                total = 0j
                for j in range(len(offsets)):
                    total += matrix[i, j] * found[j]
                vectors[number, base | offsets[i]] = total
