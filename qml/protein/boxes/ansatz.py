"""The circuits of boxes, to be compiled to lambeq circuits, to batched torch unitaries, or to Qiskit.

A box is a list of `Gate`s on wires 0 … n − 1; wire 0 is the leftmost wire of the diagram and the most
significant bit of a matrix index. IQP, Sim14, Sim15 and StronglyEntangling equal lambeq's ansätze gate by
gate (Sim et al., arXiv:1905.10876; Schuld et al., arXiv:1804.00633). Two are defined here:

"reupload": rotations RY, RZ on every wire for residues, entanglers RZZ, RXX on every pair of wires for the
boxes between residues, and both for the boxes that merge wires. Entanglers are boxes of their own so that all
residues can share them.

"exchange": boxes that merge wires start as a partial swap, RXX = RYY = RZZ, of each wire with its partner.
Each output is then part of one input and part of the other: a tree starts as the mean of its leaves and a
path as a memory that fades, instead of forgetting all but one residue.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations, count
from typing import Any

from bondwise.runs import UsageError, unknown_name, whole_number

_MAX_LAYERS = 1_000
PARAMETERIZED = ("Rx", "Ry", "Rz", "CRx", "CRz", "Rzz", "Rxx", "Ryy")


@dataclass(frozen=True)
class Gate:
    """A gate of a box.

    Attributes:
        name: `"H"`, `"CX"`, `"Rx"`, `"Ry"`, `"Rz"`, `"CRx"`, `"CRz"`, `"Rzz"`, `"Rxx"` or `"Ryy"`.
        wires: Wires that the gate acts on, the control first.
        parameter: Index of its angle among the angles of the box; None for H and CX.
    """

    name: str
    wires: tuple[int, ...]
    parameter: int | None = None


@dataclass(frozen=True)
class Ansatz:
    """Rules by which the boxes of a diagram become circuits.

    Args:
        name: Name of the ansatz, `"reupload"`, `"exchange"`, `"iqp"`, `"sim14"`, `"sim15"` or `"strongly"`.
        layers: Number of repetitions within a box, from 1 to 1,000.
        entangle: Whether `"reupload"` has entanglers; False is an ablation that shows whether they help.

    Raises:
        UsageError: If the name is unknown, `layers` is out of range, or `entangle=False` with another ansatz.

    Example:
        >>> from bondwise.qml.protein import Ansatz
        >>> [gate.name for gate in Ansatz("reupload").gates(2, "merge")]
        ['Ry', 'Rz', 'Ry', 'Rz', 'Rzz', 'Rxx']
    """

    name: str = "reupload"
    layers: int = 1
    entangle: bool = True

    def __post_init__(self) -> None:
        if self.name not in _LAYOUTS:
            raise unknown_name("ansatz", str(self.name), _LAYOUTS)
        object.__setattr__(self, "layers", whole_number("layers", self.layers, most=_MAX_LAYERS))
        if not self.entangle and self.name != "reupload":
            raise UsageError(f"entangle=False needs the ansatz 'reupload', not {self.name!r}.")

    def gates(self, wires: int, kind: str) -> tuple[Gate, ...]:
        """The gates of a box.

        Args:
            wires: Number of qubits.
            kind: `"word"` (a residue, a k-mer or the start), `"mix"` (between residues), `"merge"` (of two
                wires) or `"end"` (before the measurement).
        """
        if kind == "end" and self.name in ("reupload", "exchange"):
            return _numbered(Gate(name, (wire,)) for wire in range(wires) for name in ("Rz", "Ry"))
        if self.name == "reupload":
            blocks = {"word": [_rotations], "mix": [_entanglers], "merge": [_rotations, _entanglers]}[kind]
            if not self.entangle:
                blocks = [block for block in blocks if block is not _entanglers]
            return _numbered(gate for _ in range(self.layers) for block in blocks for gate in block(wires))
        if self.name == "exchange":
            block = _exchange if kind == "merge" else _rotations
            return _numbered(gate for _ in range(self.layers) for gate in block(wires))
        if wires == 1:  # lambeq's rule for boxes on one wire: three alternating rotations
            return _numbered(Gate(name, (0,)) for name in _ALONE[self.name])
        return _numbered(_LAYOUTS[self.name](wires, self.layers))

    def to_lambeq(self, qubits: dict[Any, int], *, discard: bool) -> Any:
        """Deprecated form of `lambeq_ansatz`."""
        message = "Ansatz.to_lambeq is now lambeq_ansatz(ansatz, …); the old name goes in the next release."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return import_module("bondwise.qml.protein").lambeq_ansatz(self, qubits, discard=discard)


def _numbered(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    """The gates with their angles numbered in order."""
    numbers = count()
    return tuple(
        Gate(gate.name, gate.wires, next(numbers)) if gate.name in PARAMETERIZED else gate for gate in gates
    )


def _rotations(n: int) -> Iterable[Gate]:
    for wire in range(n):
        yield from (Gate("Ry", (wire,)), Gate("Rz", (wire,)))


def _entanglers(n: int) -> Iterable[Gate]:
    for name in ("Rzz", "Rxx"):
        yield from (Gate(name, pair) for pair in combinations(range(n), 2))


def _exchange(n: int) -> Iterable[Gate]:
    for pair in zip(range(n // 2), range(n // 2, n), strict=True):
        yield from (Gate(name, pair) for name in ("Rxx", "Ryy", "Rzz"))
    yield from _rotations(n)


def _iqp(n: int, layers: int) -> Iterable[Gate]:
    for _ in range(layers):
        yield from (Gate("H", (wire,)) for wire in range(n))
        yield from (Gate("CRz", (wire, wire + 1)) for wire in range(n - 1))
    yield from (Gate("H", (wire,)) for wire in range(n))


def _sim(entangler: str) -> Callable[[int, int], Iterable[Gate]]:
    """Two layers of RY, each followed by a ring of entanglers; the rings run in opposite directions."""

    def layout(n: int, layers: int) -> Iterable[Gate]:
        for _ in range(layers):
            yield from (Gate("Ry", (wire,)) for wire in range(n))
            yield from (Gate(entangler, (wire, (wire - 1) % n)) for wire in range(n))
            yield from (Gate("Ry", (wire,)) for wire in range(n))
            yield from (Gate(entangler, (wire % n, (wire + 1) % n)) for wire in range(n, 0, -1))

    return layout


def _strongly(n: int, layers: int) -> Iterable[Gate]:
    for layer in range(layers):
        for wire in range(n):
            yield from (Gate("Rz", (wire,)), Gate("Ry", (wire,)), Gate("Rz", (wire,)))
        yield from (Gate("CX", (wire, (wire + layer % (n - 1) + 1) % n)) for wire in range(n))


_LAYOUTS: dict[str, Any] = {
    "reupload": None,
    "exchange": None,
    "iqp": _iqp,
    "sim14": _sim("CRx"),
    "sim15": _sim("CX"),
    "strongly": _strongly,
}
_ALONE = {name: ("Rx", "Rz", "Rx") for name in ("iqp", "sim14", "sim15")} | {"strongly": ("Rz", "Ry", "Rz")}


def latch_gates(wires: int, layers: int) -> tuple[Gate, ...]:
    """Gates that can couple wires in any way: rotations RY, RZ, then RXX, RYY, RZZ on every pair.

    Args:
        wires: Number of qubits.
        layers: Number of repetitions.
    """
    pairs = tuple(combinations(range(wires), 2))
    return _numbered(
        gate
        for _ in range(layers)
        for gate in (*_rotations(wires), *(Gate(name, p) for p in pairs for name in ("Rxx", "Ryy", "Rzz")))
    )


def count_parameters(gates: Sequence[Gate]) -> int:
    """Number of angles of the gates of a box."""
    return sum(gate.parameter is not None for gate in gates)
