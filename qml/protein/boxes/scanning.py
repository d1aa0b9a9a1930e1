"""A batch of sequences read word by word: s[t+1] = M[token t] s[t], with a backward pass of its own.

On request, states are rescaled to norm 1 after every step and the logarithm of the norm is kept, because a
post-selected path of 300 residues has amplitudes of 1e-50. The gradient is nevertheless exact: for S = M…M s0
= exp(L) ŝ with gradients g of ŝ and l of L, the adjoint starts as g − (g·ŝ) ŝ + l ŝ, and every step back
multiplies by the transpose and divides by the scale of the step, so that all numbers are of order 1.

Autograd through a gather of matrices was the bottleneck of training. Here the backward pass is one reverse
sweep with an outer product per word; on the CPU both sweeps are compiled loops, elsewhere batched products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit

from bondwise.runs.progress import announce_compilation

announce_compilation()


def scan(
    matrices: torch.Tensor,
    tokens: torch.Tensor,
    start: torch.Tensor,
    *,
    rescale: bool,
    compiled: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply the matrices of a batch of sequences one by one, and keep all states.

    Args:
        matrices: Real (K, D, D), one matrix per token.
        tokens: Integers (B, T); −1 is padding and leaves the state unchanged.
        start: Initial states (B, D), of norm 1 if states are rescaled.
        rescale: Whether to divide every state by its Euclidean norm.
        compiled: Whether to run compiled loops instead of batched products; None does so on the CPU.

    Returns:
        States (B, T + 1, D), and the logarithms (B,) of the norm that the last state would have without
        rescaling, or zeros without `rescale`. Differentiable in `matrices` and `start`; with `rescale`, only
        the last state passes a gradient on.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import scan
        >>> shift = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> states, _ = scan(shift, torch.tensor([[0, 0, -1]]), torch.tensor([[1.0, 0.0]]), rescale=False)
        >>> states[0].tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    """
    compiled = matrices.device.type == "cpu" if compiled is None else compiled
    tokens = tokens.to(torch.int32).contiguous()
    return _Scan.apply(matrices.contiguous(), tokens, start.contiguous(), rescale, compiled)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        matrices: torch.Tensor,
        tokens: torch.Tensor,
        start: torch.Tensor,
        rescale: bool,
        compiled: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (batch, steps), size = tokens.shape, matrices.shape[-1]
        states = start.new_empty(batch, steps + 1, size)
        states[:, 0] = start
        scales = start.new_ones(batch, steps)
        if compiled:
            transposed = matrices.detach().transpose(1, 2).contiguous()
            _forward(
                transposed.numpy(), tokens.numpy(), states.detach().numpy(), scales.detach().numpy(), rescale
            )
        else:
            for step in range(steps):
                fresh = _applied(matrices, tokens[:, step], states[:, step])
                if rescale:
                    scales[:, step] = fresh.norm(dim=1)
                    fresh = fresh / scales[:, step, None]
                states[:, step + 1] = fresh
        ctx.save_for_backward(matrices, tokens, states, scales)
        ctx.rescale, ctx.compiled = rescale, compiled
        return states, scales.log().sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        matrices, tokens, states, scales = ctx.saved_tensors
        inner, of_log = (gradient.contiguous() for gradient in gradients)
        adjoint = inner[:, -1].clone()
        if ctx.rescale:
            last = states[:, -1]
            adjoint += (of_log - (adjoint * last).sum(1))[:, None] * last
            inner = torch.zeros_like(inner)
        slope = torch.zeros_like(matrices)
        if ctx.compiled:
            _backward(
                matrices.detach().numpy(),
                tokens.numpy(),
                states.detach().numpy(),
                scales.numpy(),
                inner.numpy(),
                adjoint.numpy(),
                slope.numpy(),
            )
        else:
            for step in range(tokens.shape[1] - 1, -1, -1):
                token = tokens[:, step].long()
                real = (token >= 0).to(states)[:, None] / scales[:, step, None]
                outer = (adjoint * real)[:, :, None] * states[:, step, None, :]
                slope.index_add_(0, token.clamp(min=0), outer)
                back = torch.einsum("bij,bi->bj", matrices[token.clamp(min=0)], adjoint) * real
                adjoint = torch.where(token[:, None] >= 0, back, adjoint) + inner[:, step]
        return slope, None, adjoint, None, None


def _applied(matrices: torch.Tensor, token: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    moved = torch.einsum("bij,bj->bi", matrices[token.clamp(min=0).long()], state)
    return torch.where(token[:, None] >= 0, moved, state)


@njit(cache=True, fastmath=True)
def _forward(transposed: Any, tokens: Any, states: Any, scales: Any, rescale: bool) -> None:
    batch, steps = tokens.shape
    size = states.shape[2]
    for b in range(batch):
        for t in range(steps):
            k = tokens[b, t]
            if k < 0:
                for i in range(size):
                    states[b, t + 1, i] = states[b, t, i]
                continue
            for i in range(size):
                states[b, t + 1, i] = 0
            for j in range(size):
                value = states[b, t, j]
                for i in range(size):
                    states[b, t + 1, i] += transposed[k, j, i] * value
            if rescale:
                norm = states[b, t, 0] * 0
                for i in range(size):
                    norm += states[b, t + 1, i] * states[b, t + 1, i]
                norm = np.sqrt(norm)
                scales[b, t] = norm
                inverse = 1 / norm
                for i in range(size):
                    states[b, t + 1, i] *= inverse


@njit(cache=True, fastmath=True)
def _backward(
    matrices: Any, tokens: Any, states: Any, scales: Any, inner: Any, adjoint: Any, slope: Any
) -> None:
    batch, steps = tokens.shape
    size = states.shape[2]
    fresh = np.empty(size, states.dtype)
    for b in range(batch):
        for t in range(steps - 1, -1, -1):
            k = tokens[b, t]
            if k >= 0:
                inverse = 1 / scales[b, t]
                for j in range(size):
                    fresh[j] = 0
                for i in range(size):
                    value = adjoint[b, i] * inverse
                    for j in range(size):
                        fresh[j] += matrices[k, i, j] * value
                        slope[k, i, j] += value * states[b, t, j]
                for j in range(size):
                    adjoint[b, j] = fresh[j]
            for j in range(size):
                adjoint[b, j] += inner[b, t, j]
