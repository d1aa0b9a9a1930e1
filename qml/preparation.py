"""From a Hamiltonian to a circuit and the angles its training starts from.

DMRG finds the ground state as a matrix product state. It becomes a shallow circuit, which is extended by
blocks on the pairs of qubits that the Hamiltonian couples. All starts are angles of this one circuit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise import tn
from bondwise.circuits import Observable, as_operator, read_parameters
from bondwise.qml.hamiltonians.exact import exact_ground_state
from bondwise.qml.starts import block_gate, mps_start, near_identity_start, product_start, random_start
from bondwise.runs import Result, UsageError, is_file, unknown_name, whole_number

STARTS = ("mps", "product", "near-identity", "random")
EXACT_UP_TO = 16  # qubits: the sparse ground state takes seconds, and an infidelity to it a moment


@dataclass(frozen=True, kw_only=True)
class Preparation(Result):
    """A circuit and where its training starts; `value` is the energy of DMRG.

    Attributes:
        circuit: The matrix product state as a circuit, followed by blocks near the identity.
        starts: Angles in radians by the name of the start, float64 of shape (P,) each: the requested start
            ("mps", "product", "near-identity", "given" or "random") and then "random".
        mps_circuit: The circuit without the blocks near the identity.
        mps_parameters: Angles of `mps_circuit` in radians, float64.
        seconds: Wall time of turning the state into `mps_circuit`.
        exact_energy: Energy of the ground state; None above 16 qubits.
        ground_states: Orthonormal basis of the ground level, shape (2**n, degeneracy), or None, as
            `exact_ground_state` returns them.

    Example:
        >>> from bondwise import qml
        >>> prepared = qml.prepare(qml.ising(3), start="product", layers=1, max_bond=2, seed=0)
        >>> list(prepared.starts)
        ['product', 'random']
    """

    circuit: QuantumCircuit
    starts: dict[str, NDArray[np.float64]]
    mps_circuit: QuantumCircuit
    mps_parameters: NDArray[np.float64]
    seconds: float
    exact_energy: float | None
    ground_states: NDArray[np.complex128] | NDArray[np.float64] | None


def prepare(
    hamiltonian: Observable,
    *,
    start: str | os.PathLike[str] = "mps",
    layers: int = 2,
    extend: int = 1,
    max_bond: int = 8,
    seed: int | None = None,
    progress: bool = False,
) -> Preparation:
    """Prepare a VQE: run DMRG, turn the state into a circuit and find angles to start from.

    Args:
        hamiltonian: Hermitian operator on n qubits, of any kind that `estimate` takes; qubit 0 is the
            rightmost letter.
        start: `"mps"`, `"product"`, `"near-identity"` or `"random"`, or a file of angles, see
            `bondwise.circuits.read_parameters`.
        layers: Number of staircase layers that the matrix product state becomes.
        extend: Number of blocks near the identity on each pair of qubits that share a two-qubit term, or on
            each pair of neighbors if there is no such term.
        max_bond: Bond dimension of the matrix product state.
        seed: Random seed for DMRG, the decomposition and all angles.
        progress: Whether to show progress bars.

    Returns:
        Circuit with the angles of the requested start and of a random one.

    Raises:
        UsageError: If the start is unknown, the file does not fit the circuit, a number is out of range, or
            the Hamiltonian is not a Hermitian operator.

    Example:
        >>> from bondwise import qml
        >>> hamiltonian = qml.heisenberg(4)
        >>> prepared = qml.prepare(hamiltonian, layers=1, max_bond=2, seed=0)
        >>> result = qml.VQE(hamiltonian, prepared.circuit).run(prepared.starts["mps"], steps=5)
        >>> print(f"{prepared.exact_energy:.1f} {prepared.value:.1f} {result.losses[0]:.1f}")
        -1.6 -1.5 -1.5
    """
    if start not in STARTS and not is_file(start):
        raise unknown_name("start", str(start), [*STARTS, "FILE (of angles)"])
    whole_number("extend", extend, least=0)
    operator = as_operator(hamiltonian, what="Hamiltonian")
    ground = tn.ground_state(operator, max_bond=max_bond, seed=seed, progress=progress)
    exact_energy, ground_states = _exact(operator)
    began = perf_counter()
    mps_circuit, mps_parameters = mps_start(layers, ground, seed=seed, progress=progress)
    seconds = perf_counter() - began
    pairs, gate = _coupled_pairs(operator) * extend, block_gate(ground)
    circuit, angles = tn.extend(mps_circuit, mps_parameters, pairs, gate=gate, seed=seed)
    if start == "mps":
        starts = {"mps": angles}
    elif start == "product":
        starts = {"product": product_start(operator, layers=layers, pairs=pairs, gate=gate, seed=seed)[1]}
    elif start == "near-identity":
        starts = {"near-identity": near_identity_start(circuit, seed=seed)}
    elif start == "random":
        starts = {}
    else:
        starts = {"given": read_parameters(start, circuit)}
    return Preparation(
        value=float(ground.value),
        seed=seed,
        circuit=circuit,
        starts=starts | {"random": random_start(circuit, seed=seed)},
        mps_circuit=mps_circuit,
        mps_parameters=mps_parameters,
        seconds=seconds,
        exact_energy=exact_energy,
        ground_states=ground_states,
    )


def _exact(operator: SparsePauliOp) -> tuple[float | None, np.ndarray | None]:
    """Energy and basis of the ground level, or None if they would take too much memory."""
    if operator.num_qubits > EXACT_UP_TO:
        return None, None
    try:
        return exact_ground_state(operator)
    except UsageError:  # too many terms
        return None, None


def _coupled_pairs(operator: SparsePauliOp) -> list[tuple[int, int]]:
    """Pairs of qubits that share a two-qubit term; neighbors on the line if there is no such term."""
    support = operator.paulis.x | operator.paulis.z
    pairs = {tuple(row.nonzero()[0].tolist()) for row in support if row.sum() == 2}
    return sorted(pairs) or [(site, site + 1) for site in range(operator.num_qubits - 1)]
