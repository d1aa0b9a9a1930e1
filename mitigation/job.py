"""A mitigated job before it is submitted, and the scans and calibrations that its results make up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from bondwise.backends.measurement import Tally
from bondwise.backends.pubs import estimator_pubs
from bondwise.mitigation.extrapolation import Extrapolation
from bondwise.mitigation.preparation import Preparation
from bondwise.mitigation.prepared import PreparedPub
from bondwise.mitigation.rewriting.near_clifford import near_clifford_twins
from bondwise.mitigation.scan import NoiseScan, Twins
from bondwise.mitigation.symmetry import Symmetry
from bondwise.mitigation.twirled_readout import Fidelity, Support, fidelities
from bondwise.runs import UsageError
from bondwise.runs.text import counted


@dataclass(frozen=True)
class MeasuredTwins:
    """The twins of a PUB.

    Attributes:
        twins: Their values, with the shape of the PUB's observables as leading axes.
        shots: Number of shots of each per basis and scale factor; 0 if they are exact.
    """

    twins: Twins
    shots: int

    def of(self, shape: tuple[int, ...]) -> Twins:
        """The twins of each element of a PUB of this shape."""
        value, std, ideal = self.twins
        wide = [np.broadcast_to(part, (*shape, *part.shape[-2:])) for part in (value, std)]
        return Twins(wide[0], wide[1], np.broadcast_to(ideal, (*shape, ideal.shape[-1])))


@dataclass(frozen=True)
class Calibrations:
    """What is known of a device: readout fidelities by support, measured twins by the key of their PUB."""

    fidelities: Mapping[Support, Fidelity] = field(default_factory=dict)
    twins: Mapping[str, MeasuredTwins] = field(default_factory=dict)

    def unknown(self, items: Iterable[PreparedPub], shots: int) -> tuple[Support, ...]:
        """The supports of these PUBs whose fidelities are not known from so many shots; 0 for exact ones."""

        def is_known(support: Support) -> bool:
            found = self.fidelities.get(support)
            return found is not None and (found.std == 0 or found.shots >= shots > 0)

        wanted = set().union(*(item.supports for item in items))
        return tuple(sorted(support for support in wanted if not is_known(support)))

    def new_twins(
        self,
        items: Iterable[PreparedPub],
        count: int,
        prepare: Preparation,
        shots: int,
        shares: tuple[int, ...],
        seed: int,
    ) -> dict[str, tuple[PreparedPub, np.ndarray]]:
        """Twins of the PUBs whose own are not known from so many shots, and their noise-free values."""
        found: dict[str, tuple[PreparedPub, np.ndarray]] = {}
        for item in items if count else ():
            known = self.twins.get(item.key)
            is_known = known is not None and (not known.shots or known.shots >= shots > 0)
            if len(item.circuits) == 1 or item.key in found or is_known:
                continue
            circuit, angles, ideal = near_clifford_twins(
                item.circuit, item.observables, item.values(), count, seed=seed
            )
            [pub] = estimator_pubs([(circuit, item.observables[..., None], angles)])
            found[item.key] = prepare(pub, fold=True, shares=shares, seed=seed), ideal
        return found

    def __or__(self, newer: Calibrations) -> Calibrations:
        return Calibrations({**self.fidelities, **newer.fidelities}, {**self.twins, **newer.twins})


@dataclass(frozen=True, repr=False)
class PreparedJob:
    """A job of a `MitigatedEstimator` that has not been submitted.

    Attributes:
        pubs: Its PUBs: those of the readout calibration, of the twins, and of each PUB at each scale factor.
        shots: Number of shots per PUB, basis and parameter set; None for exact values.
        asked: Number of shots that each basis and scale factor was to have; 0 for exact values.
        seed: Random seed.
        items: The PUBs that it was made from.
        twins: The twins that it measures, and their noise-free values, `(*observables, T)`, by the key of
            their PUB.
        supports: The sets of qubits whose readout it calibrates.
        calibrations: Number of PUBs of the readout calibration.
        readout: Whether readout errors are undone.
        known: Earlier calibrations that it relies on.
        symmetry: The symmetry that the last half of `items` measures; None if there is none.
        device: Name of the backend that it was made for.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import MitigatedEstimator
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> MitigatedEstimator("fake:manila", extrapolation=None).prepare([(bell, ["ZZ", "XX"])])
        PreparedJob(1 PUB, and 1 of the calibration; exact values)
    """

    pubs: list[EstimatorPub]
    shots: int | None
    asked: int
    seed: int | None
    items: list[PreparedPub]
    twins: dict[str, tuple[PreparedPub, np.ndarray]]
    supports: tuple[Support, ...]
    calibrations: int
    readout: bool
    known: Calibrations
    symmetry: Symmetry | None
    device: str

    def __repr__(self) -> str:
        measured = sum(item.size for item in self.items)
        shots = "exact values" if self.shots is None else f"{counted(self.shots, 'shot')} each"
        pubs = counted(measured, "PUB")
        return f"PreparedJob({pubs}, and {len(self.pubs) - measured} of the calibration; {shots})"

    @cached_property
    def spent(self) -> list[int]:
        """Number of shots of each PUB, over all bases and parameter sets."""
        return [(self.shots or 0) * sum(map(len, Tally(pub).needed)) for pub in self.pubs]

    @property
    def calibration_shots(self) -> int:
        """Number of shots of the readout calibration and the twins."""
        return sum(self.spent[: len(self.spent) - sum(item.size for item in self.items)])

    def scans(
        self, result: PrimitiveResult[PubResult], meta: dict[str, Any]
    ) -> tuple[list[NoiseScan], Calibrations]:
        """The scans of the PUBs, and the calibrations of the job.

        Args:
            result: What the backend returned.
            meta: What else is known of the scans.

        Raises:
            UsageError: If the result is of another job.
            RunError: If a readout fidelity is so small that one cannot divide by it.
        """
        parts = list(result)
        if len(parts) != len(self.pubs):
            raise UsageError(
                f"the result has {len(parts)} PUBs and the job has {len(self.pubs)}; pass the result of "
                "backend.run(job.pubs, shots=job.shots, seed=job.seed)."
            )
        for part, pub in zip(parts, self.pubs, strict=True):
            shape = np.shape(getattr(part.data, "evs", np.nan))
            if shape != pub.shape:
                raise UsageError(
                    f"a PUB of the result has the shape {shape} and the job's has {pub.shape}; pass the "
                    "result of this job."
                )
        rest: Iterator[PubResult] = iter(parts[self.calibrations :])
        found: dict[Support, Fidelity] = {}
        if self.calibrations:
            shots = sum(self.spent[: self.calibrations])
            found = fidelities(self.supports, parts[: self.calibrations], shots)
        readout = {**self.known.fidelities, **found} if self.readout else None
        measured = {}
        for key, (twins, ideal) in self.twins.items():
            scan = twins.scan([next(rest) for _ in range(twins.size)], readout, {})
            measured[key] = MeasuredTwins(Twins(scan.value, scan.std, ideal), self.asked)
        made = Calibrations(found, measured)
        known = self.known | made
        scans = []
        for item in self.items:
            scan = item.scan([next(rest) for _ in range(item.size)], readout, meta)
            if known.twins and item.key in known.twins:
                scan = replace(scan, twins=known.twins[item.key].of(item.pub.shape))
            scans.append(scan)
        return scans, made


def mitigated_result(
    item: PreparedPub, scan: NoiseScan, fit: Extrapolation, about: dict[str, Any]
) -> PubResult:
    """The result of a PUB, with its scan in the data and what is known of it in the metadata.

    Args:
        item: The PUB.
        scan: Its scan.
        fit: The extrapolation of the scan.
        about: What else belongs into the metadata; its message is that of the fit if the fit has one.
    """
    message = fit.message or about["message"]
    if not message and len(item.factors) == 1 and about["extrapolation"] != "none":
        message = "the circuit has no gates that make noise, so nothing is extrapolated"
    more = {} if scan.covariance is None else {"covariances": scan.covariance}
    data = DataBin(
        evs=np.asarray(fit.value),
        stds=np.asarray(fit.std),
        evs_noise_factors=scan.value,
        stds_noise_factors=scan.std,
        asymptotes=scan.asymptote,
        spectra=scan.spectrum,
        **more,
        shape=item.pub.shape,
    )
    metadata = {
        **about,
        **scan.meta,
        "shots": scan.shots,
        "scale_factors": item.factors,
        "converged": bool(np.all(fit.converged)),
        "message": message,
        "transpiled": item.transpiled,
        "circuit_metadata": item.pub.circuit.metadata,
    }
    if item.pub.precision is not None:
        metadata["target_precision"] = item.pub.precision
    if scan.twins is not None:
        metadata["twins"] = scan.twins
    return PubResult(data, metadata)
