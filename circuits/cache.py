"""A cache keyed by the exact content of circuits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar, cast

from qiskit import QuantumCircuit

from bondwise.circuits.fingerprint import UnknownContent, content

T = TypeVar("T")


class CircuitCache(Generic[T]):
    """Results for the most recently used circuits, shared safely between threads.

    Args:
        size: Number of circuits to keep; the least recently used one is dropped first.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._entries: dict[Hashable, _Entry[T]] = {}
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
        if found is not None:
            return _named(found.value, circuit)
        entry = make()  # outside the lock: two threads may both make it, but neither waits for others
        with self._lock:
            self._entries[key] = _Entry(entry, self._clock)
            if len(self._entries) > self._size:
                del self._entries[min(self._entries, key=lambda one: self._entries[one].used)]
        return entry


@dataclass
class _Entry(Generic[T]):
    value: T
    used: int  # the clock of the cache at its last use


def _named(entry: T, circuit: QuantumCircuit) -> T:
    if not isinstance(entry, QuantumCircuit):
        return entry
    if entry.name == circuit.name and entry.metadata == circuit.metadata:
        return entry
    copy = entry.copy(name=circuit.name)
    copy.metadata = dict(circuit.metadata)
    return cast(T, copy)
