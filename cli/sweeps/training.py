"""The VQE of `bondwise sweep vqe`: a model, a tensor network, a circuit, and its training, at one point."""

from __future__ import annotations

from bondwise import qml
from bondwise.cli.circuit_files import read_model
from bondwise.runs import UsageError, is_file

MOST_QUBITS = 24  # a state vector of 256 MiB, of which a gradient holds several


def vqe(
    *,
    model: str = "heisenberg",
    size: int | str | None = None,
    periodic: bool = False,
    max_bond: int = 8,
    layers: int = 2,
    extend: int = 1,
    start: str = "mps",
    steps: int = 200,
    optimizer: str = "lbfgs",
    learning_rate: float | None = None,
    seed: int = 0,
) -> dict[str, float | int | None]:
    """Train a circuit on the exact simulator; the arguments are the flags of `bondwise vqe`."""
    if is_file(start):
        raise UsageError(f"start={start!r} is a file, which results are not stored under; give its name.")
    hamiltonian = read_model(
        model,
        None if size is None else str(size),
        periodic,
        most=MOST_QUBITS,
        task="train on a state vector",
    )
    prepared = qml.prepare(
        hamiltonian, start=start, layers=layers, extend=extend, max_bond=max_bond, seed=seed
    )
    trainer = qml.VQE(hamiltonian, prepared.circuit, optimizer=optimizer, learning_rate=learning_rate)
    trained = trainer.run(prepared.starts[start], steps=steps, seed=seed)
    return {
        "energy": float(trained.value),
        "start_energy": float(trained.losses[0]),
        "dmrg_energy": float(prepared.value),
        "exact_energy": prepared.exact_energy,
        "parameters": prepared.circuit.num_parameters,
    }
