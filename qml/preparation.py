"""From a Hamiltonian to a circuit and the angles its training starts from.

DMRG finds the ground state as a matrix product state. It becomes a shallow circuit, which is extended by
blocks on the pairs of qubits that the Hamiltonian couples, or the angles of another ansatz. All starts are
angles of this one circuit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise import tn
from bondwise.circuits import Observable, as_operator
from bondwise.qml.ansatz import brickwall, brickwall_pairs, hardware_efficient
from bondwise.qml.coupled_cluster import uccsd
from bondwise.qml.excitations import givens
from bondwise.qml.hamiltonians.exact import exact_ground_state
from bondwise.qml.hamiltonians.molecules import Molecule, as_molecule
from bondwise.qml.starts import (
    block_gate,
    given_start,
    hartree_fock_state,
    mps_start,
    near_identity_start,
    random_start,
)
from bondwise.runs import Result, UsageError, is_file, unknown_name, whole_number

STARTS = ("mps", "product", "near-identity", "random", "hf")
ANSATZE = ("staircase", "brickwall", "hardware-efficient", "uccsd", "givens")
EXACT_UP_TO = 16  # qubits: the sparse ground state takes seconds, and an infidelity to it a moment


@dataclass(frozen=True, kw_only=True)
class Preparation(Result):
    """A circuit and where its training starts; `value` is the energy of DMRG.

    Attributes:
        circuit: The ansatz. A staircase is the matrix product state as a circuit, followed by blocks near the
            identity.
        starts: Angles in radians by the name of the start, float64 of shape (P,) each: the requested start
            ("mps", "product", "near-identity", "hf", "given" or "random") and then "random".
        mps_circuit: The staircase without the blocks near the identity; None if there is none.
        mps_parameters: Angles of `mps_circuit` in radians, float64, or None.
        seconds: Wall time of turning the state into angles.
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
    mps_circuit: QuantumCircuit | None
    mps_parameters: NDArray[np.float64] | None
    seconds: float
    exact_energy: float | None
    ground_states: NDArray[np.complex128] | NDArray[np.float64] | None


