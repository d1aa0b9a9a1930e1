"""What stays dense is stored in few bits too, whatever formats there are for it."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, load, quantize, save
from bondwise.tn.compress.quantization.packed import packed_parameters

from ..conftest import SIZES


def widths(model):
    """The bits of each matrix, or 0 for one that is stored as it is."""
    found = {name: packed.layout.bits for name, packed in packed_parameters(model)}
    return found | {name: 0 for name, parameter in model.named_parameters() if parameter.ndim > 1}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES | {"vocab_size": 200}, intermediate_size=32)).eval()
    return model, torch.randint(200, (40, 6))


class Network(nn.Module):
    """Convolutions, a layer with a single output, two that share a weight, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 16, 3)
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight = self.one.weight
        self.hidden, self.single, self.unused = nn.Linear(16, 24), nn.Linear(24, 1), nn.Linear(16, 16)

    def forward(self, x):
        x = self.second(torch.relu(self.first(x))).mean((2, 3))
        return self.single(torch.relu(self.hidden(self.two(torch.tanh(self.one(x))))))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval(), torch.randn(64, 2, 6, 6)


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_layers_that_no_format_is_for(network, bits, tmp_path):
    model, data = network
    small = compress(model, 0.5, data=data, formats="separable", quantize=f"int{bits}", seed=0)
    assert set(widths(small).values()) == {bits}
    layers = small.report.layers
    assert {name: layers[name].bits for name in layers} == dict.fromkeys(
        ["first", "second", "one", "hidden", "single", "unused"], bits
    )
    assert small.report.dense_params == 2 * 8 * 9 + 8 * 16 * 9
    assert 0.3 < small.report.value <= 0.5
    assert small.two.weight is not model.two.weight
    assert torch.equal(small.two.weight, small.one.weight)
    save(small, tmp_path)
    assert torch.equal(load(tmp_path, model=model)(data), small(data))
    rounded = compress(model, 0.5, data=data, formats="separable", quantize="int4", skip="hidden", seed=0)
    assert [name for name, width in widths(rounded).items() if not width] == ["hidden.weight"]


def test_they_are_fitted_to_their_inputs_as_quantize_does(network):
    model, data = network
    small = compress(model, 0.99, data=data, formats="separable", quantize="int3", seed=0)
    by_hand = quantize(model, "int3", method="round")
    wanted = model(data)
    errors = [float((one(data) - wanted).square().mean()) for one in (small, by_hand)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("bits", ["int4", ("int8", "int4", "int2")])
def test_they_count_in_bytes(encoder, network, bits, tmp_path):
    for (model, data), formats, few in ((encoder, "tt_embedding", 5_000), (network, "separable", 1_000)):
        options = {"data": data, "formats": formats, "quantize": bits, "seed": 0}
        with pytest.raises(UsageError, match=r"smallest factors keep [\d,]+ bytes") as error:
            compress(model, {"bytes": few}, **options)
        least = int(str(error.value).split("keep ")[1].split(" bytes")[0].replace(",", ""))
        small = compress(model, {"bytes": least}, **options)
        size = (save(small, tmp_path / "small") / "model.safetensors").stat().st_size
        assert 0.9 * least < size <= least
        assert 0 not in widths(small).values()


def test_other_budgets_count_only_the_layers_that_formats_are_for(network):
    model, data = network
    params = sum(parameter.numel() for parameter in model.parameters())
    for budget in ({"params": params - 600}, {"flops": 80_000}, {"latency_ms": 1e5, "batch": 2}):
        small = compress(model, budget, data=data, formats="separable", quantize="int4", seed=0)
        assert set(widths(small).values()) == {4}
        if "params" in budget:
            sizes = sum(
                choice.size for name, choice in small.report.layers.items() if name in ("first", "second")
            )
            assert small.report.dense_params - sizes >= 600


@pytest.mark.parametrize(
    ("formats", "bits"),
    [(("lowrank",), "int4"), (("lowrank", "tt_embedding"), "int4"), (("tt_embedding",), "int2")],
)
def test_dense_embeddings_are_int8_unless_there_is_a_choice(encoder, formats, bits):
    model, ids = encoder
    small = compress(model, 0.6, data=ids, formats=formats, quantize=bits, seed=0)
    tables = {name: one for name, one in small.report.layers.items() if "embeddings" in name}
    assert len(tables) == 3
    assert all(one.bits == (8 if one.format == "dense" else int(bits[3])) for one in tables.values())
    assert any(one.format == "tt_embedding" for one in tables.values()) == ("tt_embedding" in formats)
    others = {one.bits for name, one in small.report.layers.items() if name not in tables}
    assert others == {int(bits[3])}
