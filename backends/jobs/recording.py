"""Backends whose jobs are recorded in a journal."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.primitives import (
    BaseEstimatorV2,
    BasePrimitiveJob,
    BaseSamplerV2,
    DataBin,
    PrimitiveResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from bondwise.backends.backend import Backend
from bondwise.backends.devices import AnyDeviceSampler
from bondwise.backends.jobs.conditions import conditions_of
from bondwise.backends.jobs.contents import circuit_hash, content_of, content_of_circuits, registers_of
from bondwise.backends.jobs.journal import Journal
from bondwise.backends.jobs.kinds import device_behind
from bondwise.backends.jobs.places import AnyDevice, Place, ThisProcess, require_shots
from bondwise.backends.jobs.recorder import RecordedJob, Recorder
from bondwise.backends.jobs.storage import pack_counts, pack_result, unpack_counts, unpack_result
from bondwise.backends.primitives import sampler_pub
from bondwise.backends.sampled import SampledEstimator, seeded
from bondwise.circuits import as_circuit
from bondwise.circuits.cache import CircuitCache
from bondwise.runs import qpy_bytes


class RecordedBackend(Backend):
    """A backend whose jobs are recorded; made by `recorded`.

    A circuit is compiled once per run: later processes use the compiled circuit of the first one, so that a
    new calibration of the device changes neither the job nor what its bits mean.
    """

    recorder: Recorder
    bare: Backend
    named = True  # whether the user has named the run
    _pinned: CircuitCache[QuantumCircuit]

    @property
    def remote(self) -> bool:
        """Whether jobs go on elsewhere when this process ends, and may cost money."""
        return self.recorder.place.remote

    @property
    def begun(self) -> bool:
        """Whether jobs of the run that it records have been submitted."""
        return bool(self.recorder.journal.records(run=self.recorder.run, limit=1))

    def for_run(self, run: str) -> Backend:
        """The backend that records its jobs under a run's name, unless the user has named one."""
        if self.named:
            return self
        old = self.recorder
        return recorded(self, run, old.journal, wait=old.wait, progress=old.progress)

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Compile a circuit as the run has compiled it before, or as the backend does now."""
        circuit = as_circuit(circuit)
        if self.target is None:
            return self.bare.transpile(circuit)
        return self._pinned.get(circuit, lambda: self._pin(circuit)).copy()

    def _pin(self, circuit: QuantumCircuit) -> QuantumCircuit:
        def compile_now() -> bytes:
            compiled = self.bare.transpile(circuit)
            compiled.metadata = {}  # it may hold anything
            return qpy_bytes(compiled)

        data = self.recorder.compiled(f"{circuit_hash(circuit)} {registers_of(circuit)}", compile_now)
        # read back also the first time: expressions of angles are the same ones in every process
        return _as_written(circuit, data)


class RecordedSampler(BaseSamplerV2):
    """A sampler whose jobs are recorded."""

    def __init__(self, sampler: BaseSamplerV2, recorder: Recorder) -> None:
        self._sampler, self._recorder = sampler, recorder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_sampler":
            raise AttributeError(name)
        return getattr(self._sampler, name)

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[Any, Any]:
        """Submit the PUBs, or find the job of an earlier process."""
        coerced: list[SamplerPub] = [sampler_pub(pub, shots) for pub in pubs]
        total = sum(pub.size * pub.shots for pub in coerced)
        # before the journal knows of the job
        require_shots(
            self._recorder.place, self._recorder.backend, max((pub.shots for pub in coerced), default=0)
        )
        names = [[register.name for register in pub.circuit.cregs] for pub in coerced]
        return _submit(
            self._recorder,
            content_of(coerced, verb="sample", seed=seed),
            lambda: seeded(self._sampler.run, seed)(coerced),
            {"verb": "sample", **_sizes(coerced), "shots": total, "seed": seed, "registers": names},
            lambda data, about: _renamed(unpack_result(data), about.get("registers", names), names),
        )


class RecordedEstimator(BaseEstimatorV2):
    """An estimator whose jobs are recorded."""

    def __init__(self, estimator: BaseEstimatorV2, recorder: Recorder) -> None:
        self._estimator, self._recorder = estimator, recorder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_estimator":
            raise AttributeError(name)
        return getattr(self._estimator, name)

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[Any, Any]:
        """Submit the PUBs, or find the job of an earlier process."""
        coerced = [pub if isinstance(pub, EstimatorPub) else EstimatorPub.coerce(pub) for pub in pubs]
        return _submit(
            self._recorder,
            content_of(coerced, verb="estimate", precision=precision, seed=seed),
            lambda: seeded(self._estimator.run, seed)(coerced, precision=precision),
            {"verb": "estimate", **_sizes(coerced), "seed": seed},
        )


class RecordedDevice:
    """A Qiskit device whose jobs are recorded, as far as `AnyDeviceSampler` uses it."""

    def __init__(self, device: Any, recorder: Recorder) -> None:
        self._device, self._recorder = device, recorder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_device":
            raise AttributeError(name)
        return getattr(self._device, name)

    def run(self, circuits: list[QuantumCircuit], **options: Any) -> RecordedJob:
        """Submit circuits, or find the job of an earlier process."""
        shots = options.get("shots") or 0
        return self._recorder.submit(
            content_of_circuits(circuits, **options),
            lambda: self._device.run(circuits, **options),
            about={"verb": "sample", "circuits": len(circuits), "shots": shots * len(circuits)},
            pack=pack_counts,
            unpack=lambda data, about: unpack_counts(data),
        )


def recorded(
    backend: Backend,
    run: str | None,
    journal: Journal,
    place: Place | None = None,
    *,
    wait: bool = True,
    progress: bool = False,
) -> RecordedBackend:
    """The backend with its jobs recorded; a recorded one is recorded for another run.

    Args:
        backend: The backend.
        run: Name of the run; None for a new one.
        journal: The journal.
        place: Where its jobs live; None for what is known of it.
        wait: Whether to wait for results.
        progress: Whether to show a bar while waiting.
    """
    bare = backend.bare if isinstance(backend, RecordedBackend) else backend
    name = run or secrets.token_hex(8)
    kept = Recorder(
        journal,
        name,
        bare.name,
        place or place_of(backend),
        conditions=conditions_of(bare),
        wait=wait,
        progress=progress,
    )
    made = with_recorder(bare, kept)
    made.named = run is not None
    made.reduce = lambda: (recorded, (backend, name, journal))
    return made


def place_of(backend: Backend) -> Place:
    """Where the jobs of a backend live, as far as is known."""
    if isinstance(backend, RecordedBackend):
        return backend.recorder.place
    sampler = backend.sampler
    if isinstance(sampler, AnyDeviceSampler):
        return ThisProcess() if sampler.local else AnyDevice(sampler.device, backend.name)
    device = device_behind(backend)
    return ThisProcess() if device is None else AnyDevice(device, backend.name)


def with_recorder(bare: Backend, recorder: Recorder) -> RecordedBackend:
    """The backend with its jobs recorded by a recorder."""
    made = RecordedBackend.__new__(RecordedBackend)
    vars(made).update(copy.copy(vars(bare)))
    made.bare, made._pinned, made.recorder = bare, CircuitCache(), recorder
    if bare.sampler is not None:
        if isinstance(bare.sampler, AnyDeviceSampler):
            made.sampler = AnyDeviceSampler(
                RecordedDevice(bare.sampler.device, recorder), local=bare.sampler.local
            )
        else:
            made.sampler = RecordedSampler(bare.sampler, recorder)
    if isinstance(bare.estimator, SampledEstimator) and made.sampler is not None:
        made.estimator = SampledEstimator(made.sampler, bare.estimator.rotations)
    elif bare.estimator is not None:
        made.estimator = RecordedEstimator(bare.estimator, recorder)
    return made


def _submit(
    recorder: Recorder, content: str, start: Any, about: dict[str, Any], unpack: Any = None
) -> RecordedJob:
    unpack = unpack or (lambda data, about: unpack_result(data))
    return recorder.submit(content, start, about=about, pack=pack_result, unpack=unpack)


def _renamed(
    result: PrimitiveResult[Any], before: list[list[str]], now: list[list[str]]
) -> PrimitiveResult[Any]:
    """A result with the names that the registers have now."""
    if before == now:
        return result
    parts = []
    for part, old, new in zip(result, before, now, strict=True):
        fields = {new[old.index(name)]: value for name, value in part.data.items()}
        parts.append(SamplerPubResult(DataBin(**fields, shape=part.data.shape), part.metadata))
    return PrimitiveResult(parts, metadata=result.metadata)


def _sizes(pubs: list[Any]) -> dict[str, int]:
    return {"pubs": len(pubs), "circuits": int(sum(np.prod(pub.parameter_values.shape) for pub in pubs))}


def _as_written(circuit: QuantumCircuit, data: bytes) -> QuantumCircuit:
    """A stored circuit with the name, metadata, classical registers and parameters of another, by name."""
    stored = qpy.load(BytesIO(data))[0]
    mine = {parameter.name: parameter for parameter in circuit.parameters}
    same = {parameter: mine[parameter.name] for parameter in stored.parameters}
    found = stored.assign_parameters(same) if same else stored
    if [register.name for register in found.cregs] != [register.name for register in circuit.cregs]:
        renamed = QuantumCircuit(found.qubits, circuit.clbits, *found.qregs, *circuit.cregs)
        renamed.compose(found, found.qubits, circuit.clbits, inplace=True)
        renamed._layout = found._layout
        found = renamed
    found.name, found.metadata = circuit.name, dict(circuit.metadata or {})
    return found
