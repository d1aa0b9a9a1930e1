"""The fits of mitiq 1.1 for scale factors chosen in advance, on all elements of a scan at once.

`mitiq_peer.py` compares them with mitiq's own. Every value is cut off at the spectrum, which mitiq does not
do: its exponential fits of noisy data reach any size. Left out are the exponential with an unknown limit,
which has as many parameters as there are scale factors here and often fails, and the adaptive exponential,
which chooses its scale factors as it goes.
"""

from __future__ import annotations

import numpy as np

from bondwise.mitigation import NoiseScan


def polynomial(at: np.ndarray, values: np.ndarray, degree: int) -> np.ndarray:
    """Value at 0 of the polynomial without weights: `LinearFactory`, `PolyFactory`, `RichardsonFactory`."""
    return np.polynomial.polynomial.polyfit(at, values.T, degree)[0]


def fake_nodes(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The polynomial through all points, at Chebyshev-Lobatto points: `FakeNodesFactory`."""
    reach = at.min() + at.max()
    return polynomial(reach / 2 * (1 - np.cos(np.pi * at / reach)), values, len(at) - 1)


def exponential(at: np.ndarray, values: np.ndarray, degree: int) -> np.ndarray:
    """A decay to 0 whose logarithm is a polynomial: `ExpFactory` and `PolyExpFactory`, `asymptote=0.0`.

    Its sign is that of the straight line at 0; values of the other sign count as 1e-6.
    """
    sign = np.sign(polynomial(at, values, 1))
    size = np.maximum(sign[:, None] * values, 1e-6)
    weights = np.sqrt(size)
    design = np.vander(at, degree + 1, increasing=True)
    coefficients = np.linalg.pinv(weights[..., None] * design) @ (weights * np.log(size))[..., None]
    with np.errstate(over="ignore"):
        return sign * np.exp(coefficients[:, 0, 0])


def regression(twins: np.ndarray, ideal: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear regression with intercept on the values of twins: `execute_with_cdr`.

    Args:
        twins: `(T, S)`, or `(C, T, S)` if each of C circuits has twins of its own.
        ideal: `(T,)` or `(C, T)`.
        values: `(C, S)`.
    """
    design, given = (np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1) for x in (twins, values))
    return (given * (np.linalg.pinv(design) @ ideal[..., None])[..., 0]).sum(-1)


ZNE = {
    "linear": lambda at, values: polynomial(at, values, 1),
    "Richardson": lambda at, values: polynomial(at, values, len(at) - 1),
    "fake nodes": fake_nodes,
    "exponential": lambda at, values: exponential(at, values, 1),
    "poly-exponential": lambda at, values: exponential(at, values, 2),
}


def zne(name: str, scan: NoiseScan) -> np.ndarray:
    """Values of a zero-noise extrapolation, within the spectrum."""
    return np.clip(ZNE[name](scan.scale_factors, scan.value), *scan.spectrum)


def cdr(scan: NoiseScan) -> np.ndarray:
    """Values of Clifford data regression, with variable noise if the scan has several scale factors."""
    return np.clip(regression(scan.twins.value, scan.twins.ideal, scan.value), *scan.spectrum)
