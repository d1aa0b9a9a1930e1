"""Dynamical decoupling: pulses that undo each other on idle qubits, which refocus slow errors."""

from __future__ import annotations

from math import pi

from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.circuit.library import RZGate, XGate
from qiskit.transpiler import PassManager, Target, TranspilerError
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDynamicalDecoupling

from bondwise.backends.simulators.reduced_device import active_qubits
from bondwise.circuits import as_circuit
from bondwise.mitigation.rewriting.folding import check_target
from bondwise.runs import UsageError, one_line, unknown_name

_X, _Z = XGate(), RZGate(pi)
_PULSES = {  # and the waits before, between and after them, in parts of the idle time
    "XX": ([_X, _X], [1 / 4, 1 / 2, 1 / 4]),
    "XY4": ([_X, _Z, _X, _X, _Z, _X], [1 / 8, 1 / 4, 0, 1 / 4, 1 / 4, 0, 1 / 8]),
}
SEQUENCES = tuple(_PULSES)


def decouple(circuit: QuantumCircuit, target: Target, sequence: str = "XX") -> QuantumCircuit:
    """Fill the idle times of a transpiled circuit with pulses that undo each other.

    They refocus errors that change slowly, such as a detuned frequency or a coupling to an idle neighbor, and
    add errors of their own; they do not help against relaxation. Snapshots of devices have no slow errors, so
    that decoupling only does harm there.

    Args:
        circuit: Transpiled circuit; its qubits and layout are kept.
        target: Device with the durations of all its gates, and an x gate.
        sequence: `"XX"`, or `"XY4"` (x, y, x, y), where y is written as rz and x.

    Returns:
        The circuit, scheduled as late as possible, with delays and pulses where qubits wait.

    Raises:
        UsageError: If the sequence is unknown, or the target has no durations or no x gate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import get_backend
        >>> from bondwise.mitigation import decouple
        >>> backend = get_backend("fake:torino")
        >>> circuit = QuantumCircuit(3)
        >>> _ = circuit.h(0), [circuit.cx(0, 1) for _ in range(3)], circuit.barrier(), circuit.cx(1, 2)
        >>> isa = backend.transpile(circuit)
        >>> decouple(isa, backend.target).count_ops()["x"] > isa.count_ops().get("x", 0)
        True
    """
    circuit = as_circuit(circuit)
    check_target(target)
    if sequence not in SEQUENCES:
        raise unknown_name("sequence", str(sequence), SEQUENCES)
    needed = {gate.name for gate in _PULSES[sequence][0]}
    if not needed <= set(target.operation_names):
        raise UsageError(
            f"the target has no {' and '.join(sorted(needed - set(target.operation_names)))} gate, which "
            f"{sequence} needs; leave decoupling out."
        )
    pulses, spacing = _PULSES[sequence]
    passes = [
        ALAPScheduleAnalysis(target=target),
        PadDynamicalDecoupling(target=target, dd_sequence=pulses, spacing=spacing),
    ]
    try:
        scheduled = PassManager(passes).run(circuit)
    except TranspilerError as error:
        raise UsageError(
            f"idle times cannot be filled with {sequence}: {one_line(error)}; leave decoupling out."
        ) from error
    used = set(active_qubits(circuit))
    decoupled = circuit.copy_empty_like()
    for step in scheduled.data:  # qubits that are never used get one long delay
        if not isinstance(step.operation, Delay) or scheduled.find_bit(step.qubits[0]).index in used:
            places = [decoupled.qubits[scheduled.find_bit(qubit).index] for qubit in step.qubits]
            clbits = [decoupled.clbits[scheduled.find_bit(clbit).index] for clbit in step.clbits]
            decoupled.append(step.operation, places, clbits)
    return decoupled
