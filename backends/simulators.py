"""Simulation by Qiskit Aer: exact values where no shots are asked for, samples elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Qubit
from qiskit.circuit.library import get_standard_gate_name_mapping
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
from qiskit.transpiler import TranspilerError
from qiskit_aer import AerSimulator

from bondwise.backends.aer_engine import Shots, evolve
from bondwise.backends.circuit_cache import CircuitCache
from bondwise.backends.measurement import Plan
from bondwise.backends.sampled import DEFAULT_SHOTS, SampledEstimator, estimator_result, ideal_rotations
from bondwise.runs import UsageError

_CHANNELS = {"reset", "initialize", "kraus", "superop", "quantum_channel"}
_RANDOM = _CHANNELS | {"measure", "if_else", "for_loop", "while_loop", "switch_case"}


class SimulatorSampler(BaseSamplerV2):
    """Samples circuits, measurements and branches in the middle included."""

    def __init__(self, aer: AerSimulator) -> None:
        self._shots = Shots(aer)
        self._translate = _Translator(aer)
        self._seed = aer.options.seed_simulator  # of a simulator that somebody set up

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, seed: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[SamplerPubResult]]:
        """Sample each PUB, 4096 shots unless told."""
        coerced = [SamplerPub.coerce(pub, shots or DEFAULT_SHOTS) for pub in pubs]
        job = PrimitiveJob(self._run, coerced, seed)
        job._submit()
        return job

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        rng = np.random.default_rng(self._seed if seed is None else seed)
        results = [self._shots.take(self._translate(pub.circuit), pub, rng) for pub in pubs]
        return PrimitiveResult(results, metadata={"job_ids": ()})


class SimulatorEstimator(BaseEstimatorV2):
    """Expectation values of a noiseless simulator: exact where no precision is asked for, else measured."""

    def __init__(self, aer: AerSimulator) -> None:
        self._aer = aer
        self._translate = _Translator(aer)
        self._sampled = SampledEstimator(SimulatorSampler(aer), ideal_rotations)

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Evaluate each PUB: exactly for precision None or 0, else with 1/precision^2 shots per basis."""
        job = PrimitiveJob(self._run, [EstimatorPub.coerce(pub, precision) for pub in pubs], seed)
        job._submit()
        return job

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        plans = [Plan(pub) for pub in pubs]
        for plan in plans:
            if not plan.pub.precision:
                plan.set_values(self._values(plan))
        self._sampled.fill([plan for plan in plans if plan.pub.precision], seed)
        return estimator_result(plans)

    def _values(self, plan: Plan) -> np.ndarray:
        circuit = self._translate(plan.pub.circuit).copy()
        random = _RANDOM & operations(circuit)
        # a density matrix goes through channels and resets; only outcomes and branches are random there
        if self._aer.options.method == "density_matrix":
            random -= _CHANNELS
        elif random == {"initialize"} and _starts_with_initialize(circuit):
            random = set()
        if random:
            raise UsageError(
                f"a circuit with {min(random)} has no single final state; pass shots=, such as shots=4096."
            )
        for term in plan.terms:
            # idle qubits of a wide device stay out of the state
            where = [qubit for qubit in range(circuit.num_qubits) if term[-1 - qubit] != "I"] or [0]
            letters = "".join(term[-1 - qubit] for qubit in reversed(where))
            circuit.save_expectation_value(Pauli(letters), where, label=term)
        saved = evolve(self._aer, circuit, plan.pub.circuit.parameters, plan.sets)
        return np.array([[values[term] for term in plan.terms] for values in saved], dtype=float)


def _starts_with_initialize(circuit: QuantumCircuit) -> bool:
    """Whether every `initialize` finds its qubits untouched, so that the reset in it does nothing."""
    touched: set[Qubit] = set()
    for instruction in circuit.data:
        if instruction.operation.name == "initialize" and touched & set(instruction.qubits):
            return False
        if instruction.operation.name != "barrier":
            touched.update(instruction.qubits)
    return True


class _Translator:
    """Writes out the gates that Aer lacks and leaves everything else alone."""

    def __init__(self, aer: AerSimulator) -> None:
        # a noise model narrows the gates that Aer announces, not those that it runs
        self._method = aer.options.method
        self._known = {"barrier", *AerSimulator(method=aer.options.method).operation_names}
        self._translated: CircuitCache[QuantumCircuit] = CircuitCache()

    def __call__(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if self._known.issuperset(operations(circuit)):
            return circuit
        return self._translated.get(circuit, lambda: self._written_out(circuit))

    def _written_out(self, circuit: QuantumCircuit) -> QuantumCircuit:
        gates = sorted(self._known & set(get_standard_gate_name_mapping()))
        try:
            return transpile(circuit, basis_gates=gates, optimization_level=0)
        except TranspilerError as error:
            strange = ", ".join(sorted(operations(circuit) - self._known))
            general = self._method != "stabilizer"
            raise UsageError(
                f"Aer's method {self._method!r} has no gates to write {strange} with; "
                + ("define it by gates that Qiskit knows." if general else "use 'statevector'.")
            ) from error


def operations(circuit: QuantumCircuit) -> set[str]:
    """The names of all operations, those in branches included."""
    found = set()
    for instruction in circuit.data:
        found.add(instruction.operation.name)
        for block in getattr(instruction.operation, "blocks", ()):
            found |= operations(block)
    return found
