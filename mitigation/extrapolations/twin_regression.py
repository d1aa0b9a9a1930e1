"""Least squares of the noise-free values of twins on their noisy ones, and what it says of the scan."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import UsageError


def learned(scan: NoiseScan, method: str, which: np.ndarray, intercept: bool) -> Extrapolation:
    """Fit `ideal - A ≈ Σ_s w_s (E(s) - A) [+ b]` to the twins and apply it to the scan of asymptote A.

    The variance of the result has three parts: the errors of the scan; the part of the twins' residuals that
    their own errors do not explain, by which the scan's circuit may differ as much as a twin does; and the
    errors of the weights.

    Args:
        scan: Values with twins.
        method: Name of the method.
        which: Indices of the scale factors to use.
        intercept: Whether b is fitted; 0 otherwise.

    Returns:
        The result. Elements whose twins show no signal keep the value at the first of `which`.

    Raises:
        UsageError: If there are no twins, or fewer than unknowns.
    """
    unknowns = which.size + intercept
    if scan.twins is None:
        raise UsageError(
            f"{method} learns from twins and the scan has none; make some with near_clifford_twins, measure "
            "them at the same scale factors, and pass NoiseScan(twins=Twins(value=, std=, ideal=))."
        )
    value, std, ideal = scan.twins
    count = ideal.shape[-1]
    if count < unknowns:
        raise UsageError(
            f"{method} has {unknowns} unknowns and the scan has {count} twin{'s' * (count != 1)}; measure at "
            f"least {unknowns}, better 20."
        )
    shape = scan.value.shape[:-1]
    floor = np.broadcast_to(scan.asymptote, shape)[..., None]
    noisy = value[..., which] - floor[..., None]
    known = ideal - floor
    mine = scan.value[..., which] - floor
    design, point = (
        np.concatenate([part, np.ones((*part.shape[:-1], 1))], axis=-1) if intercept else part
        for part in (noisy, mine)
    )
    solve = np.linalg.pinv(design, rtol=1e-10)  # (..., unknowns, T)
    solution = (solve @ known[..., None])[..., 0]
    weights = solution[..., : which.size]

    sampled = np.mean(np.sum((weights[..., None, :] * std[..., which]) ** 2, axis=-1), axis=-1)
    misses = known - (design @ solution[..., None])[..., 0]
    scatter = sampled
    if count > unknowns:
        scatter = np.maximum(sampled, np.sum(misses**2, axis=-1) / (count - unknowns))
    leverage = np.sum((point[..., None, :] @ solve)[..., 0, :] ** 2, axis=-1)
    response = np.zeros_like(scan.value)
    response[..., which] = weights
    variance = scan.variance(response) + (scatter - sampled) + scatter * leverage

    signal = noisy[..., 0] - (noisy[..., 0].mean(axis=-1, keepdims=True) if intercept else 0.0)
    good = (np.abs(signal) > 2 * std[..., which[0]] + 1e-12).any(axis=-1)
    curve = np.full((*shape, scan.grid().size), np.nan)  # twins only tell of scale 0
    fit = floor[..., 0] + np.sum(point * solution, axis=-1)
    fit = np.clip(fit, scan.spectrum[..., 0], scan.spectrum[..., 1])
    curve[..., 0] = np.where(good, fit, scan.value[..., which[0]])
    failed = int(np.sum(~good))
    message = f"the twins of {failed} of {good.size} scans show no signal, so the measured value was kept"
    return Extrapolation.from_curve(
        scan,
        f"{method} (measured value in {failed} of {good.size})" if failed else method,
        curve,
        np.where(good, variance, scan.std[..., which[0]] ** 2),
        converged=good,
        message=message if failed else "",
    )
