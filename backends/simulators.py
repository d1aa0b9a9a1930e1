"""Noiseless simulation by Qiskit Aer: exact values without shots, samples with them."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike
from qiskit.quantum_info import Pauli
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.primitives import SamplerV2 as AerSamplerV2

from bondwise.backends.circuit_cache import CircuitCache
from bondwise.backends.measurement import Plan
from bondwise.backends.sampled import DEFAULT_SHOTS, SampledEstimator, estimator_result


def simulator(method: str, noise: NoiseModel | None = None) -> AerSimulator:
    """An Aer simulator that keeps to the threads of OMP_NUM_THREADS."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    return AerSimulator(method=method, noise_model=noise, max_parallel_threads=threads)


class SimulatorSampler(BaseSamplerV2):
    """Samples circuits, measurements and branches in the middle included, on one Aer simulator."""

    def __init__(self, simulator: AerSimulator) -> None:
        self._simulator = simulator
        self._translated: CircuitCache[QuantumCircuit] = CircuitCache()

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, seed: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[SamplerPubResult]]:
        """Sample each PUB, 4096 shots unless told."""
        coerced = [SamplerPub.coerce(pub, shots or DEFAULT_SHOTS) for pub in pubs]
        job = PrimitiveJob(self._run, coerced, seed)
        job._submit()
        return job

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        sampler = AerSamplerV2.from_backend(self._simulator, seed=seed)
        ready = [SamplerPub(self._translate(pub.circuit), pub.parameter_values, pub.shots) for pub in pubs]
        return PrimitiveResult(list(sampler.run(ready).result()), metadata={"job_ids": ()})

    def _translate(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return self._translated.get(circuit, lambda: translate(circuit, self._simulator.operation_names))


class SimulatorEstimator(BaseEstimatorV2):
    """Exact expectation values where no precision is asked for, measured ones elsewhere."""

    def __init__(self, simulator: AerSimulator) -> None:
        self._simulator = simulator
        self._sampled = SampledEstimator(SimulatorSampler(simulator))
        self._translated: CircuitCache[QuantumCircuit] = CircuitCache()

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Evaluate each PUB: exactly for precision None or 0, else with 1/precision^2 shots per basis."""
        if precision:
            return self._sampled.run(pubs, precision=precision, seed=seed)
        job = PrimitiveJob(self._run, [EstimatorPub.coerce(pub) for pub in pubs])
        job._submit()
        return job

    def _run(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        plans = [Plan(pub) for pub in pubs]
        for plan in plans:
            plan.set_values(self._values(plan))
        return estimator_result(plans)

    def _values(self, plan: Plan) -> np.ndarray:
        circuit = plan.pub.circuit
        ready = self._translated.get(circuit, lambda: translate(circuit, self._simulator.operation_names))
        ready = ready.copy()
        for term in plan.terms:
            ready.save_expectation_value(Pauli(term), range(ready.num_qubits), label=term)
        binds = [{parameter: plan.sets[:, i] for i, parameter in enumerate(circuit.parameters)}]
        result = self._simulator.run(ready, parameter_binds=binds if circuit.parameters else None).result()
        return np.array([[data.data.to_dict()[term] for term in plan.terms] for data in result.results])


def translate(circuit: QuantumCircuit, names: Iterable[str]) -> QuantumCircuit:
    """The circuit with the gates that are not in `names` written out, and everything else left alone."""
    known = set(names) | {"barrier"}
    if known.issuperset(_operations(circuit)):
        return circuit
    return transpile(circuit, basis_gates=sorted(known), optimization_level=0)


def _operations(circuit: QuantumCircuit) -> set[str]:
    found = set()
    for instruction in circuit.data:
        found.add(instruction.operation.name)
        for block in getattr(instruction.operation, "blocks", ()):
            found |= _operations(block)
    return found
