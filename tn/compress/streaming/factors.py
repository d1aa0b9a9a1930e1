"""The best low-rank factors of a wide weight, from the smaller one of two Gram matrices.

Truncated in the norm of the outputs, W becomes U Uᵀ W with the leading eigenvectors U of W C Wᵀ. If it has
more rows than columns, it becomes W L V Vᵀ L⁻¹ with C = L Lᵀ and those of Lᵀ Wᵀ W L, V. Either way an
eigenvalue is a squared singular value of W √C, and no root of a matrix of the larger size is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bondwise.runs import UsageError
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.streaming.inputs import Inputs

_REMEDY = "check the data and the weights up to there"
_DOUBLE = 1024  # larger eigenvalue problems are solved in float32


class Factors:
    """Low-rank factors of a weight for every rank that needs fewer numbers than the weight.

    Args:
        name: Of the layer, for errors.
        weight: Shape (out_features, in_features), float32.
        inputs: What the layer is given.

    Attributes:
        losses: For ranks from 1 on, the mean squared error of the output that is expected, half of it.

    Raises:
        UsageError: If numbers overflow.
    """

    def __init__(self, name: str, weight: Tensor, inputs: Inputs) -> None:
        if not inputs.finite:
            raise UsageError(
                f"{name} is given numbers that are not finite on the calibration data; {_REMEDY}"
            )
        rows, columns = weight.shape
        most = max(1, (rows * columns - 1) // (rows + columns))
        if rows <= columns:
            energies, basis = _principal(inputs.gram(weight), name)
            self._left = basis[:, :most]
            self._right = self._left.T @ weight
        else:
            root = inputs.root()
            mixed = weight @ root.to(weight.dtype)
            energies, basis = _principal(mixed.T @ mixed, name)
            basis = basis[:, :most]
            self._left = mixed @ basis
            unmixed = torch.linalg.solve_triangular(root, basis.T.double(), upper=False, left=False)
            self._right = unmixed.to(weight.dtype)
        tails = energies.double().clamp_min(0).flip(0).cumsum(0).flip(0)
        self.losses: list[float] = (0.5 * torch.cat([tails[1:], tails.new_zeros(1)])[:most]).tolist()

    def build(self, rank: int, bias: Tensor | None) -> LowRank:
        """The layer of some rank."""
        left, right = self._left[:, :rank], self._right[:rank]
        # both factors of each term get the same norm, so that gradient descent moves them alike
        scales = (left.norm(dim=0) / right.norm(dim=1)).sqrt().nan_to_num(1.0, 1.0)
        return LowRank(left / scales, right * scales[:, None], bias)


def _principal(matrix: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Eigenvalues in falling order, and the eigenvectors as columns."""
    if not torch.isfinite(matrix).all():
        raise UsageError(
            f"the outputs of {name} are too large for float32 on the calibration data; {_REMEDY}"
        )
    dtype = torch.float64 if len(matrix) <= _DOUBLE else torch.float32
    values, vectors = torch.linalg.eigh(matrix.to(dtype))
    return values.flip(0), vectors.flip(1).to(matrix.dtype)
