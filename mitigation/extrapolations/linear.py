"""Zero-noise extrapolation by a weighted straight line, right to first order (arXiv:1612.02058)."""

from __future__ import annotations

from dataclasses import replace

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.polynomial import extrapolate_polynomial
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import UsageError


def extrapolate_linear(scan: NoiseScan) -> Extrapolation:
    """Fit `E(s) = c_0 + c_1 s` to each element and return `c_0`: a safe choice for weak noise and few shots.

    Args:
        scan: Values at two or more scale factors.

    Returns:
        Value and standard error (exact: the value is linear in the data) for each leading index of the scan.

    Raises:
        UsageError: Fewer than two scale factors.
    """
    if scan.scale_factors.size < 2:
        raise UsageError("a line needs two scale factors, the scan has 1; measure at (1, 3), for instance.")
    return replace(extrapolate_polynomial(scan, 1), method="linear")
