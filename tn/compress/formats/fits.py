"""Cores of one weight for all ranks: some are fitted, and what the others lose is interpolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from bondwise.tn.compress.formats.trains import Cores, Trains, split
from bondwise.tn.compress.layers import Layer

_SWEEPS = 4  # over all cores; more gain a few percent of the loss
_FRACTIONS = (0.1, 0.3, 0.7)  # of the dense size, at which ranks are fitted
_LEAST = 1e-12  # of the estimates, relative to the largest


class TrainFits:
    """Trains fitted to the weight of one layer, as soon as they are asked for.

    Args:
        layer: What the cores will stand for.
        trains: The problem.
        num_params: Numbers in the cores of a rank.
        make: Makes the module, of cores in float64 and the bias.

    Attributes:
        ranks: All ranks from 1 that need fewer numbers than the weight.
    """

    def __init__(
        self,
        layer: Layer,
        trains: Trains,
        num_params: Callable[[int], int],
        make: Callable[[Cores, Tensor | None], nn.Module],
    ) -> None:
        self._layer, self._trains, self._make = layer, trains, make
        sizes = [num_params(1)]
        while (size := num_params(len(sizes) + 1)) < layer.num_params and size > sizes[-1]:
            sizes.append(size)
        self._sizes = np.array(sizes)
        self.ranks: Sequence[int] = range(1, len(sizes) + 1)
        self._fitted: dict[int, tuple[Tensor, float]] = {}

    @cached_property
    def losses(self) -> Sequence[float]:
        """What the metric predicts for each rank, never rising.

        The losses of some fitted cores, and between them the decomposition's with a factor that is
        interpolated.
        """
        estimates = self._trains.estimates(len(self.ranks)).numpy()
        estimates = estimates.clip(max(_LEAST * estimates[0], np.finfo(float).tiny))
        sizes = self._sizes / self._layer.num_params
        nearest = sorted({int(np.abs(sizes - fraction).argmin()) for fraction in _FRACTIONS})
        fitted = np.array([max(self._fit(self.ranks[index])[1], 0.0) for index in nearest])
        ratios = np.interp(sizes, sizes[nearest], fitted / estimates[nearest])
        losses: list[float] = np.minimum.accumulate(ratios * estimates).tolist()
        return losses

    def build(self, rank: int) -> nn.Module:
        """The layer of some rank."""
        weight, _ = self._fit(rank)
        bias = self._layer.bias
        module = self._make(
            split(self._trains.arrangement.tensors(weight), rank),
            None if bias is None else bias.detach().clone(),
        )
        for factor in module.parameters():
            factor.data = factor.data.to(self._layer.weight.dtype)
        return module

    def _fit(self, rank: int) -> tuple[Tensor, float]:
        if rank not in self._fitted:
            weight, losses = self._trains.fit(rank, _SWEEPS)
            self._fitted[rank] = weight, losses[-1]
        return self._fitted[rank]
