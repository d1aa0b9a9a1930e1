"""Zero-noise extrapolation by a weighted least-squares polynomial in the scale factor (arXiv:1612.02058)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import whole_number


def extrapolate_polynomial(scan: NoiseScan, degree: int = 2) -> Extrapolation:
    """Fit `E(s) = c_0 + c_1 s + … + c_d s^d` to each element and return `c_0`.

    The weights are inverse variances; the value is linear in the data, so its standard error is exact when
    the errors of the scan are independent.

    Args:
        scan: Values at S scale factors.
        degree: Degree d, from 0 to S - 1.

    Returns:
        Value and standard error at scale 0 for each leading index of the scan.

    Raises:
        UsageError: Degree out of range.
    """
    count = scan.scale_factors.size
    degree = whole_number(f"degree with {count} scale factors", degree, least=0, most=count - 1)
    # Powers of s / s_max keep the design matrix well conditioned.
    unit = scan.scale_factors.max()
    design = np.vander(scan.scale_factors / unit, degree + 1, increasing=True)
    root = np.sqrt(scan.weights())[..., None]
    solve = np.linalg.pinv(root * design) * np.swapaxes(root, -1, -2)  # data to coefficients: (..., d + 1, S)
    curve = np.vander(scan.grid() / unit, degree + 1, increasing=True) @ solve @ scan.values[..., None]
    variance = np.sum((solve[..., 0, :] * scan.stds) ** 2, axis=-1)
    return Extrapolation.from_curve(scan, f"polynomial of degree {degree}", curve[..., 0], variance)
