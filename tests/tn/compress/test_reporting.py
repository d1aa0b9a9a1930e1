"""Profiles are the losses of single layers, and reports the true numbers of two models."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bondwise.runs import UsageError, new_figure
from bondwise.tn.compress import (
    Compression,
    Profile,
    Report,
    compress,
    costs,
    profile,
    quantize,
    report,
    save,
)
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.calibration.moments import measure_moments
from bondwise.tn.compress.costs import flops_of
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.layers import find_layers, replace


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Times are measured once."""
    monkeypatch.setattr(costs, "_RUNS", 1)
    monkeypatch.setattr(costs, "_SHORT", 0.0)


@pytest.fixture
def found(llama):
    model, tokens = llama
    return profile(model, data=tokens, fractions=[0.15, 0.4, 0.9], skip="*.v_proj", seed=0)


def test_each_number_is_the_loss_of_one_layer_alone(llama, found):
    model, tokens = llama
    model.eval()
    layers = find_layers(model, ["*.v_proj"])
    assert found.layers == tuple(layers)
    assert found.value.shape == (1, 12, 3)
    assert found.sizes == tuple(layer.num_params for layer in layers.values())
    assert (found.kept[0, :, 1:] <= [0.4, 0.9]).all()
    assert (found.value[0, :, 1] > found.value[0, :, 2]).all()
    assert np.isnan(found.value[0, 1, 0])  # k_proj, 8 x 16, where rank 1 keeps 0.1875
    generator = torch.Generator().manual_seed(int(np.random.default_rng(0).integers(2**31)))
    moments = measure_moments(model, layers, {}, tokens[8:].split(8), generator)
    for row in (0, 7, 11):
        name, small = found.layers[row], copy.deepcopy(model)
        layer = layers[name]
        rank = round(found.kept[0, row, 1] * layer.num_params / sum(layer.shape))
        replace(small, name, LowRank.fits(layer, layer.weight, moments.metrics[name]).build(rank))
        with torch.no_grad():
            loss = float(divergence(answer(small, tokens[:8]), answer(model, tokens[:8])))
        assert found.value[0, row, 1] == pytest.approx(loss, rel=1e-3)


def test_at_full_rank_nothing_is_lost_and_small_fractions_have_no_factors(chain, monkeypatch):
    data = torch.randn(40, 12)
    with torch.no_grad():
        chain[2].weight.copy_(torch.outer(torch.randn(16), torch.randn(16)))  # of rank 1
    found = profile(chain, data=data, fractions=[0.01, 0.5], seed=0)
    assert np.isnan(found.value[0, :, 0]).all()
    assert np.isnan(found.kept[0, :, 0]).all()
    assert found.value[0, 1, 1] < 1e-6 < found.value[0, 0, 1]
    assert np.isnan(found.best()[:, 0]).all()
    found.plot()


def test_the_formats_of_a_profile_are_those_of_compress_that_there_are_layers_for():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 8), nn.Linear(8, 4))
    data = torch.randn(24, 2, 6, 6)
    found = profile(model, data=data, fractions=0.6, seed=0)
    assert (found.formats, found.layers) == (("lowrank", "separable"), ("0", "3", "4"))
    assert np.isfinite(found.best()).all()
    default = inspect.signature(profile).parameters["formats"].default
    assert default == inspect.signature(compress).parameters["formats"].default
    only = profile(model[3:], data=torch.randn(24, 128), fractions=0.6, seed=0)
    assert (only.formats, only.value.shape) == (("lowrank",), (1, 2, 1))


def test_a_profile_is_saved_and_drawn(found, tmp_path):
    found.save(tmp_path / "profile")
    again = Profile.load(tmp_path / "profile")
    assert np.array_equal(again.value, found.value, equal_nan=True)
    assert again.layers == found.layers
    ax = again.plot(new_figure().subplots())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.15", "0.4", "0.9"]
    assert ax.get_yticklabels()[3].get_text() == "model.layers.0.mlp.gate\N{LOW LINE}proj"
    assert np.array_equal(ax.images[0].get_array().filled(np.nan), found.best(), equal_nan=True)
    assert "12 layers at 3 fractions of their parameters" in str(found)


def test_one_fraction_needs_no_list(chain):
    found = profile(chain, data=torch.randn(16, 12), fractions=0.5, seed=0)
    assert found.fractions == (0.5,)


