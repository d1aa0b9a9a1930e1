"""How many shots a mitigated value needs, and how to share them out over the noise scales.

The answer is simulated. Decays like those that the errors of the device predict are measured with shots of
random outcomes, and extrapolated by the same method; of several ways to share shots out, the one with the
smallest error wins. So it holds for any method, and only as far as the device decays as its errors predict.
The ways are compared on many elements at once; then the shots of the best one are found again for as many
elements as the PUB has, since a method that learns from all of them knows less from a few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
from qiskit.transpiler import Target

from bondwise.backends.jobs.circuit_costs import circuit_cost
from bondwise.backends.measurement import Tally
from bondwise.backends.primitives import estimator_pub
from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.prepared import PreparedPub
from bondwise.mitigation.scan import NoiseScan, Twins
from bondwise.mitigation.twirled_readout import Support
from bondwise.runs import UsageError, real_number
from bondwise.runs.text import counted

_ELEMENTS = 200  # decays that are simulated
_GROUPS = 6  # of as many elements as the PUB has, if these are fewer
_TRIED = ((1, 1, 1), (2, 1, 1), (3, 1, 1), (5, 1, 1), (8, 1, 1), (5, 2, 1), (4, 1, 2))
_UNKNOWN = 0.8  # success probability of a circuit whose errors nobody reports
_MOST = 10**9


@dataclass(frozen=True)
class ShotPlan:
    """Shots for a standard error.

    Attributes:
        std: Standard error that the mitigated values will have.
        bias: How far values will be off on average beyond shot noise, as simulated, if the decay is as the
            errors of the device predict.
        shots: Number of shots per basis and scale factor, on average, for `MitigatedEstimator(shots=)`.
        shares: How they are shared out over the scale factors, for `MitigatedEstimator(shares=)`.
        total: Number of shots of the job for one parameter set, calibration included.
        calibration: How many of these calibrate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import MitigatedEstimator
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> plan = MitigatedEstimator("fake:torino", extrapolation="linear").plan_shots((bell, "ZZ"), 0.01)
        >>> plan.shares[0] > 1, plan.calibration < plan.total
        (True, True)
    """

    std: float
    bias: float
    shots: int
    shares: tuple[int, ...]
    total: int
    calibration: int

    def __str__(self) -> str:
        shares = ", ".join(map(str, self.shares))
        return (
            f"{counted(self.total, 'shot')} for an error of {self.std:.2g}: {self.shots:,} per basis "
            f"and scale factor, shared out as ({shares}), and {self.calibration:,} to calibrate; bias about "
            f"{self.bias:.2g}"
        )


def plan_shots(
    item: PreparedPub,
    extrapolate: Callable[[NoiseScan], Extrapolation],
    std: float,
    *,
    target: Target | None,
    shares: tuple[int, ...] = (),
    twins: int = 0,
    readout: bool = True,
) -> ShotPlan:
    """Plan the shots of a PUB.

    Args:
        item: The PUB.
        extrapolate: Takes a scan to zero noise.
        std: Standard error to reach.
        target: Target of the device, whose errors are used; None if they are not known.
        shares: Shares of the scale factors that are tried beside others.
        twins: Number of twins that are measured with the PUB.
        readout: Whether readout errors are undone.

    Raises:
        UsageError: If `std` is not positive, no number of shots up to 10^9 reaches it, or there is nothing to
            measure.
    """
    std = real_number("std", std)
    success = circuit_cost(item.circuit, target).success
    decay = min(max(_UNKNOWN if success is None else success, 1e-3), 0.999)
    kept = min((_readout(target, support) for support in item.supports), default=1.0) if readout else 1.0
    factors = np.array(item.factors)
    bases = Tally(estimator_pub((item.circuit, item.observables, item.values()))).bases
    if not bases:
        raise UsageError("all observables are identities, whose values take no shots; plan those of others.")
    # the scatter of one shot in each basis, if outcomes are as good as random
    scatter = float(np.sqrt(sum((basis.coefficients**2).sum(axis=1) for basis in bases).max()))
    rng = np.random.default_rng(0)
    ideal, of_twins = (rng.uniform(-0.7, 0.7, size) * scatter for size in (_ELEMENTS, max(twins, 1)))
    draws, twin_draws = (rng.normal(size=(one.size, factors.size)) for one in (ideal, of_twins))
    common = rng.normal(size=(_ELEMENTS, 1))
    own = min(max(item.values().size, 1), _ELEMENTS)

    def simulated(shots: int, shares: tuple[int, ...], size: int = _ELEMENTS) -> tuple[float, float]:
        """Standard error, and bias, of values of which so many are extrapolated together."""
        exact = ideal[:, None] * decay**factors
        scan_shots = shots * len(shares)
        errors = scatter / kept / np.sqrt(scan_shots * np.array(shares) / sum(shares))
        shared = np.sqrt(1 - kept**2) / kept / np.sqrt(scan_shots) * exact
        covariance = np.eye(factors.size) * errors**2 + shared[:, :, None] * shared[:, None]
        known = None
        if twins:
            noisy = of_twins[:, None] * decay**factors + errors * twin_draws
            known = Twins(noisy, np.broadcast_to(errors, noisy.shape), of_twins)
        values = exact + common * shared + errors * draws
        variances, squares = [], []
        for start in range(0, _ELEMENTS - size + 1, size)[:_GROUPS]:
            group = slice(start, start + size)
            scan = NoiseScan(
                value=values[group],
                std=np.sqrt(np.diagonal(covariance[group], axis1=1, axis2=2)),
                scale_factors=factors,
                covariance=covariance[group],
                twins=known,
            )
            fit = extrapolate(scan)
            if not np.isfinite(fit.std).all():
                raise UsageError(
                    f"{fit.method} gives no standard errors, so no shots can be planned for one; return "
                    "(value, standard error)."
                )
            variances.append(np.mean(np.square(fit.std)))
            squares.append(np.mean(np.square(fit.value - ideal[group])))
        mean = float(np.sqrt(np.mean(variances)))
        return mean, max(float(np.mean(squares)) - mean**2, 0.0) ** 0.5

    def planned(shares: tuple[int, ...], shots: int, size: int) -> ShotPlan:
        """The plan that reaches the error with these shares, searched from a first guess."""
        found = (np.inf, np.inf)
        for _ in range(4 if size < _ELEMENTS else 8):  # errors go with the root of the shots, nearly
            if shots > _MOST:
                raise UsageError(
                    f"std {std:g} would take more than {_MOST:,} shots per basis; ask for a larger one."
                )
            found = simulated(shots, shares, size)
            if 0.97 * std <= found[0] <= std:
                break
            shots = max(2, ceil(shots * min((found[0] / std) ** 2 * 1.02, 100.0)))
        calibration = shots * len(shares) * (len(bases) * twins + readout)
        total = shots * len(shares) * len(bases) + calibration
        return ShotPlan(*found, shots, shares, total, calibration)

    place = np.argsort(np.argsort(factors))
    tried = [tuple(np.array(one)[place].tolist()) for one in _TRIED] if factors.size == 3 else []
    tried += [(1,) * factors.size, *([shares] if shares else [])]
    tried = list(dict.fromkeys(tried))
    plan = planned(tried[-1], max(2, ceil((scatter / std) ** 2)), _ELEMENTS)
    errors = {one: simulated(plan.shots, one) for one in tried[:-1]} | {tried[-1]: (plan.std, plan.bias)}
    best = min(tried, key=lambda one: errors[one][0] ** 2 + errors[one][1] ** 2)
    if best == plan.shares and own == _ELEMENTS:
        return plan
    return planned(best, max(2, ceil(plan.shots * (errors[best][0] / plan.std) ** 2)), own)


def _readout(target: Target | None, support: Support) -> float:
    """The readout fidelity of some qubits that a device reports."""
    reported = target["measure"] if target is not None and "measure" in target.operation_names else None
    found = [(reported or {}).get((qubit,)) for qubit in support]
    errors = [one.error or 0.0 for one in found if one is not None]
    return float(max(np.prod([1 - 2 * error for error in errors]), 0.05))
