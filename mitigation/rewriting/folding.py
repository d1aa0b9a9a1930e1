"""Noise amplified by unitary folding of a transpiled circuit: `U → U (U† U)^k` (arXiv:2005.10921).

The noise of a circuit is scaled by inserting pairs of gates that undo each other. A device runs only its own
gates, and `sx` and `rzz(θ)` have inverses outside this set, so inverses are written with the gates that
are available: `sx† = rz(π) sx rz(π)` and `rzz(-θ) = x rzz(θ) x`, up to a global phase.

The scale factor is the number of two-qubit gates after folding divided by the number before (the one-qubit
gates count in a circuit without two-qubit gates). With n such gates it can be set in steps of 2/n; the factor
achieved is returned with the circuit.

A gate that the target reports to take no time and to have no error, as `rz` on IBM's devices, amplifies
nothing: it never counts, and is not folded by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import floor, isfinite, pi
from numbers import Real
from typing import NamedTuple, TypeAlias

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction, Delay, Gate, Measure, Qubit
from qiskit.circuit.library import RZGate, XGate
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

from bondwise.circuits import as_circuit, in_gates, true_names
from bondwise.runs import UsageError, kind_of, one_line, random_generator

Body: TypeAlias = list[CircuitInstruction]
Block: TypeAlias = tuple[Sequence[Qubit], Body, list[Body]]  # qubits of the barriers, gates, pieces to fold


class _Work(NamedTuple):
    """What is folded how often.

    Attributes:
        body: The unitary part of the circuit.
        counted: Positions of the gates that make up the scale factor.
        others: Positions of the other gates that make noise.
        whole: How often to fold each of them.
        part: How many of those that count to fold once more.
    """

    body: Body
    counted: list[int]
    others: list[int]
    whole: int
    part: int


def fold_global(
    circuit: QuantumCircuit, scale_factor: float, *, target: Target | None = None
) -> tuple[QuantumCircuit, float]:
    """Fold the whole circuit, then its last gates once more to come as close to the factor as possible.

    `U` becomes `U (U† U)^k B† B`, where B is the end of U with the missing number of two-qubit gates. All
    gates are repeated, so the noise of one-qubit gates is scaled as well. Barriers keep the parts from being
    merged. Delays are kept, measurements at the end stay at the end, and parameters may be free.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        scale_factor: Noise strength to reach, at least 1.
        target: Device that must accept the result; without it, inverses use the circuit's own gates if
            possible.

    Returns:
        The folded circuit and the scale factor achieved, within 1/n of the requested one for a circuit with n
        two-qubit gates. At factor 1 the circuit is `circuit` itself.

    Raises:
        UsageError: If the factor is below 1 or not finite, the circuit has no gates or an operation that
            cannot be undone (reset, control flow, measurement before the end), or a gate has no inverse on
            `target`.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import fold_global
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> folded, factor = fold_global(bell, 3)
        >>> factor, dict(folded.count_ops())
        (3.0, {'h': 3, 'cx': 3, 'barrier': 2})
    """
    circuit = as_circuit(circuit)

    def blocks(work: _Work) -> Iterator[Block]:
        body, counted = work.body, work.counted
        touched = {qubit for instruction in body if _is_gate(instruction) for qubit in instruction.qubits}
        active = [qubit for qubit in circuit.qubits if qubit in touched]
        yield active, body, [body] * work.whole + ([body[counted[-work.part] :]] if work.part else [])

    return _folded(circuit, scale_factor, target, blocks)


def fold_gates(
    circuit: QuantumCircuit,
    scale_factor: float,
    *,
    target: Target | None = None,
    seed: int | None = None,
) -> tuple[QuantumCircuit, float]:
    """Fold each two-qubit gate separately: `G → G (G† G)^k`, and a random subset of them once more.

    One-qubit gates are not repeated, so their noise is not scaled and stays in the extrapolated value. Each
    fold stands between barriers on the gate's qubits. For one seed, the subsets of growing factors are
    nested.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        scale_factor: Noise strength to reach, at least 1.
        target: Device that must accept the result; without it, inverses use the circuit's own gates if
            possible.
        seed: Random seed for the subset.

    Returns:
        The folded circuit and the scale factor achieved, within 1/n of the requested one for a circuit with n
        two-qubit gates. At factor 1 the circuit is `circuit` itself.

    Raises:
        UsageError: As for `fold_global`.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import fold_gates
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> folded, factor = fold_gates(bell, 3)
        >>> factor, dict(folded.count_ops())
        (3.0, {'cx': 3, 'barrier': 2, 'h': 1})
    """

    return _folded(as_circuit(circuit), scale_factor, target, lambda work: _each(work, [work.counted], seed))


def fold_local(
    circuit: QuantumCircuit,
    scale_factor: float,
    *,
    target: Target | None = None,
    seed: int | None = None,
) -> tuple[QuantumCircuit, float]:
    """Fold each gate separately, those on one qubit too: `G → G (G† G)^k`, and a random subset once more.

    Depolarizing noise after each gate becomes exactly `k` times as strong at an odd factor k. At other
    factors, the same share of two-qubit and of one-qubit gates is folded once more. Each fold stands between
    barriers on the gate's qubits. For one seed, the subsets of growing factors are nested.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        scale_factor: Noise strength to reach, at least 1.
        target: Device that must accept the result, and that says which gates are free of noise; without it,
            inverses use the circuit's own gates if possible, and all gates are folded.
        seed: Random seed for the subset.

    Returns:
        The folded circuit and the scale factor achieved, within 1/n of the requested one for a circuit with n
        two-qubit gates. At factor 1 the circuit is `circuit` itself.

    Raises:
        UsageError: As for `fold_global`.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import fold_local
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> folded, factor = fold_local(bell, 3)
        >>> factor, dict(folded.count_ops())
        (3.0, {'barrier': 4, 'h': 3, 'cx': 3})
    """

    def blocks(work: _Work) -> Iterator[Block]:
        return _each(work, [work.counted, work.others], seed)

    return _folded(as_circuit(circuit), scale_factor, target, blocks)


def check_target(target: object) -> None:
    """Refuse what is neither a target nor None.

    Raises:
        UsageError: If it is anything else.
    """
    if target is not None and not isinstance(target, Target):
        raise UsageError(
            f"a target is expected, not {kind_of(target)} {one_line(str(target), 40)}; pass a "
            "qiskit.transpiler.Target, such as get_backend('fake:torino').target, or leave it out."
        )


def free_of_noise(circuit: QuantumCircuit, target: Target | None) -> Callable[[CircuitInstruction], bool]:
    """A function that tells whether a step of a circuit is a gate without time and error on the target."""

    def is_free(step: CircuitInstruction) -> bool:
        if target is None or not _is_gate(step):
            return False
        places = tuple(circuit.find_bit(qubit).index for qubit in step.qubits)
        if step.operation.name not in target or not target.instruction_supported(step.operation.name, places):
            return False
        reported = (target[step.operation.name] or {}).get(places)
        return reported is not None and reported.error == 0 and reported.duration == 0

    return is_free


def _folded(
    circuit: QuantumCircuit,
    scale_factor: float,
    target: Target | None,
    blocks: Callable[[_Work], Iterable[Block]],
) -> tuple[QuantumCircuit, float]:
    """The circuit with each of its blocks followed by folded pieces, and the scale factor achieved."""
    check_target(target)
    named = in_gates(true_names(circuit))
    body, tail = _split(named)
    is_free = free_of_noise(named, target)
    noisy = [place for place, step in enumerate(body) if _is_gate(step) and not is_free(step)]
    if not noisy:
        kind = "gates that make noise" if any(map(_is_gate, body)) else "gates"
        raise UsageError(f"the circuit has no {kind}, so there is no noise to scale; run it without folding.")
    counted = [place for place in noisy if len(body[place].qubits) > 1] or noisy
    extra = _extra_folds(scale_factor, len(counted))
    if not extra:
        return circuit, 1.0
    others = sorted(set(noisy) - set(counted))
    inverse, instructions = _inverter(named, target), []
    for qubits, block, pieces in blocks(_Work(body, counted, others, *divmod(extra, len(counted)))):
        instructions += block
        for piece in pieces:
            fence = CircuitInstruction(Barrier(len(qubits)), qubits)
            undone = [part for instruction in reversed(piece) for part in inverse(instruction)]
            instructions += [fence, *undone, fence, *piece]
    folded = circuit.copy_empty_like()
    for instruction in (*instructions, *tail):
        folded.append(instruction)
    return folded, 1 + 2 * extra / len(counted)


def _each(work: _Work, kinds: Sequence[list[int]], seed: int | None) -> Iterator[Block]:
    """Each gate alone; of each kind, given by positions, the same share is folded once more."""
    rng = random_generator(seed)
    folds = dict.fromkeys((place for kind in kinds for place in kind), work.whole)
    for kind in kinds:
        more = floor(work.part / len(work.counted) * len(kind) + 0.5)
        for place in rng.permutation(kind)[:more]:
            folds[int(place)] += 1
    for place, instruction in enumerate(work.body):
        yield instruction.qubits, [instruction], [[instruction]] * folds.get(place, 0)


def _extra_folds(scale_factor: float, count: int) -> int:
    """Number of pairs of gates to insert in total; each adds 2/count to the scale factor."""
    if not isinstance(scale_factor, Real) or not isfinite(scale_factor) or scale_factor < 1:
        raise UsageError(
            f"scale factor {scale_factor!r} is not possible; folding takes factors of at least 1, such as 3."
        )
    return floor((scale_factor - 1) / 2 * count + 0.5)


def _is_gate(instruction: CircuitInstruction) -> bool:
    # a global phase is a gate on no qubits
    return isinstance(instruction.operation, Gate) and bool(instruction.qubits)


def check_foldable(circuit: QuantumCircuit) -> None:
    """Refuse a circuit with an operation that cannot be undone, or a gate after a measurement.

    Raises:
        UsageError: If there is one; the message has its name in this circuit.
    """
    _split(in_gates(true_names(circuit)))


def _split(circuit: QuantumCircuit) -> tuple[Body, Body]:
    """The unitary part and the measurements after it, which commute with gates on other qubits."""
    body: Body = []
    tail: Body = []
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
                f"{operation.name!r} cannot be undone, so the circuit cannot be folded; remove it."
            )
        elif not measured.isdisjoint(instruction.qubits):
            raise UsageError(
                f"{operation.name!r} acts after a measurement; only measurements at the end can be folded."
            )
        else:
            body.append(instruction)
    return body, tail


def _inverter(circuit: QuantumCircuit, target: Target | None) -> Callable[[CircuitInstruction], Body]:
    """The function that writes the inverse of one of the circuit's instructions in the gates allowed."""
    own = {instruction.operation.name for instruction in circuit.data}

    def allowed(part: CircuitInstruction) -> bool:
        if target is None:
            return part.operation.name in own
        places = tuple(circuit.find_bit(qubit).index for qubit in part.qubits)
        return target.instruction_supported(part.operation.name, places)

    def inverse(instruction: CircuitInstruction) -> Body:
        if not _is_gate(instruction):
            return [instruction]  # a barrier or a delay is its own inverse
        ways = _inverses(instruction)
        for way in ways:
            if all(allowed(part) for part in way):
                return way
        if target is None:
            return ways[-1]
        raise UsageError(
            f"the inverse of {instruction.operation.name!r} cannot be written with the gates of the target "
            f"({', '.join(sorted(target.operation_names))}); transpile to a basis that has it."
        )

    return inverse


def _inverses(instruction: CircuitInstruction) -> list[Body]:
    """Ways to write the inverse up to a global phase, the best first, the gate's own inverse last."""
    operation, qubits = instruction.operation, instruction.qubits
    first = qubits[:1]
    ways = []
    if operation.name in ("sx", "sxdg", "iswap"):  # Z on one qubit reverses the rotation
        half_turn = CircuitInstruction(RZGate(pi), first)
        ways.append([half_turn, CircuitInstruction(operation, qubits), half_turn])
    elif operation.name == "rzz":  # devices only take angles from 0 to π/2
        flip = CircuitInstruction(XGate(), first)
        ways.append([flip, instruction, flip])
    return [*ways, [CircuitInstruction(_inverse(operation), qubits)]]


def _inverse(gate: Gate) -> Gate:
    try:
        return gate.inverse()
    except QiskitError as error:  # it has none, or one that fails
        if gate.definition is None:
            raise UsageError(
                f"{gate.name!r} has neither an inverse nor a definition, so the circuit cannot be folded."
            ) from error
        return gate.definition.inverse().to_gate()
