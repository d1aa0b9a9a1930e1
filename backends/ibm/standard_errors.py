"""The standard errors of IBM's estimator, finite where its fits know none."""

from __future__ import annotations

import warnings

import numpy as np
from qiskit.primitives import DataBin, PubResult

_FACTORS = (1.0, 3.0, 5.0)  # noise factors of IBM's estimator, unless it is told others


def known_errors(part: PubResult) -> PubResult:
    """The result with an error for each value that IBM's fit reports an infinite one for.

    The error is that of a straight line through the values at the noise factors, at zero noise, from the
    errors of these values. `metadata["message"]` says for how many values. Where they have none either, as
    after a single shot, it is NaN. `metadata["noise_factors"]` names the noise factors.

    Args:
        part: Result of IBM's estimator with its default noise factors.
    """
    fields = {
        name: np.where(np.isinf(value), np.nan, value) if name.startswith("stds") else np.asarray(value)
        for name, value in part.data.items()
    }
    metadata = dict(part.metadata)
    missing = np.isnan(fields["stds"])
    measured = fields.get("stds_noise_factors")
    if measured is not None and measured.shape[-1] == len(_FACTORS):
        metadata["noise_factors"] = _FACTORS
    if missing.any() and measured is not None and measured.shape[-1] == len(_FACTORS):
        fields["stds"] = np.where(missing, _error_at_zero(measured), fields["stds"])
        metadata["message"] = (
            f"IBM's fit reports no error for {int(missing.sum())} of {missing.size} values; theirs is that "
            "of a straight line through what was measured"
        )
        warnings.warn(f"{metadata['message']}.", stacklevel=2)
    return PubResult(DataBin(**fields, shape=part.data.shape), metadata)


def _error_at_zero(errors: np.ndarray) -> np.ndarray:
    """Error of a straight line at zero, from those of the values (*shape, factors) that it is fitted to."""
    factors = np.array(_FACTORS)
    weights = np.linalg.pinv(np.stack([np.ones_like(factors), factors], axis=1))[0]
    return np.sqrt(((weights * errors) ** 2).sum(axis=-1))
