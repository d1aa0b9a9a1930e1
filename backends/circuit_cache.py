"""Work on a circuit, done once per circuit structure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from qiskit import QuantumCircuit

T = TypeVar("T")


class CircuitCache(Generic[T]):
    """Remembers what was made from the last circuits; equal gates and parameters make the same circuit.

    Args:
        size: How many circuits to remember; the least recently used one is dropped first.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, list[tuple[QuantumCircuit, T]]] = OrderedDict()

    def get(self, circuit: QuantumCircuit, make: Callable[[], T], extra: Hashable = None) -> T:
        """What was made from this circuit before, or the outcome of `make()`, remembered from now on.

        Args:
            circuit: The circuit; it may be changed afterwards, the cache keeps a copy.
            make: Builds the entry when there is none.
            extra: Anything else that the entry depends on.
        """
        # a cheap key first, then Qiskit's own comparison of instructions, parameters and global phase
        key = (circuit.num_qubits, circuit.num_clbits, tuple(circuit.parameters), len(circuit.data), extra)
        for known, entry in self._entries.get(key, ()):
            if known == circuit:
                self._entries.move_to_end(key)
                return entry
        entry = make()
        self._entries.setdefault(key, []).append((circuit.copy(), entry))
        self._entries.move_to_end(key)
        while sum(map(len, self._entries.values())) > self._size:
            oldest = next(iter(self._entries))
            self._entries[oldest].pop(0)
            if not self._entries[oldest]:
                del self._entries[oldest]
        return entry
