"""Noise amplified by unitary folding of a transpiled circuit: `U → U (U† U)^k` (arXiv:2005.10921).

The noise of a circuit is scaled by inserting pairs of gates that undo one another. A device runs its own
gates only, and `sx` or `rzz(θ)` have inverses outside this set, so inverses are written with the gates that
are there: `sx† = rz(π) sx rz(π)` and `rzz(-θ) = x rzz(θ) x`, up to a global phase.

The scale factor is the number of two-qubit gates after folding over the number before (in a circuit without
any, of all gates). A circuit of n such gates reaches steps of 2/n; the achieved factor is returned with the
circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, isfinite, pi

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction, Delay, Gate, Measure, Qubit
from qiskit.circuit.library import RZGate, XGate
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

from bondwise.circuits import as_circuit, in_gates, true_names
from bondwise.runs import UsageError, random_generator


def fold_global(
    circuit: QuantumCircuit, scale_factor: float, *, target: Target | None = None
) -> tuple[QuantumCircuit, float]:
    """Fold the whole circuit, then its last gates once more to come as near to the factor as possible.

    `U` becomes `U (U† U)^k B† B`, where B is the end of U that holds the missing two-qubit gates. All gates
    are repeated, so the noise of one-qubit gates is scaled as well. Barriers keep the parts from being
    merged. Delays stay as they are; measurements at the end stay at the end; parameters may be free.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        scale_factor: At least 1.
        target: Device the result must be legal on; without it, inverses use the circuit's own gates if they
            can.

    Returns:
        The folded circuit and the scale factor achieved, within 1/n of the one asked for when the circuit
        has n two-qubit gates. At factor 1 it is `circuit` itself.

    Raises:
        UsageError: A factor below 1 or not finite, a circuit without gates, with an operation that cannot be
            undone (reset, control flow, measurement before the end), or with a gate without inverse on
            `target`.
    """
    circuit = as_circuit(circuit)
    named = in_gates(true_names(circuit))
    body, tail = _split(named)
    counted = _counted(body)
    extra = _extra_folds(scale_factor, len(counted))
    if not extra:
        return circuit, 1.0
    whole, part = divmod(extra, len(counted))
    inverse = _inverter(named, target)
    touched = {qubit for instruction in body if _is_gate(instruction) for qubit in instruction.qubits}
    active = [qubit for qubit in circuit.qubits if qubit in touched]
    pieces = [body] * whole + ([body[counted[-part] :]] if part else [])
    folded = circuit.copy_empty_like()
    _append(folded, body)
    for piece in pieces:
        folded.barrier(active)
        for instruction in reversed(piece):
            _append(folded, inverse(instruction))
        folded.barrier(active)
        _append(folded, piece)
    _append(folded, tail)
    return folded, 1 + 2 * extra / len(counted)


def fold_gates(
    circuit: QuantumCircuit,
    scale_factor: float,
    *,
    target: Target | None = None,
    seed: int | None = None,
) -> tuple[QuantumCircuit, float]:
    """Fold each two-qubit gate by itself: `G → G (G† G)^k`, a random subset of them once more.

    One-qubit gates are not repeated, so their noise is not scaled and stays in the extrapolated value. Each
    fold stands between barriers on the gate's qubits. For one seed the subsets of growing factors are
    nested.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        scale_factor: At least 1.
        target: Device the result must be legal on; without it, inverses use the circuit's own gates if they
            can.
        seed: For the random subset.

    Returns:
        The folded circuit and the scale factor achieved, within 1/n of the one asked for when the circuit
        has n two-qubit gates. At factor 1 it is `circuit` itself.

    Raises:
        UsageError: As for `fold_global`.
    """
    circuit = as_circuit(circuit)
    named = in_gates(true_names(circuit))
    body, tail = _split(named)
    counted = _counted(body)
    extra = _extra_folds(scale_factor, len(counted))
    if not extra:
        return circuit, 1.0
    whole, part = divmod(extra, len(counted))
    folds = dict.fromkeys(counted, whole)
    for position in random_generator(seed).permutation(counted)[:part]:
        folds[int(position)] += 1
    inverse = _inverter(named, target)
    folded = circuit.copy_empty_like()
    for position, instruction in enumerate(body):
        _append(folded, [instruction])
        for _ in range(folds.get(position, 0)):
            folded.barrier(instruction.qubits)
            _append(folded, inverse(instruction))
            folded.barrier(instruction.qubits)
            _append(folded, [instruction])
    _append(folded, tail)
    return folded, 1 + 2 * extra / len(counted)


def _extra_folds(scale_factor: float, count: int) -> int:
    """Pairs of gates to insert in all: each adds 2/count to the scale factor."""
    if not isfinite(scale_factor) or scale_factor < 1:
        raise UsageError(
            f"scale factor {scale_factor} is not possible; folding takes factors from 1 on, such as 3."
        )
    return floor((scale_factor - 1) / 2 * count + 0.5)


def _is_gate(instruction: CircuitInstruction) -> bool:
    return isinstance(instruction.operation, Gate) and bool(instruction.qubits)  # a global phase is none


def _counted(body: Sequence[CircuitInstruction]) -> list[int]:
    """Positions of the gates that make up the scale factor."""
    gates = [position for position, instruction in enumerate(body) if _is_gate(instruction)]
    if not gates:
        raise UsageError("the circuit has no gates, so there is no noise to scale; run it without folding.")
    return [position for position in gates if len(body[position].qubits) > 1] or gates


def _split(circuit: QuantumCircuit) -> tuple[list[CircuitInstruction], list[CircuitInstruction]]:
    """The unitary part and the measurements after it, which commute with gates on other qubits."""
    body: list[CircuitInstruction] = []
    tail: list[CircuitInstruction] = []
    measured: set[Qubit] = set()
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, Measure):
            measured.update(instruction.qubits)
            tail.append(instruction)
        elif isinstance(operation, Barrier | Delay) and not measured.isdisjoint(instruction.qubits):
            tail.append(instruction)
        elif not isinstance(operation, Gate | Barrier | Delay):
            raise UsageError(
                f"{operation.name!r} cannot be undone, so the circuit cannot be folded; take it out."
            )
        elif not measured.isdisjoint(instruction.qubits):
            raise UsageError(
                f"{operation.name!r} acts after a measurement; only measurements at the end can be folded."
            )
        else:
            body.append(instruction)
    return body, tail


def _append(circuit: QuantumCircuit, instructions: Sequence[CircuitInstruction]) -> None:
    for instruction in instructions:
        circuit.append(instruction)


def _inverter(
    circuit: QuantumCircuit, target: Target | None
) -> Callable[[CircuitInstruction], list[CircuitInstruction]]:
    """The function that writes the inverse of one of the circuit's instructions with the gates allowed."""
    own = {instruction.operation.name for instruction in circuit.data}

    def allowed(part: CircuitInstruction) -> bool:
        if target is None:
            return part.operation.name in own
        places = tuple(circuit.find_bit(qubit).index for qubit in part.qubits)
        return target.instruction_supported(part.operation.name, places)

    def inverse(instruction: CircuitInstruction) -> list[CircuitInstruction]:
        if not _is_gate(instruction):
            return [instruction]  # a barrier or a delay, its own mirror image
        ways = _inverses(instruction)
        for way in ways:
            if all(allowed(part) for part in way):
                return way
        if target is None:
            return ways[-1]
        raise UsageError(
            f"the inverse of {instruction.operation.name!r} cannot be written with the gates of the target "
            f"({', '.join(sorted(target.operation_names))}); transpile for a basis that has it."
        )

    return inverse


def _inverses(instruction: CircuitInstruction) -> list[list[CircuitInstruction]]:
    """Ways to write the inverse up to a global phase, best first, the gate's own last."""
    operation, qubits = instruction.operation, instruction.qubits
    first = qubits[:1]
    ways = []
    if operation.name in ("sx", "sxdg", "iswap"):  # Z on one qubit turns the rotation round
        half_turn = CircuitInstruction(RZGate(pi), first)
        ways.append([half_turn, CircuitInstruction(operation, qubits), half_turn])
    elif operation.name == "rzz":  # devices take angles from 0 to π/2 only
        flip = CircuitInstruction(XGate(), first)
        ways.append([flip, instruction, flip])
    return [*ways, [CircuitInstruction(_inverse(operation), qubits)]]


def _inverse(gate: Gate) -> Gate:
    try:
        return gate.inverse()
    except QiskitError as error:  # none of its own, or one that fails
        if gate.definition is None:
            raise UsageError(
                f"{gate.name!r} has neither an inverse nor a definition, so the circuit cannot be folded."
            ) from error
        return gate.definition.inverse().to_gate()
