"""Shares of a budget, against all combinations."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwise.runs import UsageError
from bondwise.tn.compress.allocation import Choice, allocate

points = st.lists(st.tuples(st.integers(1, 30), st.floats(0, 10)), min_size=1, max_size=5)
models = st.lists(points, min_size=1, max_size=4).map(
    lambda layers: {
        f"layer{i}": [Choice("lowrank", rank, size, loss) for rank, (size, loss) in enumerate(layer)]
        for i, layer in enumerate(layers)
    }
)


def total(choices, field):
    return sum(getattr(choice, field) for choice in choices)


def between(options, fraction):
    """A budget between those of all smallest and of all largest choices."""
    least = sum(min(choice.size for choice in choices) for choices in options.values())
    most = sum(max(choice.size for choice in choices) for choices in options.values())
    return least + fraction * (most - least)


@given(models, st.floats(0, 1))
def test_no_combination_with_one_step_less_room_is_better(options, fraction):
    budget = between(options, fraction)
    chosen = allocate(options, budget)
    assert chosen.keys() == options.keys()
    assert all(chosen[name] in options[name] for name in options)
    assert total(chosen.values(), "size") <= budget
    step = max(max(c.size for c in choices) - min(c.size for c in choices) for choices in options.values())
    for combination in itertools.product(*options.values()):
        if total(combination, "size") <= budget - step:
            assert total(chosen.values(), "loss") <= total(combination, "loss") + 1e-9


@given(models, st.floats(0, 1))
def test_nothing_better_fits_into_what_is_left(options, fraction):
    budget = between(options, fraction)
    chosen = allocate(options, budget)
    room = budget - total(chosen.values(), "size")
    for name, choices in options.items():
        for one in choices:
            assert one.loss >= chosen[name].loss or one.size - chosen[name].size > room


def test_ranks_above_the_hull_are_taken():
    """With one layer, the hull may have two points only."""
    choices = [
        Choice("lowrank", rank, rank, loss) for rank, loss in ((1, 10.0), (2, 9.9), (3, 9.8), (9, 0.0))
    ]
    assert allocate({"a": choices}, 8)["a"].rank == 3
    assert allocate({"a": choices}, 9)["a"].rank == 9


@given(models)
def test_without_a_limit_nothing_is_lost(options):
    chosen = allocate(options, float("inf"))
    assert total(chosen.values(), "loss") == sum(min(c.loss for c in choices) for choices in options.values())


def test_a_budget_below_the_smallest_sizes_is_refused():
    with pytest.raises(UsageError, match=r"budget of 5 is below the smallest possible size, 7"):
        allocate({"a": [Choice("lowrank", 1, 7, 1.0)]}, 5)
