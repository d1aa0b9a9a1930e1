"""Zero-noise extrapolation by a weighted least-squares polynomial in the scale factor (arXiv:1612.02058)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.scan import NoiseScan, require_scan
from bondwise.runs import whole_number


def extrapolate_polynomial(scan: NoiseScan, degree: int = 2) -> Extrapolation:
    """Fit `E(s) = c₀ + c₁ s + … + c_d s^d` to each element and return `c₀`.

    The weights are inverse variances. The value is linear in the data, so its standard error is exact.

    Args:
        scan: Values at S scale factors.
        degree: Degree of the polynomial, from 0 to S - 1.

    Returns:
        Value and standard error at scale 0 for each leading index of the scan.

    Raises:
        UsageError: If the degree is out of range.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_polynomial
        >>> scan = NoiseScan(value=[0.8, 0.4, 0.1], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_polynomial(scan))
        Extrapolation: 1.0375 ± 0.023, no shots
    """
    require_scan(scan)
    count = scan.scale_factors.size
    degree = whole_number(f"degree with {count} scale factors", degree, least=0, most=count - 1)
    # powers of s / s_max keep the design matrix well conditioned
    unit = scan.scale_factors.max()
    design = np.vander(scan.scale_factors / unit, degree + 1, increasing=True)
    root = np.sqrt(scan.weights())[..., None]
    solve = np.linalg.pinv(root * design) * np.swapaxes(root, -1, -2)  # data to coefficients: (..., d + 1, S)
    curve = np.vander(scan.grid() / unit, degree + 1, increasing=True) @ solve @ scan.value[..., None]
    variance = scan.variance(solve[..., 0, :])
    return Extrapolation.from_curve(scan, f"polynomial of degree {degree}", curve[..., 0], variance)
