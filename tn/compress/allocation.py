"""Which factors each layer gets, so that the loss of the model is least within a budget.

Every layer offers points (size, predicted loss). The losses of layers add up to second order, so that the
best points lie on the lower convex hull of each layer's, and the steps along all hulls are taken in the order
of what they save per number spent: the Lagrangian solution, filled up to the budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bondwise.runs import UsageError


class Choice(NamedTuple):
    """One way to store a layer; the format `dense`, of rank 0, leaves it as it is.

    Its numbers are of so many bits; 0 stands for those of the dense layer.
    """

    format: str
    rank: int
    size: float
    loss: float
    bits: int = 0


def allocate(options: Mapping[str, Sequence[Choice]], budget: float) -> dict[str, Choice]:
    """Choose one option per layer.

    Args:
        options: At least one per layer, in any order.
        budget: Largest sum of the sizes.

    Raises:
        UsageError: If the smallest options exceed the budget.
    """
    hulls = {name: _hull(choices) for name, choices in options.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    room = budget - sum(choice.size for choice in chosen.values())
    if room < 0:
        smallest = budget - room
        raise UsageError(f"the budget of {budget:,.0f} is below the smallest possible size, {smallest:,.0f}")
    steps = [
        ((before.loss - after.loss) / (after.size - before.size), name, before, after)
        for name, hull in hulls.items()
        for before, after in zip(hull, hull[1:], strict=False)
    ]
    for _, name, before, after in sorted(steps, key=lambda step: -step[0]):
        # a step that no longer fits ends the walk along its hull, while smaller steps of others may fit
        if chosen[name] == before and after.size - before.size <= room:
            chosen[name] = after
            room -= after.size - before.size
    return chosen


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """Lower convex hull of the points, from the smallest to the one with the least loss."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.size, choice.loss)):
        if hull and choice.loss >= hull[-1].loss:
            continue  # no smaller, and no better
        while len(hull) > 1 and _above(hull[-2], hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _above(left: Choice, middle: Choice, right: Choice) -> bool:
    """Whether the middle point is not below the line through the others."""
    return (middle.loss - left.loss) * (right.size - left.size) >= (right.loss - left.loss) * (
        middle.size - left.size
    )
