"""Measurements of PennyLane from expectation values of Pauli sums, or from the state.

Every measurement of a state is a function of expectation values: a variance is ⟨O²⟩ - ⟨O⟩², and the
probability of the outcome b of w wires is 2^-w Σ_S (-1)^(b·S) ⟨Z_S⟩ over all subsets S of the wires.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
import torch
from pennylane.devices.qubit.measure import measure
from pennylane.exceptions import DeviceError
from pennylane.measurements import ExpectationMP, ProbabilityMP, StateMeasurement, VarianceMP
from pennylane.ops import MidMeasure
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import Backend, placed
from bondwise.backends.gradients.statevector import final_states
from bondwise.backends.pennylane.structures import Compiler, Lifted, Lifter, standard_wires, together
from bondwise.circuits import as_operator, hermitian
from bondwise.circuits.splitting import split

_WIRES = 10  # whose 2^w probabilities are computed from as many expectation values
_MATRIX = 8  # wires of an observable that is only given by its matrix


class Question(NamedTuple):
    """Pauli sums to evaluate in the final state of a tape.

    Attributes:
        lifted: The tape.
        operators: K Pauli sums on its qubits.
    """

    lifted: Lifted
    operators: tuple[SparsePauliOp, ...]


Answer = Callable[[list[np.ndarray]], Any]  # from values (B, K) of the questions to PennyLane's result


def are_pauli_values(tape: Any) -> bool:
    """Whether all measurements of a tape are expectation values of Pauli sums."""
    return all(
        isinstance(measured, ExpectationMP)
        and measured.obs is not None
        and measured.obs.pauli_rep is not None
        for measured in tape.measurements
    ) and not any(isinstance(operator, MidMeasure) for operator in tape.operations)


def pauli_sum(observable: Any, place: dict[Any, int], num_qubits: int) -> SparsePauliOp:
    """An observable as a Pauli sum, equal terms added up.

    Args:
        observable: An operator of PennyLane with a Pauli form, or with a matrix on at most 8 wires.
        place: The qubit of each wire.
        num_qubits: Number of qubits of the circuit.

    Raises:
        DeviceError: If it has no Pauli form and is too large for its matrix.
        UsageError: If it is not Hermitian.
    """
    terms = tuple(
        ("".join(word.values()), tuple(place[wire] for wire in word), complex(qml.math.toarray(weight)))
        for word, weight in _sentence(observable).items()
    )
    return _summed(terms, num_qubits)


@lru_cache(maxsize=256)
def _summed(terms: tuple[tuple[str, tuple[int, ...], complex], ...], num_qubits: int) -> SparsePauliOp:
    if not terms:
        return SparsePauliOp(["I" * num_qubits], [0.0])
    return hermitian(SparsePauliOp.from_sparse_list(terms, num_qubits))


def _sentence(observable: Any) -> Any:
    if observable.pauli_rep is not None:
        return observable.pauli_rep
    if isinstance(observable, qml.ops.Prod):
        found = qml.pauli.PauliSentence({qml.pauli.PauliWord({}): 1.0})
        for factor in observable.operands:
            found = found @ _sentence(factor)
        return found
    if isinstance(observable, qml.ops.Sum):
        found = qml.pauli.PauliSentence({})
        for term in observable.operands:
            found = found + _sentence(term)
        return found
    if isinstance(observable, qml.ops.SProd):
        return _sentence(observable.base) * qml.math.toarray(observable.scalar)
    wires = list(observable.wires)
    if len(wires) > _MATRIX:
        raise DeviceError(
            f"the observable {observable.name} on {len(wires)} wires has no Pauli form, and its matrix is "
            f"only decomposed up to {_MATRIX} wires; write it as a sum of Pauli words."
        )
    numbered = observable.map_wires({wire: index for index, wire in enumerate(wires)})
    operator = as_operator(
        qml.Hermitian(qml.matrix(numbered, wire_order=range(len(wires))), range(len(wires)))
    )
    words = {}
    for label, weight in operator.to_list():
        letters = {wires[qubit]: letter for qubit, letter in enumerate(label[::-1]) if letter != "I"}
        words[qml.pauli.PauliWord(letters)] = weight
    return qml.pauli.PauliSentence(words)


def ask(tape: Any, place: dict[Any, int], lifter: Lifter) -> tuple[list[Question], Answer]:
    """What must be known of the final state for the measurements of a tape, and what they follow from it.

    Args:
        tape: A tape with measurements `expval`, `var` and `probs`.
        place: The qubit of each wire.
        lifter: What lifts the tapes of this execution.

    Raises:
        DeviceError: If a measurement is another one.
    """
    plain = lifter.lift(tape, place)
    count = plain.structure.num_qubits
    first: list[SparsePauliOp] = []
    questions = [Question(plain, ())]
    readers: list[Callable[[list[np.ndarray]], np.ndarray]] = []
    for measured in tape.measurements:
        start = len(first)
        if isinstance(measured, ExpectationMP):
            first.append(pauli_sum(_observable(measured), place, count))
            readers.append(partial(_mean, at=start))
        elif isinstance(measured, VarianceMP):
            operator = pauli_sum(_observable(measured), place, count)
            first += [operator, hermitian(operator @ operator)]
            readers.append(partial(_variance, at=start))
        elif isinstance(measured, ProbabilityMP) and not getattr(measured.mv, "has_processing", False):
            wires = list(measured.wires)
            if len(wires) > _WIRES:
                raise DeviceError(
                    f"probabilities of {len(wires)} wires need 2^{len(wires)} expectation values on this "
                    f"backend, and {_WIRES} wires are the most; give shots, or fewer wires."
                )
            turned = [] if measured.obs is None else measured.diagonalizing_gates()
            lifted = lifter.lift(tape, place, extra=turned) if turned else plain
            questions.append(Question(lifted, _subsets([place[wire] for wire in wires], count)))
            readers.append(partial(_probabilities, at=len(questions) - 1))
        else:
            raise DeviceError(
                f"{type(measured).__name__} cannot be computed from the values of this backend; write "
                "backend='statevector', or give shots."
            )
    questions[0] = Question(plain, tuple(first))

    def answer(values: list[np.ndarray]) -> Any:
        results = [read(values) for read in readers]
        if tape.batch_size is None:
            results = [result[0] for result in results]
        return results[0] if len(results) == 1 else tuple(results)

    return questions, answer


def _observable(measured: Any) -> Any:
    """The observable of a measurement, or the deferred mid-circuit measurements that stand for it."""
    if measured.mv is None:
        return measured.obs
    return qml.Hermitian(np.diag(measured.eigvals()), measured.wires)


def _subsets(qubits: Sequence[int], num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Z on every subset of the qubits, the first qubit the highest bit of the index."""
    found = []
    for index in range(2 ** len(qubits)):
        chosen = [qubit for at, qubit in enumerate(reversed(qubits)) if index >> at & 1]
        found.append(SparsePauliOp.from_sparse_list([("Z" * len(chosen), chosen, 1.0)], num_qubits))
    return tuple(found)


