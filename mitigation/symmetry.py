"""A symmetry of a circuit, measured beside each PUB for extrapolations that learn from known values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray

from bondwise.backends.pubs import estimator_pubs
from bondwise.mitigation.names import NEED_SYMMETRY
from bondwise.mitigation.prepared import limits, pauli_sums
from bondwise.mitigation.scales import own_name
from bondwise.mitigation.scan import NoiseScan, Twins
from bondwise.runs import UsageError, real_array

_WANTED = 'pass symmetry=(OBSERVABLE, VALUE), such as ("ZZZZ", 1.0)'


@dataclass(frozen=True)
class Symmetry:
    """An observable and the value that it has without noise, whatever the parameters.

    Args:
        observable: The observable, on the qubits of the circuits.
        value: Its value.
    """

    observable: Any
    value: float

    @classmethod
    def checked(cls, given: Any) -> Symmetry:
        """From what a user passes: a pair of an observable and its value.

        Raises:
            UsageError: If it is no such pair, the observable is an identity, or cannot have the value, or the
                value is 0, which noise does not change.
        """
        if not (isinstance(given, tuple | list) and len(given) == 2):
            raise UsageError(f"symmetry is {given!r}, not an observable and its value; {_WANTED}.")
        value = real_array("the value of the symmetry", given[1])
        if value.ndim or not np.isfinite(value) or not value:
            why = ", which noise does not change" if value.ndim == 0 and value == 0 else ""
            raise UsageError(f"the value of the symmetry is {given[1]!r}{why}; {_WANTED}.")
        operators = pauli_sums(ObservablesArray.coerce(given[0]))
        if operators.ndim:
            raise UsageError(f"symmetry has {operators.size} observables; {_WANTED}.")
        low, high = limits(operators.item())
        if low == high:
            raise UsageError(f"the symmetry is an identity, which noise does not change; {_WANTED}.")
        if not low - 1e-9 <= value <= high + 1e-9:
            raise UsageError(
                f"the value of the symmetry is {given[1]!r}, and those of its observable are from {low:g} to "
                f"{high:g}; {_WANTED}."
            )
        return cls(given[0], float(value))


def beside(symmetry: Symmetry | None, pubs: list[EstimatorPub]) -> list[EstimatorPub]:
    """The PUBs, and one more for each that measures the symmetry for all of its parameter sets."""
    if symmetry is None:
        return pubs
    added = [(pub.circuit, symmetry.observable, pub.parameter_values, pub.precision) for pub in pubs]
    return [*pubs, *estimator_pubs(added)]


def guided(symmetry: Symmetry | None, scans: list[NoiseScan], wanted: Symmetry | None) -> list[NoiseScan]:
    """The scans of the PUBs with the means of their symmetries, which come after them, as twins.

    Args:
        symmetry: The symmetry that the job measures.
        scans: The scans of the job.
        wanted: The symmetry of the estimator that combines it; without one, no scan has twins.

    Raises:
        UsageError: If the job does not measure the symmetry that is wanted.
    """
    if wanted is not None and symmetry != wanted:
        raise UsageError(
            "the job does not measure the symmetry of this estimator; let one with the same symmetry "
            "prepare and combine it."
        )
    if symmetry is None:
        return scans
    half, made = len(scans) // 2, []
    if wanted is None:
        return scans[:half]
    for scan, known in zip(scans[:half], scans[half:], strict=True):
        # all parameter sets of a circuit have the same gates, and so nearly the same noise
        size = scan.scale_factors.size
        of_sets, stds = known.value.reshape(-1, size), known.std.reshape(-1, size)
        mean, std = of_sets.mean(axis=0), np.sqrt(np.sum(stds**2, axis=0)) / len(stds)
        wide, wide_std = (np.broadcast_to(part, (*scan.value.shape[:-1], 1, size)) for part in (mean, std))
        twins = Twins(wide, wide_std, np.full(wide.shape[:-1], symmetry.value))
        made.append(replace(scan, twins=twins, shots=scan.shots + known.shots))
    return made


def checked_symmetry(extrapolation: Any, given: Any, twins: int | None) -> Symmetry | None:
    """The symmetry that is measured, if there is one.

    Raises:
        UsageError: If an extrapolation needs one and has none, or cannot learn from one.
    """
    name = own_name(extrapolation)
    if given is None:
        if name in NEED_SYMMETRY:
            raise UsageError(f"{name} learns from a symmetry; {_WANTED}.")
        return None
    symmetry = Symmetry.checked(given)
    if twins:
        raise UsageError(f"symmetry and twins={twins} are given; pass one of them.")
    if extrapolation is None or name not in (*NEED_SYMMETRY, ""):
        what = "nothing is extrapolated" if extrapolation is None else f"{name} does not learn from it"
        raise UsageError(f"symmetry is given and {what}; leave it out or pass extrapolation='guess'.")
    return symmetry
