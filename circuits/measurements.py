"""Circuits without their final measurements, on which no expectation value depends."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit

from bondwise.circuits.naming import true_names
from bondwise.circuits.sources import as_circuit


def without_measurements(circuit: Any) -> QuantumCircuit:
    """Drop the final measurements of a circuit.

    Args:
        circuit: A circuit or a gate.

    Returns:
        A copy with true gate names (see `true_names`), or the circuit itself if there is nothing to change.
        Circuits with branches or classical variables keep their measurements.

    Raises:
        UsageError: If the input is neither a circuit nor a gate.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import without_measurements
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.cx(0, 1)
        >>> circuit.measure_all()
        >>> dict(without_measurements(circuit).count_ops())
        {'cx': 1}
    """
    circuit = true_names(as_circuit(circuit))  # Qiskit removes whatever is called "measure" or "barrier"
    if not circuit.clbits or circuit.num_identifiers or circuit.has_control_flow_op():
        return circuit  # Qiskit also removes measurements that a branch or a variable depends on
    bare = circuit.copy()
    bare.remove_final_measurements()
    return bare
