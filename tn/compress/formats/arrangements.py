"""How the numbers of a weight are laid out as tensors: by factors of its sizes, or in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import roots
from bondwise.tn.compress.formats.trains import Coordinates


def factors(size: int, number: int) -> list[int]:
    """Factors of a size, ascending and as equal as its divisors allow: the largest is least.

    Ones fill up what primes lack: 7 has the factors 1 and 7, and nothing is padded.
    """
    if number == 1:
        return [size]
    found = []
    for largest in range(1, size + 1):
        if size % largest == 0 and largest**number >= size:
            rest = factors(size // largest, number - 1)
            found.append(sorted([*rest, largest]))
    return min(found, key=lambda one: (max(one), sum(one)))


@dataclass(frozen=True)
class Operator:
    """A matrix product operator: one tensor, whose k-th index is the pair of an output and an input factor.

    Args:
        outputs: Factors of out_features, one for each core.
        inputs: Factors of in_features.
    """

    outputs: Sequence[int]
    inputs: Sequence[int]

    @property
    def sites(self) -> list[int]:
        """One pair of factors for each core."""
        return [one * other for one, other in zip(self.outputs, self.inputs, strict=True)]

    def tensors(self, weight: Tensor) -> Tensor:
        """Shape (1, *sites)."""
        number = len(self.outputs)
        order = [axis for core in range(number) for axis in (core, number + core)]
        return weight.reshape(*self.outputs, *self.inputs).permute(order).reshape(1, *self.sites)

    def weight(self, tensors: Tensor) -> Tensor:
        """Shape (out_features, in_features)."""
        number = len(self.outputs)
        pairs = [size for pair in zip(self.outputs, self.inputs, strict=True) for size in pair]
        order = [*range(0, 2 * number, 2), *range(1, 2 * number, 2)]
        return tensors.reshape(pairs).permute(order).reshape(prod(self.outputs), prod(self.inputs))

    def coordinates(self, gradients: Tensor, inputs: Tensor) -> tuple[Coordinates, Coordinates]:
        """Roots of the products of partial traces."""
        return _product(gradients, self.outputs), _product(inputs, self.inputs)


@dataclass(frozen=True)
class Blocks:
    """Blocks of a weight, each a matrix on its own.

    Args:
        rows: Number of blocks along out_features, which it divides.
        columns: Number of blocks along in_features, which it divides.
        shape: Of the weight.
    """

    rows: int
    columns: int
    shape: tuple[int, int]

    @property
    def sites(self) -> list[int]:
        """Shape of a block."""
        return [self.shape[0] // self.rows, self.shape[1] // self.columns]

    def tensors(self, weight: Tensor) -> Tensor:
        """Shape (rows · columns, *sites)."""
        height, width = self.sites
        return (
            weight.reshape(self.rows, height, self.columns, width).transpose(1, 2).reshape(-1, height, width)
        )

    def weight(self, tensors: Tensor) -> Tensor:
        """Shape (out_features, in_features)."""
        return tensors.reshape(self.rows, self.columns, *self.sites).transpose(1, 2).reshape(self.shape)

    def coordinates(self, gradients: Tensor, inputs: Tensor) -> tuple[Coordinates, Coordinates]:
        """Roots of the blocks on the diagonals."""
        return _diagonal(gradients, self.rows), _diagonal(inputs, self.columns)


def _product(covariance: Tensor, sizes: Sequence[int]) -> Coordinates:
    """The root of the product of a covariance's partial traces."""
    number, parts = len(sizes), []
    tensor = covariance.reshape(*sizes, *sizes)
    for core, size in enumerate(sizes):
        axes = [axis for axis in range(number) if axis != core]
        traced = tensor.permute(core, number + core, *axes, *(number + axis for axis in axes))
        square = traced.reshape(size, size, covariance.shape[0] // size, -1)
        parts.append(roots(square.diagonal(dim1=2, dim2=3).mean(-1)))
    scale = covariance.diagonal().mean().sqrt() ** (number - 1)
    there, back = (reduce(torch.kron, matrices) for matrices in zip(*parts, strict=True))
    return Coordinates(there / scale, back * scale)


def _diagonal(covariance: Tensor, number: int) -> Coordinates:
    """The root of the blocks on a covariance's diagonal."""
    size = len(covariance) // number
    parts = [roots(covariance[i : i + size, i : i + size]) for i in range(0, len(covariance), size)]
    there, back = (torch.block_diag(*matrices) for matrices in zip(*parts, strict=True))
    return Coordinates(there, back)
