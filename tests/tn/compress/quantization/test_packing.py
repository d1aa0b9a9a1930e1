"""Codes of every width and number come back from their bytes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bondwise.tn.compress.quantization.packing import pack, packed_size, unpack

widths = st.sampled_from([2, 3, 4, 8])


@given(widths, st.integers(0, 70), st.integers(0, 2**20))
def test_codes_come_back(bits, length, seed):
    codes = torch.randint(2**bits, (length,), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (packed_size(length, bits),)
    assert torch.equal(unpack(packed, length, bits), codes)


@pytest.mark.parametrize(("bits", "expected"), [(2, 16), (3, 24), (4, 32), (8, 64)])
def test_no_bit_is_wasted(bits, expected):
    assert packed_size(64, bits) == expected


def test_the_lowest_number_comes_first():
    assert pack(torch.tensor([1, 2], dtype=torch.uint8), 4).tolist() == [0x21]
    assert pack(torch.tensor([5, 2], dtype=torch.uint8), 3).tolist() == [0b1001, 0b01]
