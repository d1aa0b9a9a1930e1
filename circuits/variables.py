"""Classical variables and stretches, which hardware can run but none of our simulators supports."""

from __future__ import annotations

from qiskit import QuantumCircuit

from bondwise.circuits.sources import as_circuit
from bondwise.runs import UsageError


def refuse_variables(circuit: QuantumCircuit) -> None:
    """Refuse a circuit that declares a classical variable or a stretch, at the top level or in a branch.

    Args:
        circuit: The circuit.

    Raises:
        UsageError: If there is one; the message names it.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit.classical import expr
        >>> from bondwise.circuits import refuse_variables
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.add_var("flag", expr.lift(False))
        >>> refuse_variables(circuit)
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: the circuit declares the variable 'flag', which cannot run ...
    """
    circuit = as_circuit(circuit)
    for variable in circuit.iter_vars():
        raise UsageError(
            f"the circuit declares the variable {variable.name!r}, which cannot run here; keep its value in "
            "a classical register."
        )
    for stretch in circuit.iter_stretches():
        raise UsageError(
            f"the circuit declares the stretch {stretch.name!r}, which cannot run here; give a fixed delay."
        )
    for step in circuit.data if circuit.has_control_flow_op() else ():
        for block in getattr(step.operation, "blocks", ()):
            refuse_variables(block)
