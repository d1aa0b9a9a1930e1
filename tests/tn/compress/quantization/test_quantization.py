"""Models in few bits answer nearly as before, are as small as reported, and come back from their files."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from bondwise.runs import UsageError
from bondwise.tn.compress import LowRank, compress, dequantize, heal, load, quantize, refine, save
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.quantization.modules import quantize_module
from bondwise.tn.compress.quantization.packed import packed_parameters


def distance(model, dense, data):
    with torch.no_grad():
        return float(divergence(answer(model, data), answer(dense, data)))


@pytest.fixture
def correlated():
    """A model whose inputs and hidden units are far from independent."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 64), nn.Tanh(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 5))
    data = torch.randn(400, 6) @ torch.randn(6, 48) + 0.1 * torch.randn(400, 48)
    return model, data


@pytest.mark.parametrize("bits", ["int4", "int3", "int2"])
def test_gptq_beats_rounding_and_more_bits_beat_fewer(correlated, bits):
    model, data = correlated
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nearest = quantize(model, bits, method="round")
    small = quantize(model, bits, data=data[:320])
    assert distance(small, model, data[320:]) < 0.7 * distance(nearest, model, data[320:])
    assert distance(quantize(model, "int8", method="round"), model, data) < 1e-3
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert nearest.report.divergence is None
    assert small.report.divergence == pytest.approx(distance(small, model, data[:8]), rel=1)


def test_factors_are_rounded_for_their_inputs(correlated):
    model, data = correlated
    small = compress(model, 0.6, data=data[:320], seed=0)
    assert any(type(module) is LowRank for module in small.modules())
    nearest, found = (quantize(small, "int3", **kw) for kw in ({"method": "round"}, {"data": data[:320]}))
    assert distance(found, small, data[320:]) < 0.7 * distance(nearest, small, data[320:])
    assert {name for name, _ in packed_parameters(found)} >= {"0.left", "0.right"}


@pytest.mark.parametrize("factors", [False, True])
@pytest.mark.parametrize("bits", ["int4", "int3"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_models_of_transformers_come_back_with_the_same_answers(kind, bits, factors, tmp_path, request):
    model = request.getfixturevalue(kind)
    model, tokens = model if kind == "llama" else (model, torch.randint(24, (16, 10)))
    dtype = torch.bfloat16 if kind == "gpt2" else torch.float32
    model = model.to(dtype).eval()
    if factors:
        model = compress(model, 0.7, data=tokens, seed=0)
    small = quantize(model, bits, data=tokens)
    folder = save(small, tmp_path)
    assert small.report.value == (folder / "model.safetensors").stat().st_size
    assert small.report.value < 0.6 * small.report.dense_bytes
    again = load(folder)
    assert type(again) is type(small)
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert again(tokens).logits.dtype == dtype
    head, embedding = again.get_output_embeddings(), again.get_input_embeddings()
    assert head._modules["weight"] is embedding._modules["weight"]
    assert {p.dtype for p in again.parameters()} == {dtype}
    widths = set(small.report.layers.values())
    assert widths == {"int8", bits}


def test_a_head_of_its_own_and_layers_by_name(llama, tmp_path):
    model, tokens = llama
    model.lm_head.weight = nn.Parameter(torch.randn(24, 16))
    model.config.tie_word_embeddings = False
    small = quantize(model, {"*.mlp.*": "int4", "*lm_head": "int2"}, data=tokens, skip="*.0.mlp.up_proj")
    assert small.report.layers == {
        **{f"model.layers.0.mlp.{name}_proj": "int4" for name in ("gate", "down")},
        **{f"model.layers.1.mlp.{name}_proj": "int4" for name in ("gate", "up", "down")},
        "lm_head": "int2",
    }
    assert torch.equal(load(save(small, tmp_path))(tokens).logits, small(tokens).logits)


def test_a_module_of_ones_own_with_convolutions(tmp_path):
    torch.manual_seed(0)
    make = lambda: nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 9, 3))  # noqa: E731
    model, data = make(), torch.randn(40, 4, 5, 5)
    small = quantize(model, "int4", data=data)
    assert set(small.report.layers) == {"0", "3"}
    assert distance(small, model, data) < 0.02
    again = load(save(small, tmp_path), model=make())
    assert torch.equal(again(data), small(data))


def test_a_model_without_any_parameter_left(correlated):
    model = nn.Sequential(nn.Linear(48, 64, bias=False), nn.Tanh(), nn.Linear(64, 5, bias=False))
    data = correlated[1]
    small = quantize(model, "int8", data=data)
    assert not list(small.parameters())
    assert distance(small, model, data) < 1e-3


