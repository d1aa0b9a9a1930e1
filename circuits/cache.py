"""A cache keyed by the exact content of circuits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar, cast
from weakref import ref

from qiskit import QuantumCircuit

from bondwise.circuits.fingerprint import PLAIN, UnknownContent, content

T = TypeVar("T")


class CircuitCache(Generic[T]):
    """Results for the most recently used circuits, shared safely between threads.

    Args:
        size: Number of circuits to keep; the least recently used one is dropped first.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._entries: dict[Hashable, _Entry[T]] = {}
        self._last: dict[int, _Last[T]] = {}
        self._clock = 0
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # copies and pickles start empty: every entry can be recomputed
        return type(self), (self._size,)

    def get(self, circuit: QuantumCircuit, make: Callable[[], T], extra: Hashable = None) -> T:
        """Return the entry of a circuit, which is made now if it is not in the cache.

        Args:
            circuit: The circuit; it may be changed afterwards.
            make: Function that makes the entry. Circuits without an exact key, such as those with branches,
                are not cached.
            extra: Anything else that the entry depends on.

        Returns:
            The entry. If it is a circuit, it gets the name and the metadata of the one given.
        """
        if circuit.has_control_flow_op():
            return make()
        last = self._last.get(id(circuit))
        if last is not None and last.extra == extra and last.is_unchanged(circuit):
            with self._lock:
                self._clock += 1
                last.entry.used = self._clock
            return _named(last.entry.value, circuit)
        try:
            registers = tuple((type(r), r.name, tuple(r)) for r in (*circuit.qregs, *circuit.cregs))
            bits = tuple(circuit.qubits), tuple(circuit.clbits)
            key = content(circuit, numbered=False), registers, bits, extra
        except UnknownContent:
            return make()
        with self._lock:
            found = self._entries.get(key)  # a single look at the long key
            self._clock += 1
            if found is not None:
                found.used = self._clock
        if found is None:
            made = make()  # outside the lock: two threads may both make it, but neither waits for others
            with self._lock:
                found = self._entries[key] = _Entry(made, self._clock)
                if len(self._entries) > self._size:
                    del self._entries[min(self._entries, key=lambda one: self._entries[one].used)]
        self._remember(circuit, extra, found)
        return _named(found.value, circuit)

    def _remember(self, circuit: QuantumCircuit, extra: Hashable, entry: _Entry[T]) -> None:
        steps = [(step.name, step.label, step.params, step.qubits) for step in circuit.data]
        plain = all(step.is_standard_gate() for step in circuit.data) and all(
            type(value) in PLAIN for _, _, params, _ in steps for value in params
        )
        with self._lock:
            if len(self._last) >= self._size:
                self._last.clear()
            if plain and type(circuit.global_phase) is float:
                fields = circuit.global_phase, circuit.qregs, circuit.cregs, circuit.qubits, circuit.clbits
                self._last[id(circuit)] = _Last(ref(circuit), fields, steps, extra, entry)


@dataclass
class _Entry(Generic[T]):
    value: T
    used: int  # the clock of the cache at its last use


@dataclass
class _Last(Generic[T]):
    """A circuit of standard gates as it was when its entry was found.

    To compare it gate by gate takes half as long as to build the key. Nothing is assumed of a circuit but
    what is read from it, since any part of it may have been changed in place.
    """

    circuit: ref[QuantumCircuit]  # another one may have got the same id
    fields: tuple[Any, ...]
    steps: list[tuple[Any, ...]]
    extra: Hashable
    entry: _Entry[T]

    def is_unchanged(self, circuit: QuantumCircuit) -> bool:
        same = self.circuit() is circuit
        if not same or len(circuit.data) != len(self.steps) or circuit.num_identifiers:
            return False
        fields = circuit.global_phase, circuit.qregs, circuit.cregs, circuit.qubits, circuit.clbits
        if fields != self.fields:
            return False
        for step, (name, label, params, qubits) in zip(circuit.data, self.steps, strict=True):
            given = step.params
            if given != params or step.name != name or step.qubits != qubits or step.label != label:
                return False
            for one in given:
                if type(one) not in PLAIN:  # expressions compare equal up to rounding
                    return False
            if not step.is_standard_gate():
                return False
        return True


def _named(entry: T, circuit: QuantumCircuit) -> T:
    if not isinstance(entry, QuantumCircuit):
        return entry
    if entry.name == circuit.name and entry.metadata == circuit.metadata:
        return entry
    copy = entry.copy(name=circuit.name)
    copy.metadata = dict(circuit.metadata)
    return cast(T, copy)
