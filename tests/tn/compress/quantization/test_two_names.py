"""Modules that go by two names are packed, saved and unpacked once."""

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, dequantize, load, quantize, save, to_dense


class Twice(nn.Module):
    """Applies one layer under two names."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(12, 16), nn.Linear(16, 16)
        self.d = self.c
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.Tanh())] * 3)
        self.end = nn.Linear(16, 3)

    def forward(self, x):
        x = self.d(self.c(self.a(x)).tanh())
        for block in self.blocks:
            x = block(x)
        return self.end(x)


@pytest.fixture
def twice():
    torch.manual_seed(0)
    return Twice().eval()


WAYS = {
    "dense": lambda model, data: quantize(model, "int4", data=data),
    "round": lambda model, data: quantize(model, "int4", method="round"),
    "factors": lambda model, data: quantize(compress(model, 0.6, data=data, seed=0), "int8", data=data),
    "both": lambda model, data: compress(model, 0.6, data=data, quantize="int8", seed=0),
    "mpo": lambda model, data: quantize(
        compress(model, 0.6, data=data, formats="mpo", seed=0), "int8", method="round"
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_models_with_a_module_of_two_names(twice, way, tmp_path):
    data = torch.randn(40, 12)
    small = way(twice, data)
    assert small.c is small.d
    folder = save(small, tmp_path / "small")
    with torch.no_grad():
        wanted = small(data)
        for model in (twice, small):
            again = load(folder, model=model)
            assert again.c is again.d
            assert torch.equal(again(data), wanted)
        plain = dequantize(small)
        assert plain.c is plain.d
        assert plain.blocks[0] is plain.blocks[2]
        assert torch.equal(plain(data), wanted)
        dense = to_dense(small)
        assert dense.c is dense.d
        assert type(dense.c) is nn.Linear
        torch.testing.assert_close(dense(data), wanted, atol=1e-5, rtol=1e-4)
    assert len(list(plain.parameters())) == len(list(dequantize(again).parameters()))


def test_what_does_not_fit_is_named(twice, tmp_path):
    folder = save(quantize(twice, "int4", method="round"), tmp_path / "small")
    twice.c = twice.d = nn.Tanh()
    with pytest.raises(UsageError, match="c, a Tanh, has no parameter 'weight'"):
        load(folder, model=twice)
