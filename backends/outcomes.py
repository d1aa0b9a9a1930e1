"""How often each outcome occurred, counted by numbers that hold the bits of one shot, not by strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray

Counted: TypeAlias = tuple[
    np.ndarray, np.ndarray
]  # bits of outcomes (S, m), and how often each occurred (S,)
_ROOM = 8  # outcomes per shot up to which each has a counter of its own; above, they are sorted


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows in order of appearance, by the first index of each, and how often each occurs.

    Args:
        rows: Packed bits, uint8 (shots, bytes); equal rows are equal outcomes.

    Returns:
        Two arrays of integers (D,).
    """
    shots, width = rows.shape
    words = np.zeros((shots, -(-max(width, 1) // 8) * 8), dtype=np.uint8)
    words[:, :width] = rows
    number, size = np.zeros(shots, dtype=np.int64), 1
    room = _ROOM * max(shots, 128)
    for word in words.view(np.uint64).T:
        if int(word.max(initial=0)) >= room:
            word = np.unique(word, return_inverse=True)[1]
        word = word.astype(np.int64)
        step = int(word.max(initial=0)) + 1
        number, size = number * step + word, size * step
        if size > room:  # at most as many numbers as shots, so that the product never overflows
            number = np.unique(number, return_inverse=True)[1]
            size = int(number.max(initial=0)) + 1
    counts = np.bincount(number, minlength=size)
    first = np.zeros(size, dtype=np.int64)
    first[number[::-1]] = np.arange(shots)[::-1]  # the last write holds
    found = np.sort(first[counts > 0])
    return found, counts[number[found]]


def count_words(registers: Sequence[np.ndarray], kept: np.ndarray | None = None) -> Any:
    """How often each outcome of registers occurred together.

    Args:
        registers: Bits of each, uint8 (*batch, shots, bits), bit 0 first.
        kept: Which shots count, bool (*batch, shots); all for None.

    Returns:
        `{"d c": number}`, the last register first and bit 0 of each on the right. For a batch, nested
        lists of such dictionaries in the batch's shape.
    """
    if not registers:
        return {}
    if registers[0].ndim > 2:
        keeps: Any = [None] * len(registers[0]) if kept is None else kept
        return [count_words(parts, keep) for *parts, keep in zip(*registers, keeps, strict=True)]
    if kept is not None:
        registers = [bits[kept] for bits in registers]
    first, counts = distinct(np.concatenate([np.packbits(bits, axis=-1) for bits in registers], axis=-1))
    columns: list[np.ndarray] = []
    for bits in reversed(registers):
        space = np.full((len(first), 1 if columns else 0), ord(" "), dtype=np.uint8)
        columns += [space, bits[first, ::-1] + ord("0")]
    letters = np.concatenate(columns, axis=1).astype(np.uint8)
    text, width = letters.tobytes().decode(), letters.shape[1]
    return {text[i * width : (i + 1) * width]: count for i, count in enumerate(counts.tolist())}


def counted(bits: BitArray, number: int) -> list[Counted]:
    """The outcomes of each of a number of parameter sets."""
    rows = bits.array.reshape(number, -1, bits.array.shape[-1])  # IBM's sampler may leave out the batch axis
    found = []
    for shots in rows:
        first, counts = distinct(shots)
        found.append((BitArray(shots[first], bits.num_bits).to_bool_array(order="little"), counts))
    return found


def drawn(probabilities: np.ndarray, shots: int, rng: np.random.Generator) -> Counted:
    """Sample a distribution (2^m,): the bits of each outcome seen (S, m), and how often it was (S,)."""
    counts = rng.multinomial(shots, probabilities)
    seen = np.flatnonzero(counts)
    size = len(probabilities).bit_length() - 1
    return (seen[:, None] >> np.arange(size)) & 1, counts[seen]


def of_last_register(circuit: QuantumCircuit, counts: Mapping[str, int]) -> Counted:
    """The bits of the register that was added last, from Qiskit's counts of all bits in hexadecimal.

    Outcomes that differ in other registers only stay apart.
    """
    register = circuit.cregs[-1]
    first = circuit.find_bit(register[0]).index
    bits = unpacked(counts, circuit.num_clbits)
    return bits[:, first : first + register.size], np.array(list(counts.values()))


def unpacked(words: Iterable[str], width: int) -> np.ndarray:
    """The bits of outcomes in hexadecimal, uint8 (outcomes, width), bit 0 first."""
    size = -(-width // 8)
    packed = b"".join(int(word, 16).to_bytes(size, "little") for word in words)
    bits = np.frombuffer(packed, np.uint8).reshape(-1, max(size, 1))
    return np.unpackbits(bits, axis=-1, bitorder="little")[:, :width]
