"""Does mitigation help? The expected error of an extrapolation against that of all shots without it.

With few shots, the variance that an extrapolation adds can exceed the bias that it removes
(arXiv:2605.08251). Where values do not decay at all, their mean over all scale factors is better, which takes
no shot more. Where they do, no function of a scan can undo it, since the shots at large scale factors are
spent; but a short scan can tell how to spend the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.scan import NoiseScan, require_scan
from bondwise.runs import UsageError


@dataclass(frozen=True)
class Verdict:
    """Whether mitigation is expected to help each element; arrays have the scan's leading shape.

    Attributes:
        helps: Whether the extrapolation's expected squared error is the smaller one.
        error: Expected root mean square error of the extrapolation.
        raw_error: That of all shots of the scan at its first scale factor, without extrapolation.
        value: The extrapolated value where it helps, otherwise the fitted value at that scale factor, which
            is the better known the more scale factors agree.
        message: Where it does not help, and what to do instead; empty if it helps everywhere.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_linear, judge_mitigation
        >>> scan = NoiseScan(value=[[0.01, -0.02]], std=[[0.05, 0.05]], scale_factors=[1, 3])
        >>> judge_mitigation(scan, extrapolate_linear(scan)).helps
        array([False])
    """

    helps: np.ndarray
    error: np.ndarray
    raw_error: np.ndarray
    value: np.ndarray
    message: str


def judge_mitigation(scan: NoiseScan, fit: Extrapolation) -> Verdict:
    """Compare the expected error of an extrapolation with that of the same shots without it.

    Without extrapolation, an element `A + B` is measured as `A + r B`, where the fraction r that the noise
    leaves is taken from all elements together; so its squared error is `(1 - r)² B²` and the variance of a
    mean over all shots.

    Args:
        scan: Values at S scale factors.
        fit: Their extrapolation, with standard errors that cover what it does not know, as those of
            `extrapolate_neural` and `extrapolate_bayes`.

    Returns:
        The verdict for each element.

    Raises:
        UsageError: If `fit` is not one of the scan, or has no curve, as those of `extrapolate_cdr`.

    Example:
        >>> import numpy as np
        >>> from bondwise.mitigation import NoiseScan, extrapolate_neural, judge_mitigation
        >>> values = np.linspace(-0.9, 0.9, 30)[:, None] * np.exp(-0.2 * np.array([1, 3, 5]))
        >>> scan = NoiseScan(value=values, std=np.full((30, 3), 0.01), scale_factors=[1, 3, 5])
        >>> verdict = judge_mitigation(scan, extrapolate_neural(scan))
        >>> int(verdict.helps.sum())
        28
    """
    require_scan(scan)
    if not isinstance(fit, Extrapolation) or np.shape(fit.value) != scan.value.shape[:-1]:
        raise UsageError(
            f"fit is not an extrapolation of this scan, whose leading shape is {scan.value.shape[:-1]}; pass "
            "what an extrapolation returned for it."
        )
    if not np.isfinite(fit.curve).all():
        raise UsageError(
            f"{fit.method} has no curve, only values at zero noise; judge a fit of neural, bayes or another "
            "one that has."
        )
    first = scan.scale_factors.min()
    signal = np.asarray(fit.value) - scan.asymptote
    std = np.asarray(fit.std)
    position = first / (fit.curve_at[-1] / (fit.curve_at.size - 1))
    low, share = int(position), position - int(position)
    at_first = fit.curve[..., low]
    if share > 0:
        at_first = (1 - share) * at_first + share * fit.curve[..., low + 1]
    noisy = at_first - scan.asymptote
    size = float(np.sum(signal**2))
    left = float(np.clip(np.sum(noisy * signal) / size, 0, 1)) if size > 0 else 1.0
    with np.errstate(divide="ignore"):
        variance = 1 / np.sum(1 / scan.std**2, axis=-1)
    raw_error = np.sqrt((1 - left) ** 2 * (signal**2 + std**2) + variance)
    helps = std <= raw_error
    message = ""
    if not helps.all():
        message = (
            f"in {int(np.sum(~helps))} of {helps.size} elements, the extrapolation adds more error than it "
            f"removes: with all shots at scale factor {first:g}, errors of "
            f"{np.sqrt(np.mean(raw_error[~helps] ** 2)):.2g} instead of "
            f"{np.sqrt(np.mean(std[~helps] ** 2)):.2g} are expected"
        )
    return Verdict(helps, std, raw_error, np.where(helps, fit.value, at_first), message)


_CHANCE = 0.05  # that one of the elements seems to decay where none does
_SURE = NormalDist().inv_cdf(0.95)  # standard errors
_EXCLUDED = 0.5  # part of visible values that must not be lost


def mean_without_decay(scan: NoiseScan) -> Extrapolation | None:
    """The mean of the values over all scale factors, if they show no decay above their shot noise.

    Values at the smallest scale factor are compared with the mean of the others, in units of the mean of
    all, from which such differences are independent if there is no decay. Values decay if all elements
    together lose more than one standard error, or one of them more than chance explains. Nothing is
    decided where shot noise could hide that half of the values is lost, although they stand out from it.
    Means of three or more elements that are no larger than their errors explain are drawn towards the
    asymptote by the rule of James and Stein, each by one standard error at most (Efron and Morris, J. Am.
    Stat. Assoc. 67, 130, 1972).

    Args:
        scan: Values at S ≥ 2 scale factors.

    Returns:
        The means; their standard errors cover a decay that shot noise may hide. None if an element decays,
        if shot noise could hide a strong decay, if there are twins, which tell what folding does not, or if
        the scan has no shot noise.

    Raises:
        UsageError: If it is no scan, or one with a single scale factor.

    Example:
        >>> from bondwise.mitigation import NoiseScan, mean_without_decay
        >>> scan = NoiseScan(value=[0.51, 0.5, 0.49], std=[0.02, 0.02, 0.02], scale_factors=[1, 3, 5])
        >>> print(mean_without_decay(scan))
        Extrapolation: 0.5 ± 0.034, no shots
    """
    require_scan(scan, "mean_without_decay", 2)
    at, floor = scan.scale_factors, np.asarray(scan.asymptote)[..., None]
    widest = scan.std.max(axis=-1)
    noisy = widest > 0  # what is exact for any circuit, such as an identity, says nothing
    if scan.twins is not None or not noisy.any():
        return None
    weights = scan.weights()
    others = weights * (at > at.min())
    of_mean, of_others = (part / part.sum(axis=-1, keepdims=True) for part in (weights, others))
    contrast = (at == at.min()) - of_others
    # a sampled ±1 has a standard error of 0, and counts as in the weights
    more = np.maximum((widest[..., None] / 3) ** 2 - scan.std**2, 0)
    covariance = scan.covariances() + more[..., None] * np.eye(at.size)
    counted = replace(scan, std=np.sqrt(scan.std**2 + more), covariance=covariance)
    mean = np.sum(of_mean * (scan.value - floor), axis=-1)
    drop = np.sum(contrast * (scan.value - floor), axis=-1) * np.sign(mean)
    variance = counted.variance(contrast)
    judged = noisy & (variance > 0)
    if not judged.any():
        return None
    precision = np.abs(mean[judged]) / variance[judged]
    known = float(np.sum(precision * np.abs(mean[judged])))
    decay, error = (float(np.sum(precision * drop[judged])) / known, known**-0.5) if known > 0 else (0.0, 0.0)
    largest = np.max(drop[judged] / np.sqrt(variance[judged]))
    by_chance = NormalDist().inv_cdf(1 - _CHANCE / judged.sum())
    if decay >= error > 0 or largest >= by_chance:
        return None
    hidden = max(decay, 0.0) + _SURE * error
    ratios = mean[judged] ** 2 / counted.variance(of_mean)[judged]
    if hidden > _EXCLUDED and ratios.sum() > ratios.size + _SURE * np.sqrt(2 * ratios.size):
        return None
    reach = np.sum(of_mean * at, axis=-1) / (np.sum(of_others * at, axis=-1) - at.min())
    lost = np.hypot(np.abs(mean) * np.hypot(error, max(decay, 0.0)), np.maximum(drop, 0.0)) * reach
    mean, variance = _shrunk(mean, np.where(noisy, counted.variance(of_mean), 0.0))
    variance = variance + np.where(noisy, lost**2, 0.0)
    value = np.clip(floor[..., 0] + mean, scan.spectrum[..., 0], scan.spectrum[..., 1])
    curve = np.repeat(value[..., None], scan.grid().size, axis=-1)
    message = "the values show no decay above their shot noise, so they are means over all scale factors"
    fit = Extrapolation.from_curve(scan, "mean over the scale factors", curve, variance, message=message)
    return replace(fit, curve_std=np.repeat(np.sqrt(variance)[..., None], curve.shape[-1], axis=-1))


def _shrunk(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means drawn towards 0 by what their scatter does not exceed their errors, and their variances."""
    noisy = variance > 0
    spare = int(noisy.sum()) - 2
    if spare < 1:
        return mean, variance
    signal = float(np.sum(mean[noisy] ** 2 / variance[noisy]))
    kept = max(1 - spare / signal, 0.0) if signal > 0 else 0.0
    std = np.sqrt(variance)
    move = np.clip((kept - 1) * mean, -std, std)
    limited = np.abs(move) < (1 - kept) * np.abs(mean)  # an outlier, which the others say nothing about
    doubt = min(kept + np.sqrt(2 / spare), 1.0)  # of the shrinking itself, by one standard error of it
    return np.where(noisy, mean + move, mean), np.where(limited, variance + move**2, doubt * variance)
