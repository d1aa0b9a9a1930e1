"""Lambeq circuits as tensor networks: the tensors, their labels and their parameters.

Every leg has dimension 2 and a label. Controls, and the wires of diagonal gates, keep their label, so that
one label can join many tensors. A rotation by t turns is affine in the numbers (1, cos πt, sin πt), so its
tensor is constant with one more axis for these numbers: (cos, sin) for a plain rotation and (1, cos, sin) for
a controlled one. Circuits that differ only in their symbols or phases have the same `Network`.

Arrays follow lambeq: inputs before outputs, the transpose of the usual matrix.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from bondwise.runs import UsageError, kind_of, unchanged_process

with unchanged_process():
    from lambeq.backend import quantum
    from lambeq.backend.symbol import Symbol

_I = np.eye(2)
_ROTATIONS = {  # coefficients of cos and sin; lambeq's are transposed
    "Rx": np.array([_I, [[0, -1j], [-1j, 0]]]),
    "Ry": np.array([_I, [[0, 1], [-1, 0]]]),
    "Rz": np.array([_I, [[-1j, 0], [0, 1j]]]),
}


class Gate(NamedTuple):
    """A tensor without its labels.

    Attributes:
        rotation: "Rx", "Ry" or "Rz"; empty for a fixed gate.
        controls: Number of controls.
        diagonal: Whether the single input and the single output share one label.
        shape: Shape of the fixed array without controls.
        data: Bytes of this array, complex128.
    """

    rotation: str
    controls: int
    diagonal: bool
    shape: tuple[int, ...]
    data: bytes


class Tensor(NamedTuple):
    """A gate on its labels: controls, then inputs, then outputs (or the one label of a diagonal gate).

    Attributes:
        gate: The gate.
        labels: Labels k ≥ 0 of the ket; `~k` is the label of the same wire in the bra.
        once: Whether the tensor occurs only once in a mixed circuit, not in the ket and, conjugated, in the
            bra.
    """

    gate: Gate
    labels: tuple[int, ...]
    once: bool


class Network(NamedTuple):
    """The structure of a circuit; the i-th rotation among its tensors takes the i-th parameter.

    Attributes:
        mixed: Whether ket and bra must be contracted together.
        tensors: Tensors in the order of the circuit.
        joined: Labels that ket and bra share because of a discard or a measurement.
        bits: Labels of the open classical wires, inputs before outputs; empty for a pure circuit.
        qubits: Labels of the open quantum wires.
    """

    mixed: bool
    tensors: tuple[Tensor, ...]
    joined: tuple[int, ...]
    bits: tuple[int, ...]
    qubits: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """The structure of a circuit and its parameters, scale · weight + offset turns.

    Attributes:
        network: The structure; circuits of the same structure share this object.
        names: Symbol of every rotation; None if its phase is a number.
        scales: Scales, float64 (rotations,).
        offsets: Offsets, float64 (rotations,).
    """

    network: Network
    names: tuple[str | None, ...]
    scales: np.ndarray
    offsets: np.ndarray


_seen: dict[int, tuple[weakref.ref, Reading]] = {}


def read_circuit(circuit: quantum.Diagram) -> Reading:
    """Read a lambeq circuit; the reading is cached as long as the circuit exists.

    Args:
        circuit: Circuit, which may be mixed and have open inputs and bits; it must not change afterwards.

    Raises:
        UsageError: If the object is not a lambeq circuit, or a box other than a rotation has a parameter.
    """
    known = _seen.get(id(circuit))
    if known is not None and known[0]() is circuit:
        return known[1]
    if not isinstance(circuit, quantum.Diagram):
        raise UsageError(
            f"{type(circuit).__name__} is not a lambeq circuit; make one from a diagram with an ansatz such "
            "as IQPAnsatz."
        )
    reading = _Reader(circuit).reading()
    reading = replace(reading, network=_interned(reading.network))
    key = id(circuit)
    _seen[key] = (weakref.ref(circuit, lambda _: _seen.pop(key, None)), reading)
    return reading


@lru_cache(maxsize=4096)
def _interned(network: Network) -> Network:
    return network


@cache
def gate_tensor(gate: Gate) -> np.ndarray:
    """The constant tensor of a gate, complex128; the first axis of a rotation is that of its numbers."""
    if gate.rotation:
        parts = _ROTATIONS[gate.rotation]
    else:
        parts = np.frombuffer(gate.data, complex).reshape(1, *gate.shape)
    legs = (parts.ndim - 1) // 2
    identity = np.eye(2**legs).reshape((2,) * 2 * legs)
    if gate.diagonal:
        parts, identity = np.einsum("kii->ki", parts), np.ones(2)
    if gate.controls:
        active: tuple[Any, ...] = (1,) * gate.controls
        tensor = np.zeros((1 + len(parts), *(2,) * gate.controls, *parts.shape[1:]), complex)
        tensor[0] = identity
        tensor[(0, *active)] = 0
        tensor[(slice(1, None), *active)] = parts
        parts = tensor
    return parts if gate.rotation else parts.sum(0)


@dataclass
class _Reader:
    circuit: quantum.Diagram
    tensors: list[Tensor] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    wires: list[int] = field(default_factory=list)
    used: int = 0

    def reading(self) -> Reading:
        circuit = self.circuit
        self.mixed = circuit.is_mixed
        bits: list[int] = []
        qubits: list[int] = []
        for kind in circuit.dom:
            outer, inner = self.fresh(2)
            self.place(_I, (outer, inner), once=self.mixed and kind == quantum.bit)
            (bits if self.mixed and kind == quantum.bit else qubits).append(outer)
            self.wires.append(inner)
        for layer in circuit.layers:
            start = len(layer.left)
            stop = start + len(layer.box.dom)
            self.wires[start:stop] = self.apply(layer.box, self.wires[start:stop])
        for kind, wire in zip(circuit.cod, self.wires, strict=True):
            (bits if self.mixed and kind == quantum.bit else qubits).append(wire)
        network = Network(
            self.mixed, tuple(self.tensors), tuple(sorted(self.joined)), tuple(bits), tuple(qubits)
        )
        return Reading(network, tuple(self.names), np.array(self.scales), np.array(self.offsets))

    def fresh(self, count: int) -> list[int]:
        self.used += count
        return list(range(self.used - count, self.used))

    def place(self, array: Any, labels: Sequence[int], *, once: bool = False) -> None:
        array = np.asarray(array, complex) + 0.0  # no negative zeros, so that equal arrays have equal bytes
        self.tensors.append(Tensor(Gate("", 0, False, array.shape, array.tobytes()), tuple(labels), once))

    def apply(self, box: quantum.Box, wires: list[int]) -> list[int]:
        """Add the tensors of a box, and return the labels of its outputs."""
        if isinstance(box, quantum.Swap):
            return wires[::-1]
        if isinstance(box, quantum.Discard):
            self.joined += wires
            return []
        if isinstance(box, quantum.Measure):
            self.joined += wires
            return wires
        if isinstance(box, quantum.Encode):
            copy = np.zeros((2, 2, 2))
            copy[0, 0, 0] = copy[1, 1, 1] = 1
            (ket,) = self.fresh(1)
            self.place(copy, (*wires, ket, ~ket), once=True)
            return [ket]
        if isinstance(box, quantum.MixedState):
            (ket,) = self.fresh(1)
            self.place(_I, (ket, ~ket), once=True)
            return [ket]
        if box.is_mixed:
            outputs = self.fresh(len(box.cod))
            labels = [*_mixed_labels(box.dom, wires), *_mixed_labels(box.cod, outputs)]
            self.place(np.reshape(box.data, (2,) * len(labels)), labels, once=True)
            return outputs
        if self.mixed and box.is_classical:
            outputs = self.fresh(len(box.cod))
            self.place(box.array, (*wires, *outputs), once=True)
            return outputs
        return self.apply_pure(box, wires)

    def apply_pure(self, box: quantum.Box, wires: list[int]) -> list[int]:
        controls, targets = [], list(range(len(wires)))
        while True:
            if isinstance(box, quantum.Controlled):
                first = box.distance > 0
                width = len(box.controlled.dom)
                controls.append(targets[0 if first else -1])
                targets = targets[-width:] if first else targets[:width]
                box = box.controlled
            elif isinstance(box, quantum.Daggered) and isinstance(box.box, quantum.Parametrized):
                box = box.box.dagger()
            else:
                break
        if isinstance(box, quantum.Rotation):
            rotation, shape, data = self.parameter(box), (2, 2), b""
            diagonal = rotation == "Rz"
        else:
            if box.free_symbols:
                raise UsageError(
                    f"box {box.name} has a parameter; only Rx, Ry, Rz, CRx, CRy and CRz can have one."
                )
            array = np.asarray(box.array, complex) + 0.0
            rotation, shape, data = "", array.shape, array.tobytes()
            diagonal = len(box.dom) == len(box.cod) == 1 and not (array[0, 1] or array[1, 0])
        inputs = [wires[t] for t in targets]
        outputs = inputs if diagonal else self.fresh(len(box.cod))
        labels = (*(wires[c] for c in controls), *inputs, *(() if diagonal else outputs))
        self.tensors.append(Tensor(Gate(rotation, len(controls), diagonal, shape, data), labels, False))
        if not controls:
            return outputs
        result = list(wires)
        for target, output in zip(targets, outputs, strict=True):
            result[target] = output
        return result

    def parameter(self, box: quantum.Rotation) -> str:
        rotation = type(box).__name__
        if rotation not in _ROTATIONS:
            raise UsageError(f"unknown rotation {box.name}; use Rx, Ry or Rz.")
        if isinstance(box.data, Symbol):
            name, scale, offset = box.data.name, float(box.data.scale), 0.0
        else:
            try:
                name, scale, offset = None, 0.0, float(box.data)
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"the phase of {box.name} is {kind_of(box.data)}; give a number or a "
                    "number times a lambeq Symbol."
                ) from error
        self.names.append(name)
        self.scales.append(scale)
        self.offsets.append(offset)
        return rotation


def _mixed_labels(kinds: Any, wires: Sequence[int]) -> list[int]:
    """Labels of the axes of a mixed box: bits, then ket, then bra of the qubits."""
    bits = [wire for kind, wire in zip(kinds, wires, strict=True) if kind == quantum.bit]
    kets = [wire for kind, wire in zip(kinds, wires, strict=True) if kind != quantum.bit]
    return [*bits, *kets, *(~ket for ket in kets)]