def _mean(values: list[np.ndarray], at: int) -> np.ndarray:
    return values[0][:, at]


def _variance(values: list[np.ndarray], at: int) -> np.ndarray:
    """From ⟨O⟩ and, next to it, ⟨O²⟩."""
    return values[0][:, at + 1] - values[0][:, at] ** 2


def _probabilities(values: list[np.ndarray], at: int) -> np.ndarray:
    """From ⟨Z_S⟩ (B, 2^w) to probabilities (B, 2^w): a Walsh-Hadamard transform."""
    table, step = values[at], 1
    batch, size = table.shape
    while step < size:
        pairs = table.reshape(batch, -1, 2, step)
        table = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        step *= 2
    return table.reshape(batch, size) / size


class Evaluated(NamedTuple):
    """Answers to questions, from one job.

    Attributes:
        values: float64 (B, K) for each question.
        shots: Total number of shots that were spent.
        job_ids: Identifiers of the jobs.
        jobs: Number of jobs: 0 if all observables are constant.
    """

    values: list[np.ndarray]
    shots: int
    job_ids: tuple[str, ...]
    jobs: int


def evaluate(
    questions: Sequence[Question], compiler: Compiler, backend: Backend, shots: int | None, seed: int | None
) -> Evaluated:
    """Answer all questions in one job; those that share a circuit and observables are one PUB."""
    values = [np.zeros((len(question.lifted.angles), len(question.operators))) for question in questions]
    pubs, readers = [], []
    keys = [tuple(map(_content, question.operators)) for question in questions]
    for group in together([question.lifted for question in questions], keys):
        lifted = [questions[index].lifted for index in group]
        free, offsets = _without_constants(questions[group[0]].operators)
        for index in group:
            values[index][:] = offsets
        if not free:
            continue
        compiled = compiler.get(lifted[0].structure)
        angles = np.concatenate([one.angles for one in lifted])[:, compiled.columns]
        moved = placed([operator for _, operator in free], compiled.circuit, compiled.isa)
        pubs.append((compiled.isa, [[operator] for operator in moved], angles))
        readers.append((group, [at for at, _ in free]))
    if not pubs:
        return Evaluated(values, 0, (), 0)
    result = backend.run(pubs, shots=shots, seed=seed)
    for (group, columns), part in zip(readers, result, strict=True):
        found = np.asarray(part.data.evs, dtype=float).T  # (sets, K)
        start = 0
        for index in group:
            size = len(values[index])
            values[index][:, columns] += found[start : start + size]
            start += size
    return Evaluated(values, result.metadata["shots"], result.metadata["job_ids"], 1)


