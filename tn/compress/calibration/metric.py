"""How much a change of a layer's weight matters.

To second order, a change ΔW of the weight raises the loss of a model by

    ½ tr(G ΔW C ΔWᵀ),    C = E[x xᵀ],    G = E[g gᵀ],

where x is the layer's input, or the patch of it that a convolution sees, and g the gradient of the loss by
the layer's output: the curvature in Kronecker factors (Martens, Grosse, arXiv:1503.05671). With G = 1 it is
the error of the layer's output, which whitened SVD minimizes (SVD-LLM, arXiv:2403.07378); with C = 1 as well,
it is the plain distance that CompactifAI (arXiv:2401.14109) minimizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

# Fractions of the mean variance that are added to every direction: those never seen in calibration count
# too, and a covariance from few samples is pulled toward the identity. Gradients are the noisier ones.
_INPUT_SHRINKAGE, _GRADIENT_SHRINKAGE = 1e-4, 0.05
_SMALLEST = 1e-9  # eigenvalue of a covariance whose diagonal has mean 1


@dataclass(frozen=True)
class Metric:
    """The quadratic form of one layer, in float64.

    The weight of a convolution counts as one matrix per group, of shape (groups, out_channels / groups,
    in_channels / groups · kernel), and so do the covariances.

    The input of an embedding is a row of the identity, so that C is diagonal, and of shape (num_embeddings,).

    Attributes:
        inputs: C, shape (in_features, in_features); None stands for the identity.
        gradients: G, shape (out_features, out_features); None stands for the identity.
    """

    inputs: Tensor | None = field(default=None, repr=False)
    gradients: Tensor | None = field(default=None, repr=False)

    def weighted(self, weight: Tensor) -> Tensor:
        """√G ΔW √C with the shrunk covariances: half of its squared norm is the loss."""
        weight = weight.detach().double()
        if self._shrunk_inputs is not None and self._shrunk_inputs.ndim == 1:
            weight = weight * self._shrunk_inputs.sqrt()
        elif self._input_roots is not None:
            weight = weight @ self._input_roots[0]
        return weight if self._gradient_roots is None else self._gradient_roots[0] @ weight

    def pulled(self, weight: Tensor) -> Tensor:
        """G ΔW C with the shrunk covariances, the gradient of the loss; half of its product with ΔW."""
        weight = weight.detach().double()
        if self._shrunk_inputs is not None:
            diagonal = self._shrunk_inputs.ndim == 1
            weight = weight * self._shrunk_inputs if diagonal else weight @ self._shrunk_inputs
        return weight if self._shrunk_gradients is None else self._shrunk_gradients @ weight

    def unweighted_rows(self, rows: Tensor) -> Tensor:
        """R √C⁻¹ for R of shape (..., in_features)."""
        return rows if self._input_roots is None else rows @ self._input_roots[1]

    def unweighted_columns(self, columns: Tensor) -> Tensor:
        """√G⁻¹ L for L of shape (out_features, ...)."""
        return columns if self._gradient_roots is None else self._gradient_roots[1] @ columns

    def covariances(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The shrunk G and C for a weight of this shape."""
        identities = (torch.eye(size, dtype=torch.float64, device=weight.device) for size in weight.shape)
        known = self._shrunk_gradients, self._shrunk_inputs
        rows, columns = (one if two is None else two for one, two in zip(identities, known, strict=True))
        return rows, columns

    @cached_property
    def _shrunk_inputs(self) -> Tensor | None:
        return None if self.inputs is None else _shrunk(self.inputs, _INPUT_SHRINKAGE)

    @cached_property
    def _shrunk_gradients(self) -> Tensor | None:
        return None if self.gradients is None else _shrunk(self.gradients, _GRADIENT_SHRINKAGE)

    @cached_property
    def _input_roots(self) -> tuple[Tensor, Tensor] | None:
        return None if self.inputs is None else roots(self.inputs, _INPUT_SHRINKAGE)

    @cached_property
    def _gradient_roots(self) -> tuple[Tensor, Tensor] | None:
        return None if self.gradients is None else roots(self.gradients, _GRADIENT_SHRINKAGE)


def _shrunk(covariance: Tensor, shrinkage: float) -> Tensor:
    """A covariance, or its diagonal, with a fraction of its mean variance in all directions.

    The identity for one that is zero, because the layer was never reached, or nothing depends on it.
    """
    covariance = covariance.double()
    if covariance.ndim == 1:
        return covariance + shrinkage * covariance.mean() if covariance.any() else torch.ones_like(covariance)
    identity = torch.eye(covariance.shape[-1], dtype=torch.float64, device=covariance.device)
    mean = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return torch.where(mean > 0, covariance + shrinkage * mean * identity, identity)


def roots(covariance: Tensor, shrinkage: float = 0.0) -> tuple[Tensor, Tensor]:
    """Symmetric square root of a shrunk covariance, and its inverse; singular ones have both."""
    shrunk = _shrunk(covariance, shrinkage)
    mean = shrunk.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    values, vectors = torch.linalg.eigh(shrunk / mean)
    values = (values.clamp_min(_SMALLEST) * mean[..., 0])[..., None, :]
    return (vectors * values.sqrt()) @ vectors.mT, (vectors * values.rsqrt()) @ vectors.mT
