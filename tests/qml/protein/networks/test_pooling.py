"""Pooling of window values: known limits, windows that do not exist, the bias of sampled extremes."""

import numpy as np
import pytest
import torch

from bondwise.qml.protein import Ansatz
from bondwise.qml.protein.networks.pooling import TwoSidedPooling
from bondwise.qml.protein.networks.windows import WindowNetwork, measured


def pooled(values, present=None, variance=None, sharpness=12.0, stride=3):
    pooling = TwoSidedPooling(values.shape[-1], window=15, stride=stride)
    torch.nn.init.constant_(pooling.log_sharpness, np.log(sharpness))
    present = torch.ones(values.shape[:2], dtype=torch.bool) if present is None else present
    return pooling(values, present, variance)[0].detach()


def test_one_window_is_mean_extremes_and_ends():
    mean, high, low, first, last, count = pooled(torch.tensor([[[0.3, -0.7]]]))
    for found in (mean, high, low, first, last):
        torch.testing.assert_close(found, torch.tensor([0.3, -0.7]))
    torch.testing.assert_close(count, torch.log1p(torch.sigmoid(12 * torch.tensor([0.3, -0.7])) / 5))


def test_sharp_extremes_are_maximum_and_minimum():
    values = torch.rand(1, 40, 3) * 2 - 1
    _, high, low, *_ = pooled(values, sharpness=5000.0)
    torch.testing.assert_close(high, values.amax(1)[0], atol=2e-3, rtol=0)
    torch.testing.assert_close(low, values.amin(1)[0], atol=2e-3, rtol=0)


def test_ends_look_at_the_ends():
    values = torch.zeros(1, 100, 1)
    values[0, 0] = 1.0
    _, _, _, first, last, _ = pooled(values)
    decay = np.exp(-3 / 20)
    assert first.item() == pytest.approx((1 - decay) / (1 - decay**100), rel=1e-5)
    assert last.item() < 1e-5
    turned = pooled(values.flip(1))
    torch.testing.assert_close(turned[3], last)
    torch.testing.assert_close(turned[4], first)


def test_windows_that_are_not_there_do_not_matter():
    values = torch.rand(1, 30, 2)
    present = torch.arange(30)[None] < 20
    garbage = torch.where(present[..., None], values, torch.full_like(values, 7.0))
    torch.testing.assert_close(pooled(garbage, present), pooled(values[:, :20]))


@pytest.mark.parametrize("shots", [64, 256, 1024])
def test_the_bias_of_sampled_extremes_is_taken_off(shots):
    rng = np.random.default_rng(0)
    exact = rng.uniform(-0.8, 0.8, (1, 80, 2))
    exact[0, 3] = 0.9
    bias = {False: [], True: []}
    goal = pooled(torch.tensor(exact))
    for _ in range(300):
        sampled = 2 * rng.binomial(shots, (1 + exact) / 2) / shots - 1
        variance = torch.tensor((1 - sampled**2) / (shots - 1))
        for corrected in bias:
            found = pooled(torch.tensor(sampled), variance=variance if corrected else None)
            bias[corrected].append((found[1] - goal[1]).numpy())
    plain, corrected = (np.abs(np.mean(bias[key], axis=0)).max() for key in (False, True))
    assert corrected < 0.3 * plain
    assert corrected < 0.01


def test_windows_of_short_and_long_sentences():
    windows = WindowNetwork(20, qubits=2, window=15, stride=3, ansatz=Ansatz(), spread=0.1)
    tokens = torch.full((3, 40), -1)
    for row, length in enumerate((4, 15, 40)):
        tokens[row, :length] = torch.randint(20, (length,))
    values, present = windows(tokens)
    assert present.sum(1).tolist() == [1, 1, 9]
    assert values.shape == (3, 9, 3)
    assert (values[~present] == 0).all()
    alone, _ = windows(tokens[:1, :4])
    torch.testing.assert_close(alone[0, 0], values[0, 0])


def test_measured_values():
    outcomes = torch.eye(4)[[0, 1, 2, 3]]
    assert measured(outcomes).tolist() == [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
