"""Compressed models in few bits fit into the file that was asked for."""

import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, dequantize, load, quantize, save
from bondwise.tn.compress.files import Entry, entries_of, file_size
from bondwise.tn.compress.quantization.packed import packed_parameters


def size(model, folder):
    return (save(model, folder) / "model.safetensors").stat().st_size


def test_the_size_of_a_file_is_known_before_it_is_written(tmp_path):
    tensors = {
        "ä.weight": torch.zeros(3, 5),
        "b": torch.zeros(7, dtype=torch.uint8),
        "c.c": torch.zeros((), dtype=torch.bfloat16),
        "a": torch.zeros(0, 4, dtype=torch.int64),
        "index": torch.zeros(90, dtype=torch.int32),  # as large as float32, and behind it
        "z": torch.zeros(90),
        "half": torch.zeros(90, dtype=torch.float16),
        "bool": torch.zeros(9, dtype=torch.bool),
    }
    for number in range(len(tensors) + 1):
        some = dict(list(tensors.items())[:number])
        save_file(some, tmp_path / "file", metadata={"format": "pt"})
        entries = {name: Entry(tensor.dtype, tuple(tensor.shape)) for name, tensor in some.items()}
        assert file_size(entries) == (tmp_path / "file").stat().st_size


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(("part", "bits"), [(0.7, None), (0.6, ("int8", "int2")), (0.585, "int4")])
def test_files_are_as_large_as_asked(kind, part, bits, tmp_path, request):
    model = request.getfixturevalue(kind)
    model, tokens = model if kind == "llama" else (model, torch.randint(24, (16, 10)))
    model.eval()
    most = int(part * file_size(entries_of(model)))
    small = compress(model, {"bytes": most}, data=tokens, quantize=bits, skip="*.1.*", seed=0)
    found = size(small, tmp_path)
    assert found == file_size(entries_of(small))
    assert found <= most
    assert found > 0.96 * most
    widths = {choice.bits for choice in small.report.layers.values()}
    assert widths <= {None: {0}, "int4": {4, 8}}.get(bits, {8, 2})
    again = load(tmp_path)
    assert torch.equal(again(tokens).logits, small(tokens).logits)


def test_places_of_single_entries_are_counted_too(chain, tmp_path):
    small = compress(chain, 0.6, data=torch.randn(40, 12), formats="lowrank_sparse", seed=0)
    small = quantize(small, "int4", method="round")
    assert size(small, tmp_path) == small.report.value


def test_the_choices_can_be_repeated_after_training(llama, tmp_path):
    model, tokens = llama
    most = int(0.6 * file_size(entries_of(model)))
    options = {"quantize": ("int8", "int2"), "skip": "*.1.*"}
    small = compress(model, {"bytes": most}, data=tokens, seed=0, **options)
    widths = {name: f"int{choice.bits}" for name, choice in small.report.layers.items()}
    again = quantize(dequantize(small), widths, data=tokens)
    assert entries_of(again) == entries_of(small)


def test_other_budgets_keep_their_meaning(llama):
    model, tokens = llama
    plain = compress(model, 0.5, data=tokens, seed=0)
    small = compress(model, 0.5, data=tokens, quantize="int8", skip="*.o_proj", seed=0)
    assert 0.4 < small.report.value <= 0.5
    names = {name.rpartition(".")[0] for name, _ in packed_parameters(small)}
    assert names == {*small.report.layers, "lm_head"}
    assert {choice.bits for choice in small.report.layers.values()} == {8}
    assert "model.embed_tokens" in small.report.layers
    assert small.report.divergence < plain.report.divergence + 0.1
    with pytest.raises(UsageError, match="quantize=int8,int3 is a choice, which only"):
        compress(model, 0.5, data=tokens, quantize=("int3", "int8"))


def test_a_killed_compression_continues(llama, tmp_path):
    model, tokens = llama
    options = {"data": tokens, "quantize": ("int8", "int2"), "skip": "*.1.*", "seed": 0}
    most = int(0.6 * file_size(entries_of(model)))
    wanted = compress(model, {"bytes": most}, **options)
    folder = tmp_path / "kept"
    for _ in range(2):
        found = compress(model, {"bytes": most}, checkpoint=folder, **options)
        assert torch.equal(found(tokens).logits, wanted(tokens).logits)


@pytest.mark.parametrize(
    ("budget", "bits", "message"),
    [
        ({"bytes": 2000}, "int4", "budget={'bytes': 2000} is too small"),
        ({"bytes": 0}, None, "number of bytes in the budget"),
        (0.5, "int5", "unknown number of bits 'int5'"),
        (0.5, 4, "unknown number of bits '4'"),
        (0.5, [], "quantize is empty"),
    ],
)
def test_wrong_requests(llama, budget, bits, message):
    model, tokens = llama
    with pytest.raises(UsageError, match=message) as error:
        compress(model, budget, data=tokens, quantize=bits)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("budget", [{"bytes": 3_000}, 0.5])
def test_embeddings_in_factors_beside_few_bits(budget, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(100, 32), nn.Flatten(), nn.Linear(12 * 32, 10))
    tokens = torch.randint(100, (64, 12))
    small = compress(model, budget, data=tokens, formats=["lowrank", "tt_embedding"], quantize="int4", seed=0)
    save(small, tmp_path / "small")
    assert torch.equal(load(tmp_path / "small", model=model)(tokens), small(tokens))
    if isinstance(budget, dict):
        assert (tmp_path / "small" / "model.safetensors").stat().st_size <= budget["bytes"]


def test_a_limit_of_the_loss_that_guards_nothing_is_said():
    model, data = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(9, 16)
    with pytest.warns(UserWarning, match="max_loss is compared with the divergence on what was fitted to"):
        compress(model, 0.6, data=data[:8], max_loss=10.0, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compress(model, 0.6, data=data, max_loss=10.0, seed=0)
