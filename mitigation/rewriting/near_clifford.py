"""Near-Clifford twins: circuits under the same noise whose noise-free values are known (arXiv:2005.10189).

A twin has the gates of the circuit, and most of its rotations turn by a multiple of π/2. As a gate's noise
hardly depends on its angle, and not at all for the virtual rz of most devices, twins teach how the noise of
the circuit acts. As in the paper, angles near a multiple of π/2 are the first to be rounded, and twins are
chosen by their noise-free values: those of random Clifford circuits are nearly all 0, from which nothing is
learned. The paper finds better ones by Markov chains; here, a few angles of a Clifford circuit are changed at
a time as long as it gets closer to a value of its own, anywhere in the range of the observable.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Gate, ParameterExpression, ParameterVector
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.backends import expectation
from bondwise.backends.inputs import as_parameters
from bondwise.backends.pubs import estimator_pubs
from bondwise.backends.simulators.reduced_device import active_qubits, reduced_circuit
from bondwise.circuits import in_gates, true_names, without_measurements
from bondwise.circuits.angles import Angles
from bondwise.circuits.files.orders import with_order
from bondwise.mitigation.prepared import pauli_sums
from bondwise.mitigation.rewriting.clifford_values import CliffordGate, CliffordValues
from bondwise.runs import UsageError, random_generator, real_number, whole_number

_MOST_EXACT = 16  # active qubits up to which rotations can keep their angles
_WIDTH = 0.5  # radians of the distance at which an angle is rounded less readily
# from one end to the other, then always halfway between
_PLACES = [-1.0, 1.0, *(odd / 2**power - 1 for power in range(7) for odd in range(1, 2 ** (power + 1), 2))]
_CANDIDATES, _MOVES = 3, 300  # candidates for each twin, changes tried on each of them


def near_clifford_twins(
    circuit: QuantumCircuit,
    observables: Any,
    parameter_values: ArrayLike | None = None,
    count: int = 20,
    *,
    non_clifford: float | None = None,
    seed: int | None = None,
) -> tuple[QuantumCircuit, np.ndarray, np.ndarray]:
    """Make circuits like a given one whose noise-free values are known, as calibration for its noise.

    All twins are one circuit with a free angle in every rotation, so that they are transpiled and folded once
    and run as one PUB. It is otherwise the circuit itself: transpile first, so that both have the same gates.

    Args:
        circuit: Circuit of Clifford gates and rotations, usually transpiled; its qubits and layout are kept.
        observables: Observables as in an estimator PUB, on the qubits of the circuit. Their noise-free values
            are spread over the range that candidates reach. Several share the twins; 2 or 3 for each are the
            least that its values can be spread with.
        parameter_values: Angles of the circuit, shape `(P,)`, or `(*batch, P)`: then each twin is near one of
            the batch.
        count: Number T of twins.
        non_clifford: Largest share of the rotations that keep their angle, rounded up to whole ones; by
            default 0.2, or 0 with more than 16 active qubits, where only Clifford circuits can be simulated.
        seed: Random seed.

    Returns:
        The circuit of the twins, their angles in the order of its parameters, shape `(T, P')`, and their
        noise-free values, of the shape of the observables and a last axis of T.

    Raises:
        UsageError: If the circuit has no rotation, or an operation that is neither a rotation nor Clifford,
            or if `non_clifford` is not 0 for a circuit of too many qubits.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import (
        ...     MitigatedEstimator, NoiseScan, Twins, extrapolate_vncdr, near_clifford_twins
        ... )
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.ry(0.4, 0), circuit.cx(0, 1), circuit.ry(-0.3, 1)
        >>> twin, angles, ideal = near_clifford_twins(circuit, "ZZ", count=8, seed=0)
        >>> estimator = MitigatedEstimator("aer:depolarizing=0.1")
        >>> mine, theirs = estimator.run([(circuit, "ZZ"), (twin, "ZZ", angles)]).result()
        >>> calibration = Twins(
        ...     value=theirs.data.evs_noise_factors, std=theirs.data.stds_noise_factors, ideal=ideal
        ... )
        >>> scan = NoiseScan(
        ...     value=mine.data.evs_noise_factors, scale_factors=(1, 3, 5), twins=calibration
        ... )
        >>> print(f"raw {scan.value[0]:.3f}, mitigated {extrapolate_vncdr(scan).value:.3f}")
        raw 0.860, mitigated 0.955
    """
    given = circuit
    circuit, order = with_order(given)
    count = whole_number("count", count)
    share = 0.2 if non_clifford is None else real_number("non_clifford", non_clifford, zero=True)
    if share > 1:
        raise UsageError(f"non_clifford is {non_clifford!r}; give a share of the rotations from 0 to 1.")
    [pub] = estimator_pubs([(circuit, observables, np.zeros(circuit.num_parameters))])
    sums = pauli_sums(pub.observables)
    rotations = _Rotations(circuit, as_parameters(order, parameter_values))
    observed = np.any([(one.paulis.x | one.paulis.z).any(axis=0) for one in sums.flat], axis=0)
    active = active_qubits(rotations.circuit, np.flatnonzero(observed).tolist())
    if len(active) > _MOST_EXACT:
        if non_clifford:
            raise UsageError(
                f"non_clifford is {non_clifford!r} and the circuit acts on {len(active)} qubits; leave it "
                f"out: with more than {_MOST_EXACT}, twins are Clifford circuits."
            )
        share = 0.0

    rng = random_generator(seed)
    operators = list(sums.flat)
    values = CliffordValues(rotations.gates, operators)
    candidates = _CANDIDATES * count
    origins, turns = rotations.rounded(candidates, rng)
    targets, weights = _targets(operators, candidates, rng)
    turns = _nearer(values, rotations, origins, turns, targets, weights, rng)
    angles = rotations.angles(origins, turns, share, rng)
    if share:
        small = reduced_circuit(rotations.circuit, active)
        local = [_on(one, list(active)) for one in operators]
        ideal = np.asarray(expectation(small, local, angles))
    else:
        ideal = values(_whole(turns))[0]
    kept = _spread(ideal, count)
    return rotations.circuit, angles[kept], ideal[kept].T.reshape(*sums.shape, count)


class _Rotations:
    """A circuit with a free angle in every rotation, and the angles that the original has there.

    Args:
        circuit: The circuit.
        parameter_values: Its angles, shape (*batch, P).

    Attributes:
        circuit: The circuit with free angles, without final measurements.
        gates: Its gates with their qubits and the columns of their angles.
    """

    def __init__(self, circuit: QuantumCircuit, parameter_values: np.ndarray) -> None:
        plain = in_gates(true_names(without_measurements(circuit)))
        found = [len(step.params) if _is_rotation(step.operation) else 0 for step in plain.data]
        if not any(found):
            raise UsageError("the circuit has no rotations, so its only twin is itself; run it unmitigated.")
        free, steps = ParameterVector("twin", sum(found)), []
        expressions: list[ParameterExpression | float] = []
        known: dict[str, CliffordGate] = {}
        order = np.zeros(plain.num_qubits, dtype=int)  # rotations on each qubit so far
        self.circuit, self.gates, single, ranks = plain.copy_empty_like(), [], [], []
        self.circuit.global_phase = 0.0
        for step, number in zip(plain.data, found, strict=True):
            operation = step.operation
            columns = range(len(expressions), len(expressions) + number)
            if number:
                expressions += step.params
                operation = operation.to_mutable()
                operation.params = [free[column] for column in columns]
            self.circuit.append(operation, step.qubits, step.clbits)
            if isinstance(operation, Barrier | Delay) or not step.qubits:
                continue
            gate = known.get(operation.name) or _clifford(step.operation, number)
            if _is_standard(step.operation):
                known[operation.name] = gate
            qubits = [plain.find_bit(qubit).index for qubit in step.qubits]
            self.gates.append((gate, qubits, list(columns)))
            steps += [gate.step] * number
            single += [len(qubits) == 1] * number
            ranks += [order[qubits].min()] * number
            order[qubits] += number
        self._steps, self._single = np.array(steps), np.array(single)
        # the first rotations decide whether a letter goes back to Z, so they are changed more often
        self._chances = (1.0 + np.array(ranks)) ** -1.0
        self._chances /= self._chances.sum()
        exact = Angles(expressions, list(circuit.parameters))(torch.from_numpy(parameter_values)).numpy()
        self._exact = exact.reshape(-1, len(expressions))
        self._below = np.floor(self._exact / self._steps + 1e-9)
        self._rest = self._exact / self._steps - self._below  # from 0 to 1

    def rounded(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random Clifford circuits near the original: which of the batch, and multiples, shape (count, P').

        Each angle goes to one of its two neighbors, to the nearer more often; half of the rotations of one
        qubit turn by π more, which gives noise-free values both signs.
        """
        origins = rng.permutation(np.arange(count) % len(self._exact))
        distance = np.stack([self._rest, 1 - self._rest])[:, origins] * self._steps
        down, up = np.exp(-((distance / _WIDTH) ** 2))
        chance = np.where(self._rest[origins] > 1e-9, up / (up + down), 0.0)
        turns = self._below[origins] + (rng.random(chance.shape) < chance)
        return origins, turns + 2 * (self._single & (rng.random(chance.shape) < 0.5))

    def changed(self, origins: np.ndarray, turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same circuits with one or two angles of each drawn again.

        An angle of two qubits stays next to its original: some devices have rzz between 0 and π/2 only.
        """
        rows, moved = np.arange(len(turns)), turns.copy()
        for _ in range(2):
            columns = rng.choice(len(self._steps), size=len(turns), p=self._chances)
            near = self._below[origins, columns] + (
                rng.integers(2, size=len(turns)) * (self._rest[origins, columns] > 1e-9)
            )
            anywhere = moved[rows, columns] + rng.integers(4, size=len(turns))
            moved[rows, columns] = np.where(self._single[columns], anywhere, near)
        return moved

    def angles(
        self, origins: np.ndarray, turns: np.ndarray, share: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Angles in radians; in each circuit, up to this share of the rotations differs from a multiple.

        The farther an angle is from its multiple, the more likely it stays. A rotation of one qubit that was
        turned by quarters keeps only what is left over.
        """
        single = (turns + 2) % 4 - 2
        clifford = np.where(self._single & (self._steps == pi / 2), single, turns) * self._steps
        nearest = np.round(self._exact / self._steps) * self._steps
        left = (self._exact - nearest)[origins]
        kept = np.where(self._single, clifford + left, self._exact[origins])
        with np.errstate(divide="ignore"):
            keys = np.log(left**2) + rng.gumbel(size=left.shape)
        places = np.argsort(np.argsort(-keys, axis=1), axis=1)
        most = np.ceil(share * (np.abs(left) > 1e-9).sum(axis=1))
        number = np.floor(rng.random(len(turns)) ** 2 * (most + 1))  # few more often than many
        return np.where((places < number[:, None]) & np.isfinite(keys), kept, clifford)


def _on(operator: SparsePauliOp, qubits: list[int]) -> SparsePauliOp:
    z, x = operator.paulis.z[:, qubits], operator.paulis.x[:, qubits]
    return SparsePauliOp(PauliList.from_symplectic(z, x), operator.coeffs)


def _is_rotation(operation: Any) -> bool:
    numbers = all(isinstance(one, float | int | ParameterExpression) for one in operation.params)
    return _is_standard(operation) and bool(operation.num_qubits and operation.params) and numbers


def _is_standard(operation: Any) -> bool:
    """Whether the name and the angles of an operation say all about it."""
    kind = getattr(operation, "base_class", type(operation))
    library = kind.__module__.startswith("qiskit.circuit.library.standard_gates")
    return library and isinstance(operation, Gate)


def _clifford(operation: Any, angles: int) -> CliffordGate:
    if not isinstance(operation, Gate):
        raise UsageError(f"{operation.name!r} is not a gate, so the circuit has no twins; remove it.")
    found = CliffordGate.of(operation, angles)
    if found is None:
        raise UsageError(
            f"{operation.name!r} is neither Clifford nor a rotation, so the circuit has no near-Clifford "
            "twins; transpile it for a device first, or to rz, sx and cz."
        )
    return found


def _targets(
    operators: list[SparsePauliOp], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free values for each candidate, and how much each counts, shape (count, K).

    One observable has most of the weight, and a value anywhere in its range; the others are far from 0, so
    that a twin tells something about many of them.
    """
    targets, weights = np.empty((2, count, len(operators)))
    weights[:] = 1 / len(operators)
    for index, operator in enumerate(operators):
        constant = ~(operator.paulis.x | operator.paulis.z).any(axis=1)
        places = rng.choice([-1.0, 1.0], size=count)
        mine = slice(index, None, len(operators))
        places[mine] = np.resize(_PLACES, len(places[mine]))
        reach = np.abs(operator.coeffs[~constant]).sum()
        targets[:, index] = operator.coeffs[constant].real.sum() + reach * places
        weights[mine, index] = 1
    return targets, weights


def _nearer(
    values: CliffordValues,
    rotations: _Rotations,
    origins: np.ndarray,
    turns: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Candidates after changes that bring each closer to its targets."""

    def distances(turns: np.ndarray) -> np.ndarray:
        return (weights * np.abs(values(_whole(turns))[1] - targets)).sum(axis=1)

    found = distances(turns)
    for _ in range(_MOVES):
        moved = rotations.changed(origins, turns, rng)
        new = distances(moved)
        better = new <= found
        turns, found = np.where(better[:, None], moved, turns), np.where(better, new, found)
    return turns


def _whole(turns: np.ndarray) -> np.ndarray:
    return (turns % 4).astype(np.intp)


def _spread(ideal: np.ndarray, count: int) -> np.ndarray:
    """The candidates to keep: the observable with the least spread so far gets a value between its others."""
    middle = (ideal.max(axis=0) + ideal.min(axis=0)) / 2
    reach = np.ptp(ideal, axis=0) / 2
    places = (ideal - middle) / np.where(reach > 1e-9, reach, 1.0)  # from -1 to 1
    spread = np.where(reach > 1e-9, 0.0, np.inf)
    served, free, kept = np.zeros(len(spread), dtype=int), np.ones(len(ideal), dtype=bool), []
    for _ in range(count):
        mine = spread.argmin()
        target = _PLACES[served[mine] % len(_PLACES)]
        best = np.where(free, np.abs(places[:, mine] - target), np.inf).argmin()
        served[mine] += 1
        spread += places[best] ** 2
        free[best] = False
        kept.append(best)
    return np.array(kept)
