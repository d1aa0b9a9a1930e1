"""What a format of factors offers, and all formats by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.metric import Metric


class Fits(Protocol):
    """Factors of one weight, of several ranks.

    Attributes:
        ranks: Ranks, ascending.
        losses: What the metric predicts for each, never rising.
    """

    ranks: Sequence[int]
    losses: Sequence[float]

    def build(self, rank: int, bias: Tensor | None, dtype: torch.dtype) -> nn.Module:
        """The layer with factors of one of the ranks."""


class Format(Protocol):
    """A way to write a weight of shape (out_features, in_features) as a product of factors."""

    def fits(self, weight: Tensor, metric: Metric) -> Fits:
        """Factors that are close to a weight in a metric."""

    def empty(self, shape: tuple[int, int], rank: int, bias: bool) -> nn.Module:
        """A layer with factors that are yet to be loaded."""

    def num_params(self, shape: tuple[int, int], rank: int) -> int:
        """Numbers in the factors, without the bias."""


FORMATS: dict[str, Format] = {"lowrank": LowRank}


def is_factored(module: nn.Module) -> bool:
    """Whether a module is a layer in factors."""
    return type(module) in FORMATS.values()
