"""The table of an embedding as a tensor train, of which rows are looked up without ever building it.

The number of a token is written in digits (n₁, n₂, n₃), the table as

    E[n₁ n₂ n₃, d₁ d₂ d₃] = A[n₁, d₁] B[n₂, d₂] C[n₃, d₃],

where A, B, C are matrices of sizes 1 × r, r × r and r × 1 for each digit and each part of the vector
(Hrinchuk et al., arXiv:1901.10787). With one cut instead of two it would be the low-rank product of two
tables. Rows count as often as their tokens occur in the calibration data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.alternating import AlternatingFits, alternate
from bondwise.tn.compress.layers import Layer

_CORES = 3


class TTEmbedding(nn.Module):
    """An embedding whose table is a tensor train.

    Args:
        cores: Shapes (digits, rank before, part of the vector, rank after); the outer ranks are 1.
        num_embeddings: Number of tokens, at most the product of the digits.
        padding_idx: Token whose vector is `padding` and never learns, or None.
        padding: Shape (embedding_dim,), or None.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import TTEmbedding
        >>> layer = TTEmbedding([torch.randn(4, 1, 2, 3), torch.randn(5, 3, 4, 1)], num_embeddings=18)
        >>> layer(torch.tensor([[0, 17]])).shape, layer.dense().shape
        (torch.Size([1, 2, 8]), torch.Size([18, 8]))
    """

    kind = "embedding"
    padding: Tensor | None

    def __init__(
        self,
        cores: Sequence[Tensor],
        num_embeddings: int,
        padding_idx: int | None = None,
        padding: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.cores = nn.ParameterList([nn.Parameter(core) for core in cores])
        self.num_embeddings, self.padding_idx = num_embeddings, padding_idx
        self.embedding_dim = math.prod(core.shape[2] for core in cores)
        self.register_buffer("padding", padding)

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> TTEmbedding:
        """The layer with cores that are yet to be loaded."""
        cores = [torch.empty(shape) for shape in _shapes(layer.shape, rank)]
        padding_idx: Any = layer.module.padding_idx
        padding = None if padding_idx is None else torch.empty(layer.shape[1])
        return cls(cores, layer.shape[0], padding_idx, padding)

    @property
    def rank(self) -> int:
        """The largest rank between two cores."""
        return max(core.shape[3] for core in self.cores)

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors of shape (..., embedding_dim) of tokens, an integer tensor of any shape."""
        left = tokens.flatten()
        vectors = self.cores[0].new_ones(len(left), 1, 1)  # (N, rank before, parts from here on)
        for core in reversed(self.cores):
            digit, left = left % len(core), left // len(core)
            found = nn.functional.embedding(digit, core.flatten(1))
            found = found.reshape(len(digit), -1, core.shape[3]) @ vectors
            vectors = found.reshape(len(digit), core.shape[1], -1)
        vectors = vectors.reshape(*tokens.shape, self.embedding_dim)
        if self.padding is None or self.padding_idx is None:
            return vectors
        return torch.where(tokens.eq(self.padding_idx)[..., None], self.padding.to(vectors.dtype), vectors)

    def extra_repr(self) -> str:
        """What `print` shows."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}{padding}"

    def dense(self) -> Tensor:
        """The table, shape (num_embeddings, embedding_dim)."""
        table = _composed(list(self.cores), self.num_embeddings)
        if self.padding is None or self.padding_idx is None:
            return table
        tokens = torch.arange(self.num_embeddings, device=table.device)
        return torch.where(tokens.eq(self.padding_idx)[:, None], self.padding, table)

    @property
    def weight(self) -> Tensor:
        """The table, for models that look at that of an embedding."""
        return self.dense()

    @staticmethod
    def num_params(layer: Layer, rank: int) -> int:
        """Numbers in the cores."""
        return sum(math.prod(shape) for shape in _shapes(layer.shape, rank))

    @staticmethod
    def flops(layer: Layer, rank: int) -> int:
        """Multiplications for one token."""
        shapes, total, parts = _shapes(layer.shape, rank), 0, 1
        for _, before, part, after in reversed(shapes):
            total += before * part * after * parts
            parts *= part
        return total

    @staticmethod
    def fits(layer: Layer, weight: Tensor, metric: Metric) -> AlternatingFits:
        """Cores by alternating least squares, from a truncated decomposition."""
        table, module = weight.detach().double(), layer.module
        index: Any = module.padding_idx
        frequencies = metric.inputs
        frequencies = torch.ones(len(table), dtype=torch.float64) if frequencies is None else frequencies
        padding = None if index is None else layer.weight[index].clone()
        if index is not None:  # kept beside the cores
            frequencies = frequencies.clone()
            frequencies[index] = 0
        metric = Metric(frequencies, metric.gradients)

        def fit(rank: int) -> tuple[list[Tensor], float]:
            return alternate(
                _split(table, frequencies, rank),
                lambda cores: _composed(cores, len(table)).T,
                table.T,
                metric,
            )

        def make(rank: int, cores: list[Tensor]) -> TTEmbedding:
            return TTEmbedding(cores, len(table), index, padding)

        return AlternatingFits(layer, TTEmbedding.num_params, fit, make)


def _shapes(shape: Sequence[int], rank: int) -> list[tuple[int, int, int, int]]:
    """Shapes of the cores of a table."""
    rows, columns = shape
    digits = [math.ceil(rows ** (1 / _CORES))] * (_CORES - 1)
    digits.append(math.ceil(rows / math.prod(digits)))
    parts = _parts(columns)
    sizes = [digit * part for digit, part in zip(digits, parts, strict=True)]
    cuts = range(1, _CORES)
    between = [min(rank, math.prod(sizes[:cut]), math.prod(sizes[cut:])) for cut in cuts]
    ranks = [1, *between, 1]
    return list(zip(digits, ranks, parts, ranks[1:], strict=False))


def _parts(size: int) -> list[int]:
    """A product of as many factors as there are cores, as even as the prime factors allow."""
    parts, prime, primes = [1] * _CORES, 2, []
    while size > 1:
        if size % prime:
            prime += 1
        else:
            primes.append(prime)
            size //= prime
    for prime in reversed(primes):
        parts.sort()
        parts[0] *= prime
    return sorted(parts)


def _composed(cores: Sequence[Tensor], rows: int) -> Tensor:
    """The table of a train, shape (rows, columns)."""
    table = cores[0].squeeze(1)  # (digits, parts, rank)
    for core in cores[1:]:
        table = torch.einsum("ndr,mres->nmdes", table, core).flatten(2, 3).flatten(0, 1)
    return table.squeeze(-1)[:rows]


def _split(table: Tensor, frequencies: Tensor, rank: int) -> list[Tensor]:
    """Cores by one singular value decomposition after another, exact for the largest rank.

    Rows are scaled by a product over the digits, close to the square roots of their frequencies.
    """
    shapes = _shapes(table.shape, rank)
    digits, parts = [shape[0] for shape in shapes], [shape[2] for shape in shapes]
    missing = math.prod(digits) - len(table)
    rest = nn.functional.pad(table, (0, 0, 0, missing)).reshape(*digits, *parts)
    counts = nn.functional.pad(frequencies.to(table), (0, missing)).reshape(digits)
    scales = []
    for axis, digit in enumerate(digits):
        others = [other for other in range(len(digits)) if other != axis]
        count = counts.sum(others)
        scales.append((count + 1e-3 * count.mean() + 1e-30).sqrt())
        shape = [digit if other == axis else 1 for other in range(rest.ndim)]
        rest = rest * scales[-1].reshape(shape)
    order = [place for axis in range(_CORES) for place in (axis, axis + _CORES)]
    rest = rest.permute(order)
    cores = []
    for digit, before, part, after in shapes[:-1]:
        left, values, right = torch.linalg.svd(rest.reshape(before * digit * part, -1), full_matrices=False)
        cores.append(left[:, :after].reshape(before, digit, part, after).transpose(0, 1))
        rest = values[:after, None] * right[:after]
    digit, before, part, after = shapes[-1]
    cores.append(rest.reshape(before, digit, part, after).transpose(0, 1))
    return [core / scale[:, None, None, None] for core, scale in zip(cores, scales, strict=True)]
