"""Richardson extrapolation: the polynomial through all points of the scan (arXiv:1612.02058)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.scan import NoiseScan, require_scan


def extrapolate_richardson(scan: NoiseScan) -> Extrapolation:
    """Interpolate each element by a polynomial of degree S - 1 and return it at 0.

    It removes S - 1 orders of the noise but multiplies the standard error, by 2.3 at scale factors 1, 3, 5;
    use it when there are plenty of shots.

    Args:
        scan: Values at S ≥ 2 scale factors.

    Returns:
        Value and standard error (exact, as the value is linear in the data) for each leading index of the
        scan.

    Raises:
        UsageError: If there are fewer than two scale factors.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_richardson
        >>> scan = NoiseScan(value=[0.8, 0.4, 0.1], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_richardson(scan))
        Extrapolation: 1.0375 ± 0.023, no shots
    """
    require_scan(scan, "Richardson", least=2)
    at = scan.scale_factors
    grid = scan.grid()
    # Lagrange: weight of point i at x is the product over j != i of (x - s_j) / (s_i - s_j)
    numerator = grid[:, None, None] - at
    denominator = at[:, None] - at
    diagonal = np.eye(at.size, dtype=bool)
    lagrange = np.where(diagonal, 1.0, numerator / np.where(diagonal, 1.0, denominator)).prod(axis=-1)
    variance = scan.variance(lagrange[0])
    return Extrapolation.from_curve(scan, "Richardson", scan.value @ lagrange.T, variance)
