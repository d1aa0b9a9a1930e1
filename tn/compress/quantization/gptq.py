"""Rounding a weight column by column, each time moving the others to make up for the error (GPTQ).

The error that counts is ½ tr(ΔW C ΔWᵀ) with the covariance C of the layer's inputs. After a column i is
rounded, the best that those to come can do is to move by

    ΔW_j = −(w_i − q_i) U_ij / U_ii,    C⁻¹ = Uᵀ U with U upper triangular

(Frantar et al., arXiv:2210.17323, equation 2, with the factor of its step 3). Columns with the largest
variance go first, as long as many others can make up for them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bondwise.tn.compress.quantization.rounding import nearest

_DAMPING = 0.1  # of the mean variance, added to every direction: less is worse on data that was not used
_BLOCK = 128  # columns after which the rest are moved


def gptq(weight: Tensor, covariance: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    """Round a weight so that the outputs of its layer change little.

    Args:
        weight: Shape (rows, columns), of any floating type.
        covariance: E[x xᵀ] of the inputs, shape (columns, columns); it may be singular, or zero.
        scales: Of every number, shape (rows, columns).
        zeros: Likewise.
        bits: 2, 3, 4 or 8.

    Returns:
        Codes q, uint8 (rows, columns); they stand for scales (q − zeros).
    """
    columns = weight.shape[1]
    identity = torch.eye(columns, dtype=torch.float64, device=weight.device)
    covariance = covariance.double()
    mean = covariance.diagonal().mean()
    covariance = covariance / mean if mean > 0 else identity  # zero if the layer was never reached
    order = covariance.diagonal().argsort(descending=True, stable=True)
    factor = _inverse_factor(covariance[order][:, order] + _DAMPING * identity)
    rest, scales, zeros = (part.detach().double()[:, order] for part in (weight, scales, zeros))
    codes = torch.empty_like(rest)
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        errors = torch.empty_like(rest[:, start:stop])
        for i in range(start, stop):
            codes[:, i] = nearest(rest[:, i], scales[:, i], zeros[:, i], bits)
            error = (rest[:, i] - scales[:, i] * (codes[:, i] - zeros[:, i])) / factor[i, i]
            rest[:, i:stop] -= error[:, None] * factor[i, i:stop]
            errors[:, i - start] = error
        rest[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes[:, order.argsort()].to(torch.uint8)


def _inverse_factor(covariance: Tensor) -> Tensor:
    """U with U upper triangular and Uᵀ U the inverse of a covariance."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    return torch.linalg.cholesky(inverse, upper=True)