def _content(operator: SparsePauliOp) -> Hashable:
    paulis = operator.paulis
    return paulis.x.tobytes(), paulis.z.tobytes(), operator.coeffs.tobytes()


def _without_constants(
    operators: Sequence[SparsePauliOp],
) -> tuple[list[tuple[int, SparsePauliOp]], np.ndarray]:
    """The operators that are not constant, without their constant terms, and these."""
    free, offsets = [], np.zeros(len(operators))
    for at, operator in enumerate(operators):
        constant = ~(operator.paulis.x | operator.paulis.z).any(axis=1)
        offsets[at] = operator.coeffs[constant].real.sum()
        rest = ~constant & (operator.coeffs != 0)
        if rest.any():
            free.append((at, SparsePauliOp(operator.paulis[rest], operator.coeffs[rest])))
    return free, offsets


def from_states(tape: Any, compiler: Compiler) -> Any:
    """All measurements of a tape from its final state, as PennyLane computes them.

    Args:
        tape: A tape without mid-circuit measurements.
        compiler: The circuits.
    """
    place = {wire: qubit for qubit, wire in enumerate(standard_wires(tape))}
    lifted = Lifter().lift(tape, place)
    parts = split(compiler.get(lifted.structure).circuit)
    given = torch.from_numpy(lifted.angles)
    phases = np.asarray(parts.phases(given)).sum(axis=-1) + float(parts.circuit.global_phase) + lifted.phases
    states = final_states(parts, parts.angles(given), "adjoint").numpy() * np.exp(1j * phases)[:, None]
    count = lifted.structure.num_qubits
    states = states.reshape(-1, *(2,) * count).transpose(0, *range(count, 0, -1))  # axis i is qubit i
    batched = tape.batch_size is not None
    state = states if batched else states[0]
    results = []
    for measured in tape.measurements:
        if not isinstance(measured, StateMeasurement):
            raise DeviceError(
                f"{type(measured).__name__} needs shots; write qml.set_shots(qnode, shots=1000)."
            )
        results.append(measure(measured.map_wires(place), state, is_state_batched=batched))
    return results[0] if len(results) == 1 else tuple(results)
