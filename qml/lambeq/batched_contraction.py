"""Contraction of many circuits at once, with one call for all equal leaves and for all equal steps.

Circuits of one structure always share their calls; circuits of different structures share the calls that are
equal at the same depth. Powers of 2, kept separately, protect results from underflow. They are a choice of
gauge, so gradients do not pass through them and are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from bondwise.qml.lambeq.contraction_leaves import Constant
from bondwise.qml.lambeq.contraction_plan import Plan


@dataclass(frozen=True)
class _Schedule:
    """Leaves by constant, and steps by level and equation, each with its members (group, value, …)."""

    leaves: list[tuple[Constant, list[tuple[int, int, tuple[int, ...]]]]]
    pieces: list[
        tuple[int, int]
    ]  # (class of leaves, parameter): first those with 2 numbers, then those with 3
    plain: int  # number of pieces with 2 numbers
    steps: list[tuple[str, tuple[bool, bool], bool, list[tuple[int, int, int, int, int]]]]


@lru_cache(maxsize=64)
def _schedule(plans: tuple[Plan, ...]) -> _Schedule:
    leaves: dict[Constant, list] = {}
    steps: dict[tuple, list] = {}
    for group, plan in enumerate(plans):
        for value, leaf in enumerate(plan.leaves):
            leaves.setdefault(leaf.constant, []).append((group, value, leaf.parameters))
        for value, step in enumerate(plan.steps, len(plan.leaves)):
            key = (step.level, step.equation, step.conjugate, step.rescale)
            steps.setdefault(key, []).append((group, step.left, step.right, value, step.copies))
    pieces = [(c, p) for c, constant in enumerate(leaves) for p in range(len(constant.sizes))]
    constants = list(leaves)
    pieces.sort(key=lambda piece: constants[piece[0]].sizes[piece[1]])
    plain = sum(constants[c].sizes[p] == 2 for c, p in pieces)
    ordered = sorted(steps.items(), key=lambda item: item[0][0])
    return _Schedule(list(leaves.items()), pieces, plain, [(*key[1:], members) for key, members in ordered])


def contract(
    plans: Sequence[Plan], parameters: Sequence[np.ndarray], weights: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Contract groups of circuits that share a plan.

    Args:
        plans: One plan per group.
        parameters: For every group, float64 (3, circuits, parameters): position in `weights`, scale and
            offset; the angle is scale · weight + offset turns.
        weights: Float32 or float64 (weights,).

    Returns:
        For every group, the result, complex (circuits, 2, …, 2), and exponents (circuits,): the result must
        be multiplied by 2 to this power.
    """
    schedule = _schedule(tuple(plans))
    rows = [array.shape[1] for array in parameters]
    values: list[dict[int, torch.Tensor]] = [{} for _ in plans]
    exponents = [torch.zeros(count, dtype=weights.dtype, device=weights.device) for count in rows]
    numbers = _numbers(schedule, parameters, weights)
    for c, (constant, members) in enumerate(schedule.leaves):
        counts = [rows[group] for group, _, _ in members]
        total = sum(counts)
        product = weights.new_ones(total, 1)
        for p in range(len(constant.sizes)):
            piece = numbers[c, p]
            product = (product[:, :, None] * piece[:, None, :]).flatten(1) if p else piece
        real = product @ constant.matrix(weights.dtype, weights.device)
        leaf = torch.view_as_complex(real.view(total, *constant.shape, 2))
        for (group, value, _), part in zip(members, _split(leaf, counts), strict=True):
            values[group][value] = part
    for equation, conjugate, rescale, steps in schedule.steps:
        counts = [rows[group] for group, *_ in steps]
        left = _joined([values[group][a] for group, a, *_ in steps])
        right = _joined([values[group][b] for group, _, b, *_ in steps])
        out = torch.einsum(
            equation, left.conj() if conjugate[0] else left, right.conj() if conjugate[1] else right
        )
        if rescale:
            out, shift = rescaled(out)
            for (group, *_, copies), part in zip(steps, shift.split(counts), strict=True):
                exponents[group] = exponents[group] + copies * part
        for (group, _, _, value, _), part in zip(steps, _split(out, counts), strict=True):
            values[group][value] = part
    return [
        (
            values[g][len(plan.leaves) + len(plan.steps) - 1].permute(0, *(1 + axis for axis in plan.axes)),
            exponents[g],
        )
        for g, plan in enumerate(plans)
    ]


def rescaled(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide every row of a complex tensor by the power of 2 next to its largest part.

    Returns:
        The tensor, and the real exponents (rows,).
    """
    with torch.no_grad():
        peak = torch.view_as_real(tensor.detach().resolve_conj()).abs().flatten(1).amax(1)
        exponent = torch.frexp(peak).exponent.clamp(-120, 120).to(peak.dtype)
        factor = torch.exp2(-exponent).view(-1, *(1,) * (tensor.ndim - 1))
    return tensor * factor, exponent


def _numbers(
    schedule: _Schedule, parameters: Sequence[np.ndarray], weights: torch.Tensor
) -> dict[tuple[int, int], torch.Tensor]:
    """Cos and sin, or 1, cos and sin, by class of leaves and parameter, (rows, 2 or 3)."""
    if not schedule.pieces:
        return {}
    columns = [
        [parameters[group][:, :, names[p]] for group, _, names in schedule.leaves[c][1]]
        for c, p in schedule.pieces
    ]
    lengths = [sum(column.shape[1] for column in piece) for piece in columns]
    flat = np.concatenate([column for piece in columns for column in piece], axis=1)
    index = torch.as_tensor(flat[0].astype(np.int64), device=weights.device)
    scale, offset = torch.as_tensor(flat[1:], dtype=weights.dtype, device=weights.device)
    angle = torch.pi * (weights.index_select(0, index) * scale + offset)
    plain = sum(lengths[: schedule.plain])
    cos, sin = angle.cos(), angle.sin()
    pieces = _split(torch.stack([cos[:plain], sin[:plain]], 1), lengths[: schedule.plain])
    if plain < len(angle):
        cos, sin = cos[plain:], sin[plain:]
        pieces += _split(torch.stack([torch.ones_like(cos), cos, sin], 1), lengths[schedule.plain :])
    return dict(zip(schedule.pieces, pieces, strict=True))


def _split(tensor: torch.Tensor, counts: list[int]) -> list[torch.Tensor]:
    return [tensor] if len(counts) == 1 else list(tensor.split(counts))


def _joined(tensors: list[torch.Tensor]) -> torch.Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
