"""A linear layer as a low-rank product plus a few stored entries (Saten, EMNLP 2025; arXiv:2603.01376).

What the product cannot follow, single large entries of the weight, is kept beside it. Product and entries
are fitted in turn: the best factors of the weight without the entries, as those of a low-rank layer are
found, then the entries of the residual that matter most, r_ij² c_jj g_ii with the diagonals of the
covariances, whose values conjugate gradients fit to the whole metric.

An option beside low ranks, to be tried where weights have outliers. At equal numbers it has not been shown to
beat a plain low rank on a language model, and entries are multiplied more slowly than factors are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.factored import Cost, Factored
from bondwise.tn.compress.formats.lowrank import LowRankFits
from bondwise.tn.compress.layers import Layer

_SHARE = 4  # numbers in the factors for one in the entries
# As measured: calls besides the two products, what an entry costs in any call, and a multiplication by it
_CALLS, _ENTRY, _SLOWER = 20.0, 100.0, 8.0
_ROUNDS, _STEPS = 4, 5  # of both in turn; of conjugate gradients
_FRACTIONS = (0.1, 0.3, 0.7)  # of the dense size, at which ranks are fitted
_LEAST = 1e-12  # of the losses, relative to the largest


class LowRankSparse(Factored):
    """y = (left right + S) x + bias, where S has few entries.

    There are rank · (out_features + in_features) / 8 entries, rounded down, at least one. Each counts as two
    numbers, its value and its place, a quarter of what the factors take. Places are no parameters: training
    moves values only.

    Args:
        left: Factor of shape (out_features, rank).
        right: Factor of shape (rank, in_features).
        values: Of the entries, shape (1, entries).
        index: Where they are in the flattened weight, int32 (entries,), ascending; kept as a buffer.
        bias: Shape (out_features,), or None.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import LowRankSparse
        >>> index = torch.tensor([6], dtype=torch.int32)
        >>> layer = LowRankSparse(torch.ones(3, 1), torch.ones(1, 4), torch.full((1, 1), 5.0), index)
        >>> layer.dense()
        tensor([[1., 1., 1., 1.],
                [1., 1., 6., 1.],
                [1., 1., 1., 1.]], grad_fn=<ViewBackward0>)
    """

    kind = "linear"
    left: nn.Parameter
    right: nn.Parameter
    values: nn.Parameter
    index: Tensor

    def __init__(
        self, left: Tensor, right: Tensor, values: Tensor, index: Tensor, bias: Tensor | None = None
    ) -> None:
        rows, columns, rank = len(left), right.shape[1], len(right)
        numbers, entries = rank * (rows + columns), len(index)
        cost = Cost(
            _CALLS,
            numbers + _ENTRY * entries,
            numbers + entries,
            numbers + _SLOWER * entries,
            rank * rows * columns,
        )
        super().__init__(bias, (rows, columns), cost, left=left, right=right, values=values)
        self.register_buffer("index", index)

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> LowRankSparse:
        """The layer with factors that are yet to be loaded, and zeros as entries all over the weight."""
        rows, columns = layer.shape
        entries = _entries(layer, rank)
        index = torch.arange(entries) * (rows * columns) // entries
        bias = None if layer.bias is None else torch.empty(rows)
        left, right = torch.empty(rows, rank), torch.empty(rank, columns)
        return cls(left, right, torch.zeros(1, entries), index.to(torch.int32), bias)

    @property
    def rank(self) -> int:
        """Number of rows of `right`."""
        return len(self.right)

    def multiply(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features) by its factors and entries."""
        left, right, index = self.left, self.right, self.index
        rows, columns = len(left), right.shape[1]
        starts = torch.arange(0, rows * columns, columns, dtype=index.dtype, device=index.device)
        sparse = embedding_bag(
            index % columns,
            x.reshape(-1, columns).T.contiguous(),
            torch.searchsorted(index, starts, out_int32=True),
            mode="sum",
            per_sample_weights=self.values[0].to(x.dtype),
        )
        out = linear(linear(x, right), left, self.bias)
        return out + sparse.T.reshape(out.shape).to(out.dtype)

    def dense(self) -> Tensor:
        """The weight, shape (out_features, in_features)."""
        product = self.left @ self.right
        values = self.values[0].to(product.dtype)
        return product.flatten().scatter_add(0, self.index.long(), values).view(product.shape)

    @staticmethod
    def num_params(layer: Layer, rank: int) -> int:
        """Numbers in the factors, and two for each entry, without the bias."""
        return rank * sum(layer.shape) + 2 * _entries(layer, rank)

    @staticmethod
    def flops(layer: Layer, rank: int) -> int:
        """Multiplications for one row of the input."""
        return rank * sum(layer.shape) + _entries(layer, rank)

    @staticmethod
    def fits(layer: Layer, weight: Tensor, metric: Metric) -> LowRankSparseFits:
        """Factors and entries that are found in turn."""
        return LowRankSparseFits(layer, weight, metric)


