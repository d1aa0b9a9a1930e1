"""Expectation values from any sampler: one circuit per measurement basis, all of them in one job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, generate_preset_pass_manager
from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.transpiler import Target

from bondwise.backends.measurement import Plan

DEFAULT_SHOTS = 4096


class SampledEstimator(BaseEstimatorV2):
    """An estimator on top of a sampler; terms that commute qubit by qubit are measured together.

    Args:
        sampler: Runs the measured circuits.
        target: What the device can do; the basis rotations are written in its gates. None: `h` and `sdg`.
    """

    def __init__(self, sampler: BaseSamplerV2, target: Target | None = None) -> None:
        self._sampler = sampler
        self._target = target

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Measure each PUB with ceil(1/precision^2) shots per basis and parameter set, 4096 unless told."""
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        job = PrimitiveJob(self._run, coerced, seed)
        job._submit()
        return job

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        plans = [Plan(pub) for pub in pubs]
        where, tasks = [], []
        for plan in plans:
            shots = shots_of(plan.pub.precision)
            for index, basis in enumerate(plan.bases):
                circuit = self._measured(plan.pub.circuit, basis.letters)
                where.append((plan, index))
                tasks.append((circuit, plan.sets[plan.needed[index]], shots))
        job_ids: tuple[str, ...] = ()
        if tasks:
            job = seeded(self._sampler.run, seed)(tasks)
            results = job.result()
            job_ids = results.metadata.get("job_ids", (job.job_id(),))
            for (plan, index), result in zip(where, results, strict=True):
                bits = result.data.basis.to_bool_array(order="little")
                for which, shots in zip(plan.needed[index], bits, strict=True):
                    plan.add_counts(index, which, *np.unique(shots, axis=0, return_counts=True))
        return estimator_result(plans, job_ids=job_ids)

    def _measured(self, circuit: QuantumCircuit, letters: dict[int, str]) -> QuantumCircuit:
        measured = circuit.copy()
        measured.compose(rotations(letters, circuit.num_qubits, self._target), inplace=True)
        register = ClassicalRegister(len(letters), "basis")
        measured.add_register(register)
        measured.measure(list(letters), register)
        return measured


def rotations(letters: dict[int, str], num_qubits: int, target: Target | None) -> QuantumCircuit:
    """The gates that turn a measurement of Z into one of X or Y, in the gates of the target."""
    circuit = QuantumCircuit(num_qubits)
    for qubit, letter in letters.items():
        if letter == "Y":
            circuit.sdg(qubit)
        if letter != "Z":
            circuit.h(qubit)
    if target is None:
        return circuit
    # level 0 with the trivial layout translates gate by gate and moves nothing
    layout = list(range(num_qubits)) if target.num_qubits else None
    manager = generate_preset_pass_manager(0, target=target, initial_layout=layout)
    translated = QuantumCircuit(num_qubits)
    return translated.compose(manager.run(circuit), range(num_qubits))


def shots_of(precision: float | None) -> int:
    """Shots per basis that a PUB's precision asks for."""
    return round(1 / precision**2) if precision else DEFAULT_SHOTS


def precision_of(shots: int) -> float:
    """The precision that asks for this many shots, in our estimators and in Qiskit's, which round up."""
    return shots**-0.5 * (1 + 1e-12)


def seeded(run: Callable[..., Any], seed: int | None) -> Callable[..., Any]:
    """`run` with the seed, where it takes one; a primitive made elsewhere has a seed of its own."""
    if seed is None or "seed" not in inspect.signature(run).parameters:
        return run
    return lambda *args, **keywords: run(*args, seed=seed, **keywords)


def estimator_result(plans: list[Plan], *, job_ids: tuple[str, ...] = ()) -> PrimitiveResult[PubResult]:
    """The result of an estimator job from its filled plans."""
    results, total = [], 0
    for plan in plans:
        evs, stds, shots = plan.arrays()
        total += shots
        results.append(PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), {"shots": shots}))
    return PrimitiveResult(results, metadata={"shots": total, "job_ids": job_ids})
