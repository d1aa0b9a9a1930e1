"""Zero-noise extrapolation by empirical Bayes: scans under the same noise tell each other how it decays.

In the Pauli-path picture an expectation value is a sum of decaying parts, `E(s) = Σ_k c_k exp(-g r_k s)`.
With rates `r_k` from a Gamma distribution of mean 1 and variance ρ², and independent centered coefficients, E
is a Gaussian process with the kernel `v (1 + ρ² g (s + t))^(-1/ρ²)`: a single exponential for ρ → 0. The rate
g differs from circuit to circuit, `log g ~ N(a, b²)`. The four numbers a, b, ρ and v maximize the evidence of
the noisy scans themselves, so neither exact values nor other circuits are needed.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.one_thread import one_thread
from bondwise.mitigation.scan import NoiseScan, require_scan

# of the normal priors of a, log b, log ρ and log v; the first scale factor and the largest value are 1
_MIDDLES = np.log([0.2, 0.3, 0.3, 1.0])
_WIDTHS = np.array([1.5, 0.5, 0.5, 2.0])
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)  # of the average over log g
_LEAST_STD = 1e-5  # relative to the largest value: exact values make covariances singular


@one_thread()
def extrapolate_bayes(scan: NoiseScan) -> Extrapolation:
    """Estimate each element at zero noise from the decay that all elements of the scan have in common.

    The more elements there are under the same noise, such as those of a gradient or a sweep, the better the
    decay is known; 20 are enough. An element without signal stays near the asymptote instead of being blown
    up, and no value leaves the spectrum.

    Args:
        scan: Values at S ≥ 2 scale factors.

    Returns:
        Posterior mean and standard deviation for each leading index of the scan. The standard deviation
        covers the errors of the scan and what they leave open about the element's own decay.

    Raises:
        UsageError: If there are fewer than two scale factors.

    Example:
        >>> import numpy as np
        >>> from bondwise.mitigation import NoiseScan, extrapolate_bayes
        >>> ideal, factors = np.linspace(-0.9, 0.9, 30), np.array([1, 3, 5])
        >>> values = ideal[:, None] * np.exp(-0.2 * factors)
        >>> scan = NoiseScan(value=values, std=np.full((30, 3), 0.01), scale_factors=factors)
        >>> bool(np.abs(extrapolate_bayes(scan).value - ideal).max() < 0.02)
        True
    """
    require_scan(scan, "a decay", least=2)
    at = scan.scale_factors
    shape = scan.value.shape[:-1]
    floor = np.broadcast_to(scan.asymptote, shape)[..., None]
    signal = (scan.value - floor).reshape(-1, at.size)
    unit = float(np.abs(signal).max(initial=0.0)) or 1.0
    noise = scan.covariances().reshape(-1, at.size, at.size) / unit**2 + _LEAST_STD**2 * np.eye(at.size)
    decays = _Decays(signal / unit, noise, np.concatenate([at, scan.grid()]) / at.min())
    mean, variance = decays.predict(decays.fit())
    curve = floor + unit * mean.reshape(*shape, mean.shape[-1])
    # nearer to the truth than the mean of a posterior cut off at the limits, which trained circuits reach
    curve[..., 0] = np.clip(curve[..., 0], scan.spectrum[..., 0], scan.spectrum[..., 1])
    variance = np.where(np.ptp(scan.spectrum, axis=-1) > 0, unit**2 * variance.reshape(shape), 0.0)
    return Extrapolation.from_curve(scan, "empirical Bayes", curve, variance)


class _Decays:
    """The Gaussian processes of N scans at S scale factors, which are the first S of the K points.

    Args:
        signal: Values without their limit, shape (N, S).
        noise: Their covariances, shape (N, S, S).
        points: Scale factors, shape (K,); the one after the first S is 0.
    """

    def __init__(self, signal: np.ndarray, noise: np.ndarray, points: np.ndarray) -> None:
        self.signal, self.noise = torch.from_numpy(signal), torch.from_numpy(noise)
        self.sums = torch.from_numpy(points[:, None] + points)

    def fit(self) -> torch.Tensor:
        """The numbers a, log b, log ρ and log v of the largest posterior density.

        What is left open about a is added to b², so that few scans do not seem to agree.
        """
        middles, widths = torch.from_numpy(_MIDDLES), torch.from_numpy(_WIDTHS)

        def loss(numbers: torch.Tensor) -> torch.Tensor:
            prior = (((numbers - middles) / widths) ** 2).sum() / 2
            return prior - torch.logsumexp(self._scores(numbers)[0], -1).sum()

        @torch.enable_grad()  # an estimator may run where gradients are off
        def with_slope(given: np.ndarray) -> tuple[float, np.ndarray]:
            numbers = torch.tensor(given, requires_grad=True)
            found = loss(numbers)
            (slope,) = torch.autograd.grad(found, numbers)
            return found.item(), slope.numpy()

        bounds = list(zip(_MIDDLES - 4 * _WIDTHS, _MIDDLES + 4 * _WIDTHS, strict=True))
        numbers = torch.from_numpy(
            minimize(with_slope, _MIDDLES, jac=True, method="L-BFGS-B", bounds=bounds).x
        )
        curvature, axes = torch.linalg.eigh(torch.autograd.functional.hessian(loss, numbers))
        left = (axes[0] ** 2 / curvature.clamp_min(_WIDTHS.max() ** -2)).sum()
        numbers[1] = torch.log(torch.exp(2 * numbers[1]) + left) / 2
        return numbers

    def predict(self, numbers: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means (N, K - S) at the points after the first S, and variances (N,) at their first."""
        count = self.signal.shape[1]
        with torch.no_grad():
            scores, solved, factor, kernel = self._scores(numbers)
            shares = torch.softmax(scores, -1)
            across = kernel[:, count:, :count]
            means = torch.einsum("qks,nqs->nqk", across, solved)
            first = across[:, 0].expand(len(scores), -1, -1)[..., None]
            left = kernel[:, count, count] - (first * torch.cholesky_solve(first, factor)).sum((-1, -2))
            mean = (shares[..., None] * means).sum(1)
            variance = (shares * (left.clamp_min(0) + (means[..., 0] - mean[:, :1]) ** 2)).sum(1)
            return mean.numpy(), variance.numpy()

    def _scores(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log of weight times evidence at each of Q rates (N, Q), and what the predictions need."""
        count = self.signal.shape[1]
        b, rho, v = numbers[1:].exp()
        rates = torch.exp(numbers[0] + b * torch.from_numpy(_NODES))
        kernel = v * torch.exp(-torch.log1p(rho**2 * rates[:, None, None] * self.sums) / rho**2)
        covariance = kernel[:, :count, :count] + self.noise[:, None]
        factor = torch.linalg.cholesky(covariance)
        signal = self.signal[:, None].expand(-1, len(rates), -1)
        solved = torch.cholesky_solve(signal[..., None], factor)[..., 0]
        volume = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
        weights = torch.from_numpy(np.log(_WEIGHTS / _WEIGHTS.sum()))
        return weights - (signal * solved).sum(-1) / 2 - volume, solved, factor, kernel
