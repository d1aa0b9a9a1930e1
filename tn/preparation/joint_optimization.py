"""Joint optimization of all gates of a circuit by L-BFGS on the manifold of unitaries.

Around the initial gates G the chart is G (I - A/2)⁻¹ (I + A/2) = G (2 P - I) with P = (I - A/2)⁻¹ and A
skew-Hermitian (the Cayley transform), which stays unitary and keeps real gates in SO(4). With the
environments E of the overlap o (`bondwise.tn.overlap.exact`), dP = P dA/2 P gives the gradient in closed
form: d|o|² = Re tr(K dA) with K = 2 conj(o) P Eᵀ G P.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.tn.overlap.exact import ExactOverlap
from bondwise.tn.preparation.descent import descend

_ROWS, _COLUMNS = np.triu_indices(4, 1)
_EXACT = 1e-14  # rounding error of 1 - |overlap|²


def polish(
    contraction: ExactOverlap, gates: NDArray[Any], iterations: int, enough: float = 0.0
) -> tuple[NDArray[Any], float]:
    """Increase |overlap|² by L-BFGS over all gates at once.

    Args:
        contraction: The state and the layout of the circuit.
        gates: Initial gates, shape (M, 4, 4), unitary. Real gates stay real and keep their determinant.
        iterations: Maximum number of L-BFGS iterations.
        enough: Infidelity at which to stop.

    Returns:
        The gates and their infidelity 1 - |overlap|², never above that of the initial gates.
    """
    gates = gates.astype(np.result_type(contraction.dtype, gates), copy=False)
    start = 1 - abs(contraction.overlap(gates)) ** 2
    if start < max(_EXACT, enough):
        return gates, start
    best = [start, gates]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inverse = _inverse(x, gates.dtype)
        moved = gates @ (2 * inverse - np.eye(4))
        overlap, environments = contraction.environments(moved)
        k = 2 * np.conj(overlap) * (inverse @ environments.transpose(0, 2, 1) @ gates @ inverse)
        infidelity = 1 - abs(overlap) ** 2
        if infidelity < best[0]:
            best[:] = infidelity, moved
        # relative to the start, so that tolerances mean the same for good and for bad circuits
        return infidelity / start, -_gradient(k) / start

    descend(
        loss,
        np.zeros(coordinates(gates)),
        iterations=iterations,
        change=1e-9,
        slope=1e-12,
        after=lambda: best[0] <= enough,
    )
    # rounding in many steps leads away from unitarity
    u, _, v = np.linalg.svd(best[1])
    return u @ v, best[0]


def turn(gates: NDArray[Any], x: NDArray[np.float64]) -> NDArray[Any]:
    """Move gates (M, 4, 4) along the chart by `coordinates(gates)` numbers, radians to first order."""
    return gates @ (2 * _inverse(x, gates.dtype) - np.eye(4))


def coordinates(gates: NDArray[Any]) -> int:
    """Dimension of the chart: 6 per real gate and 16 per complex one, of which one is a phase."""
    return len(gates) * (16 if np.iscomplexobj(gates) else 6)


def _inverse(x: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """P = (I - A/2)⁻¹ for skew-Hermitian matrices A (M, 4, 4) built from 6 real or 16 numbers each."""
    real = dtype == np.float64
    x = x.reshape(-1, 6 if real else 16)
    skew = np.zeros((len(x), 4, 4), dtype)
    upper = x[:, :6] if real else x[:, :6] + 1j * x[:, 6:12]
    skew[:, _ROWS, _COLUMNS] = upper
    skew[:, _COLUMNS, _ROWS] = -upper.conj()
    if not real:
        skew[:, range(4), range(4)] = 1j * x[:, 12:]
    return np.linalg.inv(np.eye(4) - skew / 2)


def _gradient(k: NDArray[Any]) -> NDArray[np.float64]:
    """Derivative of Re tr(K A) with respect to the numbers from which A is built."""
    upper, lower = k[:, _ROWS, _COLUMNS], k[:, _COLUMNS, _ROWS]
    if not np.iscomplexobj(k):
        return (lower - upper).ravel()
    diagonal = k[:, range(4), range(4)]
    return np.concatenate([(lower - upper).real, -(lower + upper).imag, -diagonal.imag], axis=1).ravel()
