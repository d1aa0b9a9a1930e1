"""Positive numbers of any magnitude in 16 bits.

They are of type float16 where that is accurate. Beyond its range, the bit of the sign, which positive numbers
do not need, says that the other bits are those of a bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 2.0**-126
_HALF = 2.0**-17, 65504.0  # below, float16 has no more digits than bfloat16
_SIGN = -(2**15)


def encode(scales: Tensor) -> Tensor:
    """The nearest numbers in 16 bits, or the next larger ones beyond the range of float16, int16."""
    half = scales.half().view(torch.int16)
    brain = scales.bfloat16()
    bits = brain.view(torch.int16)
    bits = torch.where(brain.float() < scales, bits + 1, bits)  # the one that follows
    return torch.where((scales >= _HALF[0]) & (scales <= _HALF[1]), half, bits | _SIGN)


def decode(bits: Tensor) -> Tensor:
    """What 16 bits stand for, float32."""
    brain = (bits & ~_SIGN).view(torch.bfloat16).float()
    return torch.where(bits < 0, brain, bits.view(torch.float16).float())
