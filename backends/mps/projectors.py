"""Projectors that truncate the bonds of a matrix product state, and what their derivative leaves in place.

Let L and R be the halves of a state at a bond of dimension D, as matrices with D columns and with D rows,
reduced to triangles by QR. With the singular values of their product, L R = U S V†, the projector X Y with
X = R V S^(-1/2) and Y = S^(-1/2) U† L, kept to the largest of them, gives the best approximation of the
state, L X Y R (as in Corboz, Rice and Troyer, arXiv:1402.2859).

A fixed projector would lose a part of the derivative. To first order, the approximation of L R + dψ is
L X Y R + P dψ + dψ P' - P dψ P', where P and P' project on the halves that are kept, but a fixed X Y gives
dL R P' + P L dR alone. What is missing is put into the projectors. With Q = 1 - X Y they are

    Y + S⁻¹ X† L† dL Q    and    X + Q dR R† Y† S⁻¹.

Beyond that, the singular vectors themselves turn, in proportion to the singular values that are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_CUTOFF = 1e-12  # singular values below this fraction of the largest are dropped
_REACHED = 1e-9  # and halves of directions without weight that are shorter than this, to their root

Tensors = Sequence[torch.Tensor]


def projectors(
    state: Tensors, max_bond: int, *, tangent: bool
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """For each bond above `max_bond`, X (D, kept) and Y (kept, D) to put between its tensors.

    Args:
        state: Site tensors (left, 2, right).
        max_bond: Largest bond that is kept.
        tangent: Whether their derivatives are those of the approximation, to first order.
    """
    fixed = [tensor.detach() for tensor in state]
    lefts = _triangles(fixed)
    rights = _triangles(_mirrored(fixed))[::-1]
    large = [bond for bond in range(len(state) - 1) if state[bond].shape[2] > max_bond]
    grams = _overlaps(fixed, state) if tangent else []
    mirrored_grams = _overlaps(_mirrored(fixed), _mirrored(state))[::-1] if tangent else []
    found = {}
    for bond in large:
        left, right = lefts[bond], rights[bond + 1]
        u, s, v = torch.linalg.svd(left @ right.T, full_matrices=False)
        keep = min(max_bond, max(1, int((s > _CUTOFF * s[0]).sum())))
        s = s[:keep].to(u.dtype)
        down, up = right.T @ v[:keep].mH * s.rsqrt(), s.rsqrt()[:, None] * (u[:, :keep].mH @ left)
        if tangent:
            more_down, more_up = _unused(left, right, down, up, max_bond - keep)
            rest = _complement(torch.cat([down, more_down], dim=1), torch.cat([up, more_up]))
            turned, mirrored = grams[bond], mirrored_grams[bond + 1]
            slope_up = down.mH @ (turned - turned.detach()) @ rest / s[:, None]
            slope_down = rest @ (mirrored - mirrored.detach()).T @ up.mH / s
            down, up = torch.cat([down + slope_down, more_down], dim=1), torch.cat([up + slope_up, more_up])
        found[bond] = down, up
    return found


def overlap(bra: Tensors, ket: Tensors) -> torch.Tensor:
    """⟨bra|ket⟩."""
    return _overlaps(bra, ket)[-1][0, 0]


def _unused(
    left: torch.Tensor, right: torch.Tensor, down: torch.Tensor, up: torch.Tensor, room: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions of a bond without weight, as X and Y, while there is room for them.

    A gate at an angle where it entangles nothing has such directions, in which the state may yet change: one
    of its halves is zero there and the other is not.
    """
    least = _REACHED * torch.linalg.matrix_norm(left @ right.T).sqrt()
    found_down, found_up = down[:, :0], up[:0]
    for from_left in (True, False):
        room_now = room // 2 if from_left else room - found_down.shape[1]
        rest = _complement(torch.cat([down, found_down], dim=1), torch.cat([up, found_up]))
        reach = (left @ rest).mH if from_left else rest @ right.T
        vectors, lengths, _ = torch.linalg.svd(reach, full_matrices=False)
        basis = vectors[:, : min(room_now, int((lengths > least).sum()))]
        seen = basis.mH @ rest
        found_down = torch.cat([found_down, rest @ basis], dim=1)
        found_up = torch.cat([found_up, torch.linalg.solve(seen @ basis, seen)])
    return found_down, found_up


def _complement(down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return torch.eye(len(down), dtype=down.dtype) - down @ up


def _mirrored(state: Tensors) -> list[torch.Tensor]:
    return [tensor.permute(2, 1, 0) for tensor in reversed(state)]


def _triangles(state: Tensors) -> list[torch.Tensor]:
    """For each site, R (rank, right) such that all sites up to it are an isometry times R."""
    found, before = [], torch.ones(1, 1, dtype=state[0].dtype)
    for tensor in state:
        joint = torch.tensordot(before, tensor, 1)
        before = torch.linalg.qr(joint.reshape(-1, tensor.shape[2]), mode="r").R
        found.append(before)
    return found


def _overlaps(bra: Tensors, ket: Tensors) -> list[torch.Tensor]:
    """For each site, the overlaps (bond of bra, bond of ket) of the sites up to it."""
    found, block = [], torch.ones(1, 1, dtype=ket[0].dtype)
    for one, other in zip(bra, ket, strict=True):
        block = torch.tensordot(one.conj(), torch.tensordot(block, other, 1), ([0, 1], [0, 1]))
        found.append(block)
    return found