def test_wrong_profiles(llama):
    model, tokens = llama
    for more, message in (
        ({"fractions": [0.5, 1.5]}, "a number in fractions is 1.5"),
        ({"fractions": None}, "a number in fractions is None"),
        ({"fractions": []}, "formats or fractions is empty"),
        ({"formats": []}, "formats or fractions is empty"),
        ({"formats": "lowrnk"}, "unknown format 'lowrnk'"),
    ):
        with pytest.raises(UsageError, match=message):
            profile(model, data=tokens, **more)


def perplexity(model, ids, mask):
    """By a loop over tokens."""
    with torch.no_grad():
        logs = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
    losses = [
        -float(logs[row, place, ids[row, place + 1]])
        for row in range(len(ids))
        for place in range(ids.shape[1] - 1)
        if mask[row, place + 1]
    ]
    return math.exp(sum(losses) / len(losses))


def test_a_report_of_a_language_model(llama, tmp_path):
    model, tokens = llama
    small = compress(model, 0.5, data=tokens[:24], seed=0)
    mask = torch.ones_like(tokens)
    mask[24:, 6:] = 0
    data = [
        {"input_ids": tokens[part], "attention_mask": mask[part]} for part in (slice(16, 24), slice(24, 32))
    ]
    found = report(small, reference=model, data=data, calibration=tokens[:24], batch=(1, 4))
    dense, compressed, *quantized = found.rows
    for row, one in ((dense, model), (compressed, small)):
        assert row.params == sum(parameter.numel() for parameter in one.parameters())
        assert row.perplexity == pytest.approx(perplexity(one, tokens[16:], mask[16:]), rel=1e-5)
        assert row.flops == flops_of(one, tokens[:1])
        assert row.bytes == (save(one, tmp_path) / "model.safetensors").stat().st_size
        assert min(row.latency) > 0
    assert [row.name for row in quantized] == [f"dense, int{bits} (GPTQ)" for bits in (8, 4, 3, 2)]
    assert {row.params for row in quantized} == {dense.params}
    assert [row.bytes for row in quantized] == sorted((row.bytes for row in quantized), reverse=True)
    assert [row.divergence for row in quantized] == sorted(row.divergence for row in quantized)
    assert quantized[1].divergence < compressed.divergence
    packed = quantize(model, "int4", data=tokens[:24])
    assert quantized[1].bytes == (save(packed, tmp_path) / "model.safetensors").stat().st_size
    assert dense.divergence == 0 < compressed.divergence == found.value
    assert len(load_file(tmp_path / "model.safetensors"))
    lines = str(found).splitlines()
    assert lines[-2] == "Outputs compared as probabilities (KL), mean per token."
    assert lines[-1].startswith("In brackets: times as fast as the dense model, which was run again in turns")
    lines = lines[:-2]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == [
        *("model", "parameters", "bytes", "flops", "perplexity", "divergence"),
        *("ms,", "batch", "1", "ms,", "batch", "4"),
    ]
    found.save(tmp_path / "report")
    assert Report.load(tmp_path / "report") == found
    assert Report.load(tmp_path / "report").rows[1].params == compressed.params
    small.report.save(tmp_path / "compression")
    assert Compression.load(tmp_path / "compression").layers["model.layers.0.mlp.up_proj"].format in FORMATS


@pytest.mark.parametrize("kind", ["bert", "chain"])
def test_other_models_have_no_perplexity(kind, request):
    model = request.getfixturevalue(kind)
    data = torch.randn(16, 12) if kind == "chain" else torch.randint(24, (16, 10))
    found = report(compress(model, 0.6, data=data, seed=0), reference=model, data=data, batch=2)
    assert [row.perplexity for row in found.rows] == [None] * 6
    assert "perplexity" not in str(found)
    assert "<table>" in found._repr_html_()
    with pytest.raises(UsageError, match="batch is 0"):
        report(model, reference=model, data=data, batch=[0])


def test_models_in_the_wrong_order_are_refused(chain):
    data = torch.randn(40, 12)
    small = compress(chain, 0.6, data=data, seed=0)
    packed = quantize(chain, "int8", method="round")
    for other in (small, packed):
        with pytest.raises(UsageError, match="what was given as the dense model is compressed"):
            report(chain, reference=other, data=data, batch=1)
    for one in (chain, small):
        with pytest.raises(UsageError, match="both models are the same one"):
            report(one, reference=one, data=data, batch=1)
