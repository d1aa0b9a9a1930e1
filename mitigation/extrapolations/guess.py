"""Guiding extrapolations from symmetry decays: a known observable says how much noise there is.

After arXiv:2603.13060, whose abstract says that an extrapolation is learned from a symmetry, but not how.
Here the symmetry S replaces the scale factor: the noise at scale factor s is `x = -log(S(s) / S(0))`, and
elements decay as `A + B exp(-γ x)`, each with a γ of its own. It needs no scale factor to be true, and
accounts for noise that folding does not scale as far as S feels it.
"""

from __future__ import annotations

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.exponential import extrapolate_exponential
from bondwise.mitigation.scan import NoiseScan, require_scan
from bondwise.runs import UsageError


def extrapolate_guess(scan: NoiseScan) -> Extrapolation:
    """Extrapolate each element exponentially in the noise that a symmetry has measured.

    Args:
        scan: Values at S ≥ 2 scale factors. Its `twins` are the symmetry: an observable of the same circuit
            with a known value, such as Z⊗…⊗Z in a circuit that conserves the parity, measured at the same
            scale factors. `MitigatedEstimator(extrapolation="guess", symmetry=…)` measures it. Of several,
            the mean decay counts. Scale factors at which it is lost in its errors are left out.

    Returns:
        Value and standard error for each leading index of the scan, without a curve. The standard error
        covers the errors of the scan and of the symmetry, but not a decay of another form. An element whose
        symmetry shows no decay keeps the measured value of the smallest scale factor, and one that does not
        decay with its symmetry is extrapolated by a line; both have `converged` False.

    Raises:
        UsageError: If there is no symmetry, its value is 0, which noise does not change, or there are fewer
            than two scale factors.

    Example:
        >>> from bondwise.mitigation import NoiseScan, Twins, extrapolate_guess
        >>> parity = Twins(value=[[0.8, 0.5]], std=[[0.01, 0.01]], ideal=[1.0])
        >>> scan = NoiseScan(value=[0.4, 0.25], std=[0.01, 0.01], scale_factors=[1, 3], twins=parity)
        >>> print(extrapolate_guess(scan))
        Extrapolation: 0.5 ± 0.023, no shots
    """
    require_scan(scan, "guess", 2)
    at = scan.scale_factors
    if scan.twins is None:
        raise UsageError(
            "guess learns from a symmetry and the scan has none; pass symmetry=(OBSERVABLE, VALUE) to "
            "MitigatedEstimator, or NoiseScan(twins=Twins(value=, std=, ideal=))."
        )
    value, std, ideal = scan.twins
    square = np.sum(ideal**2, axis=-1)[..., None]
    if not np.all(square > 0):
        raise UsageError("the symmetry has the value 0, which noise does not change; pass one of ±1, say.")
    kept = np.einsum("...t,...ts->...s", ideal, value) / square  # what noise leaves of it; 1 without noise
    error = np.sqrt(np.einsum("...t,...ts->...s", ideal**2, std**2)) / square

    order, shape = np.argsort(at), scan.value.shape[:-1]
    left = np.concatenate([np.broadcast_to(part, scan.value.shape) for part in (kept, error)], axis=-1)
    symmetries, which = np.unique(left.reshape(-1, 2 * at.size), axis=0, return_inverse=True)
    result = scan.value[..., order[0]].reshape(-1).copy()
    variance = scan.std[..., order[0]].reshape(-1) ** 2
    good, fitted = np.zeros(result.shape, dtype=bool), np.zeros(result.shape, dtype=bool)
    for number, symmetry in enumerate(symmetries):
        kept, error = symmetry.reshape(2, -1)
        places = [place for place in order if kept[place] > 2 * error[place]]
        noise = -np.log(np.minimum(kept[places], 1.0)) + 1e-9
        decay = np.ptp(kept[places]) if len(places) > 1 else 0.0
        if decay <= 2 * np.max(error, initial=1e-9) or (np.diff(noise) <= 0).any():
            continue
        rows = np.flatnonzero(which.reshape(-1) == number)
        fit = extrapolate_exponential(_part(scan, rows, places, noise))
        result[rows], good[rows], variance[rows] = fit.value, fit.converged, np.square(fit.std)
        fitted[rows] = True
        for index, place in enumerate(places):  # errors of the noise, propagated
            step = np.zeros(noise.size)
            step[index] = min(error[place] / kept[place], 0.3 * np.diff(noise, prepend=0)[index])
            if step[index] > 0:
                moved = extrapolate_exponential(_part(scan, rows, places, noise - step))
                scale = error[place] / kept[place] / step[index]
                variance[rows] += np.square((moved.value - fit.value) * scale)
    result = np.clip(result.reshape(shape), scan.spectrum[..., 0], scan.spectrum[..., 1])
    curve = np.full((*shape, scan.grid().size), np.nan)  # a symmetry only tells of scale 0
    curve[..., 0] = result
    flat, straight, count = int(np.sum(~fitted)), int(np.sum(fitted & ~good)), good.size
    said = []
    if flat:
        said.append(f"the symmetry of {flat} of {count} scans shows no decay, so the measured value was kept")
    if straight:
        said.append(f"{straight} of {count} scans do not decay with their symmetry, so a line was fitted")
    return Extrapolation.from_curve(
        scan,
        f"guess (measured value in {flat} of {count})" if flat else "guess",
        curve,
        variance.reshape(shape),
        converged=good.reshape(shape),
        message="; ".join(said),
    )


def _part(scan: NoiseScan, rows: np.ndarray, places: list[int], noise: np.ndarray) -> NoiseScan:
    """Some elements at some scale factors, which become the noise that was measured."""
    size = scan.scale_factors.size
    covariance = scan.covariances().reshape(-1, size, size)[rows][:, places][:, :, places]
    return NoiseScan(
        value=scan.value.reshape(-1, size)[rows][:, places],
        std=scan.std.reshape(-1, size)[rows][:, places],
        scale_factors=noise,
        covariance=covariance,
        asymptote=np.broadcast_to(scan.asymptote, scan.value.shape[:-1]).reshape(-1)[rows],
    )
