"""Zero-noise extrapolation by a small neural network, the method of arXiv:2403.07025, as a baseline.

The paper trains a feed-forward network on error probabilities and expectation values of one circuit and asks
it at 0. Its abstract leaves open how large the network is and how it is trained. Fixed here: the input is the
scale factor divided by the largest one, the output the value divided by the largest measured size or error;
one hidden layer of 16 tanh units, 49 numbers in all, drawn from a normal distribution (hidden slopes and
offsets with standard deviation 1, output weights with 1/4, its offset 0); 400 steps of Adam on the mean
squared error, with a step size of 0.02; no regularization. The value is the mean of five networks.
"""

from __future__ import annotations

import numpy as np
import torch

from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.extrapolations.one_thread import one_thread
from bondwise.mitigation.scan import NoiseScan, require_scan

_HIDDEN, _NETWORKS, _STEPS, _STEP_SIZE = 16, 5, 400, 0.02
_PARAMETERS = 3 * _HIDDEN + 1


@one_thread()
def extrapolate_paper_network(scan: NoiseScan) -> Extrapolation:
    """Train a small network on each element, from scale factor to value, and return what it says at 0.

    This is a named baseline, not advice. The network is asked outside the range that it was trained on and
    knows nothing of how noise acts: in our measurements its errors are two to four times those of
    `extrapolate_exponential`.

    Args:
        scan: Values at S ≥ 2 scale factors.

    Returns:
        Mean of five networks that start differently, for each leading index of the scan. The standard error
        combines their spread with that of the shots: five more networks are trained on values drawn anew from
        the errors of the scan. All draws are fixed, so the result is reproducible.

    Raises:
        UsageError: If there are fewer than two scale factors.

    Example:
        >>> import numpy as np
        >>> from bondwise.mitigation import NoiseScan, extrapolate_paper_network
        >>> factors = np.array([1, 2, 3, 4, 5])
        >>> scan = NoiseScan(value=0.8 * np.exp(-0.2 * factors), scale_factors=factors)
        >>> fit = extrapolate_paper_network(scan)
        >>> # without noise, the value would be 0.8
        >>> fit.method, round(float(fit.value), 1)
        ('network of 49 parameters', 0.7)
    """
    require_scan(scan, "a network", least=2, such_as=(1, 2, 3, 4, 5))
    at = scan.scale_factors
    shape = scan.value.shape[:-1]
    values = scan.value.reshape(-1, at.size)
    rates, vectors = np.linalg.eigh(scan.covariances().reshape(-1, at.size, at.size))
    root = vectors * np.sqrt(np.maximum(rates, 0.0))[:, None, :]
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(_NETWORKS, at.size, generator=generator, dtype=torch.float64).numpy()
    redrawn = values + np.einsum("est,nt->nes", root, draws)
    unit = np.maximum(np.abs(scan.value), scan.std).max(axis=-1).reshape(-1, 1)
    unit = np.where(unit > 0, unit, 1.0)
    targets = np.concatenate([np.broadcast_to(values, redrawn.shape), redrawn]) / unit
    largest = at.max()
    curves = unit * _trained(at / largest, targets, scan.grid() / largest, generator)
    original, repeated = curves[:_NETWORKS], curves[_NETWORKS:]
    variance = original[..., 0].var(axis=0, ddof=1) + np.mean((repeated - original)[..., 0] ** 2, axis=0)
    curve = original.mean(axis=0).reshape(*shape, -1)
    fixed = np.ptp(scan.spectrum, axis=-1) == 0  # an identity has one value
    curve = np.where(fixed[..., None], scan.spectrum[..., :1], curve)
    variance = np.where(fixed, 0.0, variance.reshape(shape))
    return Extrapolation.from_curve(scan, f"network of {_PARAMETERS} parameters", curve, variance)


@torch.enable_grad()  # an estimator may run where gradients are off
def _trained(
    at: np.ndarray, targets: np.ndarray, asked: np.ndarray, generator: torch.Generator
) -> np.ndarray:
    """What networks say at the points asked (K,) after training on the targets (2N, E, S): (2N, E, K).

    Networks n and N + n start alike, and all elements too, so that a result does not depend on the others.
    """

    def start(*shape: int) -> torch.Tensor:
        drawn = torch.randn(_NETWORKS, 1, *shape, generator=generator, dtype=torch.float64).repeat(2, 1, 1)
        return drawn.expand(-1, targets.shape[1], -1).clone()

    slopes, offsets = start(_HIDDEN), start(_HIDDEN)
    outputs = start(_HIDDEN) / _HIDDEN**0.5
    last = torch.zeros(*targets.shape[:2], 1, dtype=torch.float64)
    numbers = [slopes, offsets, outputs, last]
    for number in numbers:
        number.requires_grad_(True)

    def answers(points: np.ndarray) -> torch.Tensor:
        hidden = torch.tanh(torch.from_numpy(points)[:, None] * slopes[:, :, None] + offsets[:, :, None])
        return torch.einsum("neph,neh->nep", hidden, outputs) + last

    wanted, optimizer = torch.from_numpy(targets), torch.optim.Adam(numbers, lr=_STEP_SIZE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        ((answers(at) - wanted) ** 2).mean(-1).sum().backward()
        optimizer.step()
    return answers(asked).detach().numpy()
