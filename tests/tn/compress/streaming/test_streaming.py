"""Models that are compressed from folder to folder, block by block."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from bondwise.runs import RunError, UsageError
from bondwise.runs.files import try_lock
from bondwise.tn.compress import LowRank, compress_folder, load
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.lowrank import LowRankFits
from bondwise.tn.compress.layers import Layer, replace
from bondwise.tn.compress.streaming import passes, unfinished
from bondwise.tn.compress.streaming.unfinished import Unfinished

GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))


@pytest.fixture
def folder(llama, tmp_path):
    llama[0].save_pretrained(tmp_path / "dense", max_shard_size="8KB")
    return tmp_path / "dense"


def inputs_of(model, name, tokens):
    """Rows that a layer is given, from a pass through the whole model."""
    seen = []
    handle = model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(tokens)
    handle.remove()
    return seen[0].flatten(0, -2).double()


def test_blocks_from_shards_become_what_they_become_in_memory(llama, folder, tmp_path):
    model, tokens = llama
    model.eval()
    assert len(list(folder.glob("*.safetensors"))) > 2
    done = compress_folder(folder, tmp_path / "small", 0.5, data=tokens)
    assert 0.45 < done.value <= 0.5
    # the same in memory, in float64 and with square roots, with whole passes, for the ranks that were chosen
    small = LlamaForCausalLM(model.config)
    small.load_state_dict(model.state_dict())
    small.eval()
    fitted_to = tokens[torch.arange(len(tokens)) % 16 > 0]
    for block in range(2):
        for group in GROUPS:
            names = [name for name in done.layers if f".{block}." in name and name.endswith(group)]
            assert len(names) == len(group)
            x, y = (inputs_of(one, names[0], fitted_to) for one in (model, small))
            square = y.T @ y / len(y)
            shrunk = square + 1e-4 * square.diagonal().mean() * torch.eye(len(square))
            half = torch.eye(len(square)) + 0.5 * ((x - y).T @ y / len(y)) @ torch.linalg.inv(shrunk)
            for name in names:
                layer, rank = Layer(name, small.get_submodule(name)), done.layers[name].rank
                if rank:
                    fits = LowRankFits(layer, layer.weight.double() @ half, Metric(square))
                    replace(small, name, fits.build(rank))
    found = load(tmp_path / "small")
    with torch.no_grad():
        assert (found(tokens).logits - small(tokens).logits).abs().max() < 2e-3
        expected = divergence(answer(found, tokens[::16]), answer(model, tokens[::16]))
    assert done.divergence == pytest.approx(float(expected), rel=1e-4)
    assert {name for name, module in found.named_modules() if isinstance(module, LowRank)} == {
        name for name, choice in done.layers.items() if choice.rank
    }
    assert sum(
        module.left.numel() + module.right.numel() if isinstance(module, LowRank) else module.weight.numel()
        for module in (found.get_submodule(name) for name in done.layers)
    ) == round(done.value * done.dense_params)


def tiny(model, config, **more):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 24}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return model(config(**sizes, **heads, initializer_range=0.3, **more))


MODELS = {
    "mistral": lambda: tiny(MistralForCausalLM, MistralConfig),
    "qwen2": lambda: tiny(Qwen2ForCausalLM, Qwen2Config, tie_word_embeddings=True),
}


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("gpt2", torch.bfloat16),
        ("bert", torch.float16),
        ("mistral", torch.float16),
        ("qwen2", torch.bfloat16),
    ],
)
def test_other_models_and_dtypes(kind, dtype, tmp_path, request):
    model = MODELS[kind]() if kind in MODELS else request.getfixturevalue(kind)
    model.to(dtype).save_pretrained(tmp_path / "dense")
    tokens = torch.randint(24, (32, 10))
    done = compress_folder(tmp_path / "dense", tmp_path / "small", 0.6, data=tokens)
    small = load(tmp_path / "small")
    assert type(small) is type(model)
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}
    with torch.no_grad():
        loss = divergence(answer(small.float(), tokens[::16]), answer(model.float().eval(), tokens[::16]))
    assert done.divergence == pytest.approx(float(loss), rel=1e-3)


def test_one_block_at_a_time_is_in_memory(tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=6, num_attention_heads=2, vocab_size=8
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "dense")
    block = sum(parameter.numel() for parameter in model.model.layers[0].parameters())
    rest = sum(parameter.numel() for parameter in model.parameters()) - 6 * block
    models, most = [], []

    def watched(model, tensors, real=passes.fill):
        real(model, tensors)
        if model not in models:
            models.append(model)
        numbers = {id(one): one.numel() for each in models for one in each.parameters() if not one.is_meta}
        most.append(sum(numbers.values()))

    monkeypatch.setattr(passes, "fill", watched)
    compress_folder(tmp_path / "dense", tmp_path / "small", 0.5, data=torch.randint(8, (16, 6)))
    norms = 2 * 6 * 2 * 16  # never without memory
    assert rest + 2 * block <= max(most) <= 2 * rest + 2 * block + norms
    assert len(models) == 2


def test_a_killed_run_continues(folder, llama, tmp_path, kill_at, monkeypatch):
    tokens, out = llama[1], tmp_path / "small"
    whole = compress_folder(folder, tmp_path / "whole", 0.5, data=tokens)

    def work(budget=0.5):
        return compress_folder(folder, out, budget, data=tokens)

    def killed_in(method, what):
        def dying(self, one, content, real=getattr(Unfinished, method)):
            if one == what:
                os.kill(os.getpid(), signal.SIGKILL)
            real(self, one, content)

        with monkeypatch.context() as patched:
            patched.setattr(Unfinished, method, dying)
            assert kill_at(1_000_000, work)
        with pytest.raises(UsageError, match=r"has no config.json"):
            load(out)
        return len(list(out.glob("*.safetensors")))

    assert killed_in("write_note", "block-1") == 0
    assert killed_in("write", 1) == 1
    with pytest.raises(UsageError, match="unfinished work of a run with other arguments; repeat that, or"):
        work(0.6)
    fitted, real = [], passes.Stream._fit_block
    monkeypatch.setattr(passes.Stream, "_fit_block", lambda *given: (fitted.append(1), real(*given)))
    monkeypatch.setattr(passes, "measure_block", lambda *_: pytest.fail("both blocks are measured"))
    assert work() == whole
    assert len(fitted) == 1
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in out.iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (out / name).read_bytes()


def test_a_run_killed_at_the_end_leaves_no_model_or_a_whole_one(folder, llama, tmp_path, kill_at):
    tokens, out = llama[1], tmp_path / "small"
    compress_folder(folder, tmp_path / "whole", 0.5, data=tokens)
    expected = load(tmp_path / "whole")(tokens).logits
    number = 40
    while kill_at(number, lambda: compress_folder(folder, out, 0.5, data=tokens)):
        number += 5
        if (out / "config.json").exists():
            break
    assert torch.equal(load(out)(tokens).logits, expected)
    with pytest.raises(UsageError, match="small holds a model already; give a new folder"):
        compress_folder(folder, out, 0.5, data=tokens)


def test_one_process_at_a_time(folder, llama, tmp_path):
    (tmp_path / "small" / ".unfinished").mkdir(parents=True)
    handle = try_lock(tmp_path / "small" / ".unfinished" / "lock")
    with pytest.raises(RunError, match="another process is writing to"):
        compress_folder(folder, tmp_path / "small", data=llama[1])
    os.close(handle)
    compress_folder(folder, tmp_path / "small", data=llama[1])


def change(folder, name, changed):
    """Change one tensor of a folder; returns the file that it is in."""
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    path = folder / places[name]
    tensors = load_file(path)
    tensors[name] = changed(tensors[name])
    if tensors[name] is None:
        del tensors[name]
    save_file(tensors, path)
    return path


UP = "model.layers.1.mlp.up_proj.weight"
NORM = "model.layers.1.post_attention_layernorm.weight"


def configured(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda folder: change(folder, UP, lambda one: one / 0),
            rf"{UP} in .*model-.*safetensors holds NaN or",
        ),
        (lambda folder: change(folder, UP, lambda one: one[:3]), rf"{UP} in .* has the shape \(3, 16\), but"),
        (
            lambda folder: change(folder, NORM, lambda one: one * 1e38),
            r"layers.1.mlp.gate_proj is given numbers",
        ),
        (lambda folder: change(folder, UP, lambda one: None), rf"model-.*safetensors lacks {UP}"),
        (
            lambda folder: change(folder, UP, lambda one: one * 1e30),
            r"outputs of model.layers.1.mlp.up_proj are too large",
        ),
        (lambda folder: change(folder, UP, lambda one: one).unlink(), r"lacks the shard model-.*safetensors"),
        (
            lambda folder: change(folder, UP, lambda one: one).write_bytes(b"short"),
            r"model-.*safetensors is damaged",
        ),
        (lambda folder: (folder / "config.json").unlink(), r"has no config.json"),
        (lambda folder: configured(folder, auto_map={"AutoModel": "a.B"}), r"code of its own \(auto_map\)"),
        (lambda folder: configured(folder, quantization_config={"bits": 4}), r"is quantized"),
        (lambda folder: configured(folder, hidden_size="wide"), r"config.json cannot be read"),
        (
            lambda folder: configured(folder, num_hidden_layers=3),
            r"lacks the tensor model.layers.2.\S+, which",
        ),
    ],
)
def test_damaged_folders(folder, llama, tmp_path, harm, message):
    harm(folder)
    with pytest.raises(UsageError, match=message) as error:
        compress_folder(folder, tmp_path / "small", data=llama[1])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "small" / "config.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"budget": -1}, "budget"),
        (
            {"budget": 0.001, "data": torch.full((2, 4), 24)},  # told before the tokens are looked at
            "budget=0.001 is too small: the smallest factors keep",
        ),
        ({"data": torch.zeros(0, 4, dtype=torch.long)}, "data is empty"),
        ({"data": torch.full((2, 4), 24)}, "token 24, but the model knows 0 to 23"),
        ({"data": torch.zeros(4)}, r"data is a tensor of shape \(4,\)"),
        ({"skip": "*.other"}, "fits no layer"),
        ({"skip": "*"}, "no layer to compress"),
    ],
)
def test_wrong_arguments(folder, llama, tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        compress_folder(folder, tmp_path / "small", **{"data": llama[1]} | given)


def test_skipped_layers_and_a_single_batch_of_arguments(folder, llama, tmp_path):
    data = [{"input_ids": llama[1], "attention_mask": torch.ones_like(llama[1])}]
    done = compress_folder(folder, tmp_path / "small", 0.5, data=data, skip=["*.q_proj", "*.o_proj"])
    assert not any(name.endswith(("q_proj", "o_proj")) for name in done.layers)
    small, dense = load(tmp_path / "small"), llama[0]
    kept = "model.layers.1.self_attn.q_proj.weight"
    assert torch.equal(small.get_parameter(kept), dense.get_parameter(kept))


def test_models_without_blocks(tmp_path):
    model = BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=0, num_attention_heads=2))
    model.save_pretrained(tmp_path / "dense")
    with pytest.raises(UsageError, match="is a model without a list of blocks"):
        compress_folder(tmp_path / "dense", tmp_path / "small", data=torch.zeros(4, 4, dtype=torch.long))


def test_a_head_that_is_neither_stored_nor_tied_is_missing(llama, folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(UsageError, match=r"lacks the tensor lm_head\.weight"):
        compress_folder(folder, tmp_path / "small", 0.6, data=llama[1])


def test_the_head_of_tied_ones_may_be_the_one_that_is_stored(llama, tmp_path):
    model, tokens = llama
    model.save_pretrained(tmp_path / "dense")
    wanted = compress_folder(tmp_path / "dense", tmp_path / "wanted", 0.5, data=tokens)
    path = tmp_path / "dense" / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    found = compress_folder(tmp_path / "dense", tmp_path / "found", 0.5, data=tokens)
    assert found == wanted
    with torch.no_grad():
        one, other = (load(tmp_path / name)(tokens).logits for name in ("found", "wanted"))
    assert torch.equal(one, other)


def test_a_folder_is_free_again_after_an_error(tmp_path, monkeypatch):
    def full(_):
        raise RunError("the disk is full")

    with monkeypatch.context() as context:
        context.setattr(unfinished, "require_room", full)
        with pytest.raises(RunError, match="full"):
            Unfinished(tmp_path / "small", "run", 1)
    Unfinished(tmp_path / "small", "run", 1).close()
