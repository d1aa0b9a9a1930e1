"""A backend: a target to compile for, an estimator and a sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
    DataBin,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.observables_array import ObservablesArrayLike
from qiskit.primitives.containers.sampler_pub import SamplerPubLike
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, TranspilerError

from bondwise.backends.jobs.handles import Handle, job_ids_of
from bondwise.backends.measurement import ShotAllocation, Tally, WeightedPub
from bondwise.backends.primitives import DEFAULT_SHOTS, check_shots, observables_array, sampler_shots
from bondwise.backends.pubs import estimator_pubs, sampler_pubs
from bondwise.backends.sampled import SampledEstimator, native_rotations, precision_of, seeded
from bondwise.circuits import as_circuit, readable, true_names, with_constants
from bondwise.circuits.cache import CircuitCache
from bondwise.runs import RunError, UsageError, unknown_name
from bondwise.runs.text import counted

if TYPE_CHECKING:
    import torch

    from bondwise.circuits.splitting import SplitCircuit

# (circuit, angles (B, G), K Pauli sums, "adjoint" or "backprop") → (B, K), which torch can differentiate
Values: TypeAlias = "Callable[[SplitCircuit, torch.Tensor, Sequence[SparsePauliOp], str], torch.Tensor]"
# (circuit, angles (B, G), bits (M, n) with qubit i in column i) → (B, M), which torch can differentiate
Amplitudes: TypeAlias = "Callable[[SplitCircuit, torch.Tensor, np.ndarray], torch.Tensor]"

_SEED_TRANSPILER = 7


@lru_cache(maxsize=32)
def _compiled_for(target: Target | None, optimization_level: int) -> CircuitCache[QuantumCircuit]:
    """The compiled circuits of a target object: backends made anew for one simulator share them."""
    return CircuitCache()


class Backend:
    """A place where circuits run. `get_backend` makes it from a name or a Qiskit object.

    Args:
        name: Name in tables and messages.
        estimator: Evaluates observables; without one they are measured with the sampler.
        sampler: Samples circuits; without one only expectation values are available.
        target: Gates and couplings of the device; None if it accepts any circuit.
        exact: Whether the estimator returns values without shots.
        noisy: Whether circuits suffer noise.
        symmetric_readout: Whether each qubit reads a wrong 0 as often as a wrong 1, independently of others.
        values: Function from gate angles to expectation values that torch can differentiate, if there is one;
            the backend is then `differentiable`.
        amplitudes: Function from gate angles and bit strings to their amplitudes, likewise.
        dense: Whether it is the vector of all amplitudes that is simulated, which is then available as such.
        optimization_level: Optimization level of Qiskit's transpiler; 3 also chooses the layout by the
            reported errors.
        default_shots: Number of shots if none is given and values are not exact; None for the estimator's
            own.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import get_backend
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> backend = get_backend("fake:manila")
        >>> backend.transpile(bell).num_qubits, backend.noisy
        (5, True)
    """

    def __init__(
        self,
        name: str,
        *,
        estimator: BaseEstimatorV2 | None = None,
        sampler: BaseSamplerV2 | None = None,
        target: Target | None = None,
        exact: bool = False,
        noisy: bool = False,
        symmetric_readout: bool = False,
        values: Values | None = None,
        amplitudes: Amplitudes | None = None,
        dense: bool = False,
        optimization_level: int = 3,
        default_shots: int | None = DEFAULT_SHOTS,
    ) -> None:
        if estimator is None and sampler is not None:
            estimator = SampledEstimator(sampler, native_rotations(target))
        self.name = name
        self.estimator = estimator
        self.sampler = sampler
        self.target = target
        self.exact = exact
        self.noisy = noisy
        self.symmetric_readout = symmetric_readout
        self.values = values
        self.amplitudes = amplitudes
        self.differentiable = values is not None
        self.dense = dense
        self.num_qubits: int | None = target.num_qubits if target is not None else None
        self.reduce: Callable[[], tuple[Any, ...]] | None = None  # how to pickle it; set by `get_backend`
        self._level = optimization_level
        self._default_shots = default_shots
        self._transpiled = _compiled_for(target, optimization_level)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A pickle holds the name or the objects that the backend was made from, without its caches."""
        return super().__reduce_ex__(protocol) if self.reduce is None else self.reduce()

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self  # only its caches ever change

    @property
    def remote(self) -> bool:
        """Whether jobs go on elsewhere when this process ends, and may cost money."""
        return False

    @property
    def begun(self) -> bool:
        """Whether jobs of the run that it records have been submitted."""
        return False

    def for_run(self, run: str) -> Backend:
        """The backend, with its jobs recorded under a run's name if they are recorded without one."""
        return self

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Compile a circuit for this backend, once per circuit structure and always with the same result.

        Args:
            circuit: Any circuit; its parameters stay free.

        Returns:
            A circuit in the gates and couplings of the target, as wide as the device, with its `layout` set
            (`observable.apply_layout(isa.layout)`). Without a target, the circuit itself, except for gates
            that carry the name of another one (see `bondwise.circuits.true_names`).

        Raises:
            UsageError: If the circuit has more qubits than the device, or cannot be written in its gates.
        """
        circuit = as_circuit(circuit)
        if self.num_qubits is not None and circuit.num_qubits > self.num_qubits:
            raise UsageError(
                f"the circuit has {counted(circuit.num_qubits, 'qubit')}"
                f" and {self.name} has {self.num_qubits}; "
                "choose a larger device or a smaller circuit."
            )
        if self.target is None:
            return true_names(circuit)
        return self._transpiled.get(circuit, lambda: self._compile(circuit)).copy()

    def run(
        self,
        pubs: Iterable[EstimatorPubLike],
        *,
        shots: int | None = None,
        seed: int | None = None,
        shot_allocation: ShotAllocation = "uniform",
    ) -> PrimitiveResult[PubResult]:
        """Evaluate observables in one job; the circuits run exactly as they are passed.

        Args:
            pubs: `(circuit, observables, parameter_values)` with circuits from `transpile` and observables on
                their qubits; angles in radians in the order of `circuit.parameters` (for a path, of its
                declarations).
            shots: Number of shots per measured basis and parameter set. None: exact values if the backend is
                `exact`, otherwise 4096, or the default of a foreign primitive.
            seed: Random seed for sampling; foreign primitives keep their own.
            shot_allocation: As for `estimate`.

        Returns:
            Qiskit's result: `result[i].data.evs` and `.stds`. `result.metadata` holds `shots`, the total
            spent, and `job_ids`, a tuple that is empty if nothing was submitted.

        Raises:
            UsageError: If `shots` is not positive, a PUB cannot be read, the backend has no estimator, or it
                has no shots to allocate.
            RunError: If a foreign primitive returns a value that is not a finite real number.
        """
        return self.submit(pubs, shots=shots, seed=seed, shot_allocation=shot_allocation).collect()

    def submit(
        self,
        pubs: Iterable[EstimatorPubLike],
        *,
        shots: int | None = None,
        seed: int | None = None,
        shot_allocation: ShotAllocation = "uniform",
    ) -> Handle[PrimitiveResult[PubResult]]:
        """Submit the job of `run`, and return without waiting for it.

        Args:
            pubs: As for `run`.
            shots: As for `run`.
            seed: As for `run`.
            shot_allocation: As for `run`.

        Returns:
            A handle, which knows the identifiers of the job; `collect` returns what `run` does.

        Raises:
            UsageError: As for `run`.
        """
        if self.estimator is None:
            raise UsageError(f"{self.name} has neither an estimator nor a sampler.")
        shots = check_shots(shots)
        self.check_allocation(shot_allocation, shots)
        if shots is None and not self.exact:
            shots = self._default_shots
        kind = WeightedPub if shot_allocation == "weighted" else EstimatorPub
        precision = None if shots is None else precision_of(shots)
        # a PUB's own precision would override `shots`, which holds for the whole job
        plain = [
            kind(pub.circuit, pub.observables, pub.parameter_values, precision, validate=False)
            for pub in estimator_pubs(pubs)
        ]
        job = seeded(self.estimator.run, seed)(plain, precision=precision)

        def finish(result: PrimitiveResult[PubResult]) -> PrimitiveResult[PubResult]:
            for part in result:
                self._check(part)
            metadata = dict(result.metadata)
            # without both it is foreign, and its "shots" are those of one circuit
            if "shots" not in metadata or "job_ids" not in metadata:
                metadata["shots"] = sum(
                    _spent(pub, part.metadata) for pub, part in zip(plain, result, strict=True)
                )
                result = PrimitiveResult(list(map(_with_error, result)))
            return _finished(result, metadata, job)

        return Handle(job, finish)

    def check_allocation(self, shot_allocation: str, shots: int | None) -> None:
        """Refuse an allocation of shots that is unknown, or that this backend would not follow.

        Args:
            shot_allocation: As for `run`.
            shots: As for `run`.

        Raises:
            UsageError: If it is refused.
        """
        if shot_allocation not in get_args(ShotAllocation):
            raise unknown_name("shot_allocation", str(shot_allocation), get_args(ShotAllocation))
        if shot_allocation == "uniform":
            return
        why = ""
        if self.sampler is None:
            why = f"{self.name} divides its shots itself"
        elif self.remote:
            why = f"a job of {self.name} has one number of shots for all of its circuits"
        elif shots is None and self.exact:
            why = f"values of {self.name} are exact without shots="
        if why:
            raise UsageError(f"{why}; leave out shot_allocation={shot_allocation!r}.")

    def sample(
        self, pubs: Iterable[SamplerPubLike], *, shots: int = DEFAULT_SHOTS, seed: int | None = None
    ) -> PrimitiveResult[SamplerPubResult]:
        """Sample measured circuits in one job; the circuits run exactly as they are passed.

        Args:
            pubs: `(circuit, parameter_values)` with circuits from `transpile`.
            shots: Number of shots per parameter set.
            seed: Random seed for sampling; foreign primitives keep their own.

        Returns:
            Qiskit's result: one `BitArray` per classical register in `result[i].data`; metadata as in `run`.

        Raises:
            UsageError: If `shots` is not positive, a PUB cannot be read, or the backend only evaluates
                observables.
        """
        return self.submit_sample(pubs, shots=shots, seed=seed).collect()

    def submit_sample(
        self, pubs: Iterable[SamplerPubLike], *, shots: int = DEFAULT_SHOTS, seed: int | None = None
    ) -> Handle[PrimitiveResult[SamplerPubResult]]:
        """Submit the job of `sample`, and return without waiting for it.

        Args:
            pubs: As for `sample`.
            shots: As for `sample`.
            seed: As for `sample`.

        Returns:
            A handle, which knows the identifiers of the job; `collect` returns what `sample` does.

        Raises:
            UsageError: As for `sample`.
        """
        if self.sampler is None:
            option = next((part for part in self.name.split(",") if part.startswith("resilience=")), None)
            instead = f"leave out {option} to sample" if option else "sample on 'statevector' or 'aer'"
            raise UsageError(f"{self.name} evaluates observables only; {instead}.")
        job = seeded(self.sampler.run, seed)(sampler_pubs(pubs), shots=sampler_shots(shots))

        def finish(result: PrimitiveResult[SamplerPubResult]) -> PrimitiveResult[SamplerPubResult]:
            registers = [next(iter(part.data.values()), None) for part in result]
            spent = sum(bits.num_shots * bits.size for bits in registers if bits is not None)
            return _finished(result, {**result.metadata, "shots": spent}, job)

        return Handle(job, finish)

    def estimate_seconds(
        self, circuit: QuantumCircuit, observables: ObservablesArrayLike, *, shots: int | None = None
    ) -> float:
        """Estimate how long `run` takes for one parameter set on one core, in seconds.

        The estimate is 0 if the backend does not simulate noise on this machine.

        Args:
            circuit: Circuit before or after `transpile`.
            observables: Observables on the qubits of this circuit.
            shots: As for `run`.
        """
        circuit = as_circuit(circuit)
        estimate = getattr(self.estimator, "estimate_seconds", None)
        if estimate is None:
            return 0.0
        array = observables_array(observables)
        if circuit.layout is None:
            circuit = self.transpile(circuit)
            array = array if circuit.layout is None else array.apply_layout(circuit.layout)
        precision = None if shots is None else precision_of(shots)
        return estimate(EstimatorPub(circuit, array, _zeros(circuit), precision))

    def _check(self, part: PubResult) -> None:
        """Refuse values that are not finite real numbers, which foreign primitives may return."""
        values = np.asarray(part.data["evs"])
        strange = values[~np.isfinite(values) | (np.imag(values) != 0)]
        if strange.size:
            raise RunError(
                f"{self.name} returned the expectation value {strange[0]}, which is not a finite real "
                "number; run the circuit on another backend."
            )

    def _compile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        circuit = with_constants(true_names(circuit))
        layout = None
        if self.num_qubits is not None and not any(step.clbits for step in circuit.data):
            # with measurements, the layout avoids qubits with large readout errors
            chosen = self._compiled(readable(circuit)[0], None).layout
            layout = None if chosen is None else chosen.initial_index_layout(filter_ancillas=True)
        return self._compiled(circuit, layout)

    def _compiled(
        self, circuit: QuantumCircuit, layout: list[int] | None, target: Target | None = None
    ) -> QuantumCircuit:
        target = target or self.target
        manager = generate_preset_pass_manager(
            self._level, target=target, initial_layout=layout, seed_transpiler=_SEED_TRANSPILER
        )
        try:
            return manager.run(circuit)
        except TranspilerError as error:
            reason = " ".join(error.message.split())
            # this pass asks for a schedule, which would insert more delays
            if target is not None and "ConstrainedReschedule" in reason:
                reason = f"write delays as multiples of {target.acquire_alignment} dt."
            if "Delay duration is not" in reason:
                reason = "the duration of a delay is not a whole number of dt; bind it to one first."
            raise UsageError(f"the circuit cannot be compiled for {self.name}: {reason}") from error


def placed(
    operators: Sequence[SparsePauliOp], circuit: QuantumCircuit, isa: QuantumCircuit
) -> Sequence[SparsePauliOp]:
    """Observables on the qubits of `circuit`, moved to where `Backend.transpile` placed these in `isa`.

    A circuit that the backend did not change may carry the layout of an earlier transpilation; its
    observables already refer to its current qubits.
    """
    if isa is circuit or isa.layout is None:
        return operators
    return [operator.apply_layout(isa.layout) for operator in operators]


def _zeros(circuit: QuantumCircuit) -> BindingsArray:
    return BindingsArray.coerce({tuple(circuit.parameters): [0.0] * circuit.num_parameters})


def _spent(pub: EstimatorPub, metadata: dict[str, Any]) -> int:
    """Shots that a foreign estimator spent on a PUB: its shots per circuit times the number of circuits."""
    precision = metadata.get("target_precision") or 0.0
    each = metadata.get("shots") or (round(precision**-2) if precision else 0)
    return each * sum(map(len, Tally(pub).needed)) if each else 0


def _with_error(part: PubResult) -> PubResult:
    """The result with its true error: StatevectorEstimator adds one of the target precision but reports 0."""
    precision = part.metadata.get("target_precision")
    if not precision or "shots" in part.metadata or np.any(part.data["stds"]):
        return part
    fields = {name: part.data[name] for name in part.data}
    fields["stds"] = np.full(np.shape(part.data["evs"]), precision)
    return PubResult(DataBin(**fields, shape=part.data.shape), part.metadata)


def _finished(result: PrimitiveResult[Any], metadata: dict[str, Any], job: Any) -> PrimitiveResult[Any]:
    metadata["job_ids"] = tuple(metadata.get("job_ids", job_ids_of(job)))
    return PrimitiveResult(list(result), metadata=metadata)
