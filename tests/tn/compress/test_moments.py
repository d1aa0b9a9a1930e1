"""Covariances against formulas and against a pass by hand; the model stays as it was."""

import math

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.batches import answer, batches_of, divergence
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import leaders_of
from bondwise.tn.compress.calibration.moments import frozen, measure_moments
from bondwise.tn.compress.layers import find_layers


def measured(model, data, seed=0, size=8):
    generator = torch.Generator().manual_seed(seed)
    layers, batches = find_layers(model), batches_of(data, size)
    return measure_moments(model, layers, leaders_of(model, layers, batches[0]), batches, generator)


def test_curvature_of_a_softmax_and_of_values():
    torch.manual_seed(0)
    x = torch.randn(20_000, 3)
    classes = nn.Sequential(nn.Linear(3, 4))
    metric = measured(classes, x, size=20_000).metrics["0"]
    assert torch.allclose(metric.inputs, (x.T @ x / len(x)).double(), atol=1e-4)
    p = classes(x).softmax(-1).detach()
    fisher = torch.diag(p.mean(0)) - p.T @ p / len(p)
    assert torch.allclose(metric.gradients, fisher.double(), atol=0.01)

    values = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(-1, (2, 2)))  # rows are no logits then
    metric = measured(values, x, size=20_000).metrics["0"]
    assert torch.allclose(metric.gradients, torch.eye(4).double(), atol=0.05)


def test_data_beyond_what_the_largest_covariance_needs_are_left_out():
    model, batches = nn.Sequential(nn.Linear(3, 5)), iter(torch.randn(9, 100, 3))
    moments = measure_moments(model, find_layers(model), {}, batches, torch.Generator())
    assert len(list(batches)) == 5  # 64 rows for each of 5 outputs are in four batches
    assert moments.metrics["0"].inputs.shape == (3, 3)


def test_layers_with_the_same_input_have_a_leader(llama):
    model, tokens = llama
    leaders = measured(model, tokens).leaders
    at = "model.layers.1.self_attn.{}_proj".format
    assert leaders[at("q")] == leaders[at("k")] == leaders[at("v")] == at("q")
    assert leaders[at("o")] == at("o")
    at = "model.layers.1.mlp.{}_proj".format
    assert leaders[at("up")] == leaders[at("gate")] != leaders[at("down")]


def test_the_model_stays_as_it_was(llama):
    model, tokens = llama
    model.train()
    frozen = model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    with torch.no_grad():
        measured(model, tokens)
    assert model.training
    assert not frozen.requires_grad
    assert model.model.layers[1].mlp.up_proj.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_padding_says_nothing(llama):
    model, tokens = llama
    mask = torch.ones_like(tokens)
    mask[:, 6:] = 0
    scrambled = tokens.clone()
    scrambled[:, 6:] = 1
    answers = [
        answer(model, {"input_ids": ids, "attention_mask": mask, "labels": ids})
        for ids in (tokens, scrambled)
    ]
    assert answers[0].rows.shape == (len(tokens) * 6, 24)
    assert float(divergence(*answers).detach()) == pytest.approx(0, abs=1e-6)


def test_divergence_is_the_kullback_leibler_divergence(llama):
    model, tokens = llama
    one, other = (answer(model, part) for part in tokens.split(len(tokens) // 2))
    p, q = (torch.distributions.Categorical(logits=rows.rows) for rows in (other, one))
    assert divergence(one, other).item() == pytest.approx(
        torch.distributions.kl_divergence(p, q).mean().item(), rel=1e-4
    )


def test_skipped_blocks_change_nothing(llama):
    model, tokens = llama
    model.eval()
    names = find_layers(model)
    blocks = Blocks(model, names, [tokens])
    assert len(blocks.blocks) == 2
    with torch.no_grad():
        whole = blocks.run(0).rows
        down = names["model.layers.1.mlp.down_proj"].module
        (seen,) = blocks.inputs(down, 0)
        blocks.advance(blocks.of("model.layers.1.mlp.down_proj"))
        assert torch.equal(blocks.run(0).rows, whole)
        assert torch.equal(blocks.inputs(down, 0)[0], seen)
    assert "forward" not in vars(model.model.layers[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(0, 4), "data is empty"),
        ([], "data is empty"),
        (torch.zeros(3), r"data is a tensor of shape \(3,\)"),
        ("text.txt", "data is a str"),
        (["text"], "data holds a str"),
        (7, "data is a int"),
        ({}, "data holds a NoneType"),
        ({"input_ids": [[1, 2]]}, "data holds a list"),
        ({"input_ids": torch.zeros(0, 4)}, "data is empty"),
    ],
)
def test_other_data_is_refused(data, message):
    with pytest.raises(UsageError, match=message) as error:
        batches_of(data, 8)
    assert "token ids (sequences, length)" in str(error.value)


def test_numbers_that_overflow_are_refused(llama):
    model, tokens = llama
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(1e38)
    with pytest.raises(UsageError, match="not finite; load the model in float32"):
        measured(model, tokens)


def test_what_watched_modules_were_given_is_known_without_another_pass(llama):
    model, tokens = llama
    names = dict.fromkeys(name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    down, output = model.model.layers[1].mlp.down_proj, model.model.layers[1].self_attn.o_proj
    with frozen(model):
        wanted = [Blocks(model, names, [tokens]).inputs(module, 0) for module in (down, output)]
        blocks = Blocks(model, names, [tokens])
        blocks.advance(2, dict.fromkeys([down, output], math.inf))
        calls = []
        handle = model.register_forward_pre_hook(lambda *seen: calls.append(1))
        found = [blocks.inputs(module, 0) for module in (down, output)]
        handle.remove()
    assert calls == []
    for (one,), (other,) in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def test_no_more_is_remembered_than_is_needed(llama):
    model, tokens = llama
    batches = tokens.split(4)
    names = dict.fromkeys(name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    down = model.model.layers[0].mlp.down_proj
    with frozen(model):
        blocks = Blocks(model, names, batches)
        blocks.advance(1, {down: 2.5 * batches[0].numel() * down.in_features})
    assert [index for _, index in blocks._given] == [0, 1, 2]
