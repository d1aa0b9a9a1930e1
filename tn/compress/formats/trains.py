"""Batches of tensor trains that are fitted to a weight in the metric of its layer.

A weight is cut into a batch of tensors T with one index per core,

    T[b, s₁, …, sₙ] ≈ A₁[b, :, s₁, :] A₂[b, :, s₂, :] ⋯ Aₙ[b, :, sₙ, :],

which covers matrix product operators (one tensor, sₖ = (oₖ, iₖ)) and block tensor trains (a matrix for each
block). In the plain distance, truncated singular value decompositions of one bond after another fit all cores
(Oseledets, doi:10.1137/090752286). A metric couples the indices. The part of it that does not, a product over
cores or a diagonal of blocks, is absorbed by a change of coordinates, and alternating least squares fit to
the rest: all cores but one are made orthogonal, and that one is improved by conjugate gradients, none of
whose steps raises the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.layers import Layer

_STEPS = 5  # of conjugate gradients for one core; more are better spent in another sweep
_RESIDUAL = 1e-4  # of the first one, at which a core is good enough
_SWEEPS = 4  # over all cores; more gain a few percent of the loss
_FRACTIONS = (0.1, 0.3, 0.7)  # of the dense size, at which ranks are fitted
_LEAST = 1e-12  # of the estimates, relative to the largest

Cores = list[Tensor]  # each of shape (batch, bond before, index, bond after)


class Coordinates(NamedTuple):
    """A symmetric matrix that changes the coordinates of a weight's rows or columns, and its inverse."""

    there: Tensor
    back: Tensor


class Arrangement(Protocol):
    """How the numbers of a weight are laid out as a batch of tensors."""

    @property
    def sites(self) -> Sequence[int]:
        """Sizes of the indices of each tensor."""

    def tensors(self, weight: Tensor) -> Tensor:
        """The tensors of a weight, shape (batch, *sites)."""

    def weight(self, tensors: Tensor) -> Tensor:
        """The weight of tensors of shape (batch, *sites)."""

    def coordinates(self, gradients: Tensor, inputs: Tensor) -> tuple[Coordinates, Coordinates]:
        """For rows and columns: covariances are near the identity in them, and bonds are what they were."""


