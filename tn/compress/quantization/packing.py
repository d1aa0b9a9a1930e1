"""Whole numbers of few bits, packed into bytes.

A number of 3 bits is cut into one of 2 bits and one of 1 bit, so that the parts of several numbers fill a
byte evenly, whatever the width.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PARTS = {2: (2,), 3: (2, 1), 4: (4,), 8: (8,)}  # bits of the parts of a number, the lowest part first


def packed_size(length: int, bits: int) -> int:
    """Bytes that so many numbers take."""
    return sum(_bytes(length, part) for part in _PARTS[bits])


def pack(codes: Tensor, bits: int) -> Tensor:
    """Pack numbers from 0 to 2^bits − 1.

    Args:
        codes: The numbers, uint8 (N,).
        bits: 2, 3, 4 or 8.

    Returns:
        Bytes, uint8 (packed_size(N, bits),).
    """
    parts = []
    for part in _PARTS[bits]:
        each = 8 // part  # numbers in a byte
        filled = codes.new_zeros(_bytes(len(codes), part) * each)
        filled[: len(codes)] = codes & (2**part - 1)
        shifted = filled.view(-1, each) << _shifts(part, codes)
        parts.append(shifted.sum(-1, dtype=torch.uint8))
        codes = codes >> part
    return torch.cat(parts)


def unpack(packed: Tensor, length: int, bits: int) -> Tensor:
    """The numbers that were packed, uint8 (length,)."""
    codes = packed.new_zeros(length)
    start = shift = 0
    for part in _PARTS[bits]:
        end = start + _bytes(length, part)
        spread = (packed[start:end, None] >> _shifts(part, packed)) & (2**part - 1)
        codes = codes | (spread.view(-1)[:length] << shift)
        start, shift = end, shift + part
    return codes


def _bytes(length: int, part: int) -> int:
    return -(-length * part // 8)


def _shifts(part: int, like: Tensor) -> Tensor:
    return torch.arange(0, 8, part, dtype=torch.uint8, device=like.device)
