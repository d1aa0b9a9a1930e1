"""Low-rank layers that share a factor: fitted together, chosen together, and stored once."""

import copy
import itertools

import pytest
import torch
from safetensors.torch import load_file

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, dequantize, heal, load, quantize, save, to_dense
from bondwise.tn.compress.allocation import Choice, allocate
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.formats.shared import SharedFits, SharedLowRank
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.packed import count_numbers, packed_parameters


def layer_of(weight):
    module = torch.nn.Linear(*reversed(weight.shape), dtype=weight.dtype)
    module.weight = torch.nn.Parameter(weight)
    return Layer("layer", module)


def covariance(size):
    rows = torch.randn(30, size, dtype=torch.float64)
    return rows.T @ rows / 30


def test_the_factors_are_the_best_ones_of_the_stacked_weights():
    torch.manual_seed(0)
    weights = [torch.randn(rows, 8, dtype=torch.float64) for rows in (6, 4, 10)]
    inputs = covariance(8)
    metrics = [Metric(inputs, covariance(len(weight))) for weight in weights]
    fits = SharedFits([layer_of(weight) for weight in weights], weights, metrics)
    whole = torch.block_diag(*(metric.covariances(w)[0] for metric, w in zip(metrics, weights, strict=True)))
    stacked = torch.cat(weights)
    assert fits.ranks[-1] * (20 + 8) < 20 * 8
    for rank in fits.ranks:
        found = fits.build(rank)
        assert all(one.right is found[0].right for one in found)
        for one, weight, metric, predicted in zip(found, weights, metrics, fits.losses, strict=True):
            loss = 0.5 * float(metric.weighted(weight - one.dense()).square().sum())
            assert loss == pytest.approx(float(predicted[rank - 1]), rel=1e-6, abs=1e-9)
        # as of one layer, but for what the shrinkage of the separate covariances makes of the whole
        values, vectors = torch.linalg.eigh(whole)
        root = (vectors * values.sqrt()) @ vectors.T
        tail = torch.linalg.svdvals(root @ Metric(inputs).weighted(stacked))[rank:].square().sum() / 2
        assert float(fits.losses[:, rank - 1].sum()) == pytest.approx(float(tail), rel=1e-6)


def test_choices_for_several_layers_are_taken_where_they_are_best():
    """Against all combinations, for budgets that points of the hull use up."""
    own = {
        name: [Choice("dense", 0, 10, 0.0), Choice("lowrank", 1, 4, 5.0), Choice("lowrank", 2, 8, 1.0)]
        for name in "abc"
    }
    joint = [
        {"a": Choice("shared", 1, 3, 4.0), "b": Choice("shared", 1, 1, 4.0)},
        {"a": Choice("shared", 2, 6, 0.5), "b": Choice("shared", 2, 2, 0.5)},
    ]
    for budget in range(8, 31):
        chosen = allocate(own, budget, joint)
        shared = {name for name, choice in chosen.items() if choice.format == "shared"}
        assert shared in (set(), {"a", "b"})
        assert sum(choice.size for choice in chosen.values()) <= budget
        pairs = [*itertools.product(own["a"], own["b"]), *(tuple(one.values()) for one in joint)]
        best = min(
            sum(one.loss for one in (*pair, other))
            for pair in pairs
            for other in own["c"]
            if sum(one.size for one in (*pair, other)) <= budget
        )
        assert sum(choice.loss for choice in chosen.values()) <= best + 4  # a step that did not fit
    assert sum(choice.loss for choice in allocate(own, 16, joint).values()) == 2
    with pytest.raises(UsageError, match="below the smallest possible size"):
        allocate(own, 7, joint)


@pytest.fixture
def compressed(llama):
    model, tokens = llama
    return compress(model, 0.4, data=tokens, formats="shared", seed=0), model.eval(), tokens


def groups_of(small):
    """The shared factors, with the names of the layers that have them."""
    found = {}
    for name, module in small.named_modules():
        if isinstance(module, SharedLowRank):
            found.setdefault(id(module.right), []).append(name.rpartition(".")[2])
    return list(found.values())