def test_quantized_factors_are_not_trained_and_unpacked_ones_are(llama):
    model, tokens = llama
    small = quantize(compress(model, 0.5, data=tokens, seed=0), "int4", data=tokens)
    for train in (heal, refine):
        with pytest.raises(UsageError, match=r"model.embed_tokens.weight is quantized and cannot be trained"):
            train(small, model, data=tokens)
    loose = dequantize(small)
    assert torch.equal(loose(tokens).logits, small(tokens).logits)
    assert loose.lm_head.weight is loose.model.embed_tokens.weight
    raw = distance(small, model, tokens)
    heal(loose, model, data=tokens, steps=30, learning_rate=5e-3, seed=0)
    assert distance(quantize(loose, small.report.layers, data=tokens), model, tokens) < raw


@pytest.mark.parametrize(
    ("bits", "more", "message"),
    [
        ("int5", {}, "unknown number of bits 'int5'"),
        ("int5", {"data": None}, "unknown number of bits 'int5'"),
        ({"*": "4"}, {}, "unknown number of bits '4'"),
        (4, {}, "unknown number of bits '4'"),
        ("int4", {"method": "gtpq"}, "unknown method 'gtpq'. Did you mean 'gptq'"),
        ("int4", {"data": None}, "method='gptq' needs data"),
        ("int4", {"group": 0}, "group is 0"),
        (
            "int4",
            {"skip": "*.qproj"},
            r"'\*.qproj' fits no layer of the model; one is called",
        ),
        ({"*.qproj": "int4"}, {}, r"'\*.qproj' fits no layer"),
        ("int4", {"skip": "*"}, "no layer to quantize"),
    ],
)
def test_wrong_requests(llama, bits, more, message):
    model, tokens = llama
    with pytest.raises(UsageError, match=message) as error:
        quantize(model, bits, **({"data": tokens} | more))
    assert "\n" not in str(error.value)


def test_models_that_cannot_be_quantized(llama):
    model, tokens = llama
    small = quantize(model, method="round")
    with pytest.raises(UsageError, match="quantized already; give the model before, or dequantize"):
        quantize(small, method="round")
    with pytest.raises(UsageError, match="is quantized already; give the model before"):
        compress(small, 0.5, data=tokens)
    with torch.no_grad():
        model.model.layers[1].self_attn.k_proj.weight[0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"model.layers.1.self_attn.k_proj.weight holds NaN"):
        quantize(model, data=tokens)


class Twice(nn.Module):
    """A module of one's own that uses a weight twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(self.second(torch.tanh(self.first(x))))


@pytest.mark.parametrize("bits", ["int4", {"last": "int4"}])
def test_weights_that_a_module_of_ones_own_shares(bits, tmp_path):
    torch.manual_seed(0)
    model, data = Twice(), torch.randn(20, 6)
    small = quantize(model, bits, data=data)
    assert set(small.report.layers) == ({"last"} if isinstance(bits, dict) else {"first", "last"})
    torch.manual_seed(1)
    again = load(save(small, tmp_path), model=Twice())
    assert torch.equal(again(data), small(data))
    loose = dequantize(again)
    assert loose.second.weight is loose.first.weight


def test_factors_that_layers_share_are_packed_once(llama, tmp_path):
    model, tokens = llama
    small = compress(model, 0.4, data=tokens, formats=["shared"], seed=0)
    shared = [name for name, choice in small.report.layers.items() if choice.format == "shared"]
    assert shared
    found = quantize(small, "int8", data=tokens)
    assert {f"{name}.left" for name in shared} <= {name for name, _ in packed_parameters(found)}
    again = load(save(found, tmp_path))
    assert torch.equal(again(tokens).logits, found(tokens).logits)
    assert len({id(again.get_submodule(name)._modules["right"]) for name in shared}) < len(shared)
    assert distance(found, small, tokens) < 0.01


@pytest.mark.parametrize("rank", [1, 4])
def test_factors_that_are_only_given_zeros_keep_their_values(rank):
    torch.manual_seed(0)
    layer = LowRank(torch.randn(32, rank), torch.randn(rank, 64))
    weight = layer.dense().detach()
    found = quantize_module(layer, 8, torch.zeros(64, 64)).dense()
    assert float((found - weight).norm() / weight.norm()) < 0.02


def test_a_transposed_weight_with_one_output():
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(1, 64))
    small = quantize(model, "int4", data=torch.randn(64, 64))
    assert dict(packed_parameters(small))["0.weight"].layout.axis == 0
    assert float((small[0].weight - model[0].weight).detach().norm() / model[0].weight.detach().norm()) < 0.2


@pytest.mark.parametrize("skipped", ["lm_head", "model.embed_tokens"])
def test_what_is_tied_to_a_skipped_layer_is_skipped_too(llama, skipped):
    model, tokens = llama
    small = quantize(model, "int4", method="round", skip=[skipped])
    factors = compress(model, 0.7, data=tokens, quantize="int4", skip=[skipped], seed=0)
    for one in (small, factors):
        assert torch.equal(one.lm_head.weight, model.lm_head.weight)
        assert not {"lm_head", "model.embed_tokens"} & set(one.report.layers)
