"""lambeq circuits as Qiskit circuits.

A lambeq circuit is a diagram of boxes on wires, in which qubits can start (at kets) and end (at bras,
discards and measurements) anywhere. It is read from top to bottom with a list of the qubit on every wire, so
it needs no normal form: a ket adds a qubit, a swap exchanges two entries, and every other box is a gate on
the entries that it covers. Bras become measurements at the end whose outcome is post-selected.

In lambeq (arXiv:2110.04236) the first wire is the most significant, arrays have the inputs first (they are
transposed matrices), and angles are in turns; ours are in radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Gate, Parameter, Qubit
from qiskit.circuit import library as gates
from qiskit.quantum_info import Operator

from bondwise.runs import UsageError, real_array, unchanged_process

with unchanged_process():
    from lambeq import CircuitAnsatz
    from lambeq.backend import Symbol, grammar
    from lambeq.backend.quantum import (
        Bra,
        Controlled,
        Diagram,
        Discard,
        Ket,
        Measure,
        MixedState,
        Rx,
        Ry,
        Rz,
        Scalar,
        Swap,
        qubit,
    )

_ROTATIONS = {Rx: gates.RXGate, Ry: gates.RYGate, Rz: gates.RZGate}
_FIXED = (
    gates.HGate(),
    gates.XGate(),
    gates.YGate(),
    gates.ZGate(),
    gates.SGate(),
    gates.SdgGate(),
    gates.TGate(),
    gates.TdgGate(),
    gates.SwapGate(),
)


@dataclass(frozen=True)
class LambeqCircuit:
    """A lambeq circuit as a Qiskit circuit.

    The probability of an outcome of `output` is |scalar|² times the joint probability of the outcome and the
    values of `post_select`; normalization over all outcomes cancels the scalar.

    Attributes:
        circuit: Circuit that measures open wires into the register `output`, the first wire into bit 0, and
            bras into the register `postselect`; empty registers are left out. Its parameters have the names
            of lambeq's symbols and are in radians.
        post_select: Argument for `bondwise.backends.sample(…, post_select=)`: the required bits of
            `postselect`, bit 0 first; empty if there are no bras.
        discards: Qubits that are not measured.
        scalar: Product of the numbers in the diagram, such as √2 for every cup.

    Example:
        >>> from lambeq.backend.quantum import Bra, CX, Id, Ket, Ry, qubit
        >>> from lambeq.backend.symbol import Symbol
        >>> from bondwise.qml import from_lambeq
        >>> converted = from_lambeq(Ket(0, 0) >> Ry(Symbol("a")) @ Id(qubit) >> CX >> Id(qubit) @ Bra(1))
        >>> converted.post_select, converted.parameters({"a": 0.25}).round(4)
        ({'postselect': (1,)}, array([1.5708]))
    """

    circuit: QuantumCircuit
    post_select: dict[str, tuple[int, ...]]
    discards: tuple[int, ...]
    scalar: complex

    def parameters(self, weights: Mapping[Symbol | str, ArrayLike]) -> np.ndarray:
        """Angles in radians from lambeq's weights.

        Args:
            weights: Weights in turns by symbol or name: numbers, or arrays of one shape (*batch). Weights
                that the circuit does not have are ignored, so that `dict(zip(model.symbols, model.weights))`
                works for every circuit of a model.

        Returns:
            Angles in radians, float64 (*batch, P), in the order of `circuit.parameters`.

        Raises:
            UsageError: If a weight is missing or not a real number.
        """
        by_name = {getattr(symbol, "name", symbol): weight for symbol, weight in weights.items()}
        missing = [parameter.name for parameter in self.circuit.parameters if parameter.name not in by_name]
        if missing:
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UsageError(f"{len(missing)} weights are missing ({shown}); give one for each symbol.")
        turns = [
            real_array(f"the weights of {parameter.name!r}", by_name[parameter.name])
            for parameter in self.circuit.parameters
        ]
        return 2 * np.pi * np.stack(turns, axis=-1) if turns else np.zeros(0)


def from_lambeq(diagram: Diagram | grammar.Diagram, ansatz: CircuitAnsatz | None = None) -> LambeqCircuit:
    """Convert a lambeq circuit, or a sentence diagram and an ansatz, into a Qiskit circuit.

    Qubits are numbered in the order of the diagram. A qubit in the maximally mixed state is one half of an
    entangled pair and takes two qubits.

    Args:
        diagram: A `lambeq.backend.quantum.Diagram`, or a `lambeq.backend.grammar.Diagram`.
        ansatz: Ansatz that turns a grammar diagram into a circuit; None for a circuit.

    Returns:
        The circuit with measurements, and how to read its outcomes.

    Raises:
        UsageError: If a grammar diagram has no ansatz or a circuit has one, an input is open, or a box is not
            a unitary gate.

    Example:
        >>> from lambeq import AtomicType, IQPAnsatz, cups_reader
        >>> from bondwise.qml import from_lambeq
        >>> ansatz = IQPAnsatz({AtomicType.SENTENCE: 1}, n_layers=1)
        >>> converted = from_lambeq(cups_reader.sentence2diagram("time flies"), ansatz)
        >>> converted.circuit.num_qubits, len(converted.post_select["postselect"])
        (5, 4)
    """
    diagram = _as_circuit(diagram, ansatz)
    if diagram.dom:
        raise UsageError(
            f"the circuit has {len(diagram.dom)} open inputs; begin with kets, Ket(0, …) >> circuit."
        )
    program = QuantumCircuit()
    names: dict[str, Parameter] = {}
    wires: list[int] = []  # the qubit of each wire, from the left
    selected: dict[int, int] = {}
    discards: list[int] = []
    scalar = 1.0 + 0j
    for layer in diagram.layers:
        box, place = layer.box, len(layer.left)
        if isinstance(box, Ket):
            (new,) = _add(program, 1)
            if box.bit:
                program.x(new)
            wires.insert(place, new)
        elif isinstance(box, MixedState):
            new, partner = _add(program, 2)
            program.h(new)
            program.cx(new, partner)
            wires.insert(place, new)
            discards.append(partner)
            scalar *= np.sqrt(2)  # lambeq's has trace 2
        elif isinstance(box, Bra):
            selected[wires.pop(place)] = box.bit
        elif isinstance(box, Discard):
            discards.append(wires.pop(place))
        elif isinstance(box, Swap):
            wires[place], wires[place + 1] = wires[place + 1], wires[place]
        elif isinstance(box, Scalar):
            scalar *= complex(box.array)
        elif not isinstance(box, Measure):  # nothing acts on a measured wire any more, so it stays
            _apply(program, box, wires[place : place + len(box.dom)], names)
    for name, measured in (("output", wires), ("postselect", list(selected))):
        if measured:
            register = ClassicalRegister(len(measured), name)
            program.add_register(register)
            program.measure(measured, register)
    return LambeqCircuit(
        circuit=program,
        post_select={"postselect": tuple(selected.values())} if selected else {},
        discards=tuple(discards),
        scalar=scalar,
    )


def _as_circuit(diagram: Any, ansatz: CircuitAnsatz | None) -> Diagram:
    if isinstance(diagram, grammar.Box):  # a single box is also a diagram
        diagram = diagram.to_diagram()
    if not isinstance(diagram, grammar.Diagram):
        raise UsageError(f"from_lambeq takes a lambeq diagram or circuit, not {type(diagram).__name__}.")
    if isinstance(diagram, Diagram):
        if ansatz is not None:
            raise UsageError("the diagram is already a circuit; leave the ansatz out.")
        return diagram
    if ansatz is None:
        raise UsageError(
            "the diagram is not a circuit; give an ansatz, from_lambeq(diagram, IQPAnsatz({…}, n_layers=1))."
        )
    circuit = ansatz(diagram)
    if not isinstance(circuit, Diagram):
        raise UsageError(f"{type(ansatz).__name__} does not make circuits; give an ansatz such as IQPAnsatz.")
    return circuit


def _add(program: QuantumCircuit, count: int) -> range:
    program.add_bits([Qubit() for _ in range(count)])
    return range(program.num_qubits - count, program.num_qubits)


def _apply(program: QuantumCircuit, box: Any, wires: list[int], names: dict[str, Parameter]) -> None:
    controls = []
    whole = box
    while isinstance(box, Controlled):
        if box.distance > 0:
            control, wires = wires[0], wires[box.distance :]
        else:
            control, wires = wires[-1], wires[: len(box.controlled.dom)]
        controls.append(control)
        box = box.controlled
    gate = _gate(box, names)
    if gate is None:
        raise UsageError(
            f"the box {whole.name!r} is not a unitary gate with numbers as entries; "
            "use lambeq's gates and rotations."
        )
    program.append(gate.control(len(controls)) if controls else gate, [*controls, *reversed(wires)])


def _gate(box: Any, names: dict[str, Parameter]) -> Gate | None:
    """The gate of a box without controls, on its wires in reverse order; None if the box is not a gate."""
    if type(box) in _ROTATIONS:
        return _ROTATIONS[type(box)](_radians(box.phase, names))
    if isinstance(box, Swap):  # under a control; it has no array
        return gates.SwapGate()
    size = len(box.dom)
    acts = set(box.dom @ box.cod) == {qubit} and len(box.cod) == size and not box.is_mixed
    if not acts or box.data is None or box.free_symbols:
        return None
    matrix = np.asarray(box.array, dtype=complex).reshape(2**size, 2**size).T
    for gate in _FIXED:
        if gate.num_qubits == size and np.allclose(gate.to_matrix(), matrix, rtol=0, atol=1e-12):
            return gate
    return gates.UnitaryGate(matrix, label=box.name) if Operator(matrix).is_unitary() else None


def _radians(phase: Any, names: dict[str, Parameter]) -> Any:
    if not isinstance(phase, Symbol):
        return 2 * np.pi * float(phase)
    parameter = names.setdefault(phase.name, Parameter(phase.name))
    return parameter if phase.scale == 1 else phase.scale * parameter
