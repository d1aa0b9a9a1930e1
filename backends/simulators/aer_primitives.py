"""Simulation with Qiskit Aer: exact values unless shots are requested."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Barrier, Delay, Qubit, Reset
from qiskit.circuit.library import Initialize, get_standard_gate_name_mapping
from qiskit.primitives import DataBin, PrimitiveResult, PubResult, SamplerPubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import PauliList
from qiskit.transpiler import TranspilerError
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from bondwise.backends.inputs import kept_columns
from bondwise.backends.measurement import Tally
from bondwise.backends.outcomes import Counted, drawn
from bondwise.backends.pauli_values import pauli_values
from bondwise.backends.primitives import Estimator, Sampler, sampler_result
from bondwise.backends.sampled import SampledEstimator, estimator_result, ideal_rotations, shots_of
from bondwise.backends.simulators.aer_runs import Shots, evolve, needs_products, simulator
from bondwise.backends.simulators.reduced_device import active_qubits, reduced_circuit
from bondwise.backends.simulators.rotated_states import state_distributions
from bondwise.circuits import refuse_variables, true_names
from bondwise.circuits.cache import CircuitCache
from bondwise.runs import UsageError, random_generator

_CHANNELS = {"reset", "initialize", "kraus", "superop", "quantum_channel"}
_RANDOM = _CHANNELS | {"measure", "if_else", "for_loop", "while_loop", "switch_case"}
_CLIFFORD = set("id x y z h s sdg sx sxdg cx cy cz swap ecr barrier delay measure reset".split())
# most qubits for values from the state vector, by method: 0.5 GiB, and as much again for products;
# left to Aer, larger Clifford circuits are faster as stabilizers
_DENSE = {"statevector": 25, "automatic": 16}


class SimulatorSampler(Sampler):
    """Samples circuits; mid-circuit measurements and branches are allowed."""

    def __init__(self, aer: AerSimulator) -> None:
        self._shots = Shots(aer)
        self._translate = Translator(aer)
        self._seed = aer.options.seed_simulator  # set by the user on a simulator

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        rng = random_generator(self._seed if seed is None else seed)
        return sampler_result(pubs, [self.take(pub, rng) for pub in pubs])

    def take(self, pub: SamplerPub, rng: np.random.Generator) -> DataBin:
        """The shots of a PUB."""
        return self._shots.take(self._translate(pub.circuit), pub, rng)

    def counted(self, pubs: list[SamplerPub], seed: int | None) -> list[list[Counted]]:
        """The outcomes of each PUB and parameter set; with noise, from as few runs as possible."""
        if self._shots.noise_free:
            return super().counted(pubs, seed)
        return self.noisy_counts(pubs, random_generator(self._seed if seed is None else seed))

    def noisy_counts(self, pubs: list[SamplerPub], rng: np.random.Generator) -> list[list[Counted]]:
        """The outcomes of each PUB and parameter set of a simulator with noise."""
        return self._shots.counted([(self._translate(pub.circuit), pub) for pub in pubs], rng)

    def runs_as_written(self, circuit: QuantumCircuit) -> bool:
        """Whether Aer runs each operation as it is; errors belong to operations and not to their parts."""
        return self._translate.knows(circuit)


class TrajectorySampler(Sampler):
    """Samples each noisy circuit with the method of Aer that suits it."""

    def __init__(self, noise: NoiseModel) -> None:
        self._automatic, self._products = (
            SimulatorSampler(simulator(method, noise)) for method in ("automatic", "matrix_product_state")
        )
        errors = [error.get("instructions", ()) for error in noise.to_dict()["errors"]]
        steps = {step["name"] for error in errors for circuit in error for step in circuit}
        self._clifford_noise = steps <= _CLIFFORD | {"pauli"}

    def _of(self, pub: SamplerPub) -> SimulatorSampler:
        circuit = pub.circuit
        if self._clifford_noise and operations(circuit) <= _CLIFFORD:
            return self._automatic  # which takes stabilizers, of any width
        as_products = needs_products(circuit, pub.shots) and self._products.runs_as_written(circuit)
        return self._products if as_products else self._automatic

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        rng = random_generator(seed)
        return sampler_result(pubs, [self._of(pub).take(pub, rng) for pub in pubs])

    def counted(self, pubs: list[SamplerPub], seed: int | None) -> list[list[Counted]]:
        """The outcomes of each PUB and parameter set, from as few runs as possible."""
        rng, samplers = random_generator(seed), [self._of(pub) for pub in pubs]
        found: list[list[Counted]] = [[] for _ in pubs]
        for sampler in (self._automatic, self._products):
            mine = [index for index, suited in enumerate(samplers) if suited is sampler]
            outcomes = sampler.noisy_counts([pubs[index] for index in mine], rng)
            for index, counts in zip(mine, outcomes, strict=True):
                found[index] = counts
        return found


class SimulatorEstimator(Estimator):
    """Expectation values of a noiseless simulator: exact without a precision, otherwise measured."""

    def __init__(self, aer: AerSimulator) -> None:
        self._aer = aer
        self._translate = Translator(aer)
        self._sampled = SampledEstimator(SimulatorSampler(aer), ideal_rotations)
        self.rotations = ideal_rotations

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        preset = self._aer.options.seed_simulator  # set by the user on a simulator
        rng = random_generator(preset if seed is None else seed)
        tallies, sampled = [Tally(pub) for pub in pubs], []
        for tally in tallies:
            if not tally.pub.precision:
                tally.set_values(self._values(tally))
            elif not self._drawn(tally, rng):
                sampled.append(tally)
        self._sampled.fill(sampled, seed)
        return estimator_result(tallies)

    def _values(self, tally: Tally) -> np.ndarray:
        """Exact values (N, T) of all terms in all parameter sets."""
        if not len(tally.terms):
            return np.zeros((len(tally.sets), 0))
        circuit, qubits, random = self._reduced(tally)
        # a density matrix can go through channels and resets; only outcomes and branches are random
        if self._aer.options.method == "density_matrix":
            random -= _CHANNELS
        if random:
            exact = ", or write backend='aer:density_matrix'" if random <= _CHANNELS else ""
            raise UsageError(
                f"a circuit with {min(random)} has no single final state; "
                f"pass shots=, such as shots=4096{exact}."
            )
        terms = PauliList.from_symplectic(tally.terms.z[:, qubits], tally.terms.x[:, qubits])
        used = kept_columns(tally.pub.circuit, circuit, tally.sets)
        sets = used if circuit.parameters else used[:1]
        if self._dense(circuit):
            # several times faster than one instruction to Aer for each term
            values = np.empty((len(sets), len(terms)))
            for part, states in self._states(circuit, sets):
                values[part] = pauli_values(states, terms)
        else:
            values = self._saved(circuit, terms, sets)
        return np.broadcast_to(values, (len(tally.sets), len(terms)))

    def _drawn(self, tally: Tally, rng: np.random.Generator) -> bool:
        """Measure all bases on one final state per parameter set, if there is one."""
        circuit, qubits, random = self._reduced(tally)
        if random or not self._dense(circuit):
            return False
        place = {qubit: index for index, qubit in enumerate(qubits)}
        shots = tally.shots(shots_of(tally.pub.precision))
        sets = kept_columns(tally.pub.circuit, circuit, tally.sets)
        for part, states in self._states(circuit, sets):
            for index, (basis, needed) in enumerate(zip(tally.bases, tally.needed, strict=True)):
                needed = needed[(needed >= part.start) & (needed < part.stop)]
                if len(needed):
                    letters = {place[qubit]: letter for qubit, letter in basis.letters.items()}
                    found = state_distributions(states[needed - part.start], letters)
                    for which, probabilities in zip(needed, found, strict=True):
                        tally.add_counts(index, which, *drawn(probabilities, shots[index], rng))
        return True

    def _reduced(self, tally: Tally) -> tuple[QuantumCircuit, list[int], set[str]]:
        """The circuit on the qubits in use, these qubits, and operations with more than one final state."""
        circuit = self._translate(tally.pub.circuit)
        observed = np.flatnonzero((tally.terms.x | tally.terms.z).any(axis=0)).tolist()
        qubits = active_qubits(circuit, observed)
        if len(qubits) < circuit.num_qubits:  # leave the idle qubits of a wide device out of the state
            circuit = reduced_circuit(circuit, qubits)
        circuit, random = _without_idle_resets(circuit)
        return circuit, list(qubits), random

    def _dense(self, circuit: QuantumCircuit) -> bool:
        return circuit.num_qubits <= _DENSE.get(self._aer.options.method, -1)

    def _states(self, circuit: QuantumCircuit, sets: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """The final states (B, 2^n) of the sets of each slice, which together fit into memory."""
        circuit.save_statevector()
        step = 2 ** _DENSE["statevector"] >> circuit.num_qubits
        for start in range(0, len(sets), step):
            part = slice(start, min(start + step, len(sets)))
            saved = evolve(self._aer, circuit, circuit.parameters, sets[part])
            yield part, np.stack([one["statevector"] for one in saved])

    def _saved(self, circuit: QuantumCircuit, terms: PauliList, sets: np.ndarray) -> np.ndarray:
        """Values computed by Aer itself, if there is no state vector or a large one."""
        for index, term in enumerate(terms):
            where = np.flatnonzero(term.x | term.z).tolist() or [0]
            circuit.save_expectation_value(term[where], where, label=str(index))
        saved = evolve(self._aer, circuit, circuit.parameters, sets)
        values = [[one[str(index)] for index in range(len(terms))] for one in saved]
        return np.array(values, dtype=float).reshape(len(sets), len(terms))


def _without_idle_resets(circuit: QuantumCircuit) -> tuple[QuantumCircuit, set[str]]:
    """A copy without resets of untouched qubits, and the operations with more than one final state."""
    touched: set[Qubit] = set()
    random: set[str] = set()
    bare = circuit.copy_empty_like()
    for step in circuit.data:
        operation, idle = step.operation, touched.isdisjoint(step.qubits)
        if isinstance(operation, Reset) and idle:
            continue
        if operation.name in _RANDOM and not (isinstance(operation, Initialize) and idle):
            random.add(operation.name)
        if not isinstance(operation, Barrier | Delay):
            touched.update(step.qubits)
        bare.append(step)
    return bare, random


class Translator:
    """Decomposes the gates that Aer lacks and changes nothing else."""

    def __init__(self, aer: AerSimulator) -> None:
        # a noise model restricts the gates that Aer announces, not those that it runs
        self._method = aer.options.method
        self._known = {"barrier", *AerSimulator(method=aer.options.method).operation_names}
        if self._method == "matrix_product_state":  # it prepares some qubits wrongly
            self._known.discard("initialize")
        self._translated: CircuitCache[QuantumCircuit] = CircuitCache()

    def knows(self, circuit: QuantumCircuit) -> bool:
        """Whether there is nothing to translate."""
        return self._known.issuperset(operations(true_names(circuit)))

    def __call__(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit in operations that Aer runs; the circuit itself if possible."""
        refuse_variables(circuit)
        circuit = true_names(circuit)
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
                f"Aer's method {self._method!r} cannot run {strange}; "
                + ("define it with Qiskit's gates." if general else "use 'statevector'.")
            ) from error


def operations(circuit: QuantumCircuit) -> set[str]:
    """The names of all operations, including those in branches."""
    found = set()
    for instruction in circuit.data:
        found.add(instruction.operation.name)
        for block in getattr(instruction.operation, "blocks", ()):
            found |= operations(block)
    return found
