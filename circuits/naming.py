"""True gate names: whatever a gate is called, it runs as what it is.

Qiskit's transpiler, Aer and device targets recognize gates by name; `Operator` and `Statevector` go by class
and definition. A custom gate called `h`, or the `unitary` in Qiskit's OpenQASM files, therefore means one
thing to the first and another to the second. The class and the definition decide what a gate is; a name that
contradicts them is replaced.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    BreakLoopOp,
    CircuitError,
    CircuitInstruction,
    ContinueLoopOp,
    ControlFlowOp,
    ControlledGate,
    ForLoopOp,
    Gate,
    IfElseOp,
    Instruction,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit import library as gates

from bondwise.circuits.files.checks import check_matrix
from bondwise.circuits.sources import as_circuit

_CLASSES: dict[str, tuple[type, ...]] = {
    "barrier": (Barrier,),
    "break_loop": (BreakLoopOp,),
    "continue_loop": (ContinueLoopOp,),
    "diagonal": (gates.DiagonalGate,),
    "for_loop": (ForLoopOp,),
    "if_else": (IfElseOp,),
    "initialize": (gates.Initialize,),
    "mcphase": (gates.MCPhaseGate,),
    "mcx": (gates.MCXGate, gates.C3XGate, gates.C4XGate),
    "multiplexer": (gates.UCGate,),
    "pauli": (gates.PauliGate,),
    "store": (Store,),
    "switch_case": (SwitchCaseOp,),
    "unitary": (gates.UnitaryGate,),
    "while_loop": (WhileLoopOp,),
}
_CHANNELS = ("kraus", "superop")  # plain instructions that consist of their matrices
# further names that Aer and IBM's devices act on, with or without a class for them
_THEIRS = frozenset(
    "cu2 jump mark mcp mcr mcrx mcry mcrz mcswap mcsx mcu mcu1 mcu2 mcu3 mcx_gray mcy mcz measure_2 "
    "qerror_loc quantum_channel roerror".split()
)
# names that the transpiler hands to synthesis plugins, which expect the library's classes
_SYNTHESIZED = frozenset(
    "FullAdder HalfAdder IntComp ModularAdder Multiplier PauliEvolution WeightedSum annotated clifford "
    "linear_function mcmt permutation qft".split()
)
_THEIR_PREFIXES = ("save_", "set_")
_OWNERS = ("qiskit_aer.", "qiskit_ibm_runtime.")
_Known: TypeAlias = dict[int, tuple[QuantumCircuit, QuantumCircuit]]  # definitions and their replacements
_MADE_OF_OTHERS = (Gate, Instruction, ControlledGate, gates.MCMTGate)


def true_names(circuit: QuantumCircuit) -> QuantumCircuit:
    """Rename operations that carry the name of another kind of operation.

    A gate called `h` that is not an `HGate` becomes `own_h`; its definition, angles and label are kept.
    Branches, definitions and annotated operations are searched too.

    Args:
        circuit: The circuit.

    Returns:
        The circuit itself if all names are true, otherwise a copy with the same registers and layout.

    Raises:
        UsageError: If the matrix of a `UnitaryGate` is not unitary.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import true_names
        >>> inner, circuit = QuantumCircuit(1, name="h"), QuantumCircuit(1)
        >>> _ = inner.x(0)
        >>> _ = circuit.append(inner.to_gate(), [0])
        >>> true_names(circuit).data[0].operation.name
        'own_h'
    """
    return _renamed(as_circuit(circuit), {})


def operation_of(step: CircuitInstruction) -> Any:
    """The operation of a step with the name and the numbers that Qiskit runs.

    Those of a standard gate are copied when it is appended; later changes of the Python object do nothing.
    """
    operation = step.operation
    changed = step.is_standard_gate() and (
        operation.name != step.name or list(operation.params) != step.params
    )
    return operation.base_class(*step.params, label=step.label) if changed else operation


def _renamed(circuit: QuantumCircuit, known: _Known) -> QuantumCircuit:
    changes: dict[int, Any] = {}
    for index, step in enumerate(circuit.data):
        operation = operation_of(step)
        truthful = operation if step.is_standard_gate() else _truthful(operation, known)
        if truthful is not step.operation:
            changes[index] = truthful
    if not changes:
        return circuit
    renamed = circuit.copy_empty_like()
    for index, step in enumerate(circuit.data):
        renamed.append(changes.get(index, step.operation), step.qubits, step.clbits, copy=False)
    return renamed


def _truthful(operation: Any, known: _Known) -> Any:
    if isinstance(operation, AnnotatedOperation):
        base = _truthful(operation.base_op, known)
        return operation if base is operation.base_op else AnnotatedOperation(base, operation.modifiers)
    if isinstance(operation, ControlFlowOp):
        blocks = [_renamed(block, known) for block in operation.blocks]
        same = all(new is old for new, old in zip(blocks, operation.blocks, strict=True))
        return operation if same else operation.replace_blocks(blocks)
    if not isinstance(operation, Instruction):
        return operation
    check_matrix(operation)
    name = f"own_{operation.name}" if _is_false(operation) else operation.name
    definition = renamed = _definition(operation)
    if definition is not None:
        if id(definition) not in known:  # keep it alive, so that no other definition gets its id
            known[id(definition)] = definition, _renamed(definition, known)
        renamed = known[id(definition)][1]
    if name == operation.name and renamed is definition:
        return operation
    if isinstance(operation, ControlledGate):  # its name and definition cannot be set
        truthful = Gate(name, operation.num_qubits, list(operation.params), label=operation.label)
        truthful.definition = operation.definition if renamed is None else renamed
        return truthful
    truthful = operation.to_mutable()
    truthful.name = name
    if renamed is not definition:
        truthful.definition = renamed
    return truthful


def _is_false(operation: Instruction) -> bool:
    kind, name = getattr(operation, "base_class", type(operation)), operation.name
    if name in _standard():
        return kind is not _standard()[name]
    if name in _CLASSES:
        return kind not in _CLASSES[name]
    if name in _CHANNELS:
        return kind is not Instruction or operation.definition is not None
    if name in _SYNTHESIZED:
        return not kind.__module__.startswith("qiskit.circuit.library.")
    claims = name in _THEIRS or name.startswith(_THEIR_PREFIXES)
    return claims and not kind.__module__.startswith(_OWNERS)


def _definition(operation: Instruction) -> QuantumCircuit | None:
    """The definition of an operation, if it may contain custom gates."""
    kind = getattr(operation, "base_class", type(operation))
    if kind.__module__.startswith(("qiskit.circuit.", *_OWNERS)) and kind not in _MADE_OF_OTHERS:
        return None
    try:
        return operation.definition
    except (CircuitError, TypeError):  # cannot be made with free parameters
        return None


@cache
def _standard() -> dict[str, type]:
    return {name: gate.base_class for name, gate in gates.get_standard_gate_name_mapping().items()}