@dataclass(frozen=True)
class Trains:
    """The problem of fitting cores to one weight.

    Args:
        target: The weight, shape (out_features, in_features).
        metric: Of the layer.
        arrangement: Of the weight.
    """

    target: Tensor
    metric: Metric
    arrangement: Arrangement

    def fit(self, rank: int, sweeps: int) -> tuple[Tensor, list[float]]:
        """A weight with bonds of at most `rank`, and the loss before and after each sweep over the cores.

        The start is the better one of two decompositions, with and without the metric.
        """
        weight, gradients, inputs = self._moved
        rows, columns = self._coordinates
        tensors, back = self.arrangement.tensors, self.arrangement.weight
        plain = back(contract(split(tensors(self.target.double()), rank)))
        starts = [split(tensors(weight), rank), split(tensors(rows.there @ plain @ columns.there), rank)]
        problem = _Problem(weight, gradients, inputs, self.arrangement)
        cores = min(starts, key=problem.loss)
        losses = [problem.loss(cores)]
        for _ in range(sweeps):
            losses.append(problem.sweep(cores))
        return rows.back @ back(contract(cores)) @ columns.back, losses

    def estimates(self, ranks: int) -> Tensor:
        """The loss of the decomposition with the metric, nearly, for ranks 1 to `ranks`."""
        tensors = self.arrangement.tensors(self._moved[0])
        total = torch.zeros(ranks, dtype=torch.float64)
        for bond in range(1, len(self.arrangement.sites)):
            matrices = tensors.reshape(len(tensors), prod(self.arrangement.sites[:bond]), -1)
            squares = torch.linalg.svdvals(matrices).square().sum(0).cpu()
            tails = squares.flip(0).cumsum(0).flip(0)[1 : ranks + 1]  # of the values after the first ones
            total[: len(tails)] += 0.5 * tails
        return total

    @cached_property
    def _coordinates(self) -> tuple[Coordinates, Coordinates]:
        return self.arrangement.coordinates(*self.metric.covariances(self.target))

    @cached_property
    def _moved(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight and covariances in the new coordinates."""
        gradients, inputs = self.metric.covariances(self.target)
        rows, columns = self._coordinates
        weight = rows.there @ self.target.double() @ columns.there
        return weight, rows.back @ gradients @ rows.back, columns.back @ inputs @ columns.back


def split(tensors: Tensor, rank: int) -> Cores:
    """Cores with bonds of at most `rank`, whose terms have the same norm on both sides of a bond."""
    batch, *sites = tensors.shape
    cores = []
    rest = tensors.reshape(batch, 1, -1)
    for site in sites[:-1]:
        before = rest.shape[1]
        left, values, right = torch.linalg.svd(rest.reshape(batch, before * site, -1), full_matrices=False)
        bond = min(rank, values.shape[1])
        cores.append(left[..., :bond].reshape(batch, before, site, bond))
        rest = values[:, :bond, None] * right[:, :bond]
    cores.append(rest[..., None])
    return balanced(cores)


def balanced(cores: Cores) -> Cores:
    """The same tensors; gradient descent moves factors of the same norm alike."""
    cores = list(cores)
    for _ in range(2):  # the norms at one bond depend on the others
        for index in range(len(cores) - 1):
            left, right = cores[index], cores[index + 1]
            scales = (left.norm(dim=(1, 2)) / right.norm(dim=(2, 3))).sqrt()
            scales = torch.where(scales.isfinite() & (scales > 0), scales, 1.0)
            cores[index] = left / scales[:, None, None, :]
            cores[index + 1] = right * scales[:, :, None, None]
    return cores


def contract(cores: Cores) -> Tensor:
    """The tensors, shape (batch, *sites)."""
    batch = len(cores[0])
    tensors = cores[0].reshape(batch, -1, cores[0].shape[-1])
    for core in cores[1:]:
        tensors = (tensors @ core.reshape(batch, core.shape[1], -1)).reshape(batch, -1, core.shape[-1])
    return tensors.reshape(batch, *(core.shape[2] for core in cores))


@dataclass(frozen=True)
class _Problem:
    """Least squares in a metric; cores are changed in place."""

    target: Tensor
    gradients: Tensor
    inputs: Tensor
    arrangement: Arrangement

    def loss(self, cores: Cores) -> float:
        """½ tr(G ΔW C ΔWᵀ)."""
        change = self.target - self.arrangement.weight(contract(cores))
        return 0.5 * float((change * (self.gradients @ change @ self.inputs)).sum())

    def sweep(self, cores: Cores) -> float:
        """Improve each core in turn, and return the loss."""
        last = len(cores) - 1
        for index in range(last, 0, -1):
            self._hand_on(cores, index, -1)
        loss = 0.0
        for index in range(last):
            self._improve(cores, index)
            self._hand_on(cores, index, 1)
        for index in range(last, 0, -1):
            loss = self._improve(cores, index)
            self._hand_on(cores, index, -1)
        return loss

    @staticmethod
    def _hand_on(cores: Cores, index: int, step: int) -> None:
        """Make a core orthogonal, and multiply the rest into its neighbor."""
        core, neighbor = cores[index], cores[index + step]
        batch, before, site, after = core.shape
        if step > 0:
            basis, rest = torch.linalg.qr(core.reshape(batch, -1, after))
            cores[index] = basis.reshape(batch, before, site, -1)
            cores[index + 1] = torch.einsum("brs,bsij->brij", rest, neighbor)
        else:
            basis, rest = torch.linalg.qr(core.reshape(batch, before, -1).mT)
            cores[index] = basis.mT.reshape(batch, -1, site, after)
            cores[index - 1] = torch.einsum("bijs,brs->bijr", neighbor, rest)

    def _improve(self, cores: Cores, index: int) -> float:
        """Conjugate gradients for one core, between orthogonal ones."""
        core = cores[index]
        batch, before, site, after = core.shape
        left, right = core.new_ones(batch, 1, 1), core.new_ones(batch, 1, 1)
        for one in cores[:index]:
            left = (left @ one.reshape(batch, one.shape[1], -1)).reshape(batch, -1, one.shape[-1])
        for one in reversed(cores[index + 1 :]):
            right = (one.reshape(batch, -1, one.shape[-1]) @ right).reshape(batch, one.shape[1], -1)

        def expand(change: Tensor) -> Tensor:
            wide = (left @ change.reshape(batch, before, -1)).reshape(batch, -1, after) @ right
            return self.arrangement.weight(wide.reshape(batch, *self.arrangement.sites))

        def project(change: Tensor) -> Tensor:
            wide = self.arrangement.tensors(self.gradients @ change @ self.inputs)
            wide = (wide.reshape(batch, -1, right.shape[-1]) @ right.mT).reshape(batch, left.shape[1], -1)
            return (left.mT @ wide).reshape(core.shape)

        change = self.target - expand(core)
        residual = project(change)
        direction, size = residual, residual.square().sum()
        enough = _RESIDUAL**2 * size
        for _ in range(_STEPS):
            if not size > enough:
                break
            moved = expand(direction)
            bent = project(moved)
            curvature = (direction * bent).sum()
            if not curvature > 0:
                break
            step = size / curvature
            core, change, residual = core + step * direction, change - step * moved, residual - step * bent
            before_size, size = size, residual.square().sum()
            direction = residual + (size / before_size) * direction
        cores[index] = core
        return 0.5 * float((change * (self.gradients @ change @ self.inputs)).sum())


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
