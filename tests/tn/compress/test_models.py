"""Compressed models come back from their folder with the same answers; other folders are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, compress_folder, load, quantize, register, save, to_dense

from .conftest import SIZES, seeded


@pytest.fixture
def saved(llama, tmp_path):
    model, tokens = llama
    small = compress(model, 0.5, data=tokens, seed=0)
    return small, save(small, tmp_path / "small"), tokens


def test_a_llama_with_grouped_queries_and_a_tied_head(saved):
    small, folder, tokens = saved
    again = load(folder)
    assert type(again) is type(small)
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    numbers = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert numbers == sum(parameter.numel() for parameter in small.parameters())


def test_a_folder_does_not_say_where_the_dense_model_was(llama, tmp_path):
    model, _ = llama
    model.config._name_or_path = "/home/someone/dense"
    assert "someone" not in (save(model, tmp_path / "small") / "config.json").read_text()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_other_models_of_transformers(kind, dtype, tmp_path, request):
    tokens = torch.randint(24, (8, 10), generator=torch.Generator().manual_seed(0))
    small = compress(request.getfixturevalue(kind).to(dtype), 0.5, data=tokens, seed=0)
    again = load(save(small, tmp_path))
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert {p.dtype for p in again.parameters()} == {dtype}


def test_a_module_of_ones_own_needs_one_of_its_shape(chain, tmp_path):
    data = torch.randn(8, 12)
    small = compress(chain, 0.6, data=data, seed=0)
    folder = save(small, tmp_path)
    with pytest.raises(UsageError, match="names no model of transformers; give one of the dense shape"):
        load(folder)
    with pytest.raises(UsageError, match="does not fit the model"):
        load(folder, model=nn.Sequential(nn.Linear(12, 16)))
    assert torch.equal(load(folder, model=chain)(data), small(data))


def changed(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_code_of_a_folder_is_not_run(saved):
    _, folder, _ = saved
    changed(folder, auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(UsageError, match=r"code of its own \(auto_map\), which is not run"):
        load(folder)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"bondwise": None}, "no entry 'bondwise'"),
        ({"architectures": ["Path"]}, r"names no model of transformers \('Path'\)"),
        (
            {"bondwise": {"layers": {"model.nothing": {"format": "lowrank", "rank": 2}}}},
            "does not fit the model",
        ),
        (
            {"bondwise": {"layers": {"model.norm": {"format": "lowrank", "rank": 2}}}},
            "does not fit the model",
        ),
        ({"bondwise": {"layers": {}}}, "is missing or unexpected"),
        ({"hidden_size": 32}, "does not fit the model"),
        ({"hidden_size": "wide"}, "cannot be read"),
    ],
)
def test_other_configurations(saved, entries, message):
    _, folder, _ = saved
    changed(folder, **entries)
    with pytest.raises(UsageError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_damaged_and_missing_tensors(saved):
    _, folder, _ = saved
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"model.safetensors is damaged"):
        load(folder)
    path.write_bytes(whole)
    tensors = load_file(path)
    del tensors["model.norm.weight"]
    save_file(tensors, path)
    with pytest.raises(UsageError, match=r"'model.norm.weight' is missing or unexpected"):
        load(folder)
    path.unlink()
    with pytest.raises(UsageError, match=r"has neither model.safetensors nor"):
        load(folder)


def test_a_killed_save_leaves_the_old_model_or_the_new_one(saved, kill_at):
    small, folder, tokens = saved
    old = small(tokens).logits
    with torch.no_grad():
        small.model.norm.weight.mul_(2)
    new = small(tokens).logits
    for number in range(12):
        kill_at(number, lambda: save(small, folder))
        found = load(folder)(tokens).logits
        assert torch.equal(found, old) or torch.equal(found, new)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_an_ordinary_checkpoint_of_a_compressed_model(kind, tmp_path, request):
    model = request.getfixturevalue(kind)
    model = model[0] if kind == "llama" else model
    tokens = torch.randint(24, (8, 10), generator=torch.Generator().manual_seed(0))
    small = compress(model, 0.5, data=tokens, seed=0)
    before = [(name, type(module)) for name, module in small.named_modules()]
    dense = to_dense(load(save(small, tmp_path / "small")))
    assert [(name, type(module)) for name, module in small.named_modules()] == before
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    assert {name: parameter.shape for name, parameter in dense.named_parameters()} == shapes
    classes = [(name, type(module)) for name, module in model.named_modules()]
    assert [(name, type(module)) for name, module in dense.named_modules()] == classes
    assert all(parameter.requires_grad for parameter in dense.parameters())
    dense.save_pretrained(tmp_path / "dense")
    again = type(model).from_pretrained(tmp_path / "dense").eval()
    torch.testing.assert_close(again(tokens).logits, small(tokens).logits, atol=1e-5, rtol=1e-4)
    if kind != "gpt2":
        head, embedding = dense.get_output_embeddings(), dense.get_input_embeddings()
        assert head.weight is embedding.weight
    with torch.no_grad():
        assert not torch.allclose(again(tokens).logits, model(tokens).logits, atol=1e-2)


def test_packed_numbers_become_ordinary_too(llama):
    model, tokens = llama
    small = quantize(compress(model, 0.5, data=tokens, seed=0), "int4", data=tokens)
    dense = to_dense(small)
    assert [type(module) for module in dense.modules()] == [type(module) for module in model.modules()]
    torch.testing.assert_close(dense(tokens).logits, small(tokens).logits, atol=1e-5, rtol=1e-4)


def test_registered_layers_become_dense_again_if_their_weight_can_be_set():
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.root = nn.Parameter(torch.randn(12, 12))
            self.register_buffer("scale", torch.tensor(2.0))

        def forward(self, x):
            return x @ self.root.T * self.scale

    torch.manual_seed(0)
    model, data = nn.Sequential(Squared(), nn.Linear(12, 4)), torch.randn(64, 12)
    register(Squared, weight=lambda module: module.root * module.scale)
    with pytest.raises(UsageError, match="weight of 0, a Squared, cannot be set"):
        to_dense(compress(model, 0.5, data=data, seed=0))
    with torch.no_grad():
        model[0].scale.fill_(1)
    register(Squared, weight=lambda module: module.root)
    small = compress(model.bfloat16(), 0.5, data=data.bfloat16(), seed=0)
    dense = to_dense(small)
    assert type(dense[0]) is Squared
    assert dense[0].scale == 1
    assert dense[0].root.dtype == torch.bfloat16
    torch.testing.assert_close(dense(data.bfloat16()), small(data.bfloat16()), atol=0.05, rtol=0.05)


def test_frequencies_of_a_model_that_was_cast_are_as_coarse_as_before(llama, tmp_path):
    model, tokens = llama
    small = compress(model.to(torch.bfloat16), 0.5, data=tokens, seed=0)
    again = load(save(small, tmp_path / "small"))
    assert again.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    assert torch.equal(again(tokens).logits, small(tokens).logits)


def test_the_report_comes_back(saved, chain, tmp_path):
    small, folder, tokens = saved
    assert load(folder).report == small.report
    data = torch.randn(16, 12)
    packed = quantize(chain, "int4", data=data, outputs="values")
    again = load(save(packed, tmp_path / "packed"), model=chain)
    assert again.report == packed.report
    compress_folder(_dense(tmp_path), tmp_path / "streamed", 0.6, data=tokens)
    assert "divergence" in str(load(tmp_path / "streamed").report)


def _dense(tmp_path):
    seeded(LlamaForCausalLM, LlamaConfig(**SIZES, intermediate_size=32)).save_pretrained(tmp_path / "dense")
    return tmp_path / "dense"


def test_factors_of_another_kind_of_layer_are_refused(chain, tmp_path):
    folder = save(compress(chain, 0.6, data=torch.randn(16, 12), seed=0), tmp_path / "small")
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.ReLU())
    with pytest.raises(UsageError, match=r"factors of a layer of the kind linear for ., which is a Conv2d"):
        load(folder, model=other)


def test_folders_without_a_model(tmp_path):
    with pytest.raises(UsageError, match="has no config.json; give a folder that bondwise.tn.compress.save"):
        load(tmp_path)
    with pytest.raises(UsageError, match="nothing is no folder; give one that bondwise.tn.compress.save"):
        load(tmp_path / "nothing")


def test_a_model_that_is_not_a_compressed_one_is_not_replaced(llama, chain, tmp_path):
    model, tokens = llama
    small = compress(model, 0.5, data=tokens, seed=0)
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    (tmp_path / "bare").mkdir()
    save_file(chain.state_dict(), tmp_path / "bare" / "model.safetensors")
    for name in ("whole", "parts", "bare"):
        before = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        with pytest.raises(
            UsageError, match=f"{name} holds a model that is not a compressed one; give another"
        ):
            save(small, tmp_path / name)
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == before
    save(small, save(quantize(model, "int8", method="round"), tmp_path / "small"))
    assert torch.equal(load(tmp_path / "small")(tokens).logits, small(tokens).logits)
