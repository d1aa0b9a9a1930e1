"""Backends that submit and simulate nothing: they count what would run, and make results up.

Made-up results have the shapes of real ones, so that whatever is computed from them goes on to the end and
all its jobs are counted. Circuits that only flip qubits, as in a calibration, read as they should, with few
errors; all others read random bits, which are the same in every plan.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    BasePrimitiveJob,
    BitArray,
    DataBin,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.transpiler import Target

from bondwise.backends.backend import Backend
from bondwise.backends.devices import AnyDeviceSampler
from bondwise.backends.jobs.circuit_costs import CircuitCost, Load, circuit_cost
from bondwise.backends.jobs.handles import LocalJob, Submitted, started
from bondwise.backends.jobs.journal import JobRecord
from bondwise.backends.jobs.places import Place, require_shots
from bondwise.backends.jobs.recorder import Recorder
from bondwise.backends.jobs.recording import RecordedBackend, place_of, with_recorder
from bondwise.backends.measurement import Tally
from bondwise.backends.outcomes import Counted
from bondwise.backends.primitives import DEFAULT_PRECISION, Sampler, estimator_pub, sampler_result
from bondwise.backends.sampled import SampledEstimator, estimator_result, native_rotations
from bondwise.circuits.flips import certain_bits
from bondwise.runs import UsageError

_ROWS = 64  # different outcomes of a made-up circuit


class Ledger:
    """What would have run so far.

    Args:
        backend: The backend.
        place: Where its jobs would run.

    Attributes:
        jobs: Number of jobs.
        pubs: Number of PUBs in them.
        loads: Their circuits, each with its cost on the device.
        seconds: Estimated seconds of simulation on this machine.
        known: Number of jobs that the journal has already.
        rng: Where made-up results come from; they differ from job to job, so that nothing seems converged.
    """

    def __init__(self, backend: Backend, place: Place) -> None:
        self.jobs = self.pubs = self.known = 0
        self.loads: list[tuple[Load, CircuitCost]] = []
        self.seconds = 0.0
        self.rng = np.random.default_rng(0)
        self._name, self._target, self._place = backend.name, backend.target, place
        self._mutex, self._mine = threading.Lock(), threading.local()

    def add(self, pubs: int, loads: Iterable[Load], seconds: float = 0.0) -> None:
        """Enter a job.

        Raises:
            UsageError: If the place does not take that many shots.
        """
        if getattr(self._mine, "free", False):
            return
        priced = []
        for load in loads:
            require_shots(self._place, self._name, load.shots)
            priced.append((load, circuit_cost(load.circuit, load.target or self._target, load.qubits)))
        with self._mutex:
            self.jobs += 1
            self.pubs += pubs
            self.loads += priced
            self.seconds += seconds

    @contextmanager
    def free(self) -> Iterator[None]:
        """A context whose job is known already."""
        with self._mutex:
            self.known += 1
        self._mine.free = True
        try:
            yield
        finally:
            self._mine.free = False


class PlannedSampler(Sampler):
    """A sampler that counts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def _start(
        self, pubs: list[SamplerPub], seed: int | None
    ) -> BasePrimitiveJob[PrimitiveResult[SamplerPubResult], Any]:
        self._enter(pubs)
        return started(
            lambda: sampler_result(pubs, [_made_up_registers(pub, self._ledger.rng) for pub in pubs])
        )

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        result: PrimitiveResult[SamplerPubResult] = self._start(pubs, seed).result()
        return result

    def submit_counted(self, pubs: list[SamplerPub], seed: int | None) -> Submitted:
        """Enter the job; its outcomes are made up when they are collected."""
        self._enter(pubs)
        rng = self._ledger.rng
        return Submitted(
            (), lambda: [made_up_counts(pub.circuit, _sets(pub), pub.shots, rng) for pub in pubs]
        )

    def _enter(self, pubs: list[SamplerPub]) -> None:
        self._ledger.add(len(pubs), [Load(pub.circuit, pub.size, pub.shots) for pub in pubs])


