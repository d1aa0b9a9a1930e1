"""The generator of the wave benchmark: its order, its boundaries, and the step that is still stable."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks" / "compress" / "wave_equation.py"


@pytest.fixture(scope="module")
def wave():
    spec = importlib.util.spec_from_file_location("wave_equation", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_error_of_a_standing_wave_falls_with_the_square_of_the_grid(wave):
    assert wave.convergence_order(17) == pytest.approx(2, abs=0.05)
    assert wave.convergence_order(33) == pytest.approx(2, abs=0.03)


def pulse(size):
    line = torch.linspace(-1, 1, size, dtype=torch.float64)
    return torch.exp(-50 * (line[:, None] ** 2 + line**2))


def test_waves_leave_through_absorbing_boundaries_and_stay_between_reflecting_ones(wave):
    start, speed = pulse(65), torch.ones(65, 65, dtype=torch.float64)
    left, kept = (
        wave.propagate(start, start, speed, 0.7, 200, absorbing=absorbing)[1] for absorbing in (True, False)
    )
    assert left.square().sum() < 0.05 * kept.square().sum()
    assert not kept[0].any()


def test_the_largest_step_is_stable_and_larger_ones_are_refused(wave):
    start, speed = pulse(33), torch.ones(33, 33, dtype=torch.float64)
    _, now = wave.propagate(start, start, speed, wave.LARGEST_COURANT, 2000, absorbing=False)
    assert now.abs().max() < 3
    with pytest.raises(ValueError, match="more is not stable"):
        wave.propagate(start, start, speed, 0.72, 1, absorbing=False)


def test_samples_follow_from_what_is_known(wave):
    known, later = wave.samples(3, 2, 16, 5, seed=0)
    assert known.shape == (6, 3, 16, 16)
    _, found = wave.propagate(known[:, 0], known[:, 1], known[:, 2], 0.5, 5, absorbing=True)
    assert torch.allclose(found[:, None], later, atol=1e-5)
    assert (known[:, 2] <= 1).all()
    assert torch.equal(later, wave.samples(3, 2, 16, 5, seed=0)[1])
