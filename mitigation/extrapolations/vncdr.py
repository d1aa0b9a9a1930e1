"""Variable-noise Clifford data regression: CDR from all scale factors at once (arXiv:2011.01157)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.twin_regression import learned
from bondwise.mitigation.scan import NoiseScan, require_scan


def extrapolate_vncdr(scan: NoiseScan) -> Extrapolation:
    """Fit `ideal ≈ Σ_s w_s E(s)` to the twins of the scan by least squares and apply it to each element.

    The weights of an extrapolation are thus learned instead of derived from a model of the decay, and they
    also account for noise that folding does not scale. As in the paper there is no intercept; ideal and
    noisy values are both taken relative to the scan's asymptote, where noise changes nothing.

    Args:
        scan: Values at S scale factors with S or more twins, such as those of `near_clifford_twins`.

    Returns:
        Value and standard error for each leading index of the scan, without a curve. The standard error
        covers the errors of the scan and of the weights, and how far twins are from the fit. An element whose
        twins show no signal keeps the measured value of the smallest scale factor, with `converged` False.

    Raises:
        UsageError: If the scan has fewer twins than scale factors.

    Example:
        >>> from bondwise.mitigation import NoiseScan, Twins, extrapolate_vncdr
        >>> value = [[0.5, 0.125], [-0.24, -0.06], [0.1, 0.05]]
        >>> twins = Twins(value=value, std=[[0.01, 0.01]] * 3, ideal=[1.0, -0.5, 0.2])
        >>> scan = NoiseScan(value=[0.4, 0.1], std=[0.01, 0.01], scale_factors=[1, 3], twins=twins)
        >>> print(extrapolate_vncdr(scan))
        Extrapolation: 0.806242 ± 0.025, no shots
    """
    require_scan(scan)
    return learned(scan, "vnCDR", np.argsort(scan.scale_factors), intercept=False)
