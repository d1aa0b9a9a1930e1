"""Optimizers without gradients, the natural gradient, and standard errors of losses."""

import numpy as np
import pytest
import torch

from bondwise.qml import minimize
from bondwise.runs import UsageError


def seeded():
    return torch.Generator().manual_seed(3)


def quadratic(x):
    return ((x - 3) ** 2 * torch.arange(1, x.numel() + 1).reshape(x.shape)).sum()


@pytest.mark.parametrize("optimizer", ["spsa", "cmaes"])
@pytest.mark.parametrize("batched", [False, True])
def test_without_gradients(optimizer, batched):
    """The loss is called with tensors that record nothing, all points of a step at once if it takes them."""
    calls = []

    def loss(x):
        assert not x.requires_grad
        assert not torch.is_grad_enabled()
        calls.append(x.shape)
        numbers = x.numpy()
        return ((numbers - 1) ** 2).sum(-1), 0.01 * np.abs(numbers).sum(-1)

    result = minimize(loss, np.zeros(3), optimizer=optimizer, generator=seeded(), steps=40, batched=batched)
    assert result.parameters == pytest.approx(np.ones(3), abs=0.25)
    assert np.isnan(result.gradient_norms).all()
    assert result.stds[0] == 0
    best = int(result.losses.argmin())
    assert result.std == result.stds[best] == pytest.approx(0.01 * np.abs(result.parameters).sum())
    each = 3 if optimizer == "spsa" else 1 + 4 + int(3 * np.log(3))
    more = 20 if optimizer == "spsa" else 0  # directions of the calibration
    assert calls == ([(each + more, 3)] + 40 * [(each, 3)] if batched else (41 * each + more) * [(3,)])
    unbatched = minimize(loss, np.zeros(3), optimizer=optimizer, generator=seeded(), steps=40)
    assert unbatched.losses.tobytes() == result.losses.tobytes()


@pytest.mark.parametrize("distance", [0.0, 1e-6, 1e-3])
def test_spsa_stays_near_a_minimum_where_it_starts(distance):
    """Slopes that nearly vanish do not make steps without bound."""
    start = np.full(20, distance)
    result = minimize(
        lambda x: 3 * (1 - torch.cos(x)).sum(), start, optimizer="spsa", generator=seeded(), steps=200
    )
    assert result.losses.max() <= result.losses[0] + 1e-9


def test_noise_is_no_improvement():
    """Losses that fall by less than their standard errors do not keep a training going."""
    falling = {"optimizer": "sgd", "learning_rate": 0.01, "steps": 100, "patience": 5, "tolerance": 0.0}
    assert minimize(lambda x: x.sum(), [1.0], **falling).losses.size == 101
    stopped = minimize(lambda x: (x.sum(), 0.1), [1.0], **falling)
    assert stopped.losses.size == 6
    assert "beyond the standard error of 0.14" in stopped.message


def test_the_metric_of_the_natural_gradient():
    """One step solves a quadratic whose curvature is the metric, and without one there is a hint."""
    curvature = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    solution = torch.tensor([0.3, -0.7], dtype=torch.float64)
    settings = {"optimizer": "qng", "learning_rate": 1.0, "steps": 1}
    result = minimize(
        lambda x: (x - solution) @ curvature @ (x - solution) / 2,
        [1.0, 1.0],
        metric=lambda x: curvature,
        **settings,
    )
    assert result.last == pytest.approx(solution.numpy(), abs=2e-3)  # the damping
    with pytest.raises(UsageError, match=r"'qng' needs the metric of a circuit; write bondwise.qml.VQE"):
        minimize(quadratic, [1.0], **settings)


def test_one_parameter_has_no_covariance():
    with pytest.raises(UsageError, match="'cmaes' needs two or more parameters; write optimizer='spsa'"):
        minimize(quadratic, [1.0], optimizer="cmaes")
