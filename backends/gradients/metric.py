"""The Fubini–Study metric of a circuit's state, Re [⟨∂ᵢψ|∂ⱼψ⟩ − ⟨∂ᵢψ|ψ⟩⟨ψ|∂ⱼψ⟩], from the whole state.

A gate exp(-i s θ P) with P³ = P shifts like an expectation value: ∂ψ/∂θ = s [ψ(θ + π/2s) − ψ(θ − π/2s)] / 2,
two states per angle. The chain rule leads from the angles of the gates to the parameters of the circuit.
"""

from __future__ import annotations

import numpy as np
import torch
from qiskit import QuantumCircuit

from bondwise.backends.gradients.blocks import blocks
from bondwise.circuits.splitting import split
from bondwise.runs import require_memory


def metric_tensor(circuit: QuantumCircuit, parameters: torch.Tensor) -> torch.Tensor:
    """The metric at one set of parameters.

    It is a quarter of the quantum Fisher information, and what PennyLane's `metric_tensor` returns.

    Args:
        circuit: Circuit without measurements and resets.
        parameters: float64 (P,), radians, in the order of `circuit.parameters`.

    Returns:
        float64 (P, P), symmetric and positive semidefinite.

    Raises:
        UsageError: If the circuit contains something that is not a gate, or the derivatives of the state do
            not fit into memory.
    """
    parts = split(circuit)
    made = blocks(parts)
    point = parameters.detach()
    chain = torch.autograd.functional.jacobian(parts.angles, point).numpy()  # (G, P)
    angles = parts.angles(point).numpy()
    require_memory(
        f"the derivatives of a state of {circuit.num_qubits} qubits by {len(point)} parameters",
        16 * 2**circuit.num_qubits * (len(point) + 4),
        "write optimizer='lbfgs', which needs only the gradient",
    )
    slopes = np.zeros((len(point), 2**circuit.num_qubits), dtype=complex)
    for angle, speed in made.speeds.items():
        shift = np.zeros_like(angles)
        shift[angle] = np.pi / (2 * speed)
        slope = (speed / 2) * (made.state(angles + shift) - made.state(angles - shift))
        for parameter in np.flatnonzero(chain[angle]):
            slopes[parameter] += chain[angle, parameter] * slope
    along = slopes.conj() @ made.state(angles)
    metric = slopes.conj() @ slopes.T - np.outer(along, along.conj())
    return torch.from_numpy(np.ascontiguousarray(metric.real))
