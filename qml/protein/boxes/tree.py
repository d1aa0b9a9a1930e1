"""A batch of balanced binary trees, contracted level by level: parent_c = sum_ab M[c, a, b] left_a right_b.

Neighbors are paired from the left, and a node without a partner moves up unchanged, so a sentence of L words
has ⌈log₂ L⌉ levels. Sentences of different lengths share a batch, where padding is a missing partner. As in
`scan`, nodes can be rescaled, and the logarithm of the norm is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def contract_tree(
    leaves: torch.Tensor,
    lengths: torch.Tensor,
    merge: Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    rescale: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge leaves level by level down to the roots.

    Args:
        leaves: States (B, L, D), real or complex; those beyond the length of a sentence are ignored.
        lengths: Number of words of each sentence, integers (B,), at least 1.
        merge: Maps the level (0 for the leaves) and two tensors (B, W, D) to their parents (B, W, D).
        rescale: Whether to divide every parent by its Euclidean norm.

    Returns:
        Roots (B, D) and the logarithms (B,) of the product of all these norms.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import contract_tree
        >>> leaves = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> mean = lambda level, left, right: (left + right) / 2
        >>> contract_tree(leaves, torch.tensor([3]), mean, rescale=False)[0]  # ((1 + 2) / 2 + 3) / 2
        tensor([[2.2500]])
    """
    log = leaves.real.new_zeros(len(leaves))
    present = torch.arange(leaves.shape[1], device=leaves.device) < lengths[:, None]
    level = 0
    while leaves.shape[1] > 1:
        if leaves.shape[1] % 2:
            leaves = torch.cat([leaves, leaves[:, -1:]], dim=1)
            present = torch.nn.functional.pad(present, (0, 1))
        left, right, paired = leaves[:, 0::2], leaves[:, 1::2], present[:, 1::2]
        parents = merge(level, left, right)
        if rescale:
            # a missing partner may result in the zero vector, whose norm has no gradient
            parents = torch.where(paired[..., None], parents, left)
            norm = torch.linalg.vector_norm(parents, dim=-1)
            log = log + torch.where(paired, norm, torch.ones_like(norm)).log().sum(1)
            parents = parents / norm[..., None]
        leaves = torch.where(paired[..., None], parents, left)
        present = present[:, 0::2]
        level += 1
    return leaves[:, 0], log
