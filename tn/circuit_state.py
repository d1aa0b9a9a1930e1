"""The state of a circuit as a matrix product state, by quimb."""

from __future__ import annotations

import numpy as np
import quimb.tensor as qtn
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import CircuitError

from bondwise.runs import UsageError
from bondwise.tn.states import Tensors, compress

_CUTOFF = 1e-12


def circuit_tensors(circuit: QuantumCircuit, max_bond: int) -> tuple[Tensors, float]:
    """Apply a circuit to |0...0>, gate by gate, with bonds truncated to `max_bond`.

    Args:
        circuit: Any circuit without free parameters, resets and measurements but those at its end, which are
            left out.
        max_bond: Largest bond kept.

    Returns:
        Site tensors of norm 1, site i being qubit i, and an estimate of the weight lost by truncation
        (the product of what every step kept, subtracted from 1).

    Raises:
        UsageError: The circuit has free parameters, or something in it is not a gate.
    """
    if circuit.num_parameters:
        raise UsageError(
            f"the circuit has {circuit.num_parameters} free parameters; bind them with assign_parameters."
        )
    plain = circuit.remove_final_measurements(inplace=False)
    assert plain is not None
    if not plain.num_qubits:
        raise UsageError("the circuit has no qubits; give one on at least 1.")
    steps = [step for step in plain.data if step.operation.name not in ("barrier", "delay")]
    # what has no matrix has a definition
    if any(len(step.qubits) > 2 or not hasattr(step.operation, "__array__") for step in steps):
        try:
            plain = transpile(plain, basis_gates=["u", "cx"], optimization_level=0)
        except Exception as error:  # each pass has its own kinds
            raise UsageError(f"the circuit cannot be written in gates of two qubits: {error}") from error
    simulation = qtn.CircuitMPS(circuit.num_qubits, max_bond=max_bond, cutoff=_CUTOFF, dtype="complex128")
    for step in plain.data:
        name = step.operation.name
        if name in ("barrier", "delay"):
            continue
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
        if where:
            simulation.apply_gate_raw(matrix, where)
    state = simulation.psi
    state.permute_arrays("lpr")
    arrays = list(state.arrays)
    if len(arrays) == 1:
        arrays = [arrays[0].reshape(1, 2, 1)]
    else:
        arrays = [arrays[0][None], *arrays[1:-1], arrays[-1][..., None]]
    return compress(arrays), max(0.0, 1 - float(simulation.fidelity_estimate()))
