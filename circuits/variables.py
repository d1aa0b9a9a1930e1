"""Classical variables and stretches: declared in circuits, run by hardware, known to no simulator here."""

from __future__ import annotations

from qiskit import QuantumCircuit

from bondwise.runs import UsageError


def refuse_variables(circuit: QuantumCircuit) -> None:
    """Raise UsageError if the circuit, or a branch of it, declares a classical variable or a stretch."""
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
