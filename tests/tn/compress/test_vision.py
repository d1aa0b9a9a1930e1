"""Convolutional networks are compressed, saved and healed by the same calls as language models."""

import copy

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import Separable, compress, heal, load, save
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.layers import find_layers, replace


class Residual(nn.Module):
    """A basic block, as residual networks have."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding="same", groups=2)
        self.around = nn.Conv2d(before, after, 1, stride=stride)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x):
        return (self.norm(self.second(self.first(x).relu())) + self.around(x)).relu()


@pytest.fixture
def resnet():
    """A residual network for images of shape (N, 3, 8, 8), with statistics in its normalization."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
        Residual(12, 16, 2),
        Residual(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
        model(torch.randn(64, 3, 8, 8))
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def distance(model, dense, data):
    with torch.no_grad():
        return float(divergence(answer(model, data), answer(dense, data)))


def truncated(model, budget):
    """Every kernel by its own singular value decomposition, at the same fraction."""
    small = copy.deepcopy(model)
    for name, layer in find_layers(small, kinds={"convolution"}).items():
        ranks = Separable.fits(layer, layer.weight, Metric()).ranks
        rank = max(r for r in ranks if r == 1 or Separable.num_params(layer, r) <= budget * layer.num_params)
        replace(small, name, Separable.fits(layer, layer.weight, Metric()).build(rank))
    return small.eval()


@pytest.mark.parametrize("formats", ["separable", "tucker2", ("lowrank", "separable")])
def test_a_residual_network(resnet, images, tmp_path, formats):
    small = compress(resnet, 0.5, data=images, formats=formats, seed=0)
    report = small.report
    left = sum(
        sum(p.numel() for p in m.factors)
        if hasattr(m, "factors")
        else sum(p.numel() for p in (m.left, m.right))
        for m in small.modules()
        if is_factored(m)
    ) + sum(choice.size for choice in report.layers.values() if choice.format == "dense")
    assert left == round(report.value * report.dense_params)
    assert 0.4 < report.value <= 0.5
    assert len(report.layers) == (8 if "lowrank" in formats else 7)
    if formats == "separable":
        assert distance(small, resnet, images) < 0.8 * distance(truncated(resnet, 0.5), resnet, images)
    again = load(save(small, tmp_path), model=copy.deepcopy(resnet))
    assert torch.equal(again(images), small(images))
    with pytest.raises(UsageError, match="does not fit the model"):
        load(tmp_path, model=nn.Sequential(nn.Conv2d(3, 12, 3)))


def test_healing(resnet, images):
    small = compress(resnet, 0.3, data=images, seed=0)
    healed = copy.deepcopy(small)
    heal(healed, resnet, data=images, steps=60, batch=16, learning_rate=3e-3, seed=0)
    assert distance(healed, resnet, images) < 0.7 * distance(small, resnet, images)
    assert torch.equal(healed[2].norm.running_mean, resnet[2].norm.running_mean)


def test_other_axes():
    torch.manual_seed(0)
    for module, shape in ((nn.Conv1d(6, 8, 5), (24, 6, 20)), (nn.Conv3d(4, 6, 3), (24, 4, 5, 5, 5))):
        model, data = nn.Sequential(module, nn.Flatten()), torch.randn(shape)
        small = compress(model, 0.6, data=data, seed=0)
        assert 0.3 < small.report.value <= 0.6  # one layer, so that a rank is a large step
        assert distance(small, model, data) < 0.5 * (model(data).square().sum(1).mean() / 2).item()
