"""Starting points for training a circuit: a matrix product state, and the usual alternatives.

The blocks of `bondwise.tn` are the identity where their angles are zero, so angles near zero are a
near-identity start and uniform angles a random one. The best product state is a matrix product state of bond
dimension 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.circuits import (
    Observable,
    as_circuit,
    as_operator,
    cx_count,
    fingerprint,
    read_circuit,
    read_parameters,
)
from bondwise.qml.hamiltonians.molecules import Molecule
from bondwise.runs import UsageError, is_file, random_generator, real_array, real_number
from bondwise.runs.text import counted
from bondwise.tn import decompose, extend, fit, ground_state, site_tensors

Start = tuple[QuantumCircuit, NDArray[np.float64]]


def mps_start(
    circuit: QuantumCircuit | int,
    state: Any,
    *,
    pairs: Iterable[tuple[int, int]] = (),
    strength: float = 0.01,
    gate: str | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Start:
    """Turn a matrix product state into a circuit that can be trained further.

    The state becomes the angles of a circuit (`decompose`, or `fit` for a circuit of your own), and blocks
    near the identity are appended (`extend`), which hardly change the state but give the training room to
    improve it: the warm start of Rudolph et al., arXiv:2208.13673.

    Args:
        circuit: Number of staircase layers of n - 1 two-qubit blocks, or a parametrized circuit on n qubits
            that is fitted to the state.
        state: Matrix product state of n sites, in any form that `bondwise.tn.site_tensors` takes, such as the
            result of `ground_state`. Site i becomes qubit i.
        pairs: Pairs of qubits that get one more block each, in time order, such as the edges of a lattice.
        strength: Standard deviation of the angles of these blocks, in radians.
        gate: Kind of the blocks, `"so4"` or `"su4"`. By default `"so4"` if the state is real, which keeps it
            real, and `"su4"` otherwise.
        seed: Random seed for the search and for the angles of these blocks.
        progress: Whether to show a progress bar.

    Returns:
        The circuit, and its angles in radians, float64 of shape (P,), in the order of `circuit.parameters`.

    Raises:
        UsageError: If the state or the circuit is not accepted (see `decompose`, `fit` and `extend`).

    Example:
        >>> from bondwise import qml, tn
        >>> hamiltonian = qml.heisenberg(4)
        >>> ground = tn.ground_state(hamiltonian, max_bond=2, seed=0)
        >>> circuit, angles = qml.mps_start(1, ground, pairs=qml.lattice_edges(4), seed=0)
        >>> result = qml.VQE(hamiltonian, circuit, optimizer="lbfgs").run(angles, steps=5)
        >>> bool(result.losses[0] < -1.5 and result.value < result.losses[0])
        True
    """
    gate = gate or block_gate(state)
    if isinstance(circuit, int | np.integer):
        found = decompose(state, layers=int(circuit), real=gate == "so4", seed=seed, progress=progress)
    else:
        found = fit(as_circuit(circuit), state, seed=seed, progress=progress)
    return extend(found.circuit, found.parameters, pairs, strength=strength, gate=gate, seed=seed)


def block_gate(state: Any) -> str:
    """Kind of block for a matrix product state: `"so4"` if it is real and stays so, else `"su4"`."""
    return "su4" if np.iscomplexobj(site_tensors(state)[0]) else "so4"


def product_start(
    hamiltonian: Observable,
    *,
    layers: int,
    pairs: Iterable[tuple[int, int]] = (),
    strength: float = 0.01,
    gate: str = "so4",
    seed: int | None = None,
) -> Start:
    """Find the product state of lowest energy, as angles of the circuit that `mps_start` makes.

    Args:
        hamiltonian: Operator on n qubits, of any kind that `estimate` takes; qubit 0 is the rightmost letter.
        layers: Number of staircase layers of n - 1 blocks.
        pairs: Pairs of qubits that get one more block each, in time order.
        strength: Standard deviation of the angles of these blocks, in radians.
        gate: Kind of all blocks, `"so4"` or `"su4"`; complex states need the latter.
        seed: Random seed for the search and for the angles of these blocks.

    Returns:
        The circuit, and its angles in radians, float64 of shape (P,), in the order of `circuit.parameters`.

    Raises:
        UsageError: If the Hamiltonian, the number of layers or a pair is not accepted (see `decompose` and
            `extend`).

    Example:
        >>> from bondwise import backends, qml
        >>> hamiltonian = qml.ising(3, coupling=0)
        >>> circuit, angles = qml.product_start(hamiltonian, layers=1, seed=0)
        >>> print(f"{backends.estimate(circuit, hamiltonian, angles).value:.6f}")
        -3.000000
    """
    state = ground_state(as_operator(hamiltonian, what="Hamiltonian"), max_bond=1, seed=seed)
    return mps_start(layers, state, pairs=pairs, strength=strength, gate=gate, seed=seed)


def random_start(circuit: QuantumCircuit, *, seed: int | None = None) -> NDArray[np.float64]:
    """Draw angles uniformly from [-π, π).

    Args:
        circuit: Circuit with P parameters.
        seed: Random seed.

    Returns:
        Angles in radians, float64 of shape (P,).

    Example:
        >>> from bondwise.qml import brickwall, random_start
        >>> random_start(brickwall(2, 1), seed=0).round(2)
        array([ 0.86, -1.45, -2.88, -3.04,  1.97,  2.59])
    """
    return random_generator(seed).uniform(-np.pi, np.pi, as_circuit(circuit).num_parameters)


def near_identity_start(
    circuit: QuantumCircuit, *, strength: float = 0.1, seed: int | None = None
) -> NDArray[np.float64]:
    """Draw normal angles around zero, with which a circuit of our blocks prepares a state close to |0…0⟩.

    Args:
        circuit: Circuit with P parameters.
        strength: Standard deviation in radians. At 0, gradients may vanish by symmetry.
        seed: Random seed.

    Returns:
        Angles in radians, float64 of shape (P,).

    Raises:
        UsageError: If the strength is negative or not finite.

    Example:
        >>> from bondwise.qml import brickwall, near_identity_start
        >>> near_identity_start(brickwall(2, 1), seed=0).round(3)
        array([ 0.013, -0.013,  0.064,  0.01 , -0.054,  0.036])
    """
    real_number("strength", strength, zero=True)
    return random_generator(seed).normal(0.0, strength, as_circuit(circuit).num_parameters)


def hartree_fock_state(molecule: Molecule) -> list[NDArray[np.float64]]:
    """The Hartree-Fock state as a matrix product state of bond dimension 1, tensors of shape (1, 2, 1)."""
    return [np.eye(2)[int(bit)].reshape(1, 2, 1) for bit in reversed(molecule.hf_bits)]


def given_start(start: Any, circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Read the angles of a circuit with P parameters.

    Args:
        start: Array of shape (P,), a file of angles, or the folder of a run of `bondwise vqe`.
        circuit: The circuit that they must be for.

    Returns:
        Angles in radians, float64 of shape (P,).

    Raises:
        UsageError: If they are the angles of another circuit, or no angles.
    """
    if not isinstance(start, str | os.PathLike):
        angles = real_array("start", start)
        if angles.shape != (circuit.num_parameters,) or not np.isfinite(angles).all():
            raise UsageError(
                f"start has shape {angles.shape}; give {counted(circuit.num_parameters, 'finite angle')}, "
                "one for each of circuit.parameters."
            )
        return angles
    if is_file(start):
        return read_parameters(start, circuit)
    trained, angles_file = Path(start) / "ansatz.qpy", Path(start) / "parameters.json"
    if not is_file(trained) or not is_file(angles_file):
        raise UsageError(
            f"{start} holds no finished run of bondwise vqe, which leaves ansatz.qpy and parameters.json; "
            "give a folder that does, or a file of angles."
        )
    other = read_circuit(trained)
    if fingerprint(other) != fingerprint(circuit):
        raise UsageError(
            f"the run in {start} trained another circuit, {_described(other)}, and this is one of "
            f"{_described(circuit)}; choose the same Hamiltonian, ansatz, layers and extend."
        )
    return read_parameters(angles_file, circuit)


def _described(circuit: QuantumCircuit) -> str:
    return (
        f"{counted(circuit.num_qubits, 'qubit')}, {counted(circuit.num_parameters, 'angle')} and "
        f"{cx_count(circuit)} CX"
    )
