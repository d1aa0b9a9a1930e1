"""Joint optimization of all gates of a circuit by L-BFGS on the manifold of unitaries.

Around the initial gates G the chart is G (I - A/2)⁻¹ (I + A/2) = G (2 P - I) with P = (I - A/2)⁻¹ and A
skew-Hermitian (the Cayley transform), which stays unitary and keeps real gates in SO(4). With the
environments E of the overlap o (`bondwise.tn.overlap.exact`), dP = P dA/2 P gives the gradient in closed
form: d|o|² = Re tr(K dA) with K = 2 conj(o) P Eᵀ G P.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.tn.overlap.exact import ExactOverlap
from bondwise.tn.preparation.descent import descend

_EYE = np.eye(4)
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
    best, basis = [start, gates], _basis(gates.dtype)

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inverse = _inverse(x, basis)
        half = gates @ inverse
        moved = 2 * half - gates
        overlap, environments = contraction.environments(moved)
        k = 2 * np.conj(overlap) * (inverse @ environments.transpose(0, 2, 1) @ half)
        infidelity = 1 - abs(overlap) ** 2
        if infidelity < best[0]:
            best[:] = infidelity, moved
        # relative to the start, so that tolerances mean the same for good and for bad circuits
        return infidelity / start, _paired(k, basis) / start

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
    return gates @ (2 * _inverse(x, _basis(gates.dtype)) - _EYE)


def coordinates(gates: NDArray[Any]) -> int:
    """Dimension of the chart: 6 per real gate and 16 per complex one, of which one is a phase."""
    return len(gates) * (16 if np.iscomplexobj(gates) else 6)


@cache
def _basis(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Skew-Hermitian matrices, (6 or 16, 4, 4), whose combinations are the A: off the diagonal first."""
    matrices = []
    for unit in (1.0,) if dtype == np.float64 else (1.0, 1j):
        for row, column in zip(*np.triu_indices(4, 1), strict=True):
            matrix = np.zeros((4, 4), dtype)
            matrix[row, column], matrix[column, row] = unit, -np.conj(unit)
            matrices.append(matrix)
    if dtype != np.float64:
        matrices += [1j * np.diag(row) for row in _EYE]
    return np.array(matrices)


def _inverse(x: NDArray[np.float64], basis: NDArray[Any]) -> NDArray[Any]:
    """P = (I - A/2)⁻¹ (M, 4, 4) for matrices A with coordinates x."""
    numbers = basis.reshape(len(basis), 16).view(np.float64)
    skew = (x.reshape(-1, len(basis)) @ numbers).view(basis.dtype).reshape(-1, 4, 4)
    return np.linalg.inv(_EYE - skew / 2)


def _paired(k: NDArray[Any], basis: NDArray[Any]) -> NDArray[np.float64]:
    """The derivative of -Re tr(K A) with respect to the coordinates of A, where basis† = -basis."""
    numbers = basis.reshape(len(basis), 16).view(np.float64)
    return (k.reshape(-1, 16).view(np.float64) @ numbers.T).ravel()
