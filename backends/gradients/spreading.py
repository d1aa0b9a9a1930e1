"""Rows of a batch on an executor: values and first derivatives, put together in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import torch

Work = Callable[..., torch.Tensor]  # (N, P) → (N, K), which torch can differentiate; other processes load it

_CHUNKS = 16  # an executor does not say how many workers it has


def spread(work: Work, rows: torch.Tensor, executor: Executor) -> torch.Tensor:
    """Evaluate a function of rows in chunks; the order of the rows is kept.

    Args:
        work: The function.
        rows: Float64 tensor (N, P) with N of at least 1. If it requires a gradient, the result has first
            derivatives, for which the chunks are evaluated once more.
        executor: Where the chunks are evaluated.
    """
    result: torch.Tensor = _Spread.apply(rows, work, executor)
    return result


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, work: Work, executor: Executor) -> torch.Tensor:
        ctx.save_for_backward(rows)
        ctx.work, ctx.executor = work, executor
        return _gathered(executor, _values, work, rows.detach().numpy())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        slopes = _gathered(ctx.executor, _slopes, ctx.work, rows.detach().numpy(), upstream.numpy())
        return slopes, None, None


def _gathered(
    executor: Executor, function: Callable[..., np.ndarray], work: Work, *arrays: np.ndarray
) -> torch.Tensor:
    """A function of the rows of some arrays, in chunks."""
    count = min(_CHUNKS, len(arrays[0]))
    chunks = zip(*(np.array_split(array, count) for array in arrays), strict=True)
    futures = [executor.submit(function, work, *chunk) for chunk in chunks]
    try:
        return torch.from_numpy(np.concatenate([future.result() for future in futures]))
    finally:
        for future in futures:  # if one has failed
            future.cancel()


def _values(work: Work, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return work(torch.from_numpy(rows)).numpy()


def _slopes(work: Work, rows: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    angles = torch.from_numpy(rows).requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(work(angles), angles, torch.from_numpy(upstream))
    return slopes.numpy()
