"""`bondwise vqe`: DMRG → circuit → VQE from that start and from a random one → device, raw and mitigated."""

from __future__ import annotations

import json as json_format
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends, mitigation, qml
from bondwise.cli import options
from bondwise.cli.preparation import Preparation, prepare, read_model
from bondwise.cli.stages import Stage, stage_table, timed, versions
from bondwise.cli.vqe_report import report
from bondwise.runs import RunFolder, UsageError

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

SCHEMA = 1
EXACT_UP_TO = 16  # qubits: the sparse ground state takes seconds, and the infidelity of a stage a moment
TRAINED_UP_TO = 24  # qubits: a state vector of 256 MiB, of which a gradient holds several
WARN_SECONDS = 60


def command(
    model: Annotated[
        str, typer.Option("--model", help="heisenberg, ising, xxz, or a file with a Hamiltonian.", metavar="NAME|FILE")
    ] = "heisenberg",
    size: Annotated[
        str | None, typer.Option("--size", help="Sites of a chain (12), a ladder (2x6) or a grid (3x4).")
    ] = None,
    periodic: Annotated[bool, typer.Option("--periodic", help="Close the lattice in every direction.")] = False,
    max_bond: Annotated[int, typer.Option("--max-bond", help="Bond dimension of the DMRG ground state.")] = 8,
    layers: Annotated[int, typer.Option("--layers", help="Layers of two-qubit gates the state becomes.")] = 2,
    extend: Annotated[
        int, typer.Option("--extend", help="Layers of near-identity gates, one on each coupled pair.", metavar="N")
    ] = 1,
    start: Annotated[
        str,
        typer.Option("--start", help="mps, product, near-identity, random, or a file of angles.", metavar="NAME|FILE"),
    ] = "mps",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the optimiser.")] = 200,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adam, lbfgs, sgd, …")] = "adam",
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Step size of the optimiser.")] = 0.02,
    backend: options.Backend = "fake:torino",
    mitigate: options.Mitigate = "exponential",
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/vqe"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a circuit that starts as a tensor network, run it on a device and mitigate the noise."""
    settings = {key: value for key, value in locals().items() if key not in _NOT_SETTINGS}
    for flag, number, least in (("steps", steps, 0), ("layers", layers, 1), ("extend", extend, 0), ("shots", shots, 0)):
        if number < least:
            raise UsageError(f"--{flag} {number} is too small; give {least} or more.")
    hamiltonian = read_model(model, size, periodic)
    if hamiltonian.num_qubits > TRAINED_UP_TO:
        raise UsageError(
            f"{hamiltonian.num_qubits} qubits are too many to train on the exact simulator; give up to {TRAINED_UP_TO}."
        )
    machine = backends.get_backend(backend)
    if machine.num_qubits is not None and machine.num_qubits < hamiltonian.num_qubits:
        raise UsageError(
            f"the Hamiltonian has {hamiltonian.num_qubits} qubits and {machine.name} has {machine.num_qubits}; "
            "give a larger backend (`bondwise backends` lists them)."
        )
    mitigator = None
    if mitigate != "none":
        mitigator = mitigation.MitigatedEstimator(machine, extrapolation=mitigate, shots=shots or None, seed=seed)

    with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
        _keep_settings(folder, settings, resume)
        exact = qml.exact_ground_state(hamiltonian) if hamiltonian.num_qubits <= EXACT_UP_TO else None
        start_point = prepare(
            hamiltonian, folder=folder, max_bond=max_bond, layers=layers, extend=extend, start=start,
            exact=exact, seed=seed, progress=not quiet,
        )  # fmt: skip
        stages = list(start_point.stages)
        traces = {}
        for name, angles in start_point.starts.items():
            with timed(f"{name} start, trained", stages) as stage:
                result = qml.VQE(hamiltonian, start_point.circuit, optimizer=optimizer, learning_rate=learning_rate).run(
                    angles,
                    steps=steps,
                    seed=seed,
                    checkpoint=folder.path / f"checkpoint-{name}.safetensors",
                    resume=resume,
                    progress=not quiet,
                )
                stage.measure(result.value, start_point.circuit, result.parameters, exact)
            traces[name] = result
    print(json_format, shlex, sys, asdict)


_NOT_SETTINGS = ("out", "overwrite", "resume", "json", "quiet")


def _keep_settings(folder: RunFolder, settings: dict[str, Any], resume: bool) -> None:
    """Store what the run was asked for; a resumed run must be asked for the same."""
    path = folder.path / "settings.json"
    if resume and path.exists():
        before = json_format.loads(path.read_text())
        for key, value in settings.items():
            if before.get(key) != value:
                flag = "--" + key.replace("_", "-")
                raise UsageError(
                    f"{folder.path} was run with {flag} {before.get(key)}, not {value}; "
                    "resume with the same flags or choose another folder."
                )
    else:
        folder.write_json("settings.json", settings)
