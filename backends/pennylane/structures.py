"""Tapes as circuits of the same structure and the numbers that tell them apart.

All angles of a tape become free parameters, so that tapes that differ in angles alone, such as those of a
parameter-shift gradient or the elements of a batch, are parameter sets of one circuit, compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError
from pennylane.operation import StatePrepBase
from pennylane.ops import MidMeasure
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Instruction, ParameterVector
from qiskit.circuit import library as gates
from qiskit.circuit.classical import expr

from bondwise.backends.backend import Backend
from bondwise.backends.pennylane.operators import steps
from bondwise.backends.pennylane.pairs import FIXED, ROTATIONS
from bondwise.circuits.fingerprint import UnknownContent, content

FINAL, MIDDLE = "final", "middle"  # the registers of final and of mid-circuit measurements
_KEPT = 64  # compiled circuits

_ANGLES: dict[type, tuple[tuple[type, tuple[int, ...]], ...]] = {
    operator: ((gate, (0,)),) for gate, operator in ROTATIONS.items()
} | {
    qml.U1: ((gates.PhaseGate, (0,)),),
    qml.U3: ((gates.UGate, (0, 1, 2)),),
    qml.Rot: ((gates.RZGate, (0,)), (gates.RYGate, (1,)), (gates.RZGate, (2,))),
}
_PLAIN: dict[type, type] = {
    operator: gate for gate, operator in FIXED.items() if operator is not qml.Identity
}
_FREE = frozenset({*ROTATIONS, gates.UGate})  # gates whose numbers are angles
_WHOLE = (qml.QubitUnitary, qml.DiagonalQubitUnitary, qml.Barrier, qml.Snapshot, StatePrepBase, qml.ops.Exp)


@dataclass(frozen=True)
class _Frozen:
    """A gate with all its numbers."""

    key: Hashable
    gate: Instruction = field(compare=False)


class _Gate(NamedTuple):
    make: Any  # a class of gates with free angles, or a frozen gate
    qubits: tuple[int, ...]
    angles: int


class _Measured(NamedTuple):
    qubit: int
    clbit: int
    reset: bool


class _If(NamedTuple):
    clbits: tuple[int, ...]
    outcomes: tuple[tuple[int, ...], ...]  # those for which the gates are applied
    gates: tuple[_Gate, ...]


Entry: TypeAlias = _Gate | _Measured | _If


class Structure(NamedTuple):
    """A circuit without its angles.

    Attributes:
        entries: Gates, mid-circuit measurements and branches, in order.
        num_qubits: Number of qubits.
        measured: Qubits that are measured at the end.
    """

    entries: tuple[Entry, ...]
    num_qubits: int
    measured: tuple[int, ...] = ()


class Lifted(NamedTuple):
    """A tape as a structure and its numbers.

    Attributes:
        structure: The circuit.
        angles: float64 (B, P); B = 1 for a tape without a batch.
        phases: Global phase that the circuit lacks, float64 (B,).
        mid_measures: The mid-circuit measurements, in the order of their classical bits.
    """

    structure: Structure
    angles: np.ndarray
    phases: np.ndarray
    mid_measures: tuple[Any, ...]


def accepts(operator: Any, *, dynamic: bool) -> bool:
    """Whether `Lifter` takes an operator as it is; others are decomposed by PennyLane.

    Args:
        operator: An operator of PennyLane.
        dynamic: Whether mid-circuit measurements and branches are run by the backend.
    """
    kind = type(operator)
    if kind in _ANGLES or kind in _PLAIN or kind in (qml.Identity, qml.GlobalPhase):
        return True
    if isinstance(operator, MidMeasure):
        return dynamic
    if isinstance(operator, qml.ops.Conditional):
        return dynamic and accepts(operator.base, dynamic=False)
    if isinstance(operator, _WHOLE):
        return True
    if isinstance(operator, qml.ops.Adjoint):
        return operator.batch_size is None and accepts(operator.base, dynamic=False)
    if isinstance(operator, qml.ops.Controlled):
        whole = not operator.num_params or isinstance(operator.base, qml.QubitUnitary)
        return operator.batch_size is None and whole and accepts(operator.base, dynamic=False)
    return not operator.has_decomposition and operator.has_matrix


def takes_batch(operator: Any) -> bool:
    """Whether a batch of an operator's numbers can be parameter sets of one circuit."""
    return type(operator) in _ANGLES or type(operator) is qml.GlobalPhase


