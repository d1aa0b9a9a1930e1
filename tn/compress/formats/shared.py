"""Low-rank layers that share one factor, because they are given the same input.

Query, key and value, or gate and up projection, multiply the same x. Stacked on top of each other their
weights are one matrix, whose best factors of low rank are found as those of one layer are, with the block
diagonal of all gradient covariances; the right factor is stored once. That saves numbers, and no time: each
layer multiplies by it for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.layers import Layer


class SharedLowRank(LowRank):
    """A low-rank layer whose right factor is the same parameter in several layers."""


class SharedFits:
    """The best factors of several layers for every rank, from one decomposition.

    Args:
        layers: Linear layers that are given the same input.
        weights: Of these layers, or close to them.
        metrics: Of these layers, with the same covariance of the inputs.

    Attributes:
        ranks: All ranks from 1 that need fewer numbers than the weights.
        losses: What the metrics predict for each layer at each rank, float64 (layers, ranks).
    """

    def __init__(self, layers: Sequence[Layer], weights: Sequence[Tensor], metrics: Sequence[Metric]) -> None:
        self._layers = layers
        heights, columns = [len(weight) for weight in weights], weights[0].shape[1]
        parts = [metric.weighted(weight) for metric, weight in zip(metrics, weights, strict=True)]
        left, values, right = torch.linalg.svd(torch.cat(parts), full_matrices=False)
        most = max(1, min(len(values), (sum(heights) * columns - 1) // (sum(heights) + columns)))
        lefts = (left[:, :most] * values[:most]).split(heights)
        explained = torch.stack([one.square().sum(0).cumsum(0) for one in lefts])
        total = torch.stack([part.square().sum() for part in parts])
        self.ranks: Sequence[int] = range(1, most + 1)
        self.losses = (0.5 * (total[:, None] - explained)).clamp_min(0.0)
        self._lefts = [metric.unweighted_columns(one) for metric, one in zip(metrics, lefts, strict=True)]
        self._right = metrics[0].unweighted_rows(right[:most])

    def build(self, rank: int) -> list[SharedLowRank]:
        """The layers of some rank, in the order in which they were given."""
        right = self._right[:rank]
        norms = torch.cat(self._lefts)[:, :rank].norm(dim=0)
        # both factors of each term get the same norm, so that gradient descent moves them alike
        scales = (norms / right.norm(dim=1)).sqrt()
        scales = torch.where(scales.isfinite() & (scales > 0), scales, 1.0)
        found: list[SharedLowRank] = []
        for layer, left in zip(self._layers, self._lefts, strict=True):
            dtype, bias = layer.weight.dtype, layer.bias
            bias = None if bias is None else bias.detach().clone()
            factors = (left[:, :rank] / scales).to(dtype), (right * scales[:, None]).to(dtype)
            found.append(SharedLowRank(*factors, bias))
            found[-1].right = found[0].right
        return found