class PlannedEstimator(BaseEstimatorV2):
    """An estimator that counts what another one would run.

    Args:
        estimator: The other one.
        ledger: Where its jobs are entered.
        target: Target of its device.
    """

    def __init__(self, estimator: BaseEstimatorV2, ledger: Ledger, target: Target | None) -> None:
        self._estimator, self._ledger = estimator, ledger
        self._measured = SampledEstimator(PlannedSampler(ledger), native_rotations(target))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_estimator":
            raise AttributeError(name)
        return getattr(self._estimator, name)

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """Enter the job."""
        coerced = [estimator_pub(pub, precision) for pub in pubs]
        loads = getattr(self._estimator, "loads", None)
        if loads is not None:
            self._ledger.add(len(coerced), found := loads(coerced, precision))
            return started(
                _made_up_values, coerced, sum(load.sets * load.shots for load in found), self._ledger.rng
            )
        tallies = [Tally(self._with_precision(pub)) for pub in coerced]
        where, tasks = self._measured.tasks([tally for tally in tallies if tally.pub.precision])
        found = [Load(circuit, len(sets), shots) for circuit, sets, shots in tasks]
        for tally in tallies:
            if not tally.pub.precision:
                found.append(Load(tally.pub.circuit, len(tally.sets), 0))
                tally.set_values(_made_up_terms(tally, self._ledger.rng))
        self._ledger.add(len(coerced), found, sum(map(self._seconds, tallies)))
        for (tally, index, _), (circuit, sets, shots) in zip(where, tasks, strict=True):
            for which, outcome in zip(
                tally.needed[index], made_up_counts(circuit, sets, shots, self._ledger.rng), strict=True
            ):
                tally.add_counts(index, which, *outcome)
        return started(estimator_result, tallies)

    def _with_precision(self, pub: EstimatorPub) -> EstimatorPub:
        """The PUB with the precision that the estimator takes; 0 for exact values."""
        precision = pub.precision
        if precision is None:
            options = getattr(self._estimator, "options", None)
            precision = getattr(options, "default_precision", None)
            precision = getattr(self._estimator, "default_precision", precision)
        is_exact = getattr(self._estimator, "is_exact", None)
        if precision is None or (not precision and is_exact is not None and not is_exact(pub)):
            precision = DEFAULT_PRECISION
        if precision == pub.precision:
            return pub
        return EstimatorPub(pub.circuit, pub.observables, pub.parameter_values, precision, validate=False)

    def _seconds(self, tally: Tally) -> float:
        estimate = getattr(self._estimator, "estimate_seconds", None)
        return 0.0 if estimate is None else float(estimate(tally.pub))


class PlannedDevice:
    """A Qiskit device that counts, as far as `AnyDeviceSampler` uses it."""

    def __init__(self, device: Any, ledger: Ledger) -> None:
        self._device, self._ledger = device, ledger

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_device":
            raise AttributeError(name)
        return getattr(self._device, name)

    def run(self, circuits: list[QuantumCircuit], *, shots: int, **options: Any) -> LocalJob:
        """Enter the job."""
        self._ledger.add(len(circuits), [Load(circuit, 1, shots) for circuit in circuits])
        return started(_MadeUpDeviceResult, circuits, shots, self._ledger.rng)


class _MadeUpDeviceResult:
    def __init__(self, circuits: list[QuantumCircuit], shots: int, rng: np.random.Generator) -> None:
        self._circuits, self._shots, self._rng = circuits, shots, rng

    def data(self, place: int) -> dict[str, Any]:
        """Outcomes of a circuit, counted, in hexadecimal."""
        circuit = self._circuits[place]
        none = np.zeros((1, 0))
        (rows,), counts = made_up_rows(circuit, list(circuit.clbits), none, self._shots, self._rng)
        words = [hex(sum(1 << int(bit) for bit in np.flatnonzero(row))) for row in rows]
        each = Counter(dict.fromkeys(words, 0))
        for word, count in zip(words, counts.tolist(), strict=True):
            each[word] += count
        return {"counts": dict(each)}


class _PlanningRecorder(Recorder):
    """Looks jobs up in the journal and enters none."""

    def __init__(self, recorder: Recorder, ledger: Ledger) -> None:
        super().__init__(
            recorder.journal,
            recorder.run,
            recorder.backend,
            recorder.place,
            conditions=recorder.conditions,
        )
        self._asked = Counter(recorder._asked)
        self._ledger = ledger

    def submit(
        self,
        content: str,
        start: Callable[[], Any],
        *,
        about: dict[str, Any],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes, dict[str, Any]], Any],
    ) -> Any:
        """The stored result of an earlier job; a made-up one of a job that is new or not done yet."""
        try:
            record = self.journal.record(tag := self._tag(content))
        except UsageError:  # it does not know the job
            return start()
        data = self.journal.result(tag)
        if data is None and not self._goes_on(record):
            return start()
        with self._ledger.free():
            return start() if data is None else started(unpack, data, record.about)

    def _goes_on(self, record: JobRecord) -> bool:
        """Whether a job is at the service, which an earlier process may not have heard of."""
        if record.state == "submitted":
            return True
        return self.place.searchable and bool(self.place.find(record.tag))

    def compiled(self, key: str, compile_now: Callable[[], bytes]) -> bytes:
        """The compiled circuit of the run, which is not kept if it is new."""
        return self.known_circuit(key) or compile_now()


