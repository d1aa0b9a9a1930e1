"""The state of a circuit as a matrix product state: by Qiskit for few qubits, by quimb for many."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Barrier, CircuitError, Delay
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.quantum_info import Operator, Statevector

from bondwise.circuits import refuse_variables, without_measurements
from bondwise.runs import UsageError
from bondwise.runs.text import counted
from bondwise.tn.states.chains import Tensors, compress, inner, site_tensors
from bondwise.tn.states.imported_quimb import import_quimb
from bondwise.tn.states.networks import chain_arrays

_CUTOFF = 1e-12
_DENSE_QUBITS = 18  # takes seconds; the cost of splitting the vector grows as 2.8^n
_WORKING, _LEAST = 4, 128  # bonds on the way: a multiple of the final one, and a lower bound


def in_order(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without final measurements, and with its gates in an order that its graph alone decides.

    Truncation depends on the order of gates, and should not depend on how the user wrote independent ones.
    """
    return dag_to_circuit(circuit_to_dag(without_measurements(circuit)))


def circuit_tensors(circuit: QuantumCircuit, max_bond: int) -> tuple[Tensors, float]:
    """Apply a circuit to |0…0⟩ and truncate the final state to `max_bond`.

    Up to 18 qubits the circuit is simulated exactly. Larger circuits are applied gate by gate to a matrix
    product state whose bonds are truncated on the way, to four times `max_bond` but at least 128.

    Args:
        circuit: Any circuit without free parameters or resets. Final measurements are left out; others are
            refused.
        max_bond: Largest bond of the result.

    Returns:
        Site tensors of norm 1, where site i is qubit i, and the weight lost by truncation. The weight is
        exact up to 18 qubits; above that, it is an estimate: 1 minus the product of the weights kept at every
        step.

    Raises:
        UsageError: If the circuit has free parameters, or an operation in it is not a gate.
    """
    if circuit.num_parameters:
        raise UsageError(
            f"the circuit has {counted(circuit.num_parameters, 'free parameter')}"
            "; bind them with assign_parameters."
        )
    refuse_variables(circuit)
    plain = in_order(circuit)
    if not plain.num_qubits:
        raise UsageError("the circuit has no qubits; give one on at least 1.")
    steps = [step for step in plain.data if not isinstance(step.operation, Barrier | Delay)]
    # operations without a matrix have a definition
    if any(len(step.qubits) > 2 or not hasattr(step.operation, "__array__") for step in steps):
        try:
            plain = transpile(plain, basis_gates=["u", "cx"], optimization_level=0)
        except Exception as error:  # every pass raises its own types of errors
            raise UsageError(f"the circuit cannot be written in gates of two qubits: {error}") from error
    small = plain.num_qubits <= _DENSE_QUBITS
    dense = Statevector.from_int(0, 2**plain.num_qubits) if small else None
    if not small:
        bond = max(_WORKING * max_bond, _LEAST)
        simulation = import_quimb().CircuitMPS(
            circuit.num_qubits, max_bond=bond, cutoff=_CUTOFF, dtype="complex128"
        )
    for step in plain.data:
        if isinstance(step.operation, Barrier | Delay):
            continue
        name = step.operation.name
        try:
            matrix = step.operation.to_matrix()
        except (AttributeError, CircuitError) as error:
            raise UsageError(
                f"the circuit holds '{name}', which is not a gate with a matrix; remove it."
            ) from error
        if not np.isfinite(matrix).all():
            raise UsageError(f"'{name}' in the circuit has an angle that is NaN or infinite.")
        # Qiskit's first qubit is the lowest bit, quimb's the highest
        where = [plain.find_bit(qubit).index for qubit in reversed(step.qubits)]
        if where and dense is not None:
            dense = dense.evolve(Operator(matrix), where[::-1])
        elif where:
            simulation.apply_gate_raw(matrix, where)
    if dense is not None:
        whole = site_tensors(dense)
        tensors = compress(whole, max_bond)
        return tensors, max(0.0, 1 - float(abs(inner(whole, tensors)) ** 2))
    whole = compress(chain_arrays(simulation.psi))
    tensors = compress(whole, max_bond)
    kept = float(simulation.fidelity_estimate()) * float(abs(inner(whole, tensors)) ** 2)
    return tensors, max(0.0, 1 - kept)
