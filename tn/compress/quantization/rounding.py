"""The values that a group of numbers may take, and rounding to the nearest of them.

A group of numbers shares a scale s and a zero z, and each number is stored as a code q of a few bits that
stands for s (q − z). Zero is among the values. The range of a group is clipped to where the squared error is
least: at 2 or 3 bits its outermost numbers aren't worth the resolution that they cost the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bondwise.tn.compress.quantization.scales import SMALLEST, decode, encode

_AT_ONCE = 2**18  # numbers
# of the range, the least that clipping leaves, and how many steps there are; at 2 bits for each end by itself
_CLIPPING = {2: (0.3, 8), 3: (0.5, 10), 4: (0.7, 10), 8: (1.0, 1)}


class Grid(NamedTuple):
    """Scales and zeros of the groups in the rows of a matrix of shape (rows, columns).

    Attributes:
        bits: Of a code.
        group: Columns that share a scale; the last group of a row may be smaller.
        scales: Numbers that 16 bits hold (see `scales.py`), float32 (rows, groups).
        zeros: uint8 (rows, groups).
    """

    bits: int
    group: int
    scales: Tensor
    zeros: Tensor

    def codes(self, values: Tensor) -> Tensor:
        """Codes of the values nearest to those of a matrix, uint8 (rows, columns)."""
        scales, zeros = self.spread(values.shape[1])
        return nearest(values, scales, zeros, self.bits).to(torch.uint8)

    def values(self, codes: Tensor) -> Tensor:
        """What codes stand for, float32."""
        scales, zeros = self.spread(codes.shape[1])
        return scales * (codes.float() - zeros)

    def spread(self, columns: int) -> tuple[Tensor, Tensor]:
        """Scale and zero of every number, float32 (rows, columns)."""
        scales, zeros = (
            part.float().repeat_interleave(self.group, dim=1)[:, :columns]
            for part in (self.scales, self.zeros)
        )
        return scales, zeros


def group_size(columns: int, most: int) -> int:
    """Size of groups that are as even as can be and no larger than `most`."""
    return -(-columns // -(-columns // most))


def fit_grid(matrix: Tensor, bits: int, group: int) -> Grid:
    """The grid on which rounding loses least.

    Args:
        matrix: Shape (rows, columns).
        bits: 2, 3, 4 or 8.
        group: Columns that share a scale.
    """
    rows, columns = matrix.shape
    groups = -(-columns // group)
    filling = groups * group - columns
    matrix = matrix.detach().float()
    counted = torch.ones(groups * group, device=matrix.device)
    counted[columns:] = 0  # the last number again, to fill the last group
    matrix = torch.cat([matrix, matrix[:, -1:].expand(rows, filling)], 1).view(rows, groups, group)
    counted = counted.view(groups, group)
    most = 2**bits - 1
    low, high = matrix.amin(-1, keepdim=True).clamp(max=0), matrix.amax(-1, keepdim=True).clamp(min=0)
    # in units of a power of two, so that no square overflows
    largest = torch.maximum(high, -low)
    unit = torch.ldexp(torch.ones_like(largest), largest.frexp().exponent.clamp(-100, 100))
    matrix, low, high = matrix / unit, low / unit, high / unit
    best = matrix.new_full((rows, groups, 1), torch.inf)
    scales, zeros = torch.ones_like(best), torch.zeros_like(best)
    clippings = torch.tensor(list(_clippings(bits)), device=matrix.device)
    for part in clippings.split(max(1, _AT_ONCE // matrix.numel())):
        lower, upper = part.T[..., None, None, None]
        scale = (high * upper - low * lower) / most * unit
        scale = decode(encode(scale.clamp_min(SMALLEST))) / unit
        zero = (-low * lower / scale).round().clamp(0, most)
        found = scale * (nearest(matrix, scale, zero, bits) - zero)
        error, at = ((found - matrix).square() * counted).sum(-1, keepdim=True).min(0)
        better = error < best
        best = torch.where(better, error, best)
        scales = torch.where(better, scale.gather(0, at[None])[0], scales)
        zeros = torch.where(better, zero.gather(0, at[None])[0], zeros)
    return Grid(bits, group, (scales * unit).squeeze(-1), zeros.squeeze(-1).to(torch.uint8))


def nearest(values: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    """Codes of the values that are nearest to some numbers, of the type of these."""
    return (values / scales + zeros).round().clamp(0, 2**bits - 1)


def _clippings(bits: int) -> Iterator[tuple[float, float]]:
    """What is left of the range below and above zero."""
    least, number = _CLIPPING[bits]
    parts = torch.linspace(1, least, number).tolist()
    for lower in parts:
        for upper in parts if bits == 2 else (lower,):
            yield lower, upper