def prepare(
    hamiltonian: Observable | Molecule,
    *,
    start: str | os.PathLike[str] | Any = "mps",
    ansatz: str = "staircase",
    layers: int = 2,
    extend: int = 1,
    embed: bool = False,
    max_bond: int = 8,
    seed: int | None = None,
    progress: bool = False,
) -> Preparation:
    """Prepare a VQE: run DMRG, build a circuit and find angles to start from.

    Args:
        hamiltonian: Hermitian operator on n qubits, of any kind that `estimate` takes, or a molecule; qubit 0
            is the rightmost letter.
        start: `"mps"`, the state that DMRG finds; `"product"`, the product state of lowest energy;
            `"near-identity"`; `"random"`; `"hf"`, the Hartree-Fock state of a molecule; or angles: an array
            of shape (P,), a file (see `bondwise.circuits.read_parameters`), or the folder of a run of
            `bondwise vqe` with the same circuit.
        ansatz: `"staircase"`, the layers that `decompose` makes; `"brickwall"`; `"hardware-efficient"`; or,
            for molecules, `"uccsd"` or `"givens"`. All but the staircase are fitted to the state that they
            start as, see `fit`; only `"uccsd"` and `"givens"` are the Hartree-Fock state at angles of zero.
        layers: Number of layers of the staircase, the brickwall and the hardware-efficient circuit.
        extend: Number of blocks near the identity that the staircase gets on each pair of qubits that share a
            two-qubit term, or on each pair of neighbors if there is no such term or it is a molecule.
        embed: Whether the circuit is a staircase that is followed by the ansatz in place of these blocks.
            The ansatz must be the identity at some angles, as only the brickwall is.
        max_bond: Bond dimension of the matrix product state.
        seed: Random seed for DMRG, the decomposition and all angles.
        progress: Whether to show progress bars.

    Returns:
        Circuit with the angles of the requested start and of a random one.

    Raises:
        UsageError: If the start or the ansatz is unknown, or impossible for this Hamiltonian; the angles do
            not fit the circuit; a number is out of range; or the Hamiltonian is not a Hermitian operator.

    Example:
        >>> from bondwise import qml
        >>> hamiltonian = qml.heisenberg(4)
        >>> prepared = qml.prepare(hamiltonian, layers=1, max_bond=2, seed=0)
        >>> result = qml.VQE(hamiltonian, prepared.circuit).run(prepared.starts["mps"], steps=5)
        >>> print(f"{prepared.exact_energy:.1f} {prepared.value:.1f} {result.losses[0]:.1f}")
        -1.6 -1.5 -1.5
    """
    name = _start_name(start, hamiltonian)
    if ansatz not in ANSATZE:
        raise unknown_name("ansatz", ansatz, ANSATZE)
    if embed and ansatz != "brickwall":
        raise UsageError(
            f"embed=True needs an ansatz that is the identity at some angles, which {ansatz} is not; take "
            "brickwall, or leave it out."
        )
    whole_number("extend", extend, least=0)
    molecule = hamiltonian if isinstance(hamiltonian, Molecule) else None
    operator = as_operator(molecule.hamiltonian if molecule else hamiltonian, what="Hamiltonian")
    excitations = {"uccsd": uccsd, "givens": givens}.get(ansatz)
    excited = None if excitations is None else excitations(as_molecule(hamiltonian, ansatz))
    ground = tn.ground_state(operator, max_bond=max_bond, seed=seed, progress=progress)
    gate, num_qubits = block_gate(ground), operator.num_qubits
    exact_energy, ground_states = _exact(operator)
    began = perf_counter()
    pairs: list[tuple[int, int]] = []
    mps_circuit = mps_parameters = None
    stairs = ansatz == "staircase" or embed
    if stairs:
        pairs = brickwall_pairs(num_qubits, layers) if embed else _coupled_pairs(operator, molecule) * extend
        mps_circuit, mps_parameters = mps_start(layers, ground, seed=seed, progress=progress)
        circuit, angles = tn.extend(mps_circuit, mps_parameters, pairs, gate=gate, seed=seed)
    else:
        if ansatz == "brickwall":
            circuit = brickwall(num_qubits, layers, gate=gate)
        else:
            circuit = excited or hardware_efficient(num_qubits, layers)
        if name == "mps":
            _, angles = mps_start(circuit, ground, seed=seed, progress=progress)
    seconds = perf_counter() - began

    def like(state: Any) -> NDArray[np.float64]:
        """The angles at which the circuit prepares a state, as well as it can."""
        return mps_start(layers if stairs else circuit, state, pairs=pairs, gate=gate, seed=seed)[1]

    if name == "mps":
        starts = {"mps": angles}
    elif name == "product":
        starts = {"product": like(tn.ground_state(operator, max_bond=1, seed=seed))}
    elif name == "hf":
        zeros = np.zeros(circuit.num_parameters)
        starts = {"hf": zeros if excited else like(hartree_fock_state(as_molecule(hamiltonian, "hf")))}
    elif name == "near-identity":
        starts = {"near-identity": near_identity_start(circuit, seed=seed)}
    elif name == "random":
        starts = {}
    else:
        starts = {"given": given_start(start, circuit)}
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


def _start_name(start: Any, hamiltonian: Any) -> str:
    """The name of a start, "given" for angles; refused if it is impossible."""
    if not isinstance(start, str | os.PathLike):
        return "given"
    if start == "hf" and not isinstance(hamiltonian, Molecule):
        raise UsageError(
            "the start hf is the Hartree-Fock state of a molecule, and this Hamiltonian is no qml.molecule; "
            "take mps, product, near-identity or random."
        )
    if start in STARTS:
        return str(start)
    if not is_file(start) and not os.path.isdir(start):
        raise unknown_name("start", str(start), [*STARTS, "FILE (of angles)", "DIR (of a run)"])
    return "given"


def _coupled_pairs(operator: SparsePauliOp, molecule: Molecule | None) -> list[tuple[int, int]]:
    """Pairs of qubits that share a two-qubit term; neighbors on the line if none do, or all in a molecule."""
    support = operator.paulis.x | operator.paulis.z
    pairs = {tuple(row.nonzero()[0].tolist()) for row in support if row.sum() == 2 and not molecule}
    return sorted(pairs) or [(site, site + 1) for site in range(operator.num_qubits - 1)]