def planned(backend: Backend) -> tuple[Backend, Ledger]:
    """A backend that compiles circuits like another one and runs none, and what it would have run."""
    recorder = backend.recorder if isinstance(backend, RecordedBackend) else None
    bare = backend.bare if isinstance(backend, RecordedBackend) else backend
    ledger = Ledger(bare, place_of(backend))
    made = type(bare).__new__(type(bare))
    vars(made).update(vars(bare))
    if isinstance(bare.sampler, AnyDeviceSampler):
        device: Any = PlannedDevice(bare.sampler.device, ledger)
        made.sampler = AnyDeviceSampler(device, local=bare.sampler.local)
    elif bare.sampler is not None:
        made.sampler = PlannedSampler(ledger)
    if isinstance(bare.estimator, SampledEstimator) and made.sampler is not None:
        made.estimator = SampledEstimator(made.sampler, bare.estimator.rotations)
    elif bare.estimator is not None:
        made.estimator = PlannedEstimator(bare.estimator, ledger, bare.target)
    return (made if recorder is None else with_recorder(made, _PlanningRecorder(recorder, ledger))), ledger


def made_up_rows(
    circuit: QuantumCircuit, clbits: list[Any], sets: np.ndarray, shots: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of m classical bits for N parameter sets: bits (N, S, m), and how often each occurs (S,).

    A circuit that only flips qubits reads as it should, but that every bit that should be 1 is wrong in one
    of the S rows, if there are many.
    """
    rows = min(_ROWS, shots)
    counts = np.full(rows, shots // rows)
    counts[: shots % rows] += 1
    expected = certain_bits(circuit, sets)
    if expected is None:
        return rng.integers(0, 2, (len(sets), rows, len(clbits)), dtype=np.uint8), counts
    columns = [circuit.find_bit(clbit).index for clbit in clbits]
    bits = np.repeat(expected[:, None, columns], rows, axis=1)
    if rows >= _ROWS // 2:  # of fewer, one would be many
        bits[:, np.arange(len(clbits)) % rows, np.arange(len(clbits))] = 0
    return bits, counts


def made_up_counts(
    circuit: QuantumCircuit, sets: np.ndarray, shots: int, rng: np.random.Generator
) -> list[Counted]:
    """Outcomes of the register that was added last, for parameter sets (N, P)."""
    bits, counts = made_up_rows(circuit, list(circuit.cregs[-1]), sets, shots, rng)
    return [(rows, counts) for rows in bits]


def _made_up_registers(pub: SamplerPub, rng: np.random.Generator) -> DataBin:
    shape, found = pub.parameter_values.shape, {}
    for register in pub.circuit.cregs:
        rows, counts = made_up_rows(pub.circuit, list(register), _sets(pub), pub.shots, rng)
        bits = np.repeat(rows, counts, axis=1).astype(bool).reshape(*shape, pub.shots, register.size)
        found[register.name] = BitArray.from_bool_array(bits, order="little")
    return DataBin(**found, shape=shape)


def _sets(pub: SamplerPub) -> np.ndarray:
    parameters = list(pub.circuit.parameters)
    return np.asarray(pub.parameter_values.as_array(parameters)).reshape(pub.size, len(parameters))


def _made_up_terms(tally: Tally, rng: np.random.Generator) -> np.ndarray:
    """Exact values (N, T) of the terms."""
    circuit = tally.pub.circuit.copy()
    circuit.measure_all()
    expected = certain_bits(circuit, tally.sets)
    if expected is None:
        return rng.uniform(-0.5, 0.5, (len(tally.sets), len(tally.terms)))
    signs = np.where(expected[:, -circuit.num_qubits :] == 1, -1 + 2 / _ROWS, 1.0)
    return np.where(tally.terms.z, signs[:, None], 1.0).prod(axis=-1)


def _made_up_values(
    pubs: list[EstimatorPub], shots: int, rng: np.random.Generator
) -> PrimitiveResult[PubResult]:
    parts = []
    for pub in pubs:
        values = rng.uniform(-0.5, 0.5, pub.shape)
        errors = np.full(pub.shape, DEFAULT_PRECISION if pub.precision is None else pub.precision)
        parts.append(PubResult(DataBin(evs=values, stds=errors, shape=pub.shape), {}))
    return PrimitiveResult(parts, metadata={"version": 2, "shots": shots, "job_ids": ()})
