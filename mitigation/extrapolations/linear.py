"""Zero-noise extrapolation by a weighted straight line, correct to first order (arXiv:1612.02058)."""

from __future__ import annotations

from dataclasses import replace

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.polynomial import extrapolate_polynomial
from bondwise.mitigation.scan import NoiseScan, require_scan


def extrapolate_linear(scan: NoiseScan) -> Extrapolation:
    """Fit `E(s) = c₀ + c₁ s` to each element and return `c₀`: a safe choice for weak noise and few shots.

    Args:
        scan: Values at two or more scale factors.

    Returns:
        Value and standard error (exact, as the value is linear in the data) for each leading index of the
        scan.

    Raises:
        UsageError: If there are fewer than two scale factors.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_linear
        >>> scan = NoiseScan(value=[0.8, 0.6, 0.4], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_linear(scan))
        Extrapolation: 0.9 ± 0.012, no shots
    """
    require_scan(scan, "a line", least=2)
    return replace(extrapolate_polynomial(scan, 1), method="linear")
