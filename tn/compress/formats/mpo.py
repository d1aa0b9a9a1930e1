"""A linear layer as a matrix product operator (CompactifAI, arXiv:2401.14109).

Output and input are numbered by several indices, as a number is by its digits, and the weight is a product of
one core for each pair of them,

    W[o₁ … oₙ, i₁ … iₙ] = Σ A₁[o₁, k₁, i₁] A₂[o₂, k₂, k₁, i₂] ⋯ Aₙ[oₙ, kₙ₋₁, iₙ],

with bonds kⱼ of at most χ, the rank. The paper fits the cores in the plain distance; here they are fitted in
the metric of the layer, in which they lose far less. A 216 × 216 weight has 3 cores of 6 × 6 with
2 · 36 χ + 36 χ² numbers. Two cores are a sum of χ Kronecker products. To multiply by cores takes about
2 χ √d multiplications for each of d outputs where the weight takes d: beyond χ = √d / 2 they save
memory, and no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.arrangements import Operator, factors
from bondwise.tn.compress.formats.factored import Cost, Factored
from bondwise.tn.compress.formats.trains import Cores, TrainFits, Trains
from bondwise.tn.compress.layers import Layer

_CALLS, _SLOWER = 6.0, 1.5  # per core: batched products of small matrices, as measured


class MatrixProductOperator(Factored):
    """y = A₁ A₂ x + bias, summed over the bond between two cores.

    Args:
        cores: The cores, of shape (output factor, bond after, bond before, input factor) each; the bonds at
            both ends have size 1.
        bias: Shape (out_features,), or None.

    Raises:
        UsageError: If the number of cores is another one.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import MatrixProductOperator
        >>> layer = MatrixProductOperator([torch.ones(2, 3, 1, 4), torch.ones(5, 1, 3, 6)])
        >>> layer(torch.ones(7, 24)).shape, layer.dense().shape
        (torch.Size([7, 10]), torch.Size([10, 24]))
    """

    kind = "linear"
    number: ClassVar[int] = 2  # of cores

    def __init__(self, cores: Sequence[Tensor], bias: Tensor | None = None) -> None:
        if len(cores) != self.number:
            raise UsageError(f"{len(cores)} cores were given to {type(self).__name__}; give {self.number}")
        outputs, inputs = ([core.shape[axis] for core in cores] for axis in (0, 3))
        work = rebuild = 0
        for index, core in enumerate(cores):
            done = prod(outputs[:index])
            work += done * core.numel() * prod(inputs[index + 1 :])
            rebuild += done * core.numel() * prod(inputs[:index]) if index else 0
        numbers = sum(core.numel() for core in cores)
        cost = Cost(_CALLS * len(cores), numbers, work, _SLOWER * work, rebuild)
        names = {f"core{number}": core for number, core in enumerate(cores, 1)}
        super().__init__(bias, (prod(outputs), prod(inputs)), cost, **names)

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> MatrixProductOperator:
        """The layer with factors that are yet to be loaded."""
        outputs, inputs = cls._sizes(layer)
        bonds = cls._bonds(layer, rank)
        cores = [torch.empty(*sizes) for sizes in zip(outputs, bonds[1:], bonds, inputs, strict=False)]
        return cls(cores, None if layer.bias is None else torch.empty(layer.shape[0]))

    @property
    def rank(self) -> int:
        """The largest bond, χ."""
        return max(core.shape[2] for core in self.factors)

    def multiply(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features) by its factors."""
        *cores, last = self.factors
        rest, size = x.shape[-1], len(last)
        parts = x.reshape(x.numel() // rest, 1, rest)
        for core in cores:  # outputs stay in front, so that nothing is moved in memory
            outputs, after, before, inputs = core.shape
            number, rest, size = len(parts), rest // inputs, size * outputs
            matrices = core.view(outputs * after, before * inputs).expand(number, -1, -1)
            parts = torch.bmm(matrices, parts.view(number, before * inputs, rest))
            parts = parts.view(number * outputs, after, rest)
        _, _, before, inputs = last.shape
        y = linear(parts.view(len(parts), before * inputs), last.view(len(last), before * inputs))
        y = y.view(*x.shape[:-1], size)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def dense(self) -> Tensor:
        """The weight, shape (out_features, in_features)."""
        first, *others = self.factors
        weight = first[:, :, 0].transpose(1, 2)  # outputs, inputs, bond
        for core in others:
            outputs, after, before, inputs = core.shape
            rows, columns, _ = weight.shape
            pairs = weight.reshape(-1, before) @ core.permute(2, 0, 3, 1).reshape(before, -1)
            pairs = pairs.view(rows, columns, outputs, inputs, after).transpose(1, 2)
            weight = pairs.reshape(rows * outputs, columns * inputs, after)
        return weight[..., 0]

    @classmethod
    def num_params(cls, layer: Layer, rank: int) -> int:
        """Numbers in the cores, without the bias."""
        bonds = cls._bonds(layer, rank)
        sizes = zip(*cls._sizes(layer), bonds, bonds[1:], strict=False)
        return sum(prod(one) for one in sizes)

    @classmethod
    def flops(cls, layer: Layer, rank: int) -> int:
        """Multiplications for one row of the input: by the cores, or by the weight if that takes fewer."""
        (outputs, inputs), bonds = cls._sizes(layer), cls._bonds(layer, rank)
        steps = range(cls.number)
        by_cores = sum(bonds[i] * bonds[i + 1] * prod(outputs[: i + 1]) * prod(inputs[i:]) for i in steps)
        return min(by_cores, layer.num_params)

    @classmethod
    def fits(cls, layer: Layer, weight: Tensor, metric: Metric) -> TrainFits:
        """Cores from alternating least squares."""
        outputs, inputs = cls._sizes(layer)

        def make(cores: Cores, bias: Tensor | None) -> MatrixProductOperator:
            found = []
            for core, *pair in zip(cores, outputs, inputs, strict=True):
                before, after = core.shape[1], core.shape[3]
                found.append(core.reshape(before, *pair, after).permute(1, 3, 0, 2).contiguous())
            return cls(found, bias)

        trains = Trains(weight, metric, Operator(outputs, inputs))
        return TrainFits(layer, trains, lambda rank: cls.num_params(layer, rank), make)

    @classmethod
    def _sizes(cls, layer: Layer) -> tuple[list[int], list[int]]:
        """Factors of both sizes, in the order in which the fewest multiplications are needed."""
        rows, columns = layer.shape
        return factors(rows, cls.number), factors(columns, cls.number)[::-1]

    @classmethod
    def _bonds(cls, layer: Layer, rank: int) -> list[int]:
        """Sizes of all bonds, those at both ends included."""
        pairs = [one * other for one, other in zip(*cls._sizes(layer), strict=True)]
        inner = [min(rank, prod(pairs[:i]), prod(pairs[i:])) for i in range(1, len(pairs))]
        return [1, *inner, 1]


class MatrixProductOperator3(MatrixProductOperator):
    """Three cores."""

    number = 3


class MatrixProductOperator4(MatrixProductOperator):
    """Four cores."""

    number = 4
