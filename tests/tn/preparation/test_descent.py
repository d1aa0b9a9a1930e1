"""L-BFGS against scipy's, and its inverse Hessian against the recursion that defines it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der

from bondwise.tn.preparation.descent import _Memory, descend


def counted(function, slope):
    """A loss that keeps its lowest value and counts calls."""
    seen = {"best": np.inf, "calls": 0}

    def loss(x):
        value = function(x)
        seen["best"], seen["calls"] = min(seen["best"], value), seen["calls"] + 1
        return value, slope(x)

    return loss, seen


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 30), pairs=st.integers(1, 100), seed=st.integers(0, 2**16))
def test_the_compact_inverse_hessian_is_that_of_the_updates(size, pairs, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    hessian = root @ root.T + np.eye(size)
    memory = _Memory(size)
    steps = rng.normal(size=(pairs, size))
    for step in steps:
        memory.add(step, hessian @ step)
    kept = [(step, hessian @ step) for step in steps[-20:]]
    step, turn = kept[-1]
    inverse = np.eye(size) * (step @ turn) / (turn @ turn)
    for step, turn in kept:
        part = np.eye(size) - np.outer(step, turn) / (step @ turn)
        inverse = part @ inverse @ part.T + np.outer(step, step) / (step @ turn)
    vector = rng.normal(size=size)
    np.testing.assert_allclose(memory.times(vector), inverse @ vector, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [2, 30, 100])
def test_as_few_evaluations_as_scipy(size):
    start = np.random.default_rng(size).normal(size=size)
    loss, seen = counted(rosen, rosen_der)
    descend(loss, start, iterations=2000, change=0, slope=1e-8, after=lambda: False)
    options = {"maxcor": 20, "ftol": 0, "gtol": 1e-8, "maxiter": 2000, "maxfun": 4000}
    peer = minimize(rosen, start, jac=rosen_der, method="L-BFGS-B", options=options)
    assert seen["best"] == pytest.approx(peer.fun, abs=1e-12)
    assert seen["calls"] <= 1.3 * peer.nfev


def test_functions_with_kinks_steps_and_flat_parts_end():
    for function, slope in (
        (lambda x: np.abs(x).sum(), np.sign),
        (lambda x: float(np.floor(x).sum()), np.ones_like),
        (lambda x: 3.0, np.zeros_like),
        (lambda x: -x.sum(), lambda x: -np.ones_like(x)),  # unbounded
        (lambda x: 1e4 if x[0] < 0.5 else float(x @ x), lambda x: 0 * x if x[0] < 0.5 else 2 * x),
    ):
        loss, seen = counted(function, slope)
        start = np.array([1.3, 0.7])
        descend(loss, start, iterations=50, change=1e-9, slope=1e-12, after=lambda: False)
        assert seen["best"] <= function(start)
        assert seen["calls"] <= 140


def test_steps_are_limited_and_can_be_stopped():
    taken = []
    loss, _ = counted(rosen, rosen_der)
    for iterations, stop in ((5, 100), (100, 3)):
        taken.clear()

        def after(stop=stop):
            taken.append(1)
            return len(taken) == stop

        descend(loss, np.zeros(10), iterations=iterations, change=0, slope=0, after=after)
        assert len(taken) == min(iterations, stop)
