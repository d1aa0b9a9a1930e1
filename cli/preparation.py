"""From a Hamiltonian to a circuit and the angles it starts from; kept in the run's folder, so that a resumed run goes on
with the same circuit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise import backends, qml, tn
from bondwise.cli.circuit_files import read_parameters
from bondwise.cli.stages import Stage, timed
from bondwise.runs import Result, RunFolder, UsageError, unknown_name

STARTS = ("mps", "product", "near-identity", "random")
STRENGTH = 0.01  # radians: enough to leave a saddle point, too little to be seen in the energy


@dataclass(frozen=True, kw_only=True)
class Preparation(Result):
    """A circuit and where its training starts; `value` is the DMRG energy.

    Attributes:
        circuit: The decomposed matrix product state, extended.
        starts: Angles by the name of the start, float64 (P,) each; the one asked for comes first.
        stages: What was measured on the way, as dictionaries.
        ground_state: The exact ground state, or None when the system is too large.
        exact_energy: Its energy, or None.
    """

    circuit: QuantumCircuit
    starts: dict[str, np.ndarray]
    stages: tuple[dict[str, Any], ...]
    ground_state: np.ndarray | None
    exact_energy: float | None


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
            raise UsageError(f"--size and --periodic are for named models; {model} holds the whole Hamiltonian.")
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
        raise unknown_name("start", start, [*STARTS, "a file of angles"])


def coupled_pairs(hamiltonian: SparsePauliOp) -> list[tuple[int, int]]:
    """Pairs of qubits that share a two-qubit term; neighbours in line when there is none."""
    support = hamiltonian.paulis.x | hamiltonian.paulis.z
    pairs = {tuple(np.flatnonzero(row).tolist()) for row in support if row.sum() == 2}
    return sorted(pairs) or [(site, site + 1) for site in range(hamiltonian.num_qubits - 1)]
