"""Noisy expectation values from density matrices: one evolution per parameter set, all bases read from it.

A basis change, its errors and the readout errors act on one qubit at a time. Together they turn the density
matrix into outcome probabilities, p(b) = tr(ρ E_b1 ⊗ … ⊗ E_bm), with one 2×2 effect per qubit and bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_aer import AerSimulator

from bondwise.backends.measurement import Tally
from bondwise.backends.outcomes import drawn
from bondwise.backends.primitives import NOT_EXACT, Estimator
from bondwise.backends.sampled import SampledEstimator, estimator_result, shots_of
from bondwise.backends.simulators.aer_runs import evolve, trajectory_bits
from bondwise.backends.simulators.reduced_device import active_qubits
from bondwise.runs import UsageError, random_generator

_MEMORY = 2**29  # bytes of density matrices in memory at a time


@dataclass
class Prepared:
    """A circuit ready to evolve.

    Attributes:
        circuit: The circuit on its active qubits, with the parameters of the original one.
        positions: Place of each active qubit of the original circuit.
        simulator: Aer, method `density_matrix`.
        channel: Basis change with its errors, a superoperator (4, 4) on column-stacked matrices, by place and
            Pauli letter.
        readout: Confusion matrices (n, 2, 2): [qubit, bit read, true bit].
    """

    circuit: QuantumCircuit
    positions: Mapping[int, int]
    simulator: AerSimulator
    channel: Callable[[int, str], np.ndarray]
    readout: np.ndarray
    _effects: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    def effects(self, letters: Mapping[int, str]) -> dict[int, np.ndarray]:
        """E[b, i, j] by measured place: one qubit reads b with probability sum_ij E[b, i, j] ρ[i, j]."""
        chosen = {}
        for qubit, letter in letters.items():
            place = self.positions[qubit]
            if (place, letter) not in self._effects:
                rows = self.readout[place] @ self.channel(place, letter)[[0, 3]]
                self._effects[place, letter] = rows.reshape(2, 2, 2).transpose(0, 2, 1)
            chosen[place] = self._effects[place, letter]
        return chosen


class DensityEstimator(Estimator):
    """An estimator for noisy devices of few active qubits; larger or branching circuits go to `sampled`.

    Args:
        prepare: Function that prepares a circuit and its observed qubits, or returns None if it has more than
            `MAX_QUBITS` active qubits or measures before the end.
        sampled: Estimator for circuits that cannot be prepared, with 4096 shots by default.
    """

    def __init__(
        self, prepare: Callable[[QuantumCircuit, tuple[int, ...]], Prepared | None], sampled: SampledEstimator
    ) -> None:
        self._prepare = prepare
        self._sampled = sampled
        self.rotations = sampled.rotations

    def estimate_seconds(self, pub: EstimatorPub) -> float:
        """Estimate how many seconds a PUB takes on one core, from times measured on an ordinary machine."""
        tally = Tally(pub)
        prepared = self._prepare(pub.circuit, _observed(tally))
        if prepared is not None:
            pairs = sum(len(instruction.qubits) == 2 for instruction in pub.circuit.data)
            return len(tally.sets) * pairs * 2e-8 * 4**prepared.circuit.num_qubits
        size = min(len(active_qubits(pub.circuit, _observed(tally))), trajectory_bits(pub.circuit), 30)
        each = len(pub.circuit.data) * (6e-5 + 6e-9 * 2**size)
        return sum(map(len, tally.needed)) * shots_of(pub.precision) * each

    def is_exact(self, pub: EstimatorPub) -> bool:
        """Whether the circuit of a PUB has exact values here."""
        return self._prepare(pub.circuit, _observed(Tally(pub))) is not None

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        rng = random_generator(seed)
        tallies = [Tally(pub) for pub in pubs]
        ready = [self._prepare(tally.pub.circuit, _observed(tally)) for tally in tallies]
        if any(pub.precision == 0 and prepared is None for pub, prepared in zip(pubs, ready, strict=True)):
            raise UsageError(NOT_EXACT)
        sampled = []
        for tally, prepared in zip(tallies, ready, strict=True):
            pub = tally.pub
            if prepared is None:
                sampled.append(tally)
            else:
                _fill(tally, prepared, shots_of(pub.precision) if pub.precision else None, rng)
        if sampled:
            self._sampled.fill(sampled, int(rng.integers(2**31)) if seed is not None else None)
        return estimator_result(tallies)


def _observed(tally: Tally) -> tuple[int, ...]:
    return tuple(sorted({qubit for basis in tally.bases for qubit in basis.letters}))


def _fill(tally: Tally, prepared: Prepared, shots: int | None, rng: np.random.Generator) -> None:
    circuit = prepared.circuit.copy()
    circuit.save_density_matrix()
    chunk = max(1, _MEMORY // (16 * 4**circuit.num_qubits))
    needed = [set(which.tolist()) for which in tally.needed]
    each = None if shots is None else tally.shots(shots)
    effects = [prepared.effects(basis.letters) for basis in tally.bases]
    for start in range(0, len(tally.sets), chunk):
        sets = tally.sets[start : start + chunk]
        saved = evolve(prepared.simulator, circuit, tally.pub.circuit.parameters, sets)
        for offset in range(len(sets)):
            state = np.asarray(saved[offset]["density_matrix"])
            for index in range(len(tally.bases)):
                if start + offset not in needed[index]:
                    continue
                probabilities = outcome_distribution(state, effects[index])
                if each is None:
                    tally.add_distribution(index, start + offset, probabilities)
                else:
                    tally.add_counts(index, start + offset, *drawn(probabilities, each[index], rng))


def outcome_distribution(state: np.ndarray, effects: Mapping[int, np.ndarray]) -> np.ndarray:
    """Probabilities (2^m,) of reading m of the n qubits, the lowest measured qubit the lowest bit.

    Args:
        state: Density matrix (2^n, 2^n), qubit 0 the lowest bit.
        effects: E[b, i, j] by measured qubit; the other qubits are traced out.
    """
    num_qubits = len(state).bit_length() - 1
    tensor = state[None]
    for qubit in reversed(range(num_qubits)):
        blocks = tensor.reshape(len(tensor), 2, 2**qubit, 2, 2**qubit)
        effect = effects.get(qubit, np.eye(2)[None])
        out = np.zeros((len(tensor), len(effect), 2**qubit, 2**qubit), dtype=complex)
        for bit, row, column in zip(*np.nonzero(effect), strict=True):
            out[:, bit] += effect[bit, row, column] * blocks[:, row, :, column]
        tensor = out.reshape(-1, 2**qubit, 2**qubit)
    probabilities = np.clip(tensor.real.ravel(), 0, None)
    return probabilities / probabilities.sum()
