"""An estimator that undoes readout errors, amplifies noise, and extrapolates to zero noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BasePrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.observables_array import ObservablesArrayLike
from qiskit.transpiler import Target

from bondwise.backends import BackendLike, get_backend
from bondwise.backends.jobs.handles import FollowUp, Submitted
from bondwise.backends.primitives import (
    DEFAULT_PRECISION,
    NOT_EXACT,
    Estimator,
    check_shots,
    estimator_pub,
)
from bondwise.backends.pubs import estimator_pubs
from bondwise.circuits import as_circuit
from bondwise.mitigation.extrapolation import Extrapolation, extrapolated_together
from bondwise.mitigation.gate import mean_without_decay
from bondwise.mitigation.job import Calibrations, PreparedJob, mitigated_result
from bondwise.mitigation.names import DEFAULT, extrapolation_named
from bondwise.mitigation.planner import ShotPlan, plan_shots
from bondwise.mitigation.preparation import Preparation, unmitigated
from bondwise.mitigation.prepared import PreparedPub
from bondwise.mitigation.scales import (
    check_readout,
    checked_scales,
    checked_shares,
    checked_twins,
    shots_of,
    with_error,
)
from bondwise.mitigation.scan import NoiseScan, require_scan, warn_of_devices
from bondwise.mitigation.symmetry import beside, checked_symmetry, guided
from bondwise.mitigation.twirled_readout import Support, Twirl
from bondwise.runs import UsageError, whole_number


class MitigatedEstimator(Estimator):
    """An estimator that mitigates the errors of a backend or of another estimator.

    It can be used wherever Qiskit's estimators can. For each PUB, the circuit is transpiled once, folded to
    each scale factor, and run without further changes. Readout errors are undone by twirling, with a
    calibration of as many shots as a whole scan; the values are then extrapolated to zero noise, against the
    scale factors that folding actually reached. All scale factors of all PUBs and the calibration travel in
    one job.

    A circuit with a layout counts as transpiled: it is not changed, and its observables must act on the
    qubits of the device. Others are transpiled by the backend or, for a bare estimator without a target, for
    `target` if given. The `repr` and the metadata of each result, under `"transpiled"`, say what was done.

    Besides `evs` and `stds`, each PUB result has `evs_noise_factors` and `stds_noise_factors`, with the scale
    factor as last axis (readout undone, not extrapolated). Its metadata holds `scale_factors` (achieved),
    `shots`, `converged` and `message`. `NoiseScan.from_pub_result` collects them for other extrapolations,
    and for `extrapolate`, which repeats the estimator's own and returns the curve. PUBs of a job with the
    same scale factors are extrapolated together, which matters for extrapolations that learn from all
    elements of a scan. `stds` contain the errors of the calibration, but not those of the extrapolation's
    form. The calibration of a set of qubits is kept for the life of the object: create a new one when the
    device has drifted.

    If no element of a job shows a decay above its shot noise, an extrapolation would only add errors: one
    that was chosen by name gives way to `mean_without_decay`. With `extrapolation=None`, circuits are not
    folded and only readout errors are undone, as for circuits without gates that make noise. On a simulator
    that is known to have no noise, values are its own, with a warning. The `message` says all of this.

    Args:
        backend: A name such as `"fake:torino"`, a `Backend`, a Qiskit `BackendV2`, or any V2 primitive.
        extrapolation: `"bayes"`, `"cdr"`, `"exponential"`, `"free_exponential"`, `"guess"`, `"linear"`,
            `"neural"`, `"paper_network"`, `"poly_exponential"`, `"polynomial"` (of degree 2),
            `"richardson"`, `"vncdr"`, or a function of a `NoiseScan` that returns the value, or value and
            standard error, of the scan's leading shape, or an `Extrapolation`. None leaves gate noise in the
            values.
        scale_factors: Two or more distinct noise strengths of at least 1 (three or more for
            `"free_exponential"`, `"polynomial"` and `"poly_exponential"`); by default (1, 3, 5). Without
            extrapolation, only 1 is used.
        folding: `"global"` (the whole circuit), `"local"` (each gate separately, those on one qubit too) or
            `"gates"` (each two-qubit gate separately).
        readout: Whether to undo readout errors; harmless if there are none.
        twins: Number of near-Clifford twins of each circuit that are measured with it, for extrapolations
            that learn from them; by default 20 for `"cdr"` and `"vncdr"`, and none for others.
        symmetry: An observable and the value that it has in all circuits, such as `("ZZZZ", 1.0)`, which is
            measured beside each PUB with as many shots, for `"guess"`.
        shares: How the shots of a scan are shared out over the scale factors. By default, most are spent at
            the smallest one: (5, 1, 1) for three.
        gate_twirls: Number of randomized copies of each folded circuit, over which the shots are spread, with
            Paulis around the two-qubit gates; 0 for none.
        decoupling: `"XX"` or `"XY4"` fills the idle times of each folded circuit with pulses.
        target: Target to transpile for, if the backend has none or another one.
        shots: Number of shots per measured basis and scale factor, on average. None: exact values if the
            backend has them, otherwise the backend's default. A PUB's precision p overrides it with 1/p²; the
            largest number requested in one run is used for all of its PUBs.
        seed: Random seed for sampling, random folding and transpilation; a new estimator starts from it.

    Raises:
        UsageError: If a name is unknown, there are too few scale factors or twins for the extrapolation,
            scale factors are below 1 or not distinct, or given without an extrapolation, there is nothing to
            mitigate, twins or shares would not be used, or `shots` is not a whole number above 1 (a single
            shot has no error bar).

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import MitigatedEstimator
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> estimator = MitigatedEstimator("aer:depolarizing=0.1")
        >>> [result] = estimator.run([(bell, "ZZ")]).result()
        >>> [round(float(value), 3) for value in result.data.evs_noise_factors]  # at noise scales 1, 3, 5
        [0.9, 0.729, 0.59]
        >>> round(float(result.data.evs), 3)
        1.0
    """

    def __init__(
        self,
        backend: BackendLike,
        *,
        extrapolation: str | Callable[[NoiseScan], Any] | None = DEFAULT,
        scale_factors: Sequence[float] | None = None,
        folding: str = "global",
        readout: bool = True,
        twins: int | None = None,
        symmetry: tuple[Any, float] | None = None,
        shares: Sequence[int] | None = None,
        gate_twirls: int = 0,
        decoupling: str | None = None,
        target: Target | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.extrapolation = getattr(extrapolation, "__name__", str(extrapolation or "none"))
        self._function: Callable[[NoiseScan], Any] | None
        self._by_name = isinstance(extrapolation, str)
        if extrapolation is None or callable(extrapolation):
            self._function = extrapolation
        else:
            self._function = extrapolation_named(str(extrapolation))
        factors = checked_scales(extrapolation, scale_factors)
        check_readout(extrapolation, readout)
        if isinstance(backend, MitigatedEstimator):
            raise UsageError("a MitigatedEstimator would be mitigated twice; pass its backend.")
        self.backend = unmitigated(get_backend(backend))
        self._idle = ""  # why nothing is mitigated
        if self.backend.exact and not self.backend.noisy:
            self._idle = f"{self.backend.name} has no noise, so nothing is mitigated"
        self.gate_twirls = whole_number("gate_twirls", gate_twirls, least=0)
        self.shares = checked_shares(shares, factors)
        self._preparation = Preparation(self.backend, target, folding, factors, self.gate_twirls, decoupling)
        self.target = self._preparation.target
        self.transpiled = self._preparation.transpiled
        self.folding, self.scale_factors, self.readout, self.seed = folding, factors, readout, seed
        self.symmetry = checked_symmetry(extrapolation, symmetry, twins)
        self.twins = checked_twins(extrapolation, twins, len(factors))
        self.shots = with_error(check_shots(shots))
        self._known = Calibrations()
        if self._idle:
            warnings.warn(f"{self._idle}.", stacklevel=2)

    def __repr__(self) -> str:
        if self._idle:
            return f"MitigatedEstimator({self._idle})"
        factors = ", ".join(f"{factor:g}" for factor in self.scale_factors)
        how = f"{self.extrapolation} from {self.folding} folding at {factors}"
        if self._function is None:
            how = "no extrapolation"
        how += ", readout undone" if self.readout else ", readout left"
        return f"MitigatedEstimator({self.backend.name}, {how}, circuits transpiled {self.transpiled})"

    @property
    def default_precision(self) -> float:
        """Target standard error at each scale factor of PUBs that do not set one; 0 for exact values."""
        return self._backend_precision() if self.shots is None else self.shots**-0.5

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """Estimate the observables of all PUBs, in one job.

        Args:
            pubs: Estimator PUBs; observables and parameter sets broadcast as in any estimator.
            precision: Target standard error at each scale factor of PUBs that do not set one; 0 asks for
                exact values.
            seed: Random seed; overrides the estimator's own.

        Returns:
            A job that has been submitted. The metadata of its result holds `shots`, including those of the
            calibration, and `job_ids`.

        Raises:
            UsageError: If a circuit cannot be folded, or not to distinct scale factors, or a PUB cannot be
                read; when the result is asked for, if an extrapolation does not return a finite real number.
            RunError: When the result is asked for, if the readout of a qubit says nothing about its state.
        """
        prepared = self.prepare(pubs, precision=precision, seed=seed)
        handle = self.backend.submit(prepared.pubs, shots=prepared.shots, seed=prepared.seed)
        return FollowUp(Submitted((handle,), lambda: self.combine(prepared, handle.collect())))

    def prepare(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> PreparedJob:
        """What `run` submits, for those who submit it themselves.

        Args:
            pubs: As for `run`.
            precision: As for `run`.
            seed: As for `run`.

        Returns:
            The job; `backend.run(job.pubs, shots=job.shots, seed=job.seed)` runs it. The same call prepares
            the same job again, in any process, if the estimator has no calibrations yet.

        Raises:
            UsageError: As for `run`.

        Example:
            >>> from qiskit import QuantumCircuit
            >>> from bondwise.mitigation import MitigatedEstimator
            >>> bell = QuantumCircuit(2)
            >>> _ = bell.h(0), bell.cx(0, 1)
            >>> estimator = MitigatedEstimator("fake:manila", shots=1000)
            >>> job = estimator.prepare([(bell, "ZZ")], seed=1)
            >>> len(job.pubs)  # 7 of the calibration; 5, 1 and 1 at the scale factors
            14
            >>> [result] = estimator.combine(job, estimator.backend.run(job.pubs, shots=job.shots, seed=1))
            >>> result.data.evs_noise_factors.shape
            (3,)
        """
        seed = self.seed if seed is None else seed
        read = beside(self.symmetry, estimator_pubs(pubs, precision))
        shots = self._shots_for(read)
        asked = shots or 0
        fold = not self._idle and self._function is not None
        shares = self.shares if fold and shots is not None else (1,) * len(self.shares)
        if shots is not None:  # of each copy, of which a scan has so many in each basis
            copies = sum(shares) * max(1, self.gate_twirls)
            if self.gate_twirls and shots * len(shares) < copies:
                raise UsageError(
                    f"shots is {shots}, too few for {copies} circuits at the shares {shares} with "
                    f"gate_twirls={self.gate_twirls}; give at least {ceil(copies / len(shares))}."
                )
            shots = max(2, ceil(shots * len(shares) / copies))
        items = [self._preparation(pub, fold=fold, shares=shares, seed=seed or 0) for pub in read]
        if any(item.pub.precision == 0 and not self._is_exact(item) for item in items):
            raise UsageError(NOT_EXACT)
        twins = self._known.new_twins(items, self.twins, self._preparation, asked, shares, seed or 0)
        measured = [*(twin for twin, _ in twins.values()), *items]
        twirl: Twirl | None = None
        supports: tuple[Support, ...] = ()
        calibrations: list[EstimatorPub] = []
        if self.readout and not self._idle:
            qubits = sorted(set().union(*(item.qubits for item in measured)))
            twirl = Twirl(self.backend, qubits, shots)
            supports = self._known.unknown(measured, asked * len(shares))
        if twirl is not None and supports:
            widest = max((item.circuit for item in items), key=lambda circuit: circuit.num_qubits)
            # as many shots as for a whole scan, so that the calibration does not limit the precision
            repeated = 1 if shots is None else copies
            calibrations = [twirl.calibration(supports, widest)] * repeated
        return PreparedJob(
            pubs=[*calibrations, *(task for item in measured for task in item.tasks(twirl))],
            shots=shots if twirl is None else twirl.shots,
            asked=asked,
            seed=seed,
            items=items,
            twins=twins,
            supports=supports,
            calibrations=len(calibrations),
            readout=twirl is not None,
            known=self._known,
            symmetry=self.symmetry,
            device=self.backend.name,
        )

    def combine(self, job: PreparedJob, result: PrimitiveResult[PubResult]) -> PrimitiveResult[PubResult]:
        """The mitigated values from the results of a job.

        Args:
            job: What `prepare` returned.
            result: What the backend returned for `job.pubs`.

        Warns:
            UserWarning: If the job was made for another device.

        Raises:
            UsageError: If the result is of another job, or an extrapolation does not return a finite real
                number.
            RunError: If the readout of a qubit says nothing about its state.
        """
        warn_of_devices("a job", job.device, "is combined by an estimator", self.backend.name)
        meta = {"folding": self.folding, "device": job.device}
        scans, made = job.scans(result, meta)
        if job.device == self.backend.name:
            self._known |= made
        scans = guided(job.symmetry, scans, self.symmetry)
        about = {
            "target_precision": self.default_precision,
            "extrapolation": self.extrapolation,
            "readout": job.readout,
            "message": self._idle,
        }
        fits = extrapolated_together(self._fit, scans)
        pub_results = [
            mitigated_result(item, scan, fit, about)
            for item, scan, fit in zip(job.items[: len(scans)], scans, fits, strict=True)
        ]
        metadata = {
            "version": 2,
            "shots": result.metadata["shots"],
            "calibration_shots": job.calibration_shots,
            "job_ids": result.metadata["job_ids"],
            "transpiled": self.transpiled,
        }
        return PrimitiveResult(pub_results, metadata=metadata)

    def extrapolate(self, scan: NoiseScan) -> Extrapolation:
        """Extrapolate a scan the way `run` does with a PUB.

        Args:
            scan: A noise scan, such as `NoiseScan.from_pub_result` makes from a PUB result.

        Returns:
            The fit. Its `value` and `std` are the `evs` and `stds` of the PUB result.

        Warns:
            UserWarning: If the scan is of another device.
        """
        require_scan(scan)
        device = scan.meta.get("device")
        warn_of_devices("a scan", device, "is extrapolated by an estimator", self.backend.name)
        return self._fit(scan)

    def _fit(self, scan: NoiseScan) -> Extrapolation:
        least = scan.scale_factors.argmin()
        fit: Any = (scan.value[..., least], scan.std[..., least])
        if self._function is not None and scan.scale_factors.size > 1:
            fit = (mean_without_decay(scan) if self._by_name else None) or self._function(scan)
        return Extrapolation.from_value(scan, self.extrapolation, fit)

    def estimate_seconds(
        self, circuit: QuantumCircuit | EstimatorPub, observables: ObservablesArrayLike | None = None
    ) -> float:
        """Estimate how long the first `run` takes for one parameter set on one core, calibration included.

        Args:
            circuit: A circuit, before or after transpilation, or a PUB with observables and precision.
            observables: Observables on the qubits of the circuit.

        Returns:
            Seconds; 0 if the backend does not simulate on this machine.

        Raises:
            UsageError: As for `run`.
        """
        pub = circuit if isinstance(circuit, EstimatorPub) else as_circuit(circuit)
        if isinstance(pub, QuantumCircuit):
            (pub,) = estimator_pubs([(pub, observables, np.zeros(pub.num_parameters))])
        job, seconds = self.prepare([pub]), 0.0
        for index, task in enumerate(job.pubs):
            once = self.backend.estimate_seconds(task.circuit, task.observables, shots=job.shots)
            sets = task.parameter_values.size
            of_pub = index >= len(job.pubs) - job.items[0].size
            seconds += once * (sets / max(1, pub.parameter_values.size) if of_pub else sets)
        return seconds

    def plan_shots(self, pub: EstimatorPubLike, std: float) -> ShotPlan:
        """How many shots a PUB needs for a standard error of its mitigated values, by simulation.

        Args:
            pub: A PUB, the values of which are extrapolated together.
            std: Standard error to reach.

        Returns:
            The plan, whose `shots` and `shares` a new `MitigatedEstimator` takes.

        Raises:
            UsageError: If `std` is not positive, or so small that no number of shots up to 10^9 reaches it.
        """
        [read] = estimator_pubs([pub])
        fold = not self._idle and self._function is not None
        item = self._preparation(read, fold=fold, shares=self.shares, seed=0)
        readout = self.readout and not self._idle
        known = 1 if self.symmetry else self.twins
        shares = self.shares if len(item.factors) > 1 else ()
        more: dict[str, Any] = {"shares": shares, "twins": known, "readout": readout}
        return plan_shots(item, self.extrapolate, std, target=self.target, **more)

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        result: PrimitiveResult[PubResult] = self.run(pubs, seed=seed).result()
        return result

    def _shots_for(self, pubs: list[EstimatorPub]) -> int | None:
        """The largest number of shots that is requested, or None for exact values."""
        if any(pub.precision == 0 for pub in pubs) and self._backend_precision():
            raise UsageError(NOT_EXACT)
        asked = [self.shots if pub.precision is None else shots_of(pub.precision) for pub in pubs]
        if None in asked:
            if self.backend.exact:
                return None
            asked.append(shots_of(self._backend_precision()))
        return with_error(max((shots for shots in asked if shots is not None), default=None))

    def _backend_precision(self) -> float:
        """Precision of the backend if none is requested; 0 for exact values."""
        if self.backend.exact:
            return 0.0
        return getattr(self.backend.estimator, "default_precision", DEFAULT_PRECISION)

    def _is_exact(self, item: PreparedPub) -> bool:
        """Whether the backend has exact values of a circuit, which may have too many qubits for them."""
        known = getattr(self.backend.estimator, "is_exact", None)
        return known is None or known(estimator_pub(item.tasks(None)[0]))
