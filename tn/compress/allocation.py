"""Which factors each layer gets, so that the loss of the model is least within a budget.

Every layer offers points (size, predicted loss). The losses of layers add up to second order, so that the
best points lie on the lower convex hull of each layer's, and the steps along all hulls are taken in the order
of what they save per number spent: the Lagrangian solution. What is left of the budget is filled up with
points above the hulls, which matter where layers are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

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


_Point = TypeVar("_Point", "Choice", "_Bundle")


class _Bundle(NamedTuple):
    """Choices for some layers."""

    size: float
    loss: float
    choices: Mapping[str, Choice]


def allocate(
    options: Mapping[str, Sequence[Choice]], budget: float, joint: Sequence[Mapping[str, Choice]] = ()
) -> dict[str, Choice]:
    """Choose one option per layer.

    Args:
        options: At least one per layer, in any order.
        budget: Largest sum of the sizes.
        joint: Choices for several layers that are to be made together or not at all. No layer is in two
            different groups of layers.

    Raises:
        UsageError: If the smallest options exceed the budget.
    """
    groups: dict[tuple[str, ...], list[_Bundle]] = {}
    for choices in joint:
        groups.setdefault(tuple(choices), []).append(_bundle(choices))
    grouped = {name for names in groups for name in names}
    groups |= {(name,): [] for name in options if name not in grouped}
    for names, bundles in groups.items():
        mine = {name: options[name] for name in names}
        # of one layer all points, as those above the hull may fill up what is left
        bundles += _apart(mine) if len(mine) > 1 else [_bundle({names[0]: one}) for one in mine[names[0]]]
    hulls = {names: _hull(bundles) for names, bundles in groups.items()}
    chosen = {names: hull[0] for names, hull in hulls.items()}
    room = budget - sum(bundle.size for bundle in chosen.values())
    if room < 0:
        smallest = budget - room
        raise UsageError(f"the budget of {budget:,.0f} is below the smallest possible size, {smallest:,.0f}")
    for names, before, after in _steps(hulls):
        # a step that no longer fits ends the walk along its hull, while smaller steps of others may fit
        if chosen[names] is before and after.size - before.size <= room:
            chosen[names] = after
            room -= after.size - before.size
    _fill_up(chosen, groups, room)
    found = {name: choice for bundle in chosen.values() for name, choice in bundle.choices.items()}
    return {name: found[name] for name in options}


def _fill_up(
    chosen: dict[tuple[str, ...], _Bundle], groups: Mapping[tuple[str, ...], Sequence[_Bundle]], room: float
) -> None:
    """Spend the room that is left, for those first who gain most by it, until nothing that fits is better."""

    def best(names: tuple[str, ...]) -> _Bundle:
        now = chosen[names]
        fitting = [one for one in groups[names] if one.size - now.size <= room and one.loss < now.loss]
        return min(fitting, key=lambda one: (one.loss, one.size), default=now)

    for names in sorted(groups, key=lambda names: best(names).loss - chosen[names].loss):
        after = best(names)
        room -= after.size - chosen[names].size
        chosen[names] = after


def _bundle(choices: Mapping[str, Choice]) -> _Bundle:
    found = choices.values()
    return _Bundle(sum(one.size for one in found), sum(one.loss for one in found), choices)


def _apart(options: Mapping[str, Sequence[Choice]]) -> list[_Bundle]:
    """The best bundles of choices that are made for each layer on its own."""
    hulls = {name: _hull(choices) for name, choices in options.items()}
    now = {name: hull[0] for name, hull in hulls.items()}
    found = [_bundle(now)]
    for name, before, after in _steps(hulls):
        if now[name] is before:
            now = {**now, name: after}
            found.append(_bundle(now))
    return found


def _steps(hulls: Mapping[Any, Sequence[_Point]]) -> list[tuple[Any, _Point, _Point]]:
    """Steps along all hulls, the one that saves most for its size first."""
    steps = [
        ((before.loss - after.loss) / (after.size - before.size), name, before, after)
        for name, hull in hulls.items()
        for before, after in zip(hull, hull[1:], strict=False)
    ]
    return [step[1:] for step in sorted(steps, key=lambda step: -step[0])]


def _hull(choices: Sequence[_Point]) -> list[_Point]:
    """Lower convex hull of the points, from the smallest to the one with the least loss."""
    hull: list[_Point] = []
    for choice in sorted(choices, key=lambda choice: (choice.size, choice.loss)):
        if hull and choice.loss >= hull[-1].loss:
            continue  # no smaller, and no better
        while len(hull) > 1 and _above(hull[-2], hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _above(left: _Point, middle: _Point, right: _Point) -> bool:
    """Whether the middle point is not below the line through the others."""
    return (middle.loss - left.loss) * (right.size - left.size) >= (right.loss - left.loss) * (
        middle.size - left.size
    )
