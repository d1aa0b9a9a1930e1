"""Zero-noise extrapolation by an exponential decay whose asymptote is fitted, `E(s) = A + B exp(-γ s)`."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.linear import extrapolate_linear
from bondwise.mitigation.scan import NoiseScan, require_scan

_DECAYS = np.geomspace(1e-4, 20.0, 121)  # γ (s_max - s_min) on the search grid


def extrapolate_free_exponential(scan: NoiseScan) -> Extrapolation:
    """Fit `E(s) = A + B exp(-γ s)` with `γ > 0` to each element, A included, and return `A + B`.

    For noise that does not take the observable to the scan's own asymptote, such as relaxation. Three free
    numbers follow the errors of few points closely: with a known asymptote, `extrapolate_exponential` has a
    smaller error. An element falls back to the straight line, with `converged` False, if its data do not
    curve toward a limit.

    Args:
        scan: Values at S ≥ 3 scale factors. Its asymptote is not used.

    Returns:
        Value and standard error (first order in the errors of the scan) for each leading index of the scan.

    Raises:
        UsageError: If there are fewer than three scale factors.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_free_exponential
        >>> scan = NoiseScan(value=[0.9, 0.5, 0.3], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_free_exponential(scan))
        Extrapolation: 1.23137 ± 0.037, no shots
    """
    require_scan(scan, "a decay with a free asymptote", least=3, such_as=(1, 3, 5))
    line = extrapolate_linear(scan)
    order = np.argsort(scan.scale_factors)
    value, weights = scan.value[..., order], scan.weights()[..., order]
    first, last = scan.scale_factors[order[[0, -1]]]
    at = (scan.scale_factors[order] - first) / (last - first)  # from 0 to 1
    share = weights / weights.sum(axis=-1, keepdims=True)

    def centered(points: np.ndarray) -> np.ndarray:
        return points - np.sum(share * points, axis=-1, keepdims=True)

    # variable projection: A and B are linear, so only the decay over the scan is searched, on a grid and then
    # by bisection on the slope of the goodness of fit, overlap² / norm
    signal = centered(value)
    curves = centered(np.exp(-_DECAYS[:, None] * at)[(...,) + (None,) * (value.ndim - 1) + (slice(None),)])
    quality = np.sum(weights * signal * curves, axis=-1) ** 2 / np.sum(weights * curves**2, axis=-1)
    best = quality.argmax(axis=0)
    low, high = _DECAYS[np.maximum(best - 1, 0)], _DECAYS[np.minimum(best + 1, _DECAYS.size - 1)]
    for _ in range(60):
        decay = (low + high) / 2
        raw = np.exp(-decay[..., None] * at)
        curve, slope = centered(raw), -centered(at * raw)
        overlap, norm = np.sum(weights * signal * curve, -1), np.sum(weights * curve**2, -1)
        rising = overlap * (
            norm * np.sum(weights * signal * slope, -1) - overlap * np.sum(weights * curve * slope, -1)
        )
        low, high = np.where(rising > 0, decay, low), np.where(rising > 0, high, decay)
    height = overlap / norm
    floor = np.sum(share * (value - height[..., None] * raw), axis=-1)

    # first-order errors of A, B and the decay (normal equations), carried to scale 0 through
    # value = A + height exp(decay back)
    back = first / (last - first)
    jacobian = np.stack([np.ones_like(raw), raw, -height[..., None] * at * raw], axis=-1)
    normal = np.einsum("...si,...s,...sj->...ij", jacobian, weights, jacobian)
    towards_zero = (scan.grid() - first) / (last - first)
    with np.errstate(over="ignore", invalid="ignore"):  # scans far from 0 may overflow
        start = np.exp(decay * back)
        to_zero = np.stack([np.ones_like(start), start, height * back * start], axis=-1)
        inverse = np.linalg.pinv(normal, hermitian=True)
        response = np.einsum("...i,...ij,...sj,...s->...s", to_zero, inverse, jacobian, weights)
        variance = scan.variance(response[..., np.argsort(order)])
        fitted = floor[..., None] + height[..., None] * np.exp(-decay[..., None] * towards_zero)

    curved = (best > 0) & (best < _DECAYS.size - 1)
    good = curved & np.isfinite(fitted[..., 0]) & np.isfinite(variance)
    failed = int(np.sum(~good))
    method, message = "exponential with a free asymptote", ""
    if failed:
        method += f" (straight line in {failed} of {good.size})"
        message = f"{failed} of {good.size} scans do not curve toward a limit, so the straight line was used"
    return Extrapolation.from_curve(
        scan,
        method,
        np.where(good[..., None], fitted, line.curve),
        np.where(good, variance, np.square(line.std)),
        converged=good,
        message=message,
    )
