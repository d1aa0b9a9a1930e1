"""Second moments of what a layer is given, held as rows or as matrices, whichever is smaller.

For inputs x of the dense model and x′ of the compressed one these are C = E[x′ x′ᵀ] and E[(x − x′) x′ᵀ]. From
fewer rows than there are features, all that is needed of them follows from the rows themselves, so that a
layer of 8,192 features takes no matrix of that size for a small calibration set.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Fraction of the mean variance that is added to every direction: those never seen in calibration count too.
_SHRINKAGE = 1e-4


class Inputs:
    """Inputs of one layer, summed up batch by batch in float32."""

    def __init__(self) -> None:
        self.count = 0  # rows
        self._given: list[Tensor] = []
        self._missing: list[Tensor] = []
        self._square: Tensor | None = None  # sums over all rows
        self._cross: Tensor | None = None
        self._energy = 0.0
        self._features = 0
        self._inverted: Tensor | None = None  # what `shifted` needs for each of several layers

    def add(self, given: Tensor, missing: Tensor | None = None) -> None:
        """Add rows.

        Args:
            given: x′, shape (N, features).
            missing: x − x′, of the same shape; None if there is no difference. Always given, or never.
        """
        self._features = given.shape[1]
        self._energy += float(given.square().sum(dtype=torch.float64))
        self.count += len(given)
        self._given.append(given)
        if missing is not None:
            self._missing.append(missing)
        if self.count > self._features:
            self._fold()

    def forget_missing(self) -> None:
        """Take x for x′, where it is not known which rows of them belong together."""
        self._missing, self._cross = [], None

    def _fold(self) -> None:
        """Add the rows to the sums and forget them."""
        given = torch.cat(self._given)
        square = given.T @ given
        self._square = square if self._square is None else self._square.add_(square)
        if self._missing:
            cross = torch.cat(self._missing).T @ given
            self._cross = cross if self._cross is None else self._cross.add_(cross)
        self._given, self._missing = [], []

    @property
    def finite(self) -> bool:
        """Whether all inputs were finite, and their squares too."""
        return self._energy < float("inf")  # False for NaN

    @property
    def _added(self) -> float:
        """λ: what is added to the diagonal of the mean over the rows."""
        mean = self._energy / (self.count * self._features)
        return _SHRINKAGE * max(mean, torch.finfo(torch.float32).tiny / _SHRINKAGE)

    def gram(self, weight: Tensor) -> Tensor:
        """W (C + λ) Wᵀ for W of shape (out_features, features)."""
        if self._square is None:
            outputs = torch.cat(self._given) @ weight.T
            seen = outputs.T @ outputs
        else:
            seen = (weight @ self._square) @ weight.T
        return seen / self.count + self._added * (weight @ weight.T)

    def root(self) -> Tensor:
        """The lower triangular L with L Lᵀ = C + λ, shape (features, features), float64."""
        square = self._square
        if square is None:
            given = torch.cat(self._given)
            square = given.T @ given
        covariance = square.double() / self.count
        covariance.diagonal().add_(self._added)
        return torch.linalg.cholesky(covariance)

    def shifted(self, weight: Tensor) -> Tensor:
        """The weight that gives, from x′, what the layer gives halfway between x and x′.

        It is W + ½ W E[(x − x′) x′ᵀ] (C + λ)⁻¹, the least squares fit (AA-SVD, arXiv:2604.02119, for half
        the difference).
        """
        if self._square is None:
            if not self._missing:
                return weight
            given = torch.cat(self._given)
            if self._inverted is None:
                # (XᵀX + λ)⁻¹ Xᵀ = Xᵀ (X Xᵀ + λ)⁻¹
                kernel = (given @ given.T).double()
                kernel.diagonal().add_(self._added * self.count)
                solved = torch.cholesky_solve(given.double(), torch.linalg.cholesky(kernel))
                self._inverted = solved.to(given.dtype)
            return weight + 0.5 * (weight @ torch.cat(self._missing).T) @ self._inverted
        if self._cross is None:
            return weight
        if self._inverted is None:
            self._inverted = self.root()
        moved = (weight @ self._cross).double().T / self.count
        return weight + 0.5 * torch.cholesky_solve(moved, self._inverted).T.to(weight.dtype)
