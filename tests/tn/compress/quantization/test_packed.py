"""Modules with packed parameters behave as those with numbers, wherever the numbers are used."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from bondwise.tn.compress import LowRank
from bondwise.tn.compress.quantization.packed import (
    Layout,
    Packed,
    packed_parameters,
    plain_type,
    put,
    unpack_parameters,
)
from bondwise.tn.compress.quantization.rounding import fit_grid

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


def packed(weight, bits, most=8, axis=None):
    layout = Layout.of(bits, weight.shape, most, axis)
    matrix = layout.to_matrix(weight)
    grid = fit_grid(matrix, bits, layout.group)
    return Packed.of(layout, grid.codes(matrix), grid, weight.dtype), layout.from_matrix(
        grid.values(grid.codes(matrix))
    )


@given(
    shapes,
    st.sampled_from([2, 3, 4, 8]),
    st.integers(1, 12),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
)
def test_every_shape_comes_back(shape, bits, most, dtype):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(bits)).to(dtype)
    found, rounded = packed(weight, bits, most)
    assert found().shape == shape
    assert found().dtype == dtype
    assert torch.equal(found(), rounded.to(dtype))
    assert found.packed.numel() == found.layout.num_bytes
    step = (weight.float().max().clamp(min=0) - weight.float().min().clamp(max=0)) / (2**bits - 1)
    error = (found().float() - weight.float()).abs().max()
    assert bits < 8 or error <= 0.51 * step + weight.abs().max() * torch.finfo(dtype).eps


def test_groups_lie_along_the_longest_axis_or_across_all():
    assert Layout.of(4, (48, 5), 32) == Layout(4, (48, 5), 0, 24)
    assert Layout.of(4, (5, 48), 16) == Layout(4, (5, 48), 1, 16)
    assert Layout.of(4, (6, 6, 3, 3), 32) == Layout(4, (6, 6, 3, 3), None, 30)
    assert Layout.of(4, (48, 5), 32, axis=1) == Layout(4, (48, 5), 1, 5)


MODULES = [
    (lambda: nn.Linear(12, 7), ["weight"], torch.randn(3, 12)),
    (lambda: Conv1D(7, 12), ["weight"], torch.randn(3, 12)),
    (lambda: nn.Embedding(11, 6), ["weight"], torch.randint(11, (3, 4))),
    (lambda: nn.Conv2d(4, 6, 3, groups=2), ["weight"], torch.randn(2, 4, 5, 5)),
    (
        lambda: LowRank(torch.randn(9, 3), torch.randn(3, 8), torch.randn(9)),
        ["left", "right"],
        torch.randn(2, 8),
    ),
]


@pytest.mark.parametrize(
    ("make", "names", "x"), MODULES, ids=["linear", "conv1d", "embedding", "conv2d", "lowrank"]
)
@pytest.mark.parametrize("bits", [3, 8])
def test_a_module_works_as_before(make, names, x, bits):
    torch.manual_seed(0)
    module = make()
    plain = copy.deepcopy(module)
    for name in names:
        found, rounded = packed(getattr(module, name).detach(), bits)
        put(module, name, found)
        getattr(plain, name).data = rounded.contiguous()
    assert isinstance(module, plain_type(module))
    assert plain_type(module) is type(plain)
    wanted = plain(x)
    assert torch.allclose(module(x), wanted, atol=1e-6)
    assert {name for name, _ in packed_parameters(module)} == set(names)
    assert {f"{name}.packed" for name in names} <= module.state_dict().keys()
    assert module.state_dict().keys() - {f"{name}.packed" for name in names} <= {"bias"}
    twin = copy.deepcopy(module)
    assert torch.equal(twin(x), module(x))
    assert torch.equal(torch.compile(module, fullgraph=True, backend="eager")(x), module(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(module(x).float(), wanted, atol=0.3)
    before = {name: tensor for name, tensor in twin.state_dict().items() if name.endswith("packed")}
    half = twin.to(torch.bfloat16)
    assert all(getattr(half, name).dtype == torch.bfloat16 for name in names)
    assert all(torch.equal(half.state_dict()[name], tensor) for name, tensor in before.items())
    unpack_parameters(module)
    assert type(module) is type(plain)
    assert torch.allclose(module(x), wanted, atol=1e-6)
    assert dict(module.named_parameters()).keys() == dict(plain.named_parameters()).keys()


def test_parameters_in_a_list_and_shared_ones():
    torch.manual_seed(0)
    holder = nn.Module()
    holder.cores = nn.ParameterList([torch.randn(4, 8), torch.randn(8, 4)])
    holder.head = nn.Linear(8, 4, bias=False)
    holder.head.weight = holder.cores[0]
    found, rounded = packed(holder.cores[0].detach(), 4)
    for name in ("cores.0", "head.weight"):
        put(holder, name, found)
    assert torch.equal(holder.cores[0], rounded)
    assert holder.cores[1].shape == (8, 4)
    twin = copy.deepcopy(holder)
    assert twin.head._modules["weight"] is twin.cores._modules["0"]
    unpack_parameters(holder)
    assert holder.head.weight is holder.cores[0]
    assert len(list(holder.parameters())) == 2
