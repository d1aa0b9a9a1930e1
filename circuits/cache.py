"""Work on a circuit, done once per circuit: an exact key of everything that it says.

Qiskit's own comparison is none: it leaves out labels and takes matrices up to 1e-6 and angles up to 1e-11 for
equal, so that finite differences of a fixed angle would vanish. Here two circuits share an entry only when
registers, gates, labels and numbers are the same to the last bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar, cast

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    CircuitError,
    Delay,
    Gate,
    Instruction,
    Measure,
    Parameter,
    ParameterExpression,
    Reset,
)
from qiskit.circuit.library import UnitaryGate

T = TypeVar("T")


class CircuitCache(Generic[T]):
    """Remembers what was made from the last circuits; threads may share it.

    Args:
        size: How many circuits to remember; the least recently used one is dropped first.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy and a pickle begin empty: what is remembered can be made again
        return type(self), (self._size,)

    def get(self, circuit: QuantumCircuit, make: Callable[[], T], extra: Hashable = None) -> T:
        """What was made from this circuit before, or the outcome of `make()`, remembered from now on.

        Args:
            circuit: The circuit; it may be changed afterwards.
            make: Builds the entry when there is none. Circuits that no key tells apart, such as those with
                branches, are built each time.
            extra: Anything else that the entry depends on.

        Returns:
            The entry; where it is a circuit, it bears the name and the metadata of the one given.
        """
        try:
            key = (_key(circuit), extra)
        except _Unknown:
            return make()
        with self._lock:
            found = key in self._entries
            if found:
                self._entries.move_to_end(key)
                entry = self._entries[key]
        if found:
            return _named(entry, circuit)
        entry = make()  # not under the lock: two threads may both make it, none waits for another circuit
        with self._lock:
            self._entries[key] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return entry


class _Unknown(Exception):
    """Something whose content cannot be told from its fields."""


def _named(entry: T, circuit: QuantumCircuit) -> T:
    if not isinstance(entry, QuantumCircuit):
        return entry
    if entry.name == circuit.name and entry.metadata == circuit.metadata:
        return entry
    copy = entry.copy(name=circuit.name)
    copy.metadata = dict(circuit.metadata)
    return cast(T, copy)


def _key(circuit: QuantumCircuit) -> Hashable:
    if circuit.num_identifiers:  # variables of classical expressions
        raise _Unknown
    registers = tuple((type(r), r.name, tuple(r)) for r in (*circuit.qregs, *circuit.cregs))
    steps: list[Hashable] = []
    for step in circuit.data:
        if step.is_standard_gate():  # its name, label and numbers say it all
            params = step.params
            said = tuple(map(_value, params)) if params else ()
            steps.append((step.name, step.label, said, step.qubits))
        else:
            steps.append((_operation(step.operation), step.qubits, step.clbits))
    wires = tuple(circuit.qubits), tuple(circuit.clbits)
    return registers, wires, _value(circuit.global_phase), tuple(steps)


def _operation(operation: Any) -> Hashable:
    kind = type(operation)
    params = getattr(operation, "params", None)
    if params is None:
        raise _Unknown
    values = tuple(map(_value, params))
    definition = None
    # the definition of these adds nothing to their class and numbers
    if not isinstance(operation, Barrier | Delay | Measure | Reset | UnitaryGate):
        try:
            definition = getattr(operation, "definition", None)
        except (CircuitError, TypeError):  # needs numbers where the parameters are
            raise _Unknown from None
        if definition is None and kind not in (Gate, Instruction):
            raise _Unknown
    return (
        getattr(operation, "base_class", kind),
        operation.name,
        operation.label,
        operation.num_qubits,
        operation.unit if isinstance(operation, Delay) else None,
        getattr(operation, "ctrl_state", None),
        values,
        None if definition is None else _key(definition),
    )


def _value(value: Any) -> Hashable:
    if isinstance(value, float | int | complex | str | Parameter | None):
        return value
    if isinstance(value, ParameterExpression):
        if not value.parameters:
            return value.numeric()
        return tuple((str(step.op), step.lhs, step.rhs) for step in value._qpy_replay)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.number):
        return value.item()
    if isinstance(value, list | tuple):
        return tuple(map(_value, value))
    raise _Unknown
