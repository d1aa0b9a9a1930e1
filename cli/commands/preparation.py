"""From a Hamiltonian to a circuit and the angles its training starts from.

What was prepared is kept in the folder of the run, so that a resumed run goes on with the same circuit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise import backends, qml, tn
from bondwise.cli.circuit_files import read_parameters
from bondwise.cli.documents.stages import Stage, timed
from bondwise.runs import Result, RunFolder, UsageError, is_file, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

STARTS = ("mps", "product", "near-identity", "random")
EXACT_UP_TO = 16  # qubits: the sparse ground state takes seconds, and the infidelity of a stage a moment
TRAINED_UP_TO = 24  # qubits: a state vector of 256 MiB, of which a gradient holds several


@dataclass(frozen=True, kw_only=True)
class Preparation(Result):
    """A circuit and where its training starts; `value` is the DMRG energy.

    Attributes:
        circuit: The decomposed matrix product state, extended.
        starts: Angles by the name of the start, float64 (P,) each; the one asked for comes first.
        stages: What was measured on the way, as dictionaries.
        exact_energy: Of the ground state; None when there are too many qubits.
        ground_states: Orthonormal vectors of the ground level, shape (2**n, degeneracy), or None.
        run: Fingerprint of the settings that it was made with.
    """

    circuit: QuantumCircuit
    starts: dict[str, np.ndarray]
    stages: tuple[dict[str, Any], ...]
    exact_energy: float | None
    ground_states: np.ndarray | None
    run: str


def read_model(
    model: str,
    size: str | None,
    periodic: bool,
    *,
    most: int = TRAINED_UP_TO,
    task: str = "train on the exact simulator",
) -> SparsePauliOp:
    """The Hamiltonian that the flags name.

    Args:
        model: Name of a model, or a file.
        size: Of the lattice; not for a file.
        periodic: Whether the lattice is closed; not for a file.
        most: Qubits it may have; a lattice with more is refused before its terms are made.
        task: What would take too long with more, for the message.

    Raises:
        UsageError: There is no such model, size or file, or it has too many qubits.
    """

    def require_few(qubits: int) -> None:
        if qubits > most:
            raise UsageError(f"{qubits} qubits are too many to {task}; give at most {most}.")

    if is_file(model) or Path(model).suffix:
        if size is not None or periodic:
            raise UsageError(
                f"--size and --periodic are for named models; {model} holds the whole Hamiltonian."
            )
        hamiltonian = qml.read_hamiltonian(model)
        require_few(hamiltonian.num_qubits)
        return hamiltonian
    if size is None:
        qml.model_hamiltonian(model, 2)  # a wrong name is to be called that
        raise UsageError("--size is missing; give the number of sites, such as 8 or 3x4.")
    lattice = qml.lattice_size(size)
    require_few(lattice if isinstance(lattice, int) else math.prod(lattice))
    return qml.model_hamiltonian(model, size, periodic=periodic)


def check_start(start: str) -> None:
    """Refuse a `--start` that is neither a name nor a file.

    Raises:
        UsageError: It is neither.
    """
    if start not in STARTS and not is_file(start):
        raise unknown_name("start", start, [*STARTS, "FILE (of angles)"])


def prepare(
    hamiltonian: SparsePauliOp,
    folder: RunFolder,
    *,
    max_bond: int,
    layers: int,
    extend: int,
    start: str,
    seed: int,
    resume: bool,
    run: str,
    progress: bool,
) -> Preparation:
    """DMRG, decompose, extend, and find the angles of each start; or read what is there.

    Args:
        hamiltonian: What the energy is of.
        folder: Of the run.
        max_bond: Bond dimension of DMRG.
        layers: Of the decomposition.
        extend: Layers of near-identity gates on the coupled pairs.
        start: One of `STARTS`, or a file of angles.
        seed: Of everything random.
        resume: Take what is in the folder.
        run: Fingerprint of the settings.
        progress: Show bars.

    Raises:
        UsageError: What is in the folder is damaged, or was made with other settings.
    """
    kept = folder.path / "preparation"
    if resume and kept.with_suffix(".json").exists():
        prepared = Preparation.load(kept)
        if prepared.run != run:
            raise UsageError(
                f"{kept}.json was made with other settings; start again with --overwrite, "
                "or choose another folder."
            )
        return prepared
    stages: list[Stage] = []
    dmrg = tn.ground_state(hamiltonian, max_bond=max_bond, seed=seed, progress=progress)
    exact_energy, ground_states = _exact(hamiltonian)
    with timed("MPS as a circuit", stages) as stage:
        found = tn.decompose(dmrg.state, layers=layers, seed=seed, progress=progress)
        measure(stage, hamiltonian, found.circuit, found.parameters, ground_states)
    real = all(tensor.dtype.kind == "f" for tensor in tn.site_tensors(dmrg.state))
    pairs = coupled_pairs(hamiltonian) * extend
    gate = "so4" if real else "su4"
    circuit, angles = tn.extend(found.circuit, found.parameters, pairs, gate=gate, seed=seed)
    random = qml.random_start(circuit, seed=seed)
    if start == "mps":
        starts = {"MPS": angles, "random": random}
    elif start == "product":
        product = qml.product_start(hamiltonian, layers=layers, pairs=pairs, gate=gate, seed=seed)
        starts = {"product": product[1], "random": random}
    elif start == "near-identity":
        starts = {"near-identity": qml.near_identity_start(circuit, seed=seed), "random": random}
    elif start == "random":
        starts = {"random": random}
    else:
        starts = {"given": read_parameters(Path(start), circuit), "random": random}
    prepared = Preparation(
        value=float(dmrg.value),
        seed=seed,
        circuit=circuit,
        starts=starts,
        stages=tuple(asdict(stage) for stage in stages),
        exact_energy=exact_energy,
        ground_states=ground_states,
        run=run,
    )
    prepared.save(kept)
    folder.keep()
    return prepared


def _exact(hamiltonian: SparsePauliOp) -> tuple[float | None, np.ndarray | None]:
    """Energy and vectors of the ground level, None where they take too much memory."""
    if hamiltonian.num_qubits > EXACT_UP_TO:
        return None, None
    try:
        return qml.exact_ground_state(hamiltonian)
    except UsageError:  # too many terms
        return None, None


def measure(
    stage: Stage,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    angles: np.ndarray,
    ground_states: np.ndarray | None,
) -> None:
    """Put the exact energy of a circuit, its counts and its infidelity to the ground level into a stage."""
    stage.energy = float(backends.estimate(circuit, hamiltonian, angles).value)
    stage.count(circuit)
    if ground_states is not None:
        from qiskit.quantum_info import Statevector

        state = Statevector(circuit.assign_parameters(angles)).data
        stage.infidelity = max(0.0, 1.0 - float((abs(ground_states.conj().T @ state) ** 2).sum()))


def coupled_pairs(hamiltonian: SparsePauliOp) -> list[tuple[int, int]]:
    """Pairs of qubits that share a two-qubit term; neighbors in line when there is none."""
    support = hamiltonian.paulis.x | hamiltonian.paulis.z
    pairs = {tuple(row.nonzero()[0].tolist()) for row in support if row.sum() == 2}
    return sorted(pairs) or [(site, site + 1) for site in range(hamiltonian.num_qubits - 1)]
