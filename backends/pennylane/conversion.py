"""From Qiskit to PennyLane: circuits become quantum functions, Pauli sums become Hamiltonians.

Wire i is qubit i, but the two packages order basis states differently: PennyLane's first wire is the highest
bit, Qiskit's first qubit the lowest. A matrix on several qubits therefore acts on the wires in reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitError, Delay, Operation, ParameterVectorElement
from qiskit.circuit import library as gates

from bondwise.backends.pennylane.pairs import FIXED, ROTATIONS
from bondwise.circuits import Observable, as_operator, hermitian, is_observable
from bondwise.circuits.files.formats import is_circuit_file
from bondwise.circuits.files.orders import with_order
from bondwise.circuits.splitting import SplitCircuit, closed_kind, split
from bondwise.runs import UsageError, real_array
from bondwise.runs.text import counted

Wires = Sequence[Any]


def _rotation(operator: type[Operator], angle: Any, wires: Wires) -> list[Operator]:
    return [operator(angle, wires)]


_ROTATIONS: dict[type, Callable[[Any, Wires], list[Operator]]] = {
    gates.RZXGate: lambda angle, w: [qml.Hadamard(w[1]), qml.IsingZZ(angle, w), qml.Hadamard(w[1])],
    **{gate: partial(_rotation, operator) for gate, operator in ROTATIONS.items()},
}
_FIXED: dict[type, Callable[[Wires], Operator]] = {
    gates.SdgGate: lambda w: qml.adjoint(qml.S(w)),
    gates.TdgGate: lambda w: qml.adjoint(qml.T(w)),
    gates.SXdgGate: lambda w: qml.adjoint(qml.SX(w)),
    **FIXED,
}


@dataclass(frozen=True)
class TranslatedGate:
    """A gate in PennyLane's form, without its angle and its wires.

    Attributes:
        make: Function from angle and wires to PennyLane operators; in a quantum function they are queued.
        qubits: Qiskit's indices, in the order of the gate.
        angle: Index of the free angle; None for a gate without one.
    """

    make: Callable[[Any, Wires], list[Operator]]
    qubits: tuple[int, ...]
    angle: int | None = None


def to_pennylane(source: QuantumCircuit | Observable) -> Callable[..., None] | Operator:
    """Translate a circuit or an observable to PennyLane.

    Args:
        source: A circuit of gates with a matrix or a definition (barriers and delays are left out), the path
            of its file, or an observable as for `estimate`.

    Returns:
        For a circuit, a quantum function `f(parameters=(), wires=None)` for use in a QNode: `parameters` are
        (P,) or (batch, P) in the order of `source.parameters` (for a path, of its declarations), in radians,
        torch, autograd or numpy arrays;
        `wires` are n labels for qubits 0 … n-1, by default these numbers. The global phase is kept.
        For an observable, the Hamiltonian on wires 0 … n-1 with float64 coefficients.

    Raises:
        UsageError: If the observable is not Hermitian or has a coefficient that is free or not finite, or the
            circuit contains something that is not a gate (measure, reset, control flow) or a gate that has
            neither matrix nor definition. When f is called: if the number of parameters or wires is wrong.

    Example:
        >>> import pennylane as qml
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import to_pennylane
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> circuit, observable = to_pennylane(bell), to_pennylane({"ZZ": 1.0, "IX": 0.5})
        >>> @qml.qnode(qml.device("default.qubit", wires=2))
        ... def value():
        ...     circuit()
        ...     return qml.expval(observable)
        >>> print(round(float(value()), 12))
        1.0
    """
    if is_observable(source) and not is_circuit_file(source):
        operator = as_operator(source)
        if operator.coeffs.imag.any():  # rounding errors, or not an observable
            operator = hermitian(operator)
        words = [qml.pauli.string_to_pauli_word(label[::-1]) for label in operator.paulis.to_labels()]
        return qml.Hamiltonian(operator.coeffs.real, words)
    source, order = with_order(source)
    num_qubits, expected = source.num_qubits, order.count
    parts = split(source)
    program = translated(parts)
    phase = float(parts.circuit.global_phase)

    def circuit(parameters: Any = (), wires: Wires | None = None) -> None:
        labels = list(range(num_qubits)) if wires is None else list(wires)
        if len(labels) != num_qubits:
            raise UsageError(f"the circuit has {num_qubits} qubits and {len(labels)} wires were given.")
        if isinstance(parameters, list | tuple):
            parameters = real_array("the parameters", parameters)
        if "complex" in qml.math.get_dtype_name(parameters):
            raise UsageError("the parameters are complex; gate angles are real numbers in radians.")
        given = qml.math.shape(parameters)
        if not given or given[-1] != expected:
            raise UsageError(
                f"the circuit has {counted(expected, 'parameter')} and an array of shape {given} was given."
            )
        parameters = order.to_circuit(parameters)
        build(program, parts.angles(parameters), labels)
        qml.GlobalPhase(-qml.math.sum(parts.phases(parameters), axis=-1) - phase)

    circuit.__name__ = circuit.__qualname__ = source.name.replace("-", "_")
    return circuit


def build(program: Sequence[TranslatedGate], angles: Any, wires: Wires) -> list[Operator]:
    """Build the operators of a circuit.

    Args:
        program: Gates from `translated`.
        angles: Angles in radians, (*batch, G), of any interface.
        wires: Labels of qubits 0 … n-1.

    Returns:
        The operators in order of application.
    """
    operators = []
    for gate in program:
        angle = None if gate.angle is None else angles[..., gate.angle]
        operators += gate.make(angle, [wires[qubit] for qubit in gate.qubits])
    return operators


@lru_cache(maxsize=64)
def translated(parts: SplitCircuit) -> tuple[TranslatedGate, ...]:
    """The gates of a split circuit in PennyLane's form, made once.

    Raises:
        UsageError: If something has no counterpart in PennyLane; the message names it.
    """
    circuit = parts.circuit
    index = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    return tuple(
        gate
        for instruction in circuit.data
        for gate in _translate(instruction.operation, tuple(index[qubit] for qubit in instruction.qubits))
    )


def _translate(operation: Operation, qubits: tuple[int, ...], inside: str = "") -> Iterator[TranslatedGate]:
    kind = closed_kind(operation)
    if isinstance(operation, Barrier | Delay):
        return
    if kind in _ROTATIONS:
        angle = operation.params[0]
        if isinstance(angle, ParameterVectorElement):
            yield TranslatedGate(_ROTATIONS[kind], qubits, angle.index)
        else:
            yield TranslatedGate(_constant(_ROTATIONS[kind], float(angle)), qubits)
    elif kind in _FIXED:
        yield TranslatedGate(_fixed(_FIXED[kind]), qubits)
    elif kind is gates.GlobalPhaseGate:
        yield TranslatedGate(_phase(float(operation.params[0])), ())
    elif (matrix := _matrix(operation)) is not None:
        yield TranslatedGate(_unitary(matrix), qubits)
    elif (definition := getattr(operation, "definition", None)) is not None:
        place = dict(zip(definition.qubits, qubits, strict=True))
        for step in definition.data:
            wires = tuple(place[qubit] for qubit in step.qubits)
            yield from _translate(step.operation, wires, inside or f" (inside '{operation.name}')")
        if definition.global_phase:
            yield TranslatedGate(_phase(float(definition.global_phase)), ())
    else:
        raise UsageError(
            f"'{operation.name}'{inside} on qubits {list(qubits)} is not a gate with a matrix or a "
            "definition, which is all that PennyLane takes; drop final measurements with "
            "circuit.remove_final_measurements(), or write backend='aer' with shots."
        )


def _matrix(operation: Operation) -> np.ndarray | None:
    """The matrix of a gate that is better applied by its matrix than by its definition."""
    if isinstance(operation, gates.PauliEvolutionGate):
        return None  # the definition is the product formula that hardware runs; the matrix is exact
    defined = getattr(operation, "definition", None) is not None
    if defined and operation.num_qubits > 2 and not isinstance(operation, gates.UnitaryGate):
        return None
    try:
        return np.array(operation.to_matrix(), dtype=complex)  # Qiskit's own are read-only
    except (AttributeError, CircuitError):  # not a gate, or one without a matrix
        return None


def _constant(build: Callable[[Any, Wires], list[Operator]], angle: float) -> Callable:
    return lambda _, wires: build(angle, wires)


def _fixed(build: Callable[[Wires], Operator]) -> Callable:
    return lambda _, wires: [build(wires)]


def _unitary(matrix: np.ndarray) -> Callable:
    return lambda _, wires: [qml.QubitUnitary(matrix, wires[::-1])]


def _phase(angle: float) -> Callable:
    return lambda _, wires: [qml.GlobalPhase(-angle)]
