"""Budgets in parameters and operations hold for the whole model, and wrong ones are refused."""

import re

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, save
from bondwise.tn.compress.budgets import read_budget
from bondwise.tn.compress.costs import flops_of, take


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_parameters_of_the_whole_model(llama, fraction):
    model, tokens = llama
    wanted = int(fraction * parameters(model))
    small = compress(model, {"params": wanted}, data=tokens, seed=0)
    assert wanted - 50 < parameters(small) <= wanted  # a rank takes up to 48 numbers
    assert small.report.value == pytest.approx(
        1 - (parameters(model) - parameters(small)) / small.report.dense_params
    )


@pytest.mark.parametrize("kind", ["llama", "gpt2", "chain"])
def test_floating_point_operations(kind, request):
    model = request.getfixturevalue(kind)
    data = torch.randn(16, 5, 12) if kind == "chain" else torch.randint(24, (32, 10))
    model = model[0] if kind == "llama" else model
    dense = flops_of(model, data[:1])
    small = compress(model, {"flops": 0.7 * dense // 1}, data=data, seed=0)
    assert 0.6 * dense < flops_of(small, data[:1]) <= 0.7 * dense


def test_counted_operations(chain, llama):
    assert flops_of(chain, torch.randn(7, 12)) == 2 * 7 * (12 * 16 + 16 * 16 + 16 * 3)
    convolution = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.Flatten())
    assert flops_of(convolution, torch.randn(2, 4, 5, 5)) == 2 * 2 * 25 * 6 * 2 * 9
    model, tokens = llama
    linear = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    attention = 2 * 2 * 10 * 10 * 16  # in each of 2 layers, scores and their product with the values
    assert flops_of(model, tokens[:3]) == 3 * 2 * (10 * linear + attention)


def test_more_than_the_dense_model_needs_leaves_it_as_it_is(chain):
    data = torch.randn(16, 12)
    small = compress(chain, {"params": 10**6}, data=data, seed=0)
    assert small.report.value == 1
    assert torch.equal(small(data), chain(data))


def test_samples_are_repeated():
    batches = [torch.arange(6).view(3, 2), torch.zeros(5, 2)]
    assert take(batches, 2).tolist() == [[0, 1], [2, 3]]
    assert take(batches, 4).tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
    ids, labels = take([(batches[0], torch.arange(3))], 4)
    assert len(ids) == 4
    assert labels.tolist() == [0, 1, 2, 0]
    assert len(take([{"input_ids": batches[0], "scale": torch.ones(1)}], 5)["input_ids"]) == 5


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (None, "budget is None; give a fraction above 0 and below 1, {'params': N}"),
        ({}, "budget is {}; give a fraction"),
        ({"ranks": 5}, "budget is {'ranks': 5}; give a fraction"),
        ({"params": 5, "flops": 5}, "budget is .*; give a fraction"),
        ({"params": 5, "batch": 2}, "budget is .*; give a fraction"),
        ({"latency_ms": 5}, "budget is .*; give a fraction"),
        ({"latency_ms": -5, "batch": 2}, "latency_ms of the budget is -5; give a positive number"),
        ({"latency_ms": 5, "batch": 0}, "batch of the budget is 0"),
        ({"params": 0.5}, "number of params in the budget is 0.5; give a whole number of at least 1"),
        ({"flops": 0}, "number of flops in the budget is 0"),
        ({"params": 90}, "budget={'params': 90} is too small: the smallest factors keep 98 parameters"),
        ({"flops": 100}, "budget={'flops': 100} is too small: the smallest factors keep 158 floating-point"),
    ],
)
def test_wrong_budgets(chain, budget, message):
    with pytest.raises(UsageError, match=message) as error:
        compress(chain, budget, data=torch.randn(8, 12), seed=0)
    assert "\n" not in str(error.value)


def test_floats_that_are_whole_numbers():
    assert read_budget({"params": 1e6}).amount == 1_000_000
    assert str(read_budget({"params": 1e6})) == "budget={'params': 1000000}"
    assert str(read_budget({"latency_ms": 2.5, "batch": 4})) == "budget={'latency_ms': 2.5, 'batch': 4}"


@pytest.mark.parametrize(
    ("budget", "formats", "quantize"),
    [
        (0.01, "mpo", None),
        ({"params": 300}, "lowrank_sparse", None),
        ({"flops": 3000}, "btt", None),
        ({"bytes": 3000}, "lowrank", None),
        ({"bytes": 2500}, "lowrank", ("int4", "int2")),
    ],
)
def test_budgets_that_are_too_small_are_refused_before_calibration(
    llama, budget, formats, quantize, monkeypatch
):
    model, tokens = llama
    unknown = torch.full_like(tokens, 99)  # the model would complain of these tokens
    options = {"formats": formats, "quantize": quantize, "seed": 0}
    with pytest.raises(UsageError, match="is too small: the smallest factors keep") as error:
        compress(model, budget, data=torch.cat([tokens, unknown]), **options)
    # the same is said once all options are known
    monkeypatch.setattr("bondwise.tn.compress.compression.require_possible", lambda *_: None)
    with pytest.raises(UsageError) as late:
        compress(model, budget, data=tokens[:16], **options)
    assert str(error.value) == str(late.value)


@pytest.mark.parametrize("quantize", [None, "int4", ("int8", "int4", "int2")])
@pytest.mark.parametrize("asked", [10, 900])
def test_the_smallest_number_of_bytes_is_enough(asked, quantize, tmp_path):
    """The header of the file grows with the digits of its size; one byte less is too few."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
    options = {"data": torch.randn(128, 64), "quantize": quantize, "outputs": "values", "seed": 0}
    with pytest.raises(UsageError, match="the smallest factors keep") as error:
        compress(model, {"bytes": asked}, **options)
    [number] = re.findall(r"keep ([\d,]+) bytes", str(error.value))
    least = int(number.replace(",", ""))
    save(compress(model, {"bytes": least}, **options), tmp_path / "small")
    assert (tmp_path / "small" / "model.safetensors").stat().st_size <= least
    with pytest.raises(UsageError, match=f"the smallest factors keep {number} bytes"):
        compress(model, {"bytes": least - 1}, **options)
