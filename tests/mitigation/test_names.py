"""The names of the extrapolations stand for functions that work wherever an estimator is called."""

import numpy as np
import pytest
import torch

from bondwise import mitigation
from bondwise.mitigation import NoiseScan, Twins
from bondwise.mitigation.names import EXTRAPOLATIONS, NEED_TWINS, extrapolation_named
from bondwise.runs import UsageError


def scan(rng):
    at = np.array([1.0, 3.0, 5.0])
    ideal, twins = rng.uniform(-0.9, 0.9, 3), np.linspace(-0.9, 0.9, 8)
    known = Twins(twins[:, None] * np.exp(-0.1 * at), np.full((8, 3), 0.01), twins)
    value = ideal[:, None] * np.exp(-0.1 * at) + 0.01 * rng.normal(size=(3, 3))
    return NoiseScan(value=value, std=np.full((3, 3), 0.01), scale_factors=at, twins=known, spectrum=(-1, 1))


@pytest.mark.parametrize("name", EXTRAPOLATIONS)
def test_gradients_may_be_off(name):
    """As they are inside of torch's own functions, from which a mitigated estimator is called."""
    given = scan(np.random.default_rng(0))
    function = extrapolation_named(name)
    assert function is getattr(mitigation, f"extrapolate_{name}")
    usual = function(given)
    with torch.no_grad():
        again = function(given)
    np.testing.assert_array_equal(again.value, usual.value)
    np.testing.assert_array_equal(again.std, usual.std)
    assert np.isfinite(usual.value).all()


def test_other_names_are_refused():
    assert set(NEED_TWINS) <= set(EXTRAPOLATIONS)
    with pytest.raises(UsageError, match="Did you mean 'neural'"):
        extrapolation_named("neurall")
