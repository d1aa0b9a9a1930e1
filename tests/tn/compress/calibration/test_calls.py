"""Models that do not call each layer once, one after another and in the order of definition."""

import pytest
import torch
from torch import nn

from bondwise.tn.compress import compress, load, refine, save, to_dense
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import in_order, leaders_of
from bondwise.tn.compress.calibration.moments import measure_moments
from bondwise.tn.compress.layers import find_layers


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(12, 16), nn.Linear(16, 12)

    def forward(self, x):
        x += self.down(self.up(x).tanh())  # in place
        return x


class Chain(nn.Module):
    """The stem runs first and is defined last."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.head, self.stem = nn.Linear(12, 4), nn.Linear(12, 12)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Branches(Chain):
    def forward(self, x):
        x = self.stem(x)
        return self.head(sum(block(x.clone()) for block in self.blocks))


class Twice(Chain):
    def forward(self, x):
        x = self.stem(x)
        for block in [*self.blocks, *self.blocks]:
            x = block(x)
        return self.head(x)


class LookingBack(Chain):
    def forward(self, x):
        first = self.blocks[0](self.stem(x))
        return self.head(self.blocks[2](self.blocks[1](first.clone())) + first)


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(64, 12)


def test_layers_are_taken_in_the_order_of_calls(data):
    model = Chain()
    small = compress(model, 0.5, data=data, seed=0)
    assert list(small.report.layers)[0] == "stem"
    assert list(small.report.layers)[-1] == "head"
    rows = [[size] for size in range(3)]
    assert list(in_order(dict(zip("abc", rows, strict=True)), {"c": "c", "a": "a"})) == ["c", "a", "b"]


@pytest.mark.parametrize("kind", [Branches, Twice, LookingBack])
def test_blocks_that_cannot_be_skipped_are_not(kind, data):
    model = kind()
    layers = find_layers(model)
    assert len(Blocks.found_in(Chain(), layers, [data]).blocks) == 3
    assert Blocks.found_in(model, layers, [data]).blocks == []


def test_remembered_outputs_are_not_changed_in_place(data):
    model = Chain().eval()
    blocks = Blocks.found_in(model, find_layers(model), [data])
    blocks.advance(2)
    with torch.no_grad():
        for _ in range(2):
            assert torch.equal(blocks.run(0).rows, model(data))


def test_the_blocks_of_the_caller_stay_as_they_are(llama, data):
    teacher, tokens = llama
    small = compress(teacher, 0.5, data=tokens, seed=0)
    before = [set(module.__dict__) for module in teacher.modules()]
    refine(small, teacher, data=tokens, steps=2, seed=0)
    assert before == [set(module.__dict__) for module in teacher.modules()]
    model = Chain()
    patched = model.blocks[0].forward = lambda x: Block.forward(model.blocks[0], x)
    blocks = Blocks.found_in(model, find_layers(model), [data])
    blocks.advance(2)
    blocks.run(0)
    assert model.blocks[0].forward is patched


def test_activations_in_place_after_layers(data):
    x = torch.randn(64, 12)

    def built(inplace):
        torch.manual_seed(1)
        parts = [nn.Linear(12, 16), nn.ReLU(inplace), nn.Linear(16, 16), nn.ReLU(inplace), nn.Linear(16, 3)]
        return nn.Sequential(*parts)

    one, other = (compress(built(inplace), 0.5, data=x, seed=0) for inplace in (True, False))
    assert torch.equal(one(x), other(x))


class Siamese(nn.Module):
    """One module by two names, and keys of two inputs."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(12, 12)
        self.right = self.left
        self.query, self.key = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        mixed = self.right(self.left(x).tanh()).tanh()
        return self.query(mixed)[:, :4] + self.key(mixed) + self.key(3 * mixed.flip(1))


def test_covariances_of_layers_that_share_only_one_of_their_inputs(data):
    model = Siamese().eval()
    layers = find_layers(model)
    leaders = leaders_of(model, layers, data)
    assert leaders == {"left": "left", "query": "query", "key": "key"}
    moments = measure_moments(model, layers, leaders, [data], torch.Generator())
    mixed = model.left(model.left(data).tanh()).tanh()
    rows = torch.cat([mixed, 3 * mixed.flip(1)]).double()
    assert torch.allclose(moments.metrics["key"].inputs, rows.T @ rows / 128, atol=1e-6)


def test_a_module_by_two_names_becomes_factors_by_both(data, tmp_path):
    model = Siamese()
    small = compress(model, 0.5, data=data, seed=0)
    assert small.left is small.right is not model.left
    count = sum(parameter.numel() for parameter in small.parameters())
    biases = 12 + 12 + 4
    assert count - biases == pytest.approx(small.report.value * small.report.dense_params)
    again = load(save(small, tmp_path), model=Siamese())
    assert torch.equal(again(data), small(data))
    assert torch.allclose(to_dense(small)(data), small(data), atol=1e-5)


def test_layers_of_torch_that_look_at_weights(data):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 1), torch.randn(64, 3, 12)
    small = compress(model, 0.5, data=x, seed=0)
    with torch.no_grad():
        fast = small(x)
    assert torch.allclose(fast, small(x), atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(to_dense(small)(x), fast, atol=1e-5)
