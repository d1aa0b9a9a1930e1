"""PennyLane operators as Qiskit gates, with numbers or free parameters as angles.

Operators that Qiskit has too are translated; others are replaced by their decompositions, until only such
gates and matrices remain. A matrix acts on the wires in reverse, since PennyLane's first wire is the highest
bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from qiskit.circuit import Barrier, Instruction, ParameterExpression
from qiskit.circuit import library as gates

from bondwise.backends.pennylane.pairs import FIXED, ROTATIONS
from bondwise.circuits.expressions import affine
from bondwise.runs import UsageError, one_line

Step: TypeAlias = tuple[Instruction, tuple[Any, ...]]  # a gate and the labels of its wires

_GATES: dict[type, type] = {operator: gate for gate, operator in (ROTATIONS | FIXED).items()} | {
    qml.U1: gates.PhaseGate,
    qml.U3: gates.UGate,
}
_LEFT_OUT = (qml.Snapshot,)


def steps(operator: Any) -> list[Step]:
    """Translate an operator.

    Args:
        operator: An operator of PennyLane whose angles are numbers, or arrays of shape () that hold Qiskit's
            parameters or expressions.

    Returns:
        Gates in order of application, each with its wires.

    Raises:
        UsageError: If it is not a unitary operator on qubits, or if free parameters are in something other
            than the angles of gates; the message names it.
    """
    kind = type(operator)
    if kind in _GATES:
        gate = _GATES[kind](*map(angle, operator.data))
        return [(gate, tuple(operator.wires))][: gate.num_qubits]  # an identity may have no wires
    for base, translate in _SPECIAL.items():
        if isinstance(operator, base):
            return translate(operator)
    if isinstance(operator, _LEFT_OUT):
        return []
    if not isinstance(operator, Operator) or isinstance(operator, qml.operation.Channel):
        raise UsageError(_refusal(operator))
    return _decomposed(operator)


def angle(value: Any) -> ParameterExpression | float:
    """An angle as Qiskit takes it."""
    value = value.detach() if hasattr(value, "detach") else value
    if np.ndim(value):
        raise UsageError(
            f"an angle is an array of shape {np.shape(value)}, a batch of circuits; "
            "pass one set of arguments."
        )
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, ParameterExpression) and value.parameters:
        affine(value)  # which refuses complex slopes
        return value
    number = complex(value)
    if number.imag:
        raise UsageError(f"the angle {one_line(str(value), 40)} is complex; angles are real, in radians.")
    return number.real


def is_free(operator: Operator) -> bool:
    """Whether an operator depends on free parameters."""
    return any(
        isinstance(value, ParameterExpression) and value.parameters
        for data in operator.data
        for value in ([data] if isinstance(data, ParameterExpression) else _objects(data))
    )


def _objects(data: Any) -> list[Any]:
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    objects = np.ravel(data).tolist() if kind == "O" else []
    return [one.item() if isinstance(one, np.ndarray) and not one.shape else one for one in objects]


def _decomposed(operator: Operator) -> list[Step]:
    reason = ""
    if operator.has_decomposition:
        try:
            with qml.QueuingManager.stop_recording():
                parts = operator.decomposition()
            return [step for part in parts for step in steps(part)]
        except UsageError:
            raise
        except Exception as error:  # it computes with its angles in a way that needs numbers
            reason = f" ({one_line(error, 80).rstrip('.')})"
    if not is_free(operator) and operator.has_matrix:
        return _matrix(operator)
    if is_free(operator):
        raise UsageError(
            f"{_name(operator)} has free angles, which its decomposition cannot keep{reason}; "
            "pass its arguments by keyword or with requires_grad=False, so that they are numbers."
        )
    raise UsageError(_refusal(operator))


def _matrix(operator: Operator) -> list[Step]:
    if is_free(operator):
        raise UsageError(
            f"{_name(operator)} has a matrix of free numbers, and angles of gates are expected; "
            "pass its arguments by keyword or with requires_grad=False, so that they are numbers."
        )
    wires = tuple(operator.wires)
    matrix = np.asarray(qml.math.unwrap(operator.matrix(wire_order=wires)), dtype=complex)
    if matrix.ndim != 2 or len(matrix) != 2 ** len(wires):
        raise UsageError(f"{_name(operator)} is a batch of matrices, or not on qubits; pass one on qubits.")
    if not wires:
        return [(gates.GlobalPhaseGate(float(np.angle(matrix[0, 0]))), ())]
    return [(gates.UnitaryGate(matrix), wires[::-1])]


def _rot(operator: Any) -> list[Step]:
    phi, theta, omega = map(angle, operator.data)
    wires = tuple(operator.wires)
    return [(gates.RZGate(phi), wires), (gates.RYGate(theta), wires), (gates.RZGate(omega), wires)]


def _u2(operator: Any) -> list[Step]:
    return [(gates.UGate(np.pi / 2, *map(angle, operator.data)), tuple(operator.wires))]


def _global_phase(operator: Any) -> list[Step]:
    return [(gates.GlobalPhaseGate(-angle(operator.data[0])), ())]


def _barrier(operator: Any) -> list[Step]:
    return [(Barrier(len(operator.wires)), tuple(operator.wires))] if len(operator.wires) else []


def _prepared(operator: Any) -> list[Step]:
    """A state preparation; it acts on |0…0⟩."""
    if is_free(operator):
        return _matrix(operator)  # which refuses it
    if isinstance(operator, qml.BasisState):
        return [
            (gates.XGate(), (wire,))
            for wire, bit in zip(operator.wires, np.ravel(operator.data[0]), strict=True)
            if int(bit)
        ]
    wires = tuple(operator.wires)
    vector = np.asarray(qml.math.unwrap(operator.state_vector(wire_order=wires)), dtype=complex)
    if vector.ndim != len(wires):
        raise UsageError(f"{_name(operator)} prepares a batch of states; pass one set of arguments.")
    return [(gates.StatePreparation(vector.ravel()), wires[::-1])]


def _adjoint(operator: Any) -> list[Step]:
    return [(gate.inverse(), wires) for gate, wires in reversed(steps(operator.base))]


def _power(operator: Any) -> list[Step]:
    if operator.z != int(operator.z):
        return _decomposed(operator)
    once = steps(operator.base) if operator.z >= 0 else _adjoint(operator)
    return once * abs(int(operator.z))


def _controlled(operator: Any) -> list[Step]:
    """A controlled product is the product of its factors, each controlled."""
    controls, values = tuple(operator.control_wires), [int(value) for value in operator.control_values]
    state = sum(value << place for place, value in enumerate(values))
    found: list[Step] = []
    for gate, wires in steps(operator.base):
        if isinstance(gate, Barrier):
            continue
        if not isinstance(gate, gates.GlobalPhaseGate):
            found.append((gate.control(len(controls), ctrl_state=state), controls + wires))
            continue
        phase: Any = gates.PhaseGate(gate.params[0])  # on the last control, if the others agree
        if len(controls) > 1:
            phase = phase.control(len(controls) - 1, ctrl_state=state & ~(1 << (len(controls) - 1)))
        flip: list[Step] = [] if values[-1] else [(gates.XGate(), controls[-1:])]
        found += [*flip, (phase, controls), *flip]
    return found


def _exponential(operator: Any) -> list[Step]:
    """exp(c·Σ aₖ Pₖ) of commuting Pauli words: one rotation for each."""
    sentence = operator.base.pauli_rep
    words = [] if sentence is None else list(sentence)
    together = all(a.commutes_with(b) for index, a in enumerate(words) for b in words[:index])
    if not words or not together or getattr(operator, "num_steps", None):
        return _decomposed(operator)
    half = _imaginary(operator)
    found = []
    for word, weight in sentence.items():
        turn = angle(-2 * float(np.real(weight)) * half)
        if word:
            found += steps(qml.PauliRot(turn, "".join(word.values()), list(word)))
        else:
            found.append((gates.GlobalPhaseGate(-turn / 2), ()))
    return found


def _imaginary(operator: Any) -> Any:
    """The coefficient of an exponential without its factor i."""
    if isinstance(operator, qml.ops.Evolution):
        return -angle(operator.data[0])
    coefficient = operator.coeff
    coefficient = coefficient.item() if hasattr(coefficient, "item") else coefficient
    if not isinstance(coefficient, ParameterExpression) or not coefficient.parameters:
        if complex(coefficient).real:
            raise UsageError(f"{_name(operator)} is not unitary; write qml.exp(H, -1j * t).")
        return complex(coefficient).imag
    row = affine(-1j * coefficient)  # without the complex factors, which cancel
    if row is None:
        raise UsageError(
            f"{_name(operator)} has a free coefficient that is not linear; write qml.evolve(H, t)."
        )
    return sum((slope * parameter for parameter, slope in row[0].items()), row[1])


_SPECIAL: dict[type, Callable[[Any], list[Step]]] = {
    qml.Rot: _rot,
    qml.U2: _u2,
    qml.GlobalPhase: _global_phase,
    qml.Barrier: _barrier,
    qml.QubitUnitary: _matrix,
    qml.DiagonalQubitUnitary: _matrix,
    StatePrepBase: _prepared,
    qml.ops.Adjoint: _adjoint,
    qml.ops.Pow: _power,
    qml.ops.Controlled: _controlled,
    qml.ops.Exp: _exponential,
}


def _name(operator: Any) -> str:
    wires = ", ".join(map(str, getattr(operator, "wires", ())))
    return f"PennyLane's {getattr(operator, 'name', type(operator).__name__)} on wires [{wires}]"


def _refusal(operator: Any) -> str:
    kind = type(operator).__name__
    if kind in ("MidMeasureMP", "MidMeasure", "Conditional", "PauliMeasure"):
        return (
            "the circuit has a mid-circuit measurement; "
            "pass qml.defer_measurements(qnode) instead of the QNode."
        )
    return f"{_name(operator)} is not a unitary operator on qubits; leave it out, or write it with gates."
