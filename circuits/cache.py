"""Work on a circuit, done once for each circuit that differs in anything it says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar, cast

from qiskit import QuantumCircuit

from bondwise.circuits.fingerprint import UnknownContent, content

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
        if circuit.has_control_flow_op():
            return make()
        try:
            registers = tuple((type(r), r.name, tuple(r)) for r in (*circuit.qregs, *circuit.cregs))
            key = content(circuit), registers, tuple(circuit.qubits), tuple(circuit.clbits), extra
        except UnknownContent:
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


def _named(entry: T, circuit: QuantumCircuit) -> T:
    if not isinstance(entry, QuantumCircuit):
        return entry
    if entry.name == circuit.name and entry.metadata == circuit.metadata:
        return entry
    copy = entry.copy(name=circuit.name)
    copy.metadata = dict(circuit.metadata)
    return cast(T, copy)
