"""Zero-noise extrapolation by an exponential decay `E(s) = A + B exp(-γ s)` (arXiv:1712.09271).

Exact for a Pauli observable under global depolarizing noise, whose asymptote A is `Tr(O) / 2^n`.
"""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.linear import extrapolate_linear
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import UsageError, real_array

# decays γ (s_max - s_min) on the search grid: 0 is flat, at 20 only the first point is left
_DECAYS = np.concatenate([[0.0], np.geomspace(1e-4, 20.0, 120)])


def extrapolate_exponential(scan: NoiseScan, asymptote: float | np.ndarray | None = None) -> Extrapolation:
    """Fit `E(s) = A + B exp(-γ s)` with `γ > 0` and B of either sign to each element and return `A + B`.

    This is weighted least squares on the values themselves, not on their logarithms, so points below the
    noise do no harm. An element falls back to the straight line, with `converged` False, if the data show no
    decay towards A (flat or growing) or if the second point is within two standard errors of A: there the
    decay rate, and with it the value, is arbitrary.

    Args:
        scan: Values at S ≥ 2 scale factors.
        asymptote: Limit A, a number or shape `(...)`; by default the scan's own.

    Returns:
        Value and standard error (first order in the errors of the scan) for each leading index of the scan.

    Raises:
        UsageError: If there are fewer than two scale factors, or the asymptote has the wrong shape.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_exponential
        >>> scan = NoiseScan(value=[0.8, 0.4, 0.2], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_exponential(scan))
        Extrapolation: 1.13137 ± 0.022, no shots
    """
    line = extrapolate_linear(scan)
    floor = scan.asymptote if asymptote is None else real_array("asymptote", asymptote)
    if floor.shape not in ((), scan.value.shape[:-1]):
        raise UsageError(
            f"asymptote has shape {floor.shape}; pass a number or shape {scan.value.shape[:-1]}."
        )

    order = np.argsort(scan.scale_factors)
    signal = (scan.value - floor[..., None])[..., order]
    weights = scan.weights()[..., order]
    first, last = scan.scale_factors[order[[0, -1]]]
    at = (scan.scale_factors[order] - first) / (last - first)  # from 0 to 1

    # variable projection: the height at the first point is linear, so only the decay over the scan is
    # searched, on a grid and then by bisection on the slope of the goodness of fit, overlap² / norm
    curves = np.exp(-_DECAYS[:, None] * at)
    best = np.argmax(((weights * signal) @ curves.T) ** 2 / (weights @ (curves**2).T), axis=-1)
    low, high = _DECAYS[np.maximum(best - 1, 0)], _DECAYS[np.minimum(best + 1, _DECAYS.size - 1)]
    for _ in range(60):
        decay = (low + high) / 2
        curve = np.exp(-decay[..., None] * at)
        overlap, norm = np.sum(weights * signal * curve, -1), np.sum(weights * curve**2, -1)
        rising = (
            overlap
            * (
                overlap * np.sum(weights * at * curve**2, -1)
                - norm * np.sum(weights * signal * at * curve, -1)
            )
            > 0
        )
        low, high = np.where(rising, decay, low), np.where(rising, high, decay)
    height = overlap / norm

    # first-order errors of height and decay (normal equations), carried to scale 0 through
    # value = A + height exp(decay back)
    back = first / (last - first)
    jacobian = np.stack([curve, -height[..., None] * at * curve], axis=-1)
    normal = np.einsum("...si,...s,...sj->...ij", jacobian, weights, jacobian)
    towards_zero = (scan.grid() - first) / (last - first)
    with np.errstate(over="ignore", invalid="ignore"):  # scans far from 0 may overflow
        to_zero = np.exp(decay * back)[..., None] * np.stack([np.ones_like(height), height * back], axis=-1)
        inverse = np.linalg.pinv(normal, hermitian=True)
        response = np.einsum("...i,...ij,...sj,...s->...s", to_zero, inverse, jacobian, weights)
        variance = scan.variance(response[..., np.argsort(order)])
        curve = floor[..., None] + height[..., None] * np.exp(-decay[..., None] * towards_zero)

    decays = (best > 0) & (best < _DECAYS.size - 1) & (decay > _DECAYS[1] / 2)
    visible = (np.abs(signal[..., 1]) > 2 * scan.std[..., order[1]]) & (signal[..., 0] * signal[..., 1] > 0)
    good = decays & visible & np.isfinite(curve[..., 0]) & np.isfinite(variance)
    failed = int(np.sum(~good))
    message = ""
    if failed:
        message = (
            f"no exponential decay towards {_shown(floor)} could be resolved in {failed} of {good.size} "
            "scans, where the straight line was used"
        )
    return Extrapolation.from_curve(
        scan,
        f"exponential (straight line in {failed} of {good.size})" if failed else "exponential",
        np.where(good[..., None], curve, line.curve),
        np.where(good, variance, np.square(line.std)),
        converged=good,
        message=message,
    )


def _shown(floor: np.ndarray) -> str:
    return f"{float(floor):g}" if floor.ndim == 0 else "the asymptote"
