"""Zero-noise extrapolation by a network that learns, from the noisy scans alone, how Pauli paths decay.

In the Pauli-path picture an expectation value is a sum of decaying parts, `E(s) = A + Σ_k c_k exp(-g r_k s)`,
with rates `r_k` of mean 1 and variance ρ². Their coefficients `c_k` have a common part, as in a trained
circuit, whose paths pull in one direction, and independent parts, as in a random one. For rates from a Gamma
distribution, the coefficients can be integrated out: E - A is a Gaussian process with the kernel

    v [ω φ(s) φ(t) + (1 - ω) φ(s + t)],    φ(s) = (1 + ρ² g s)^(-1/ρ²).

The network turns two standard normal numbers of each element into its g, ρ, ω and v. The two are not known,
but averaged over with the evidence of the element's scan, so that noise is not mistaken for a feature. The
network is trained to maximize the evidence of all scans, without noise-free values. With twins, it learns two
more numbers from theirs: noise that folding leaves alone acts like a scale factor that is larger by δ, and
like a factor f ≤ 1 that is the same for all paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.one_thread import one_thread
from bondwise.mitigation.scan import NoiseScan, Twins, require_scan
from bondwise.runs.text import counted

# Normal priors: what decays of random, trained and shifted circuits of 4 and 6 qubits have in common, where
# the first scale factor and the largest value are 1. In this order: log g and log of its spread, log ρ, log v
# and log of its spread, log ω / (1 - ω), log δ, log(-log f)
_MIDDLES = np.array([-2.1, -2.0, -1.35, -1.2, -0.4, 1.6, -2.3, -3.5])
_WIDTHS = np.array([1.2, 0.6, 0.5, 1.5, 0.7, 1.5, 1.5, 1.5])
_HIDDEN = 4
# by how much a hidden unit may move log g, log ρ, log v and log ω / (1 - ω)
_REACH = np.array([[0.25], [0.5], [1.0], [1.0]])
_MOST = 400  # elements that the network is trained on
_LEAST_STD = 1e-4  # relative to the element: no decay is known better than that


@one_thread()
def extrapolate_neural(scan: NoiseScan) -> Extrapolation:
    """Estimate each element at zero noise with a network trained on all elements of the scan.

    The more elements there are under the same noise, such as those of a gradient or a sweep, the better the
    decay is known; one alone is judged by what such decays have in common. An element without signal stays
    near the asymptote instead of being blown up, and no value leaves the spectrum. If the scan has twins, the
    network is trained on their noise-free values as well, and corrects noise that folding does not scale.

    Args:
        scan: Values at S ≥ 2 scale factors, or S ≥ 1 if it has twins.

    Returns:
        Posterior mean and standard deviation for each leading index of the scan. The standard deviation
        covers the errors of the scan and what they leave open about the element's decay and about all others.
        With twins, the curve jumps at 0 by what the noise that is not scaled takes away. One scan alone is
        judged by usual decays: if noise takes more than about a third of its value at the smallest scale
        factor, the standard deviation is too small.

    Raises:
        UsageError: If there are too few scale factors.

    Example:
        >>> import numpy as np
        >>> from bondwise.mitigation import NoiseScan, extrapolate_neural
        >>> ideal, factors = np.linspace(-0.9, 0.9, 30), np.array([1, 3, 5])
        >>> values = ideal[:, None] * np.exp(-0.2 * factors)
        >>> scan = NoiseScan(value=values, std=np.full((30, 3), 0.01), scale_factors=factors)
        >>> fit = extrapolate_neural(scan)
        >>> bool(np.abs(fit.value - ideal).max() < 0.02), fit.method
        (True, 'neural (34 parameters trained on 30 scans)')
    """
    require_scan(scan)
    if scan.twins is None:
        require_scan(scan, "a decay without twins", least=2)
    at = scan.scale_factors
    shape = scan.value.shape[:-1]
    order = np.argsort(at)
    floor = np.broadcast_to(scan.asymptote, shape)[..., None]
    signal = (scan.value - floor).reshape(-1, at.size)[:, order]
    unit = float(np.abs(signal).max(initial=0.0)) or 1.0
    covariance = scan.covariances().reshape(-1, at.size, at.size)[:, order][:, :, order]
    measured = _Measured.of(signal / unit, covariance / unit**2)
    known = None if scan.twins is None else _labeled(scan.twins, order, floor.reshape(-1), unit)
    network = _Network(at[order] / at.min(), has_twins=known is not None)
    numbers, steps = network.train(measured.some(_MOST), known)
    mean, variance = network.predict(numbers, steps, measured, scan.grid() / at.min())
    curve = floor + unit * mean.reshape(*shape, mean.shape[-1])
    # nearer to the truth than the mean of a posterior cut off at the limits, which trained circuits reach
    curve[..., 0] = np.clip(curve[..., 0], scan.spectrum[..., 0], scan.spectrum[..., 1])
    variance[~signal.any(axis=-1) & ~scan.std.reshape(signal.shape).any(axis=-1)] = 0  # an identity
    seen = counted(min(len(signal), _MOST), "scan")
    if known is not None:
        seen += f" and {counted(len(known.value), 'twin')}"
    return Extrapolation.from_curve(
        scan,
        f"neural ({network.size} parameters trained on {seen})",
        curve,
        unit**2 * variance.reshape(shape),
    )


@dataclass(frozen=True)
class _Measured:
    """Values (N, S) without their limit, and their covariances (N, S, S), as tensors."""

    value: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def of(cls, value: np.ndarray, covariance: np.ndarray) -> _Measured:
        # a sampled ±1 has a standard error of 0, which must not count as exact beside the others
        variance = np.diagonal(covariance, axis1=-2, axis2=-1)
        size = np.square(value).max(axis=-1, keepdims=True, initial=0.0)
        always = _LEAST_STD**2 * size + 1e-10
        least = variance.max(axis=-1, keepdims=True, initial=0.0) / 9
        more = np.maximum(least - variance, always)
        noise = covariance + more[..., None] * np.eye(value.shape[-1])
        return cls(torch.from_numpy(value.copy()), torch.from_numpy(noise))

    def some(self, most: int) -> _Measured:
        """At most so many elements, evenly spread."""
        step = -(-len(self.value) // most) or 1
        return _Measured(self.value[::step], self.noise[::step])


def _labeled(twins: Twins, order: np.ndarray, floors: np.ndarray, unit: float) -> _Measured:
    """All different twins: the noise-free value, which is exact, and then the measured ones."""
    own, (count, size) = twins.value.ndim > 2, twins.value.shape[-2:]
    floor = floors[:, None, None] if own else (floors.mean() if floors.size else 0.0)
    ideal = twins.ideal.reshape(-1, count, 1) - floor
    value = twins.value[..., order].reshape(-1, count, size) - floor
    std = twins.std[..., order].reshape(-1, count, size)
    # scans of one job hold the same twins many times
    rows = np.unique(np.concatenate([ideal, value, std], axis=-1).reshape(-1, 1 + 2 * size), axis=0) / unit
    noise = _Measured.of(rows[:, 1 : 1 + size], rows[:, 1 + size :, None] ** 2 * np.eye(size)).noise
    noise = torch.nn.functional.pad(noise, (1, 0, 1, 0))
    noise[:, 0, 0] = 1e-10
    return _Measured(torch.from_numpy(rows[:, : 1 + size].copy()), noise).some(_MOST)


class _Network:
    """What N scans at the scale factors `at` say about their decays.

    Its numbers are those of `_MIDDLES`, then the weights into and out of the hidden units.

    Args:
        at: S scale factors in ascending order, of which the first is 1.
        has_twins: Whether noise that does not scale is learned.
    """

    def __init__(self, at: np.ndarray, *, has_twins: bool) -> None:
        self.at, self.has_twins = torch.from_numpy(at), has_twins
        more = np.zeros(7 * _HIDDEN)
        self.middles = torch.from_numpy(np.concatenate([_MIDDLES, more]))
        self.widths = torch.from_numpy(np.concatenate([_WIDTHS, more + 1]))
        self.physical = 8 if has_twins else 6
        self.size = self.physical + more.size

    def train(self, measured: _Measured, known: _Measured | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers (M,) of the largest posterior density, and steps (2 M', M) of one standard deviation.

        The steps go both ways along the principal axes of what the scans leave open about the M' numbers that
        have a physical meaning.
        """
        nodes, weights = _grid(15, 5)

        def loss(numbers: torch.Tensor) -> torch.Tensor:
            prior = (((numbers - self.middles) / self.widths) ** 2).sum() / 2
            total = prior - torch.logsumexp(weights + sum(self._evidence(numbers, nodes, measured)), -1).sum()
            if known is None:
                return total
            # how twins are measured given what they are: their choice says nothing about other circuits
            first, *rest = self._evidence(numbers, nodes, known, labeled=True)
            given = torch.logsumexp(weights + first, -1)
            return total - (torch.logsumexp(weights + first + sum(rest), -1) - given).sum()

        @torch.enable_grad()  # an estimator may run where gradients are off
        def with_slope(given: np.ndarray) -> tuple[float, np.ndarray]:
            numbers = torch.tensor(given, requires_grad=True)
            found = loss(numbers)
            (slope,) = torch.autograd.grad(found, numbers)
            return found.item(), slope.numpy()

        # hidden units start differently, or they would stay equal
        rng = np.random.default_rng(0)
        hidden = np.concatenate([rng.normal(size=3 * _HIDDEN), rng.normal(scale=0.1, size=4 * _HIDDEN)])
        start = np.concatenate([_MIDDLES, hidden])
        start[0] = self._rate(measured, known)
        reach = 4 * self.widths
        bounds = list(zip(self.middles - reach, self.middles + reach, strict=True))
        found = minimize(
            with_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50}
        )
        numbers = torch.from_numpy(found.x)

        def of_physical(first: torch.Tensor) -> torch.Tensor:
            return loss(torch.cat([first, numbers[len(first) :]]))

        first = numbers[: self.physical]
        curvature, axes = torch.linalg.eigh(torch.autograd.functional.hessian(of_physical, first))
        away = (axes / curvature.clamp_min(_WIDTHS.max() ** -2).sqrt()).T
        away = torch.nn.functional.pad(away, (0, len(numbers) - len(first)))
        return numbers, torch.cat([away, -away])

    def _rate(self, measured: _Measured, known: _Measured | None) -> float:
        """Log of the mean rate, roughly, from which the search starts: from far away, it may get stuck."""
        values, noise, after = measured.value, measured.noise[:, 0, 0], self.at[:2].diff()
        if known is not None:  # the first value is without noise
            values, noise, after = known.value, known.noise[:, 0, 0], self.at[:1]
        square = (values[:, 0] ** 2).sum()
        left = (values[:, 0] * values[:, 1]).sum() / (square - noise.sum()).clamp_min(1e-3 * square + 1e-12)
        return float((-left.clamp(0.01, 0.99).log() / after).clamp(0.01, 2.0).log())

    def predict(
        self, numbers: torch.Tensor, steps: torch.Tensor, measured: _Measured, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means (N, K) at the points, of which the first is 0, and variances (N,) there."""
        at, reach = torch.from_numpy(points), 4 * self.widths
        with torch.no_grad():
            means, variances = self._predict(numbers, _grid(81, 5), measured, at)
            more = torch.zeros_like(variances)
            for step in steps:
                moved = torch.clamp(numbers + step, self.middles - reach, self.middles + reach)
                others, spreads = self._predict(moved, _grid(15, 5), measured, at[:1])
                more += ((others[:, 0] - means[:, 0]) ** 2 + spreads - variances) / 2
            variances += more.clamp_min(0)
        return means.numpy(), variances.numpy()

    def _predict(
        self,
        numbers: torch.Tensor,
        grid: tuple[torch.Tensor, torch.Tensor],
        measured: _Measured,
        points: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nodes, weights = grid
        count = len(self.at)
        at, factors = self._unscaled(numbers, self.at)
        noisy, more = self._unscaled(numbers, points[1:])
        factors = torch.cat([factors, torch.ones_like(points[:1]), more])
        kernel = self._kernel(numbers, nodes, torch.cat([at, points[:1], noisy]), factors)
        across = kernel[:, count:, :count]
        means = measured.value.new_empty(len(measured.value), len(points))
        variances = measured.value.new_empty(len(measured.value))
        for start in range(0, len(measured.value), 100):
            part = slice(start, start + 100)
            factor = torch.linalg.cholesky(kernel[:, :count, :count] + measured.noise[part, None])
            value = measured.value[part, None, :, None].expand(-1, len(nodes), -1, -1)
            solved = torch.cholesky_solve(value, factor)[..., 0]
            volume = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
            shares = torch.softmax(weights - volume - (value[..., 0] * solved).sum(-1) / 2, -1)
            first = across[:, 0, :, None].expand(len(value), -1, -1, -1)
            left = kernel[:, count, count] - (first * torch.cholesky_solve(first, factor)).sum((-1, -2))
            mean = (across[:, 0] * solved).sum(-1)
            means[part] = torch.einsum("nqs,qks->nk", shares[..., None] * solved, across)
            variances[part] = (shares * (left.clamp_min(0) + (mean - means[part, :1]) ** 2)).sum(-1)
        return means, variances

    def _evidence(
        self, numbers: torch.Tensor, nodes: torch.Tensor, measured: _Measured, *, labeled: bool = False
    ) -> list[torch.Tensor]:
        """Log density of each value, given those before it, at each of Q nodes: (N, Q) for each."""
        at, factors = self._unscaled(numbers, self.at)
        if labeled:
            at, factors = torch.cat([at.new_zeros(1), at]), torch.cat([at.new_ones(1), factors])
        # one value after the other: far faster than LAPACK for matrices this small
        matrix = self._kernel(numbers, nodes, at, factors) + measured.noise[:, None]
        value, found = measured.value[:, None], []
        for _ in range(len(at)):
            pivot, pull = matrix[..., 0, 0].clamp_min(1e-14), value[..., 0]
            found.append(-(pivot.log() + pull**2 / pivot) / 2)
            column = matrix[..., 1:, 0]
            ratio = column / pivot[..., None]
            value = value[..., 1:] - ratio * pull[..., None]
            matrix = matrix[..., 1:, 1:] - ratio[..., :, None] * column[..., None, :]
        return found

    def _unscaled(self, numbers: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale factors and factors of the values, with the noise that is not scaled."""
        if not self.has_twins:
            return at, torch.ones_like(at)
        return at + numbers[6].exp(), torch.exp(-numbers[7].exp()).expand(len(at))

    def _kernel(
        self, numbers: torch.Tensor, nodes: torch.Tensor, at: torch.Tensor, factors: torch.Tensor
    ) -> torch.Tensor:
        """Covariances (Q, P, P) of the values at P scale factors, at each of Q nodes (Q, 2)."""
        rate, rate_spread, bend, size, size_spread, pull = numbers[:6]
        into, out = numbers[8:].split((3 * _HIDDEN, 4 * _HIDDEN))
        into, out = into.reshape(3, _HIDDEN), out.reshape(4, _HIDDEN)
        moved = torch.tanh(nodes @ into[:2] + into[2]) @ (torch.from_numpy(_REACH) * out).T
        g = torch.exp((rate + rate_spread.exp() * nodes[:, 0] + moved[:, 0]).clamp(-30, 5))[:, None]
        variance = torch.exp((bend + moved[:, 1]).clamp(-4, 1.5))[:, None] ** 2
        v = torch.exp((size + size_spread.exp() * nodes[:, 1] + moved[:, 2]).clamp(-30, 4))[:, None, None]
        common = torch.sigmoid(pull + moved[:, 3])[:, None, None]

        def log_decay(times: torch.Tensor) -> torch.Tensor:
            return (-torch.log1p(variance * g * times.flatten()) / variance).reshape(-1, *times.shape)

        alone = log_decay(at)
        together = torch.exp(alone[:, :, None] + alone[:, None, :])
        apart = torch.exp(log_decay(at[:, None] + at))
        return v * (common * together + (1 - common) * apart) * factors[:, None] * factors


def _grid(rates: int, sizes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes (Q, 2) and log weights (Q,) of averages over two standard normal numbers."""
    axes = np.linspace(-3.5, 3.5, rates), np.linspace(-2.5, 2.5, sizes)
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = -np.square(nodes).sum(-1) / 2
    return torch.from_numpy(nodes), torch.from_numpy(weights - np.log(np.exp(weights).sum()))
