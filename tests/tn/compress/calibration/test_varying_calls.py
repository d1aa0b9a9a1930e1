"""Layers that are called several times, as those of ALBERT, or only for some rows, as experts."""

import pytest
import torch
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    MixtralConfig,
    MixtralForCausalLM,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, compress_folder, latency, load, quantize, refine, save
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.fitting import shift
from bondwise.tn.compress.layers import Layer, find_layers
from bondwise.tn.compress.streaming.passes import Stream
from bondwise.tn.compress.streaming.reading import Source


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randint(24, (32, 10))


def albert(**more):
    """Three passes through one group of layers."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 24, "embedding_size": 8, "hidden_size": 16, "intermediate_size": 32}
    config = AlbertConfig(**sizes, num_hidden_layers=3, num_attention_heads=2, initializer_range=0.3, **more)
    return AlbertModel(config).eval()


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(12, 16), nn.Linear(16, 12)

    def forward(self, x):
        return self.down(self.up(x).tanh())


class Routed(nn.Module):
    """Each row goes to one of the experts, of which those without rows are not called, or given none."""

    def __init__(self, experts, empty):
        super().__init__()
        self.router = nn.Linear(12, experts)
        self.experts = nn.ModuleList([Expert() for _ in range(experts)])
        self.empty = empty

    def forward(self, x):
        weights, found = self.router(x).softmax(-1), torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (weights.argmax(-1) == index).nonzero().squeeze(-1)
            if self.empty or len(rows):
                found = found.index_add(0, rows, expert(x[rows]) * weights[rows, index, None])
        return x + found


class Mixture(nn.Module):
    def __init__(self, experts, empty=False):
        super().__init__()
        torch.manual_seed(1)
        self.blocks = nn.ModuleList([Routed(experts, empty) for _ in range(2)])
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.mark.parametrize(("quantized", "empty"), [(None, False), ("int4", True)])
def test_experts(quantized, empty, tmp_path):
    model, data = Mixture(4, empty), 2 * torch.randn(96, 12, generator=torch.Generator().manual_seed(0))
    small = compress(model, 0.5, data=data, seed=0, quantize=quantized)
    assert small.report.value <= 0.5
    with torch.no_grad():
        assert divergence(answer(small, data), answer(model, data)) < 0.02
    again = load(save(small, tmp_path), model=Mixture(4, empty))
    assert torch.equal(again(data), small(data))
    if quantized is None:
        assert refine(small, model, data=data, steps=2, batch=32, seed=0).value > 0


def test_an_expert_that_is_never_asked_is_to_be_skipped():
    model, data = Mixture(experts=3), torch.randn(100, 12)
    with torch.no_grad():
        model.blocks[1].router.bias[2] = -1e4
    names = r"blocks\.1\.experts\.2\.up, blocks\.1\.experts\.2\.down on the calibration data; give data"
    with pytest.raises(UsageError, match=f"does not use {names}"):
        compress(model, 0.5, data=data, seed=0)
    assert compress(model, 0.5, data=data, seed=0, skip="*.1.experts.2.*").report.value <= 0.5
    quantized = quantize(model, "int4", data=data)
    assert "blocks.1.experts.2.up" in quantized.report.layers


@pytest.mark.parametrize("kind", ["experts", "albert"])
def test_time_is_that_of_the_layers_that_are_called(kind, tokens):
    model, data = Mixture(4).eval(), 2 * torch.randn(96, 12, generator=torch.Generator().manual_seed(0))
    if kind == "albert":
        model, data = albert(), tokens
    layers = find_layers(model)
    calls = {name: len(inputs) for name, inputs in latency._inputs(model, layers, data[:2]).items()}
    assert set(calls.values()) == ({1} if kind == "experts" else {1, 3})
    options = {name: [Choice("dense", 0, layer.num_params, 0.0)] for name, layer in layers.items()}
    for name, choices in latency._timed(options, model, layers, data[:2]).items():
        assert (next(iter(choices)).size > 0) is (name in calls)
    small = compress(model, {"latency_ms": 1e4, "batch": 2}, data=data, seed=0)
    assert small.report.value == 1


def test_experts_that_lose_their_rows_are_fitted_to_what_they_had():
    model, data = Mixture(experts=3), torch.randn(64, 12)
    other = Mixture(experts=3)
    with torch.no_grad():
        other.blocks[0].router.bias[1] = -1e4
    name = "blocks.0.experts.1.up"
    layers = find_layers(other)
    before, now = (Blocks.found_in(one, layers, data.split(8)) for one in (model, other))
    seen, moved = shift(before, model.get_submodule(name), now, layers[name])
    with torch.no_grad():
        rows = data[model.blocks[0].router(data).argmax(-1) == 1].double()
    assert torch.allclose(seen, rows.T @ rows / len(rows), atol=1e-6)
    assert torch.equal(moved, torch.eye(12, dtype=torch.float64))


def test_as_many_rows_need_not_be_the_same_rows(llama, tmp_path):
    model, other, data = Mixture(experts=3), Mixture(experts=3), torch.randn(64, 12).split(8)
    with torch.no_grad():
        other.blocks[0].router.weight.add_(0.5 * torch.randn(3, 12))
        chosen = [[one.blocks[0].router(part).argmax(-1) == 1 for part in data] for one in (model, other)]
    assert any(a.sum() == b.sum() and not a.equal(b) for a, b in zip(*chosen, strict=True))
    name = "blocks.0.experts.1.up"
    layers = find_layers(other)
    before, now = (Blocks.found_in(one, layers, data) for one in (model, other))
    llama[0].save_pretrained(tmp_path / "dense")
    stream = Stream(Source(tmp_path / "dense"), (), data, data)
    inputs = stream._inputs(before, model.get_submodule(name), now, layers[name])
    assert torch.equal(inputs.shifted(layers[name].weight), layers[name].weight)
    assert torch.equal(
        shift(before, model.get_submodule(name), now, layers[name])[1], torch.eye(12, dtype=torch.float64)
    )


def test_answers_of_different_lengths_to_inputs_of_one_shape(tokens):
    torch.manual_seed(0)
    sizes = {"vocab_size": 24, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 2}
    model = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).eval()
    data = [
        {"input_ids": one, "decoder_input_ids": one[:, :length]}
        for one, length in zip(tokens.split(8), (5, 9, 7, 10), strict=True)
    ]
    small = compress(model, 0.5, data=data, seed=0, skip="decoder.block.1.*")
    name = "decoder.block.1.layer.0.SelfAttention.o"
    before, now = (Blocks.found_in(one, {name: None}, data) for one in (model, small))
    _, moved = shift(before, model.get_submodule(name), now, Layer(name, small.get_submodule(name)))
    assert (moved - torch.eye(16)).norm() > 0.1


def test_all_calls_of_a_shared_layer_count(tokens):
    model = albert()
    name = "encoder.albert_layer_groups.0.albert_layers.0.ffn"
    layers = find_layers(model)
    given = []
    handle = layers[name].module.register_forward_pre_hook(
        lambda _, args: given.append(args[0].flatten(0, 1))
    )
    with torch.no_grad():
        model(tokens)
    handle.remove()
    blocks = Blocks.found_in(model, layers, tokens.split(8))
    assert blocks.blocks == []
    seen, _ = shift(blocks, layers[name].module, blocks, layers[name])
    rows = torch.cat(given).double()
    assert len(given) == 3
    assert torch.allclose(seen, rows.T @ rows / len(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_shared_layers(groups, tokens, tmp_path):
    model = albert(num_hidden_groups=groups)
    small = compress(model, 0.5, data=tokens, seed=0)
    assert small.report.divergence < 40  # several times as much if layers were fitted to their first calls
    with torch.no_grad():
        again = load(save(small, tmp_path))(tokens).last_hidden_state
        assert torch.equal(again, small(tokens).last_hidden_state)
    if groups == 1:
        with pytest.raises(UsageError, match="blocks to refine, each called once"):
            refine(small, model, data=tokens, steps=2, seed=0)
    else:
        assert refine(small, model, data=tokens, steps=2, seed=0).value > 0


def test_mixtral(tokens, tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 24, "hidden_size": 16, "intermediate_size": 32, "initializer_range": 0.3}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = MixtralForCausalLM(MixtralConfig(**sizes, **heads, num_local_experts=3)).eval()
    small = compress(model, 0.5, data=tokens, seed=0)
    assert small.report.value <= 0.5
    refine(small, model, data=tokens, steps=2, seed=0)
    with torch.no_grad():
        assert torch.equal(load(save(small, tmp_path / "small"))(tokens).logits, small(tokens).logits)
    model.save_pretrained(tmp_path / "dense")
    with pytest.raises(UsageError, match=r"as those of experts are, load the model, and use compress"):
        compress_folder(tmp_path / "dense", tmp_path / "streamed", data=tokens)


def test_folders_with_shared_layers_are_refused(tokens, tmp_path):
    albert().save_pretrained(tmp_path / "dense")
    with pytest.raises(UsageError, match="are not called once each, one after another; load it"):
        compress_folder(tmp_path / "dense", tmp_path / "small", data=tokens)


def test_folders_with_blocks_that_change_the_shape(tmp_path):
    torch.manual_seed(0)
    sizes = {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "patch_size": 2}
    model = ConvNextForImageClassification(ConvNextConfig(**sizes, num_labels=5))
    model.save_pretrained(tmp_path / "dense")
    done = compress_folder(tmp_path / "dense", tmp_path / "small", 0.5, data=torch.randn(20, 3, 16, 16))
    assert done.value <= 0.5


def test_folders_with_experts(tokens, tmp_path):
    torch.manual_seed(0)
    config = SwitchTransformersConfig(
        vocab_size=24,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_heads=2,
        num_layers=2,
        num_sparse_encoder_layers=1,
        num_decoder_layers=1,
        num_sparse_decoder_layers=0,
        num_experts=3,
        decoder_start_token_id=0,
    )
    model = SwitchTransformersForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "dense")
    data = [{"input_ids": one, "decoder_input_ids": one} for one in tokens.split(4)]
    done = compress_folder(tmp_path / "dense", tmp_path / "small", 0.5, data=data)
    small = load(tmp_path / "small")
    with torch.no_grad():
        assert float(divergence(answer(small, data[0]), answer(model, data[0]))) == pytest.approx(
            done.divergence, rel=1e-3
        )
