"""Measurements of PennyLane from sampled bits.

Measurements that commute share a circuit, which turns their eigenbasis into that of Z at its end. All
circuits of all tapes are one job. The bits are read by PennyLane's own measurement classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.ops import MidMeasure
from pennylane.transforms import split_non_commuting
from pennylane.transforms.dynamic_one_shot import gather_mcm
from qiskit.primitives import BitArray

from bondwise.backends.backend import Backend
from bondwise.backends.pennylane.structures import (
    FINAL,
    MIDDLE,
    Compiler,
    Lifted,
    Lifter,
    together,
)

_LETTERS = {"X": (qml.Hadamard,), "Y": (qml.Z, qml.S, qml.Hadamard), "Z": ()}


class Circuit(NamedTuple):
    """A circuit that is sampled for a tape.

    Attributes:
        lifted: The circuit.
        shots: Number of shots for each element of its batch.
    """

    lifted: Lifted
    shots: int


class Bits(NamedTuple):
    """The bits of a circuit.

    Attributes:
        final: Final measurements, uint8 (B, shots, wires).
        middle: Mid-circuit measurements, uint8 (B, shots, measurements).
    """

    final: np.ndarray
    middle: np.ndarray


Read = Callable[[list[Bits]], Any]  # from the bits of the circuits of a tape to PennyLane's result


def plan(tape: Any, place: dict[Any, int], lifter: Lifter) -> tuple[list[Circuit], Read]:
    """The circuits to sample for a tape, and how its measurements are read from their bits.

    Args:
        tape: A tape with shots; its measurements have wires, observables or mid-circuit measurements.
        place: The qubit of each wire.
        lifter: What lifts the tapes of this execution.
    """
    dynamic = any(isinstance(operator, MidMeasure) for operator in tape.operations)
    inside: list[int] = []  # measurements of mid-circuit measurements
    alone: list[int] = []  # those of sums in their own eigenbasis
    others: list[int] = []
    for index, measured in enumerate(tape.measurements):
        which = inside if dynamic and measured.mv is not None else alone if _is_whole(measured) else others
        which.append(index)
    shots = tape.shots.total_shots
    parts, merge = [], None
    if others:
        chosen = [tape.measurements[at] for at in others]
        parts, merge = split_non_commuting(tape.copy(measurements=chosen, shots=shots))
    own = [list(part.measurements) for part in parts] + [[tape.measurements[at]] for at in alone] or [[]]
    wires = [qml.wires.Wires.all_wires([one.wires for one in measured]).tolist() for measured in own]
    circuits = [
        Circuit(lifter.lift(tape, place, order, rotations(measured)), shots)
        for measured, order in zip(own, wires, strict=True)
    ]
    vector = tape.shots.has_partitioned_shots
    bins = list(tape.shots.bins()) if vector else [(0, shots)]

    def read(bits: list[Bits]) -> Any:
        rows = [row(bits, low, high) for low, high in bins]
        return tuple(rows) if vector else rows[0]

    def row(bits: list[Bits], low: int, high: int) -> Any:
        results: list[Any] = [None] * len(tape.measurements)
        found = [
            _read(measured, order, part, low, high, circuit.lifted, tape)
            for measured, order, part, circuit in zip(own, wires, bits, circuits, strict=True)
        ]
        if merge is not None:
            merged = merge(tuple(found[: len(parts)]))
            for number, at in enumerate(others):
                results[at] = merged if len(others) == 1 else merged[number]
        for number, at in enumerate(alone):
            results[at] = found[len(parts) + number]
        for at in inside:
            results[at] = _middle(tape.measurements[at], bits[0], low, high, circuits[0].lifted)
        return results[0] if len(results) == 1 else tuple(results)

    return circuits, read


def _is_whole(measured: Any) -> bool:
    """Whether a sum must be measured in its eigenbasis, not term by term."""
    observable = measured.obs
    if observable is None or isinstance(measured, ExpectationMP):
        return False
    simple = observable.simplify() if isinstance(observable, qml.ops.SProd | qml.ops.Prod) else observable
    return isinstance(simple, qml.ops.Sum)


def rotations(measured: Sequence[Any]) -> list[Any]:
    """Gates that turn the eigenbasis of commuting measurements into that of Z."""
    observables = [one.obs for one in measured if one.obs is not None]
    if not all(qml.pauli.is_pauli_word(observable) for observable in observables):
        return [gate for one in measured for gate in one.diagonalizing_gates()]
    letters: dict[Any, str] = {}
    for observable in observables:
        for word in observable.pauli_rep:
            letters |= dict(word.items())
    with qml.QueuingManager.stop_recording():
        return [gate(wire) for wire, letter in letters.items() for gate in _LETTERS[letter]]


def _read(
    measured: Sequence[Any], order: list[Any], bits: Bits, low: int, high: int, lifted: Lifted, tape: Any
) -> Any:
    """The results of one circuit in some of its shots."""
    samples = bits.final[:, low:high].astype(np.int64)
    if any(one.postselect is not None for one in lifted.mid_measures):
        samples = samples[0][_valid(bits.middle[0, low:high], lifted)]
        if not len(samples):
            rows = [np.nan] * len(measured)
            return rows[0] if len(rows) == 1 else tuple(rows)
    elif tape.batch_size is None:
        samples = samples[0]
    results = [one.process_samples(samples, qml.wires.Wires(order)) for one in measured]
    return results[0] if len(results) == 1 else tuple(results)


def _valid(middle: np.ndarray, lifted: Lifted) -> np.ndarray:
    """Which shots have the outcomes that are selected."""
    valid = np.ones(len(middle), dtype=bool)
    for at, one in enumerate(lifted.mid_measures):
        if one.postselect is not None:
            valid &= middle[:, at] == one.postselect
    return valid


def _middle(measured: Any, bits: Bits, low: int, high: int, lifted: Lifted) -> Any:
    """The result of a measurement of mid-circuit measurements."""
    middle = bits.middle[0, low:high].astype(np.int64)
    valid = _valid(middle, lifted)
    if not valid.any():
        return np.nan
    columns = {one: middle[:, at : at + 1] for at, one in enumerate(lifted.mid_measures)}
    return gather_mcm(measured, columns, valid)


class Sampled(NamedTuple):
    """Bits of all circuits, from one job.

    Attributes:
        bits: The bits of each circuit.
        shots: Total number of shots.
        job_ids: Identifiers of the jobs.
        jobs: Number of jobs.
    """

    bits: list[Bits]
    shots: int
    job_ids: tuple[str, ...]
    jobs: int


def run(circuits: Sequence[Circuit], compiler: Compiler, backend: Backend, seed: int | None) -> Sampled:
    """Sample all circuits in one job; those that share a structure are one PUB."""
    found = [_nothing(circuit) for circuit in circuits]
    pubs, groups = [], []
    for group in together([circuit.lifted for circuit in circuits], [circuit.shots for circuit in circuits]):
        structure = circuits[group[0]].lifted.structure
        if not structure.measured and not circuits[group[0]].lifted.mid_measures:
            continue
        compiled = compiler.get(structure)
        angles = np.concatenate([circuits[index].lifted.angles for index in group])
        pubs.append((compiled.isa, angles[:, compiled.columns], circuits[group[0]].shots))
        groups.append(group)
    if not pubs:
        return Sampled(found, 0, (), 0)
    result = backend.sample(pubs, shots=pubs[0][2], seed=seed)
    for group, part in zip(groups, result, strict=True):
        for index, bits in zip(group, _shared(group, circuits, part.data), strict=True):
            found[index] = bits
    return Sampled(found, result.metadata["shots"], result.metadata["job_ids"], 1)


def _shared(group: Sequence[int], circuits: Sequence[Circuit], data: Any) -> Iterator[Bits]:
    start = 0
    for index in group:
        nothing = _nothing(circuits[index])
        stop = start + len(nothing.final)
        yield Bits(
            *(
                _array(data[name])[start:stop] if none.shape[-1] else none
                for name, none in zip((FINAL, MIDDLE), nothing, strict=True)
            )
        )
        start = stop


def _array(bits: BitArray) -> np.ndarray:
    return bits.to_bool_array(order="little")


def _nothing(circuit: Circuit) -> Bits:
    shape = (len(circuit.lifted.angles), circuit.shots, 0)
    wide = [len(circuit.lifted.structure.measured), len(circuit.lifted.mid_measures)]
    return Bits(*(np.zeros((*shape[:2], width), dtype=np.uint8) for width in wide))
