"""A linear layer as the product of two smaller ones, fitted by one singular value decomposition.

With the metric of the layer, the best rank-r weight is √G⁻¹ [√G W √C]_r √C⁻¹, where [·]_r keeps the r
largest singular values (Eckart and Young). With both covariances this is the two-sided fit (IO-SVD,
arXiv:2605.15626), with the inputs alone the whitened one (SVD-LLM, arXiv:2403.07378).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.factored import Cost, Factored
from bondwise.tn.compress.layers import Layer

_CALLS = 2.5  # two products, as measured


class LowRank(Factored):
    """y = left (right x) + bias.

    Args:
        left: Factor of shape (out_features, rank).
        right: Factor of shape (rank, in_features).
        bias: Shape (out_features,), or None.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import LowRank
        >>> layer = LowRank(torch.ones(3, 1), torch.ones(1, 4))
        >>> layer(torch.ones(2, 4)).shape, layer.dense().shape
        (torch.Size([2, 3]), torch.Size([3, 4]))
    """

    kind = "linear"
    left: nn.Parameter
    right: nn.Parameter

    def __init__(self, left: Tensor, right: Tensor, bias: Tensor | None = None) -> None:
        rows, columns, rank = len(left), right.shape[1], len(right)
        numbers = rank * (rows + columns)
        cost = Cost(_CALLS, numbers, numbers, numbers, rank * rows * columns)
        super().__init__(bias, (rows, columns), cost, left=left, right=right)

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> LowRank:
        """The layer with factors that are yet to be loaded."""
        rows, columns = layer.shape
        bias = None if layer.bias is None else torch.empty(rows)
        return cls(torch.empty(rows, rank), torch.empty(rank, columns), bias)

    @property
    def rank(self) -> int:
        """Number of rows of `right`."""
        return len(self.right)

    def multiply(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features) by its factors."""
        return linear(linear(x, self.right), self.left, self.bias)

    def dense(self) -> Tensor:
        """The weight, shape (out_features, in_features)."""
        return self.left @ self.right

    @staticmethod
    def num_params(layer: Layer, rank: int) -> int:
        """Numbers in the factors, without the bias."""
        return rank * sum(layer.shape)

    @staticmethod
    def flops(layer: Layer, rank: int) -> int:
        """Multiplications for one row of the input."""
        return rank * sum(layer.shape)

    @staticmethod
    def fits(layer: Layer, weight: Tensor, metric: Metric) -> LowRankFits:
        """The best factors of every rank."""
        return LowRankFits(layer, weight, metric)


class LowRankFits:
    """The best low-rank factors of a weight for every rank, from one decomposition.

    Attributes:
        ranks: All ranks from 1 that need fewer numbers than the weight.
        losses: What the metric predicts for each.
    """

    def __init__(self, layer: Layer, weight: Tensor, metric: Metric) -> None:
        self._layer = layer
        rows, columns = weight.shape
        most = max(1, (rows * columns - 1) // (rows + columns))
        left, values, right = torch.linalg.svd(metric.weighted(weight), full_matrices=False)
        tails = values.square().flip(0).cumsum(0).flip(0)  # of the values from i on
        self.ranks: Sequence[int] = range(1, most + 1)
        self.losses: Sequence[float] = (0.5 * torch.cat([tails[1:], tails.new_zeros(1)])[:most]).tolist()
        self._left = metric.unweighted_columns(left[:, :most]) * values[:most]
        self._right = metric.unweighted_rows(right[:most])

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Left and right factor of some rank, in float64."""
        left, right = self._left[:, :rank], self._right[:rank]
        # both factors of each term get the same norm, so that gradient descent moves them alike
        scales = (left.norm(dim=0) / right.norm(dim=1)).sqrt()
        scales = torch.where(scales.isfinite() & (scales > 0), scales, 1.0)
        return left / scales, right * scales[:, None]

    def build(self, rank: int) -> LowRank:
        """The layer of some rank."""
        dtype, bias = self._layer.weight.dtype, self._layer.bias
        bias = None if bias is None else bias.detach().clone()
        left, right = self.factors(rank)
        return LowRank(left.to(dtype), right.to(dtype), bias)