def qubits_of(tape: Any, device: Sequence[Any] | None, backend: Backend) -> dict[Any, int]:
    """The qubit of each wire.

    On a backend with noise, which may differ between qubits, wire i is qubit i if wires are numbered;
    otherwise qubits follow the order of the device's wires, and those that are not used are left out.

    Args:
        tape: The tape.
        device: The wires of the device, if it has any.
        backend: Where it runs.
    """
    used = tape.wires.tolist()
    numbered = all(isinstance(wire, int | np.integer) and wire >= 0 for wire in used)
    if numbered and backend.noisy and max(used, default=0) < (backend.num_qubits or np.inf):
        return {wire: int(wire) for wire in used}
    if numbered:
        order = sorted(used)
    elif device and set(used) <= set(device):
        order = [wire for wire in device if wire in used]
    else:
        order = used
    return {wire: qubit for qubit, wire in enumerate(order)}


def standard_wires(tape: Any) -> list[Any]:
    """The wires of a tape in PennyLane's order of the basis states."""
    wires = tape.wires.tolist()
    return list(range(len(wires))) if set(wires) == set(range(len(wires))) else wires


class Lifter:
    """Separates the numbers of the tapes of one execution from their structures.

    Operators that tapes share, as the shifted ones of a gradient do, are translated once.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, dict[int, _Lifting]] = {}

    def lift(
        self, tape: Any, place: dict[Any, int], measured: Sequence[Any] = (), extra: Iterable[Any] = ()
    ) -> Lifted:
        """Lift a tape.

        Args:
            tape: A tape of operators that are accepted, which lives as long as this object.
            place: From `qubits_of`.
            measured: Wires to measure at the end.
            extra: Operators at the end, before the measurement.

        Raises:
            UsageError: If an operator cannot be translated.
        """
        known = self._known.setdefault(tuple(place.items()), {})
        found = _Lifting(place)
        for operator in tape.operations:
            if isinstance(operator, MidMeasure | qml.ops.Conditional):  # which depend on those before them
                found.add(operator)
                continue
            part = known.get(id(operator))
            if part is None:
                part = known[id(operator)] = _Lifting(place)
                part.add(operator)
            found.entries += part.entries
            found.numbers += part.numbers
            found.phase = found.phase + part.phase
        for operator in extra:
            found.add(operator)
        size = tape.batch_size
        if size is None:
            angles = np.array([found.numbers], dtype=float)
        else:
            rows = [np.broadcast_to(number, size) for number in found.numbers]
            angles = np.array(rows, dtype=float).reshape(len(rows), size).T
        structure = Structure(
            tuple(found.entries), 1 + max(place.values(), default=0), tuple(place[wire] for wire in measured)
        )
        phases = np.broadcast_to(found.phase, size or 1)
        return Lifted(structure, angles, phases, tuple(found.mid_measures))


def data_of_angles(tape: Any) -> list[tuple[int, int] | None]:
    """Where each angle of a lifted tape is from: an operator and its number there; None for other gates.

    Args:
        tape: A tape without branches.
    """
    found: list[tuple[int, int] | None] = []
    for index, operator in enumerate(tape.operations):
        if type(operator) in _ANGLES:
            found += [(index, which) for _, used in _ANGLES[type(operator)] for which in used]
        elif type(operator) not in _PLAIN:
            part = _Lifting({wire: qubit for qubit, wire in enumerate(operator.wires)})
            part.add(operator)
            found += [None] * len(part.numbers)
    return found


class _Lifting:
    def __init__(self, place: dict[Any, int]) -> None:
        self.place = place
        self.entries: list[Entry] = []
        self.numbers: list[Any] = []
        self.phase: Any = 0.0
        self.mid_measures: list[Any] = []

    def add(self, operator: Any) -> None:
        kind = type(operator)
        if kind in _ANGLES:
            qubits = self._qubits(operator.wires)
            data = [_number(value) for value in operator.data]
            for gate, which in _ANGLES[kind]:
                self.entries.append(_Gate(gate, qubits, len(which)))
                self.numbers += [data[index] for index in which]
        elif kind in _PLAIN:
            self.entries.append(_Gate(_plain(_PLAIN[kind]), self._qubits(operator.wires), 0))
        elif kind is qml.Identity:
            self.entries += [
                _Gate(_plain(gates.IGate), (qubit,), 0) for qubit in self._qubits(operator.wires)
            ]
        elif kind is qml.GlobalPhase:
            self.phase = self.phase - _number(operator.data[0])
        elif isinstance(operator, MidMeasure):
            [qubit] = self._qubits(operator.wires)
            self.entries.append(_Measured(qubit, len(self.mid_measures), bool(operator.reset)))
            self.mid_measures.append(operator)
        elif isinstance(operator, qml.ops.Conditional):
            self._branch(operator)
        else:
            for gate, wires in steps(operator):
                self._append(gate, self._qubits(wires))

    def _branch(self, operator: Any) -> None:
        inner = _Lifting(self.place)
        inner.add(operator.base)
        clbits = tuple(self.mid_measures.index(one) for one in operator.meas_val.measurements)
        outcomes = tuple(bits for bits, value in operator.meas_val.items() if value)
        if outcomes:
            self.entries.append(_If(clbits, outcomes, tuple(inner.entries)))  # type: ignore[arg-type]
            self.numbers += inner.numbers

    def _append(self, gate: Instruction, qubits: tuple[int, ...]) -> None:
        if isinstance(gate, gates.GlobalPhaseGate):
            self.phase = self.phase + gate.params[0]
        elif type(gate) in _FREE and getattr(gate, "ctrl_state", None) in (None, 1):
            self.entries.append(_Gate(type(gate), qubits, len(gate.params)))
            self.numbers += map(float, gate.params)
        else:
            self.entries.append(_Gate(_Frozen(_key(gate), gate), qubits, 0))

    def _qubits(self, wires: Iterable[Any]) -> tuple[int, ...]:
        return tuple(self.place[wire] for wire in wires)


def _number(value: Any) -> Any:
    if type(value) is float:
        return value
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind == "c":
        if array.imag.any():
            raise DeviceError(f"an angle is {array.ravel()[0]}; angles are real numbers in radians.")
        array = array.real
    return array if array.ndim else array.item()


@lru_cache(maxsize=128)
def _plain(kind: type) -> _Frozen:
    return _Frozen(kind, kind())


def _key(gate: Instruction) -> Hashable:
    if type(gate) is gates.UnitaryGate:
        return np.asarray(gate.params[0]).tobytes(), gate.num_qubits
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits), copy=False)
    try:
        return content(circuit, numbered=False)
    except UnknownContent:
        return object()  # equal to nothing else


def built(structure: Structure) -> QuantumCircuit:
    """The circuit of a structure, with `angles[0]`, `angles[1]`, … in order of use."""
    flat = [
        gate for entry in structure.entries for gate in (entry.gates if isinstance(entry, _If) else [entry])
    ]
    angles = iter(ParameterVector("angles", sum(one.angles for one in flat if isinstance(one, _Gate))))
    circuit = QuantumCircuit(structure.num_qubits)
    count = sum(isinstance(entry, _Measured) for entry in structure.entries)
    if count:
        circuit.add_register(ClassicalRegister(count, MIDDLE))

    def append(where: QuantumCircuit, one: _Gate) -> None:
        frozen = isinstance(one.make, _Frozen)
        gate = one.make.gate if frozen else one.make(*(next(angles) for _ in range(one.angles)))
        where.append(gate, one.qubits, copy=frozen)

    for entry in structure.entries:
        if isinstance(entry, _Gate):
            append(circuit, entry)
        elif isinstance(entry, _Measured):
            circuit.measure(entry.qubit, entry.clbit)
            if entry.reset:
                circuit.reset(entry.qubit)
        else:
            with circuit.if_test(_condition([circuit.clbits[bit] for bit in entry.clbits], entry.outcomes)):
                for one in entry.gates:
                    append(circuit, one)
    if structure.measured:
        register = ClassicalRegister(len(structure.measured), FINAL)
        circuit.add_register(register)
        circuit.measure(list(structure.measured), register)
    return circuit


def _condition(clbits: Sequence[Any], outcomes: tuple[tuple[int, ...], ...]) -> Any:
    if len(clbits) == 1 and len(outcomes) == 1:
        return clbits[0], outcomes[0][0]
    cases = []
    for bits in outcomes:
        terms = [
            expr.lift(clbit) if bit else expr.logic_not(clbit)
            for clbit, bit in zip(clbits, bits, strict=True)
        ]
        case = terms[0]
        for term in terms[1:]:
            case = expr.logic_and(case, term)
        cases.append(case)
    found = cases[0]
    for case in cases[1:]:
        found = expr.logic_or(found, case)
    return found


class Compiled(NamedTuple):
    """A circuit, and what the backend made of it.

    Attributes:
        circuit: The circuit as it was built.
        isa: The circuit in the gates of the backend.
        columns: The angles that are left in it.
    """

    circuit: QuantumCircuit
    isa: QuantumCircuit
    columns: list[int]


class Compiler:
    """Compiles each structure once, and keeps the last ones.

    Args:
        backend: Where circuits run.
    """

    def __init__(self, backend: Backend) -> None:
        self.get: Callable[[Structure], Compiled] = lru_cache(maxsize=_KEPT)(self._compiled)
        self._backend = backend

    def _compiled(self, structure: Structure) -> Compiled:
        circuit = built(structure)
        isa = self._backend.transpile(circuit)
        return Compiled(circuit, isa, [parameter.index for parameter in isa.parameters])


def together(lifted: Sequence[Lifted], keys: Sequence[Hashable]) -> list[list[int]]:
    """Indices of tapes that share a circuit and a key, in order of their first.

    Args:
        lifted: The tapes.
        keys: Whatever else must agree.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, (one, key) in enumerate(zip(lifted, keys, strict=True)):
        groups.setdefault((one.structure, key), []).append(index)
    return list(groups.values())