class LowRankSparseFits:
    """Factors and entries for one weight, fitted as soon as they are asked for.

    Attributes:
        ranks: All ranks from 1 that need fewer numbers than the weight.
    """

    def __init__(self, layer: Layer, weight: Tensor, metric: Metric) -> None:
        self._layer, self._weight, self._metric = layer, weight.double(), metric
        most = 1
        while LowRankSparse.num_params(layer, most + 1) < layer.num_params:
            most += 1
        self.ranks: Sequence[int] = range(1, most + 1)
        self._fitted: dict[int, tuple[Tensor, Tensor, Tensor, Tensor, list[float]]] = {}

    @cached_property
    def losses(self) -> Sequence[float]:
        """What the metric predicts for each rank, never rising.

        Exact where ranks are fitted; between them the loss of factors alone, with a ratio that is
        interpolated.
        """
        alone = np.array(LowRankFits(self._layer, self._weight, self._metric).losses[: len(self.ranks)])
        alone = alone.clip(max(_LEAST * alone[0], np.finfo(float).tiny))
        sizes = np.array([LowRankSparse.num_params(self._layer, rank) for rank in self.ranks])
        sizes = sizes / self._layer.num_params
        nearest = sorted({int(np.abs(sizes - fraction).argmin()) for fraction in _FRACTIONS})
        fitted = np.array([self.fit(self.ranks[place])[-1][-1] for place in nearest])
        found = alone * np.interp(sizes, sizes[nearest], fitted / alone[nearest])
        losses: list[float] = np.minimum.accumulate(found).tolist()
        return losses

    def build(self, rank: int) -> LowRankSparse:
        """The layer of some rank."""
        left, right, values, index, _ = self.fit(rank)
        dtype, bias = self._layer.weight.dtype, self._layer.bias
        bias = None if bias is None else bias.detach().clone()
        left, right, values = (part.to(dtype) for part in (left, right, values[None]))
        return LowRankSparse(left, right, values, index.to(torch.int32), bias)

    def fit(self, rank: int) -> tuple[Tensor, Tensor, Tensor, Tensor, list[float]]:
        """Factors, values and places for some rank, and the losses after each step, never rising.

        The first of them is that of the best factors without entries.
        """
        if rank in self._fitted:
            return self._fitted[rank]
        weight, metric = self._weight, self._metric
        gradients, inputs = metric.covariances(weight)
        importance = gradients.diagonal()[:, None] * inputs.diagonal()
        entries = _entries(self._layer, rank)
        sparse, losses = torch.zeros_like(weight), []
        index = torch.arange(entries, device=weight.device)
        for turn in range(_ROUNDS + 1):
            left, right = LowRankFits(self._layer, weight - sparse, metric).factors(rank)
            residual = weight - left @ right
            losses.append(self._loss(residual - sparse))
            if turn == _ROUNDS:
                break
            chosen = (residual.square() * importance).flatten().topk(entries).indices.sort().values
            found = self._refit(residual, chosen)
            loss = self._loss(residual - found)
            if not loss < losses[-1]:  # the entries from before are better for these factors
                break
            sparse, index = found, chosen
            losses.append(loss)
        self._fitted[rank] = left, right, sparse.flatten()[index], index, losses
        return self._fitted[rank]

    def _refit(self, residual: Tensor, index: Tensor) -> Tensor:
        """The best matrix with entries at these places, nearly, by conjugate gradients."""

        def at_places(matrix: Tensor) -> Tensor:
            kept = torch.zeros_like(matrix).flatten()
            kept[index] = matrix.flatten()[index]
            return kept.view(matrix.shape)

        found = at_places(residual)
        slope = at_places(self._metric.pulled(residual - found))
        direction, size = slope, slope.square().sum()
        for _ in range(_STEPS):
            bent = at_places(self._metric.pulled(direction))
            curvature = (direction * bent).sum()
            if not curvature > 0:
                break
            found = found + size / curvature * direction
            slope = slope - size / curvature * bent
            before, size = size, slope.square().sum()
            direction = slope + size / before * direction
        return found

    def _loss(self, change: Tensor) -> float:
        return 0.5 * float(self._metric.weighted(change).square().sum())


def _entries(layer: Layer, rank: int) -> int:
    """How many entries go with a rank."""
    return max(1, rank * sum(layer.shape) // (2 * _SHARE))
