"""Clifford data regression: a straight line from noisy to noise-free values (arXiv:2005.10189)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.twin_regression import learned
from bondwise.mitigation.scan import NoiseScan, require_scan


def extrapolate_cdr(scan: NoiseScan) -> Extrapolation:
    """Fit `ideal ≈ a E(1) + b` to the twins of the scan by least squares and apply it to each element.

    Only the scale factor closest to 1 is used. The line is exact under global depolarizing noise, for twins
    and circuits of any value.

    Args:
        scan: Values with two or more twins, such as those of `near_clifford_twins`; one scale factor is
            enough.

    Returns:
        Value and standard error for each leading index of the scan, without a curve. The standard error
        covers the errors of the scan and of the line, and how far twins are from it. An element whose twins
        show no signal keeps the measured value, with `converged` False.

    Raises:
        UsageError: If the scan has fewer than two twins.

    Example:
        >>> from bondwise.mitigation import NoiseScan, Twins, extrapolate_cdr
        >>> twins = Twins(value=[[0.5], [-0.24], [0.1]], std=[[0.01]] * 3, ideal=[1.0, -0.5, 0.2])
        >>> print(extrapolate_cdr(NoiseScan(value=[0.4], std=[0.01], scale_factors=[1], twins=twins)))
        Extrapolation: 0.80068 ± 0.026, no shots
    """
    require_scan(scan)
    nearest = np.abs(scan.scale_factors - 1).argmin()
    return learned(scan, "CDR", np.array([nearest]), intercept=True)
