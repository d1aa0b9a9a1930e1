"""Layers in factors from the start: their size, their variance, and the same calls as for compressed ones."""

import copy

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import (
    CP,
    FactorizedConv2d,
    FactorizedLinear,
    LowRank,
    Separable,
    Tucker2,
    heal,
    load,
    parameter_groups,
    save,
    to_dense,
)

KINDS = {"separable": Separable, "tucker2": Tucker2, "cp": CP}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("format", KINDS)
def test_the_output_has_the_variance_of_a_dense_layer(format, groups):
    torch.manual_seed(0)
    options = {"stride": 2, "padding": "valid", "groups": groups, "padding_mode": "reflect"}
    layer = FactorizedConv2d(32, 48, (3, 5), **options, bias=False, format=format, budget=0.4)
    dense = nn.Conv2d(32, 48, (3, 5), **options, bias=False)
    assert type(layer) is KINDS[format]
    x = torch.randn(8, 32, 20, 20)
    assert layer(x).shape == dense(x).shape
    assert float(layer(x).var().detach()) == pytest.approx(float(dense(x).var().detach()), rel=0.1)
    out = layer(x)
    out.square().mean().backward()
    assert all(factor.grad.norm() > 0 for factor in layer.factors)


@pytest.mark.parametrize("format", KINDS)
@pytest.mark.parametrize("budget", [0.1, 0.5, 0.9])
def test_the_budget_is_used_up_to_one_rank(format, budget):
    layer = FactorizedConv2d(16, 24, 3, format=format, budget=budget)
    more = FactorizedConv2d(16, 24, 3, format=format, rank=layer.rank + 1)
    sizes = [sum(factor.numel() for factor in one.factors) for one in (layer, more)]
    assert sizes[0] <= budget * 16 * 24 * 9 < sizes[1]


def test_linear_layers():
    torch.manual_seed(0)
    layer, dense = FactorizedLinear(256, 128, budget=0.5), nn.Linear(256, 128)
    assert type(layer) is LowRank
    assert layer.rank == 256 * 128 // 2 // (256 + 128)
    x = torch.randn(500, 256)
    assert float(layer(x).var().detach()) == pytest.approx(float(dense(x).var().detach()), rel=0.1)
    assert FactorizedLinear(8, 8, bias=False, rank=2).bias is None


def test_they_are_saved_healed_and_multiplied_out(tmp_path):
    torch.manual_seed(0)

    def network():
        return nn.Sequential(
            FactorizedConv2d(3, 8, 3, padding=1, rank=4),
            nn.ReLU(),
            nn.Flatten(),
            FactorizedLinear(8 * 16, 5, rank=3),
        )

    model, x = network(), torch.randn(16, 3, 4, 4)
    for other in (network(), to_dense(model)):
        assert torch.equal(load(save(model, tmp_path), model=other)(x), model(x))
    assert type(to_dense(model)[0]) is nn.Conv2d
    assert torch.allclose(to_dense(model)(x), model(x), atol=1e-5)
    student = copy.deepcopy(model)
    with torch.no_grad():
        student[3].left.mul_(0.5)
    losses = heal(student, model, data=x, steps=40, learning_rate=1e-2, seed=0).losses
    assert losses[-1] < 0.5 * losses[0]


def test_steps_change_the_output_as_those_of_a_dense_layer_do():
    """The largest change of one step of Adam, at three widths: it neither vanishes nor grows."""
    changes = []
    for width in (32, 128):
        torch.manual_seed(0)
        layer, x = FactorizedLinear(width, width, rank=width // 4), torch.randn(256, width)
        before = layer(x).detach()
        optimizer = torch.optim.Adam(parameter_groups(layer, 0.1 / width))
        (layer(x) * torch.randn(256, width).sign()).mean().backward()
        optimizer.step()
        changes.append(float((layer(x) - before).square().mean().sqrt().detach()))
    assert changes[1] == pytest.approx(changes[0], rel=0.5)


def test_learning_rates_follow_the_input_channels():
    model = nn.Sequential(FactorizedConv2d(4, 6, 3, rank=2), nn.BatchNorm2d(6))
    groups = parameter_groups(model, 1e-3)
    assert [group["lr"] for group in groups] == pytest.approx([1e-3, 1e-3, 2e-3])
    several = parameter_groups(FactorizedConv2d(8, 6, 3, rank=2, groups=2, format="cp", bias=False), 1e-3)
    assert [group["lr"] for group in several[1:]] == pytest.approx([1e-3, 1e-3, 1e-3, 2e-3])
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in [model[0].bias, *model[1].parameters()]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rank": 999}, r"rank=999 takes .* numbers, and the dense layer has 2,304; give at most 24"),
        ({}, "rank=None and budget=None: give one of them, and not both"),
        ({"rank": 2, "budget": 0.5}, "give one of them, and not both"),
        ({"rank": 0}, "rank"),
        ({"budget": 1.5}, "budget"),
        ({"budget": 0.01}, "budget=0.01 is too small: factors of rank 1 keep 0.0417"),
        ({"format": "lowrank", "rank": 2}, "unknown format 'lowrank'"),
    ],
)
def test_wrong_requests(more, message):
    with pytest.raises(UsageError, match=message):
        FactorizedConv2d(16, 16, 3, **more)
