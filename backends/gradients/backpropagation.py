"""Statevectors that torch differentiates any number of times, by backpropagation on `default.qubit`.

All sets of angles run at once, with all intermediate states stored.
"""

from __future__ import annotations

import pennylane as qml
import torch
from pennylane.devices.qubit import get_final_state

from bondwise.backends.pennylane.conversion import build, translated
from bondwise.circuits.splitting import SplitCircuit


def backprop_states(parts: SplitCircuit, angles: torch.Tensor) -> torch.Tensor:
    """Final states, all sets of angles at once.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians.

    Returns:
        complex128 (B, 2^n), qubit 0 the lowest bit of the index.

    Raises:
        UsageError: If the circuit contains something that is not a gate.
    """
    num_qubits = parts.circuit.num_qubits
    wires = range(num_qubits)[::-1]
    operators = [qml.Identity(wire) for wire in wires]  # otherwise wires without gates are left out
    operators += build(translated(parts), angles, wires)
    state, _ = get_final_state(qml.tape.QuantumScript(operators), interface="torch")
    state = torch.as_tensor(state, dtype=torch.complex128).reshape(-1, 2**num_qubits)
    return state.expand(len(angles), -1)
