"""From a Hamiltonian to a circuit and the angles its training starts from.

What was prepared is kept in the folder of the run, so that a resumed run goes on with the same circuit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise import backends, qml, tn
from bondwise.cli.circuit_files import read_parameters
from bondwise.cli.stages import Stage, timed
from bondwise.runs import Result, RunFolder, UsageError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

STARTS = ("mps", "product", "near-identity", "random")
EXACT_UP_TO = 16  # qubits: the sparse ground state takes seconds, and the infidelity of a stage a moment


@dataclass(frozen=True, kw_only=True)
class Preparation(Result):
    """A circuit and where its training starts; `value` is the DMRG energy.

    Attributes:
        circuit: The decomposed matrix product state, extended.
        starts: Angles by the name of the start, float64 (P,) each; the one asked for comes first.
        stages: What was measured on the way, as dictionaries.
        exact_energy: Of the ground state; None when there are too many qubits.
        ground_state: Its vector, shape (2**n,); None when there are too many qubits.
    """

    circuit: QuantumCircuit
    starts: dict[str, np.ndarray]
    stages: tuple[dict[str, Any], ...]
    exact_energy: float | None
    ground_state: np.ndarray | None


def read_model(model: str, size: str | None, periodic: bool) -> SparsePauliOp:
    """The Hamiltonian that the flags name.

    Args:
        model: Name of a model, or a file.
        size: Of the lattice; not for a file.
        periodic: Whether the lattice is closed; not for a file.

    Raises:
        UsageError: There is no such model, size or file.
    """
    if Path(model).is_file() or Path(model).suffix:
        if size is not None or periodic:
            raise UsageError(
                f"--size and --periodic are for named models; {model} holds the whole Hamiltonian."
            )
        return qml.read_hamiltonian(model)
    if size is None:
        raise UsageError("--size is missing; give the number of sites, such as 8 or 3x4.")
    return qml.model_hamiltonian(model, size, periodic=periodic)


def check_start(start: str) -> None:
    """Refuse a `--start` that is neither a name nor a file.

    Raises:
        UsageError: It is neither.
    """
    if start not in STARTS and not Path(start).is_file():
        raise unknown_name("start", start, [*STARTS, "FILE (of angles)"])


def check_optimizer(optimizer: str, learning_rate: float | None) -> None:
    """Refuse an optimiser before time is spent on what it would train.

    Raises:
        UsageError: There is no such optimiser, or the learning rate is not above zero.
    """
    import torch

    qml.minimise(torch.sum, [0.0], optimizer=optimizer, learning_rate=learning_rate, steps=0)


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
        progress: Show bars.
    """
    kept = folder.path / "preparation"
    if resume and kept.with_suffix(".json").exists():
        return Preparation.load(kept)
    exact_energy, ground_state = None, None
    if hamiltonian.num_qubits <= EXACT_UP_TO:
        exact_energy, ground_state = qml.exact_ground_state(hamiltonian)
    stages: list[Stage] = []

    def solve(bond: int, name: str) -> tuple[float, QuantumCircuit, np.ndarray]:
        """DMRG energy at a bond dimension, and its state as an extended circuit of always the same gates."""
        dmrg = tn.ground_state(hamiltonian, max_bond=bond, seed=seed, progress=progress)
        with timed(f"{name} as a circuit", stages) as stage:
            found = tn.decompose(dmrg.state, layers=layers, seed=seed, progress=progress)
            circuit, angles = found.circuit, found.parameters
            measure(stage, hamiltonian, circuit, angles, ground_state)
        for layer in range(extend):
            circuit, angles = tn.extend(circuit, angles, coupled_pairs(hamiltonian), seed=seed + layer)
        return float(dmrg.value), circuit, angles

    dmrg_energy, circuit, angles = solve(max_bond, "MPS")
    random = qml.random_start(circuit, seed=seed)
    if start == "mps":
        starts = {"MPS": angles, "random": random}
    elif start == "product":
        starts = {"product": solve(1, "product state")[2], "random": random}
    elif start == "near-identity":
        starts = {"near-identity": qml.near_identity_start(circuit, seed=seed), "random": random}
    elif start == "random":
        starts = {"random": random}
    else:
        starts = {"given": read_parameters(Path(start), circuit), "random": random}
    prepared = Preparation(
        value=dmrg_energy,
        seed=seed,
        circuit=circuit,
        starts=starts,
        stages=tuple(asdict(stage) for stage in stages),
        exact_energy=exact_energy,
        ground_state=ground_state,
    )
    prepared.save(kept)
    return prepared


def measure(
    stage: Stage,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    angles: np.ndarray,
    ground_state: np.ndarray | None,
) -> None:
    """Put the exact energy of a circuit, its counts and its infidelity into a stage."""
    stage.energy = float(backends.estimate(circuit, hamiltonian, angles).value)
    stage.count(circuit)
    if ground_state is not None:
        from qiskit.quantum_info import Statevector

        state = Statevector(circuit.assign_parameters(angles)).data
        stage.infidelity = max(0.0, 1.0 - abs(complex(ground_state.conj() @ state)) ** 2)


def coupled_pairs(hamiltonian: SparsePauliOp) -> list[tuple[int, int]]:
    """Pairs of qubits that share a two-qubit term; neighbours in line when there is none."""
    support = hamiltonian.paulis.x | hamiltonian.paulis.z
    pairs = {tuple(row.nonzero()[0].tolist()) for row in support if row.sum() == 2}
    return sorted(pairs) or [(site, site + 1) for site in range(hamiltonian.num_qubits - 1)]
