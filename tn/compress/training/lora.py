"""Train small additions of low rank to the matrices of a model in their place (LoRA, arXiv:2106.09685).

Each matrix W becomes W + U D, with U zero and D random at first, of which only U and D are trained.
Afterwards the sums are kept as ordinary matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_RANK = 8


class _Addition(nn.Module):
    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape
        rank = min(_RANK, rows, columns)
        down = torch.randn(rank, columns, generator=generator) / columns**0.5
        self.down, self.up = nn.Parameter(down.to(weight)), nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@contextmanager
def additions(model: nn.Module, rng: np.random.Generator) -> Iterator[list[nn.Module]]:
    """The additions to train, which end up in the matrices.

    Matrices of embeddings, and those that several modules share, have none.
    """
    owners: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners.setdefault(parameter, []).append((module, name))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    added: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for parameter, [(module, name), *others] in owners.items():
            if parameter.ndim == 2 and not others and not isinstance(module, nn.Embedding):
                addition = _Addition(parameter, generator)
                parametrize.register_parametrization(module, name, addition)
                added.append((module, name, addition))
        yield [addition for _, _, addition in added]
    finally:
        for module, name, _ in added:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
