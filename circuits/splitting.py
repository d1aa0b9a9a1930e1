"""Circuits rewritten so that no gate depends on more than one free angle.

Every occurrence of a free angle gets a `Parameter` of its own, and the angles are kept as a function of the
circuit's parameters. This function carries the chain rule for shared, scaled and summed parameters, and only
plain rotations remain to be differentiated: `u(θ, φ, λ)` becomes rz(λ) ry(θ) rz(φ), and gates that are not
rotations are replaced by their definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    CircuitError,
    ControlFlowOp,
    Delay,
    Operation,
    ParameterExpression,
    ParameterVector,
)
from qiskit.circuit.library import (
    CPhaseGate,
    CRXGate,
    CRYGate,
    CRZGate,
    CU1Gate,
    GlobalPhaseGate,
    PhaseGate,
    RXGate,
    RXXGate,
    RYGate,
    RYYGate,
    RZGate,
    RZXGate,
    RZZGate,
    U1Gate,
    UGate,
)

from bondwise.circuits.angles import Angles
from bondwise.circuits.cache import CircuitCache
from bondwise.circuits.composites import in_gates
from bondwise.circuits.files.checks import check_matrix
from bondwise.circuits.naming import operation_of
from bondwise.runs import UsageError

CONTROLLED_ROTATIONS = frozenset({CRXGate, CRYGate, CRZGate})
ROTATIONS = CONTROLLED_ROTATIONS | {
    RXGate, RYGate, RZGate, PhaseGate, RXXGate, RYYGate, RZZGate, RZXGate, CPhaseGate,
}  # fmt: skip
_OLD_NAMES = {U1Gate: PhaseGate, CU1Gate: CPhaseGate}


@dataclass(frozen=True, eq=False)
class SplitCircuit:
    """A circuit of single-angle gates, and its angles as a function of the original parameters.

    Attributes:
        circuit: The rewritten circuit. Its parameters are `angle[0]` … `angle[G-1]`, each used once by a
            gate of `ROTATIONS`. Instructions without free parameters are unchanged.
        angles: Function from the parameters (*batch, P) of the original circuit to the angles (*batch, G).
        phases: Function from the same parameters to terms whose sum is the global phase that `circuit` lacks.
    """

    circuit: QuantumCircuit
    angles: Angles
    phases: Angles


_cache: CircuitCache[SplitCircuit] = CircuitCache()


def split(circuit: QuantumCircuit, *, keep_cp: bool = True) -> SplitCircuit:
    """Rewrite a circuit with one angle per gate; the result is cached.

    Args:
        circuit: The circuit.
        keep_cp: Whether to keep `cp` gates. A device without this gate runs it as three rotations by half its
            angle, each with its own errors, and no shift of the whole angle gives the gradient of the result.

    Returns:
        The rewritten circuit and its angles.

    Raises:
        UsageError: If a parameter is in an instruction that is not a rotation and has no definition; the
            message names it.
    """
    return _cache.get(circuit, lambda: _Splitter(circuit, keep_cp).result(), keep_cp)


def is_free(value: Any) -> bool:
    """Whether a gate's parameter depends on a free `Parameter`."""
    return isinstance(value, ParameterExpression | QuantumCircuit) and bool(value.parameters)


def closed_kind(operation: Any) -> type:
    """The class of a gate; `object` for a gate controlled on zeros, which its class does not show."""
    closed = 2 ** getattr(operation, "num_ctrl_qubits", 0) - 1
    if getattr(operation, "ctrl_state", closed) != closed:
        return object
    return getattr(operation, "base_class", type(operation))


class _Splitter:
    def __init__(self, circuit: QuantumCircuit, keep_cp: bool) -> None:
        self._source = circuit
        self._keep_cp = keep_cp
        # (gate, qubits, clbits), where the class of a rotation stands for a gate that takes the next angle
        self._steps: list[tuple[Any, Any, Any]] = []
        self._angles: list[ParameterExpression] = []
        self._phases: list[ParameterExpression | float] = [circuit.global_phase]
        for step in circuit.data:
            self._add(operation_of(step), step.qubits, step.clbits)

    def result(self) -> SplitCircuit:
        circuit = self._source.copy_empty_like()
        circuit.global_phase = 0.0
        fresh = iter(ParameterVector("angle", len(self._angles)))
        for operation, qubits, clbits in self._steps:
            gate = operation(next(fresh)) if isinstance(operation, type) else operation
            circuit.append(gate, qubits, clbits, copy=False)
        parameters = list(self._source.parameters)
        return SplitCircuit(circuit, Angles(self._angles, parameters), Angles(self._phases, parameters))

    def _add(self, operation: Any, qubits: Any, clbits: Any, inside: str = "") -> None:
        params: Any = getattr(operation, "params", ())
        kind = closed_kind(operation)
        kind = _OLD_NAMES.get(kind, kind)
        if not any(map(is_free, params)) and not isinstance(operation, AnnotatedOperation):
            check_matrix(operation)
            self._steps.append((operation, qubits, clbits))
        elif isinstance(operation, Delay):
            raise UsageError(
                "a delay has a free duration, which has no gradient; bind it with circuit.assign_parameters."
            )
        elif kind is CPhaseGate and not self._keep_cp:
            half, (first, second) = params[0] / 2, qubits
            for axis, angle, wires in (
                (RZGate, half, [first]), (RZGate, half, [second]), (RZZGate, -half, [first, second])
            ):  # fmt: skip
                self._rotate(axis, angle, wires)
            self._phases.append(half / 2)
        elif kind in ROTATIONS:
            self._rotate(kind, params[0], qubits)
        elif kind is UGate:
            theta, phi, lam = params
            for axis, angle in ((RZGate, lam), (RYGate, theta), (RZGate, phi)):
                self._rotate(axis, angle, qubits)
            self._phases.append((phi + lam) / 2)
        elif kind is GlobalPhaseGate:
            self._phases.append(params[0])
        else:
            definition = definition_of(operation)
            if definition is None:
                raise UsageError(
                    f"gate '{operation.name}'{inside} has free parameters and neither a gradient rule nor a "
                    "definition in gates that have one; write it with rx, ry, rz, p, u, rxx, ryy, rzz, rzx, "
                    "cp, crx, cry or crz."
                )
            self._phases.append(definition.global_phase)
            place = dict(zip(definition.qubits, qubits, strict=True))
            place |= dict(zip(definition.clbits, clbits, strict=True))
            for step in definition.data:
                wires = [place[bit] for bit in step.qubits]
                bits = [place[bit] for bit in step.clbits]
                self._add(operation_of(step), wires, bits, inside or f" (inside '{operation.name}')")

    def _rotate(self, kind: Any, angle: ParameterExpression | float, qubits: Any) -> None:
        if is_free(angle):
            self._steps.append((kind, qubits, ()))
            self._angles.append(angle)
        elif float(angle) != 0.0:
            self._steps.append((kind(float(angle)), qubits, ()))


def definition_of(operation: Operation) -> QuantumCircuit | None:
    """The gates that an operation is made of, with the modifiers of an annotated one; None if unknown."""
    try:
        if isinstance(operation, AnnotatedOperation):
            alone = QuantumCircuit(operation.num_qubits)
            alone.append(operation, alone.qubits)
            written = in_gates(alone)
            return None if written is alone else written
        return None if isinstance(operation, ControlFlowOp) else getattr(operation, "definition", None)
    except (CircuitError, TypeError):  # some definitions cannot be made with free parameters
        return None
