"""Circuits of two-qubit blocks, and the starting points that a tensor-network start is compared with.

The blocks are those of `bondwise.tn`, whose angles 0 give the identity: angles near zero are a near-identity
start, uniform angles a random one. The best product state is a matrix product state of bond dimension 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.circuits import Observable, as_circuit, as_operator
from bondwise.runs import UsageError, random_generator
from bondwise.tn import decompose, extend, get_block, ground_state


def brickwall(num_qubits: int, layers: int, *, gate: str = "so4") -> QuantumCircuit:
    """Layers of two-qubit blocks on the pairs (0, 1), (2, 3), … and (1, 2), (3, 4), … in turn.

    Args:
        num_qubits: Two or more.
        layers: Number of layers, one or more; a layer is one of the two kinds.
        gate: `"so4"` (real, 2 CX and 6 angles each) or `"su4"` (3 CX, 15 angles).

    Returns:
        The circuit; its parameters are the vector `theta`, block after block.

    Raises:
        UsageError: Too few qubits or layers, or no such gate.
    """
    block = get_block(gate)
    for name, number, least in [("num_qubits", num_qubits, 2), ("layers", layers, 1)]:
        if number < least:
            raise UsageError(f"{name} must be {least} or more; it is {number}.")
    pairs = [(qubit, qubit + 1) for layer in range(layers) for qubit in range(layer % 2, num_qubits - 1, 2)]
    theta = ParameterVector("theta", block.size * len(pairs))
    circuit = QuantumCircuit(num_qubits)
    for index, (first, second) in enumerate(pairs):
        block.append(circuit, first, second, theta[index * block.size : (index + 1) * block.size])
    return circuit


def random_start(circuit: QuantumCircuit, *, seed: int | None = None) -> np.ndarray:
    """Angles uniform in [-π, π).

    Args:
        circuit: With P parameters.
        seed: Of the draw.

    Returns:
        Angles in radians, float64 of shape (P,).
    """
    return random_generator(seed).uniform(-np.pi, np.pi, as_circuit(circuit).num_parameters)


def near_identity_start(
    circuit: QuantumCircuit, *, strength: float = 0.1, seed: int | None = None
) -> np.ndarray:
    """Normal angles around zero: in a circuit of our blocks, a state close to |0…0⟩.

    Args:
        circuit: With P parameters.
        strength: Standard deviation in radians; 0 gives a point where gradients may vanish by symmetry.
        seed: Of the draw.

    Returns:
        Angles in radians, float64 of shape (P,).

    Raises:
        UsageError: The strength is negative or not finite.
    """
    if not 0 <= strength < np.inf:
        raise UsageError(f"strength must be a number not below zero, in radians; it is {strength}.")
    return random_generator(seed).normal(0.0, strength, as_circuit(circuit).num_parameters)


def product_start(
    hamiltonian: Observable,
    *,
    layers: int,
    pairs: Sequence[tuple[int, int]] = (),
    strength: float = 0.01,
    gate: str = "so4",
    seed: int | None = None,
) -> tuple[QuantumCircuit, np.ndarray]:
    """The product state of lowest energy, in a circuit of staircase layers and then one block on each pair.

    This is the circuit that `decompose` and `extend` make of states of larger bond dimension with the same
    `layers`, `pairs` and gates.

    Args:
        hamiltonian: On n qubits, of any kind that `estimate` takes; qubit 0 is the rightmost letter.
        layers: Staircase layers of n - 1 blocks.
        pairs: Qubits that `extend` is to join by near-identity blocks.
        strength: Of those blocks, as for `extend`.
        gate: Of all blocks, `"so4"` or `"su4"`; complex states need the latter.
        seed: Of those blocks.

    Returns:
        The circuit, and angles in radians, float64 of shape (P,).

    Raises:
        UsageError: As `decompose` and `extend` say.
    """
    state = ground_state(as_operator(hamiltonian, what="Hamiltonian"), max_bond=1, seed=seed).state
    product = decompose(state, layers=layers, real=gate == "so4", seed=seed)
    return extend(product.circuit, product.parameters, pairs, strength=strength, gate=gate, seed=seed)
