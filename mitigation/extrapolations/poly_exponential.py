"""Zero-noise extrapolation by the exponential of a polynomial, `E(s) = A ± exp(z(s))` (arXiv:2005.10921)."""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.linear import extrapolate_linear
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import whole_number


def extrapolate_poly_exponential(scan: NoiseScan, degree: int = 2) -> Extrapolation:
    """Fit `E(s) = A ± exp(z₀ + z₁ s + … + z_d s^d)` to each element and return it at 0.

    A is the scan's asymptote. The polynomial is a weighted least-squares fit to `log |E - A|`, with the
    inverse variances that the errors of the scan give these logarithms. An element falls back to the straight
    line, with `converged` False, if its values are not all on one side of A, or if one of the first d + 1 is
    within two standard errors of A, where its logarithm is arbitrary.

    Args:
        scan: Values at S scale factors.
        degree: Degree d of the polynomial, from 1, an exponential decay, to S - 1.

    Returns:
        Value and standard error (first order in the errors of the scan) for each leading index of the scan.

    Raises:
        UsageError: If there are fewer than two scale factors, or the degree is out of range.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_poly_exponential
        >>> scan = NoiseScan(value=[0.8, 0.4, 0.2], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])
        >>> print(extrapolate_poly_exponential(scan))
        Extrapolation: 1.13137 ± 0.049, no shots
    """
    line = extrapolate_linear(scan)
    count = scan.scale_factors.size
    degree = whole_number(f"degree with {count} scale factors", degree, most=count - 1)
    floor = np.asarray(scan.asymptote)[..., None]
    signal = scan.value - floor
    first = np.argsort(scan.scale_factors)[: degree + 1]
    sign = np.sign(signal[..., :1])
    usable = (signal * sign > 0).all(axis=-1)
    usable &= (np.abs(signal) > 2 * scan.std)[..., first].all(axis=-1)

    # powers of s / s_max keep the design matrix well conditioned
    unit = scan.scale_factors.max()
    design = np.vander(scan.scale_factors / unit, degree + 1, increasing=True)
    size = np.where(usable[..., None], np.abs(signal), 1.0)
    root = np.sqrt(scan.weights())[..., None] * size[..., None]
    with np.errstate(all="ignore"):  # steep fits may overflow, and far scans vanish
        solve = np.linalg.pinv(root * design) * np.swapaxes(root, -1, -2)
        powers = np.vander(scan.grid() / unit, degree + 1, increasing=True)
        exponents = (powers @ solve @ np.log(size)[..., None])[..., 0]
        decay = sign * np.exp(exponents)
        response = decay[..., :1] * solve[..., 0, :] / (sign * size)
        variance = scan.variance(np.nan_to_num(response))
    good = usable & np.isfinite(decay).all(axis=-1) & np.isfinite(response).all(axis=-1)
    failed = int(np.sum(~good))
    method = f"exponential of a polynomial of degree {degree}"
    message = f"{failed} of {good.size} scans have no logarithm, so the straight line was used"
    return Extrapolation.from_curve(
        scan,
        f"{method} (straight line in {failed} of {good.size})" if failed else method,
        np.where(good[..., None], floor + decay, line.curve),
        np.where(good, variance, np.square(line.std)),
        converged=good,
        message=message if failed else "",
    )
