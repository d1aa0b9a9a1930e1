"""Expectation values from any sampler: one circuit per measurement basis, all in one job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit.library import UnitaryGate
from qiskit.primitives import (
    BasePrimitiveJob,
    BaseSamplerV2,
    DataBin,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.transpiler import Target

from bondwise.backends.jobs.handles import FollowUp, Submitted, started
from bondwise.backends.measurement import Tally
from bondwise.backends.outcomes import Counted, counted
from bondwise.backends.primitives import (
    DEFAULT_PRECISION,
    DEFAULT_SHOTS,
    NOT_EXACT,
    Estimator,
    Sampler,
    estimator_pub,
    sampler_pub,
)
from bondwise.circuits import readable
from bondwise.circuits.registers import in_registers
from bondwise.runs import UsageError

Rotations = Callable[[Mapping[int, str], int], QuantumCircuit]

# unitaries U that turn a measurement of Z into one of the letter, U† Z U
BASIS_CHANGES = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
}


class SampledEstimator(Estimator):
    """An estimator on top of a sampler; terms that commute qubit by qubit are measured together.

    Args:
        sampler: Sampler for the measured circuits.
        rotations: Function that writes the gates before the measurement, given the Pauli letter of each
            measured qubit and the number of qubits.
    """

    def __init__(self, sampler: BaseSamplerV2, rotations: Rotations) -> None:
        self._sampler = sampler
        self.rotations = rotations

    @property
    def default_precision(self) -> float:
        """Target standard error of PUBs that do not set one: 1/64, from 4096 shots."""
        return DEFAULT_PRECISION

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """Measure each PUB with 1/precision² shots per basis and parameter set, 4096 by default.

        Raises:
            UsageError: If a precision is 0, which no number of shots reaches.
        """
        coerced = [estimator_pub(pub, precision) for pub in pubs]
        for pub in coerced:
            shots_of(pub.precision)
        return super().run(coerced, seed=seed)

    def _start(
        self, pubs: list[EstimatorPub], seed: int | None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        tallies = [Tally(pub) for pub in pubs]
        submitted = self._submit(tallies, seed)

        def collect() -> PrimitiveResult[PubResult]:
            submitted.collect()
            return estimator_result(tallies, job_ids=submitted.job_ids)

        if submitted.jobs:
            return FollowUp(Submitted(submitted.jobs, collect))
        return started(collect)

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        result: PrimitiveResult[PubResult] = self._start(pubs, seed).result()
        return result

    def fill(self, tallies: list[Tally], seed: int | None) -> tuple[str, ...]:
        """Measure what the tallies need in one job; returns its identifier if one was submitted."""
        submitted = self._submit(tallies, seed)
        submitted.collect()
        return submitted.job_ids

    def _submit(self, tallies: list[Tally], seed: int | None) -> Submitted:
        """Submit what the tallies need in one job; they are filled when it is collected."""
        where, tasks = self.tasks(tallies)
        if not tasks:
            return Submitted((), lambda: None)
        if isinstance(self._sampler, Sampler):
            submitted = self._sampler.submit_counted([sampler_pub(task, None) for task in tasks], seed)
        else:
            job = seeded(self._sampler.run, seed)(tasks)

            def read() -> list[list[Counted]]:
                parts = zip(where, tasks, job.result(), strict=True)
                return [counted(part.data[name], len(sets)) for (_, _, name), (_, sets, _), part in parts]

            submitted = Submitted((job,), read)

        def collect() -> None:
            for (tally, index, _), outcomes in zip(where, submitted.collect(), strict=True):
                for which, (bits, counts) in zip(tally.needed[index], outcomes, strict=True):
                    tally.add_counts(index, which, bits, counts)

        return Submitted(submitted.jobs, collect)

    def tasks(
        self, tallies: list[Tally]
    ) -> tuple[list[tuple[Tally, int, str]], list[tuple[QuantumCircuit, np.ndarray, int]]]:
        """What the tallies need.

        Returns:
            For each circuit to run: its tally, number of the basis and name of the measured register; and the
            circuit, its parameter sets (N, P) and shots of each.
        """
        where, tasks = [], []
        for tally in tallies:
            shots = tally.shots(shots_of(tally.pub.precision))
            for index, basis in enumerate(tally.bases):
                if len(tally.needed[index]):
                    circuit = measured_in(tally.pub.circuit, basis.letters, self.rotations)
                    where.append((tally, index, circuit.cregs[-1].name))
                    tasks.append((circuit, tally.sets[tally.needed[index]], shots[index]))
        return where, tasks


def measured_in(circuit: QuantumCircuit, letters: Mapping[int, str], rotations: Rotations) -> QuantumCircuit:
    """The circuit followed by a measurement of a Pauli letter on each of some qubits.

    Its last register holds the outcomes, in the order of the letters.
    """
    measured = in_registers(circuit).copy()
    measured.compose(rotations(letters, circuit.num_qubits), inplace=True)
    name = "basis"
    while any(register.name == name for register in (*measured.qregs, *measured.cregs)):
        name += "_"
    register = ClassicalRegister(len(letters), name)
    measured.add_register(register)
    measured.measure(list(letters), register)
    return readable(measured)[0]


def ideal_rotations(letters: Mapping[int, str], num_qubits: int) -> QuantumCircuit:
    """Basis changes as unitary gates, with a label that no noise model names, so that Aer adds no error."""
    circuit = QuantumCircuit(num_qubits)
    for qubit, letter in letters.items():
        if letter != "Z":
            circuit.append(UnitaryGate(BASIS_CHANGES[letter], label="change of basis"), [qubit])
    return circuit


class NativeRotations:
    """Basis changes in the gates of a target, or as `sdg` and `h` without one; each is translated once."""

    def __init__(self, target: Target | None) -> None:
        self._target = target
        self._translated = lru_cache(maxsize=256)(self._translate)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._target,)  # the cache is not pickled

    def __call__(self, letters: Mapping[int, str], num_qubits: int) -> QuantumCircuit:
        """The gates before the measurement of these letters."""
        return self._translated(tuple(letters.items()), num_qubits)

    def _translate(self, letters: tuple[tuple[int, str], ...], num_qubits: int) -> QuantumCircuit:
        circuit = QuantumCircuit(num_qubits)
        for qubit, letter in letters:
            if letter == "Y":
                circuit.sdg(qubit)
            if letter != "Z":
                circuit.h(qubit)
        return in_native_gates(circuit, self._target)


def in_native_gates(circuit: QuantumCircuit, target: Target | None) -> QuantumCircuit:
    """One-qubit gates in those of a target, on the same qubits, gate by gate; unchanged without a target."""
    if target is None:
        return circuit
    # the trivial layout needs a circuit as wide as the device
    width = target.num_qubits if target.build_coupling_map() else None
    wide = QuantumCircuit(width or circuit.num_qubits)
    for step in circuit.data:
        wide.append(step.operation, [circuit.find_bit(qubit).index for qubit in step.qubits])
    # level 0 translates gate by gate and moves nothing
    layout = None if width is None else list(range(width))
    manager = generate_preset_pass_manager(0, target=target, initial_layout=layout)
    translated = manager.run(wide)
    native = QuantumCircuit(circuit.num_qubits)
    for step in translated.data:
        native.append(step.operation, [translated.find_bit(qubit).index for qubit in step.qubits])
    return native


@lru_cache(maxsize=32)
def native_rotations(target: Target | None) -> NativeRotations:
    """The basis changes of a target object, translated once for all backends made of it."""
    return NativeRotations(target)


def shots_of(precision: float | None) -> int:
    """Shots per basis for the precision of a PUB; 4096 by default.

    Raises:
        UsageError: If the precision is 0.
    """
    if precision is None:
        return DEFAULT_SHOTS
    if not precision:
        raise UsageError(NOT_EXACT)
    return max(1, round(1 / precision**2))


def precision_of(shots: int) -> float:
    """The precision that yields this number of shots, in our estimators and in Qiskit's, which round up."""
    return shots**-0.5 * (1 + 1e-12)


def seeded(run: Callable[..., Any], seed: int | None) -> Callable[..., Any]:
    """`run` with the seed, if it takes one; foreign primitives have a seed of their own."""
    if seed is None or "seed" not in inspect.signature(run).parameters:
        return run
    return lambda *args, **keywords: run(*args, seed=seed, **keywords)


def estimator_result(tallies: list[Tally], *, job_ids: tuple[str, ...] = ()) -> PrimitiveResult[PubResult]:
    """The result of an estimator job from its filled tallies."""
    results, total = [], 0
    for tally in tallies:
        evs, stds, shots = tally.arrays()
        total += shots
        asked = tally.pub.precision
        metadata = {
            "target_precision": (DEFAULT_PRECISION if shots else 0.0) if asked is None else asked,
            "shots": shots,
            "circuit_metadata": tally.pub.circuit.metadata,
        }
        results.append(PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), metadata))
    return PrimitiveResult(results, metadata={"version": 2, "shots": total, "job_ids": job_ids})