def test_query_key_and_value_share_and_so_do_gate_and_up(compressed):
    small, model, _ = compressed
    groups = groups_of(small)
    assert groups
    assert all(one in (["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"]) for one in groups)
    dense = sum(parameter.numel() for parameter in model.parameters())
    left = sum(parameter.numel() for parameter in small.parameters())
    assert dense - left == round((1 - small.report.value) * small.report.dense_params)
    assert 0.3 < small.report.value <= 0.4
    assert {choice.format for choice in small.report.layers.values()} <= {"dense", "lowrank", "shared"}


def test_they_come_back_tied(compressed, tmp_path):
    small, _, tokens = compressed
    again = load(save(small, tmp_path))
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert groups_of(again) == groups_of(small)
    stored = sum(tensor.numel() for tensor in load_file(tmp_path / "model.safetensors").values())
    assert stored == sum(parameter.numel() for parameter in again.parameters())
    assert groups_of(copy.deepcopy(again)) == groups_of(small)
    assert torch.allclose(to_dense(again)(tokens).logits, small(tokens).logits, atol=1e-4)


def test_they_heal_and_stay_tied(compressed):
    small, model, tokens = compressed
    groups = groups_of(small)
    healed = heal(small, model, data=tokens, steps=40, learning_rate=5e-3, seed=0)
    assert healed.value < healed.losses[:3].mean()
    assert groups_of(small) == groups


def test_a_killed_run_continues_with_the_same_factors(llama, tmp_path):
    model, tokens = llama
    whole = compress(model, 0.4, data=tokens, formats="shared", seed=0, checkpoint=tmp_path / "whole")
    parts = sorted((tmp_path / "whole").glob("fitted-*"))
    for part in parts[1::2]:
        part.unlink()
    again = compress(model, 0.4, data=tokens, formats="shared", seed=0, checkpoint=tmp_path / "whole")
    assert groups_of(again) == groups_of(whole)
    assert torch.equal(again(tokens).logits, whole(tokens).logits)


def test_layers_that_share_nothing_are_of_low_rank(chain):
    data = torch.randn(32, 12)
    small = compress(chain, 0.6, data=data, formats="shared", seed=0)
    assert {type(module) for module in small} >= {LowRank}
    assert not groups_of(small)


@pytest.mark.parametrize("method", ["gptq", "round"])
def test_in_few_bits_the_shared_factor_is_packed_once_and_stays_tied(compressed, method, tmp_path):
    """All other factors are packed too, also those of layers whose right factor was packed before."""
    small, _, tokens = compressed
    names = [name for name, module in small.named_modules() if isinstance(module, SharedLowRank)]
    rounded = quantize(small, "int8", data=tokens, method=method)
    assert set(names) <= rounded.report.layers.keys()
    for one in (rounded, copy.deepcopy(rounded), load(save(rounded, tmp_path))):
        packed = dict(packed_parameters(one))
        assert {f"{name}.{own}" for name in names for own in ("left", "right")} <= packed.keys()
        assert len({packed[f"{name}.right"] for name in names}) == len(groups_of(small))
        assert count_numbers(one) == sum(parameter.numel() for parameter in small.parameters())
        assert torch.equal(one(tokens).logits, rounded(tokens).logits)
    assert rounded.report.value == (tmp_path / "model.safetensors").stat().st_size
    assert torch.allclose(rounded(tokens).logits, small(tokens).logits, atol=0.5)
    assert groups_of(dequantize(rounded)) == groups_of(small)


def test_what_layers_share_is_stored_as_the_first_of_them(compressed):
    small, _, _ = compressed
    names = [name for name, module in small.named_modules() if isinstance(module, SharedLowRank)]
    rounded = quantize(small, {names[0]: "int8", names[1]: "int4"}, method="round")
    widths = {name: packed.layout.bits for name, packed in packed_parameters(rounded)}
    assert widths[f"{names[0]}.right"] == widths[f"{names[1]}.right"] == widths[f"{names[0]}.left"] == 8
    assert widths[f"{names[1]}.left"] == 4
