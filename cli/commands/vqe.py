"""`bondwise vqe`: DMRG → circuit → VQE from this start and a random one → device, raw and mitigated."""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends, qml
from bondwise.cli import options, spending
from bondwise.cli.circuit_files import circuit_contents, read_model, read_molecule, say
from bondwise.cli.commands.measurement import (
    announce,
    exact_stage,
    idle_mitigation,
    measure_on_device,
    mitigator_of,
    verdict,
)
from bondwise.cli.commands.vqe_report import accuracies, described, render, verdicts
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.documents.stages import show_stages
from bondwise.cli.documents.trace import Trace
from bondwise.cli.machines import going_on, machine_for, require_shots, say_waiting
from bondwise.cli.terminal import show, show_json
from bondwise.mitigation.names import DEFAULT
from bondwise.runs import RunFolder, Stopped, UsageError, is_file, read_bytes, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.cli.documents.stages import Stage
    from bondwise.qml import VQE, Molecule, Preparation, VQEResult

TRAINED_UP_TO = 24  # qubits: a state vector of 256 MiB, of which a gradient holds several
TRAINED_AS_PRODUCTS = 256  # qubits, without a state vector
_FILES = {"ansatz.qpy": "ansatz", "trained.qpy": "qpy", "trained.qasm": "qasm", "parameters.json": "angles"}
_SAME = 1e-10  # energies that differ by less, relative to the sum of all coefficients, are the same
_SAME_MOLECULE = 1e-6  # Hartree


def command(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="heisenberg (the default), ising, xxz, a file with a Hamiltonian, or a sum such as "
            "'0.5*XX - ZZ'.",
            metavar="NAME|FILE",
        ),
    ] = None,
    size: options.Size = None,
    periodic: options.Periodic = False,
    molecule: options.Molecule = None,
    bond: options.Bond = None,
    basis: options.Basis = None,
    active: options.Active = None,
    mapping: options.Mapping = None,
    max_bond: Annotated[int, typer.Option("--max-bond", help="Bond dimension of the DMRG ground state.")] = 8,
    layers: Annotated[
        int,
        typer.Option(
            "--layers", help="Number of layers of the staircase, brickwall or hardware-efficient ansatz."
        ),
    ] = 2,
    extend: Annotated[
        int,
        typer.Option(
            "--extend",
            help="Number of near-identity gates that the staircase gets on each coupled pair.",
            metavar="N",
        ),
    ] = 1,
    ansatz: Annotated[
        str,
        typer.Option(
            "--ansatz",
            help="staircase, brickwall, hardware-efficient or, for molecules, uccsd or givens.",
            metavar="NAME",
        ),
    ] = "staircase",
    embed: Annotated[
        bool,
        typer.Option("--embed", help="Put the brickwall, near the identity, after a staircase."),
    ] = False,
    start: Annotated[
        str,
        typer.Option(
            "--start",
            help="mps, product, near-identity, random, hf (for molecules), a file of angles, or the folder "
            "of a run.",
            metavar="NAME|FILE|DIR",
        ),
    ] = "mps",
    steps: Annotated[int, typer.Option("--steps", help="Number of optimizer steps.")] = 200,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer", help="lbfgs, adam, nadam, rmsprop, sgd, qng, spsa or cmaes.", metavar="NAME"
        ),
    ] = "lbfgs",
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Learning rate; each optimizer has a default."),
    ] = None,
    train_on: Annotated[
        str | None,
        typer.Option(
            "--train-on",
            help="Exact backend of the training; statevector up to 24 qubits and mps above, by default.",
            metavar="NAME",
        ),
    ] = None,
    backend: options.Backend = "fake:torino",
    mitigate: options.MitigateNoise = None,
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/vqe"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    no_wait: options.NoWait = False,
    dry_run: spending.DryRun = False,
    yes: spending.Yes = False,
    max_qpu_seconds: spending.MostQpuSeconds = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a circuit that starts as a tensor network, run it on a device and mitigate its noise."""
    settings = settings_of(locals())
    whole_number("steps", steps)
    whole_number("max_bond", max_bond)
    whole_number("layers", layers)
    whole_number("extend", extend, least=0)
    whole_number("shots", shots, least=0, most=options.MOST_SHOTS)
    if shots == 1:
        raise UsageError("--shots 1 has no error bar; give 2 or more, or 0 for exact values.")
    require_shots(backend, shots)
    qml.check_optimizer(optimizer, learning_rate)
    said: list[str] = []
    chemistry: dict[str, Any] = {"bond": bond, "basis": basis, "active": active, "mapping": mapping}
    if molecule is None:
        model = settings["model"] = model or "heisenberg"
        for name, value in chemistry.items():
            if value is not None:
                raise UsageError(f"--{name} is for molecules; add --molecule, or leave it out.")
    elif model is not None or size is not None or periodic:
        raise UsageError("--molecule holds the whole Hamiltonian; leave --model, --size and --periodic out.")
    trainer = _trainer(train_on)
    system: Molecule | None = None
    # a resumed run must have the same Hamiltonian and angles, not just the same file names
    if molecule is not None:
        system = read_molecule(molecule, **chemistry)
        hamiltonian = system.hamiltonian  # its last digits can differ from run to run
        geometry = read_bytes(molecule, "text_bytes") if is_file(molecule) else molecule.encode()
        settings["hamiltonian"] = _digest(geometry)
    else:
        hamiltonian = _read_model(trainer, model, size, periodic, said)
        settings["hamiltonian"] = _digest(repr(hamiltonian.to_list()).encode())
    trainer = trainer or backends.get_backend(
        "statevector" if hamiltonian.num_qubits <= TRAINED_UP_TO else "mps"
    )
    angles_file = start if is_file(start) else Path(start) / "parameters.json"
    if is_file(angles_file):
        settings["angles"] = _digest(read_bytes(angles_file, "array_bytes"))
    how: dict[str, Any] = {"start": start, "layers": layers, "extend": extend, "max_bond": max_bond}
    how |= {"ansatz": ansatz, "embed": embed, "seed": seed, "progress": not quiet}

    def approve(machine: backends.Backend, circuit: QuantumCircuit, angles: np.ndarray, dry: bool) -> None:
        """Ask before time is spent on a device, whatever the angles are."""
        spending.approve(
            machine,
            lambda place: measure_on_device(
                place,
                mitigator_of(mitigate or "none", place, shots=shots or None, seed=seed),
                hamiltonian,
                circuit,
                angles,
                shots=shots,
                seed=seed,
            ),
            dry_run=dry,
            yes=yes,
            most_seconds=max_qpu_seconds,
            quiet=quiet,
            json=json,
        )

    if dry_run:
        machine = backends.get_backend(backend)
        mitigate = _mitigation(mitigate, machine)
        planned = qml.prepare(system or hamiltonian, **how)
        approve(machine, planned.circuit, next(iter(planned.starts.values())), True)
    place: backends.Backend | None = None
    try:
        with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
            run = keep_settings(
                folder,
                settings,
                resume,
                command="vqe",
                flags={},
                contents={"hamiltonian": "--molecule" if molecule else "--model", "angles": "--start"},
            )
            machine = place = machine_for(folder, backend, wait=not no_wait, progress=not quiet)
            if machine.num_qubits is not None and machine.num_qubits < hamiltonian.num_qubits:
                raise UsageError(
                    f"the Hamiltonian has {counted(hamiltonian.num_qubits, 'qubit')}, {machine.name} "
                    f"{machine.num_qubits}; choose a larger backend (`bondwise backends` lists them)."
                )
            mitigate = settings["mitigate"] = _mitigation(mitigate, machine)
            mitigator = mitigator_of(mitigate, machine, shots=shots or None, seed=seed)
            say(said, quiet)
            if system is not None:
                system = _kept(folder, resume, system)
                hamiltonian = system.hamiltonian
            prepared = _prepared(folder, resume, system or hamiltonian, **how)
            circuit = prepared.circuit
            begun = machine.begun
            if not begun:  # before the training, on which the costs do not depend
                approve(machine, circuit, next(iter(prepared.starts.values())), False)
            folder.keep()
            if not quiet:
                announce(machine, mitigator, hamiltonian, circuit, shots)
            vqe = qml.VQE(
                hamiltonian, circuit, backend=trainer, optimizer=optimizer, learning_rate=learning_rate
            )
            trained, stages = _train(
                vqe, prepared, folder, steps=steps, resume=resume, run=run, seed=seed, progress=not quiet
            )
            best = next(iter(trained.values())).parameters
            if begun:  # the jobs of the run are known by the trained angles
                approve(machine, circuit, best, False)
            measured, extrapolation = measure_on_device(
                machine, mitigator, hamiltonian, circuit, best, shots=shots, seed=seed
            )
            stages += measured
            references = [("exact", prepared.exact_energy), (f"DMRG, bond {max_bond}", prepared.value)]
            if system is not None:
                references += [("CASCI", system.casci_energy), ("Hartree-Fock", system.hf_energy)]
            smallest = _SAME * float(abs(hamiltonian.coeffs).sum()) if system is None else _SAME_MOLECULE
            notes = [] if system is None else accuracies(system, trained)
            notes += verdicts(prepared.value, trained, stages, extrapolation, smallest)
            notes += idle_mitigation(mitigate, machine)
            found = verdict(circuit, hamiltonian)
            notes += [] if found is None else [f"{found}."]
            notes += [f"Trained on {trainer.name}."] if trainer.name != "statevector" else []
            result = envelope(settings) | {
                "seed": seed,
                "exact_energy": prepared.exact_energy,
                "dmrg_energy": prepared.value,
                "molecule": None if system is None else described(system, trained),
                "stages": [asdict(stage) for stage in stages],
                "notes": notes,
            }
            contents = circuit_contents(circuit, best)
            for file, kind in _FILES.items():
                folder.write(file, contents[kind])
            folder.write(
                "report.html", render(result, references, stages, trained, extrapolation, circuit, smallest)
            )
            folder.write_json("result.json", result)
    except backends.Waiting as waiting:
        say_waiting(waiting, folder, json=json, quiet=quiet)
        return
    except KeyboardInterrupt:
        if place is not None and place.begun:
            raise Stopped(going_on(out)) from None
        raise Stopped(f"stopped; the same command with --resume continues from what is in {out}.") from None
    if json:
        show_json(result)
    elif not quiet:
        show_stages(f"{molecule or model} {size or ''} on {machine.name}", references, stages)
        show(*notes, f"report: {folder.path / 'report.html'}")


def _trainer(name: str | None) -> backends.Backend | None:
    """The exact simulator that the circuit is trained on, if one is named."""
    trainer = None if name is None else backends.get_backend(name)
    if trainer is not None and (trainer.noisy or trainer.remote or not trainer.exact):
        raise UsageError(
            f"--train-on {name} has no exact values to train on; write statevector or mps, and "
            f"--backend {name} to measure what was trained."
        )
    return trainer


def _read_model(
    trainer: backends.Backend | None, model: str | None, size: str | None, periodic: bool, said: list[str]
) -> SparsePauliOp:
    """The Hamiltonian of a lattice or a file, not larger than can be trained."""
    wide = trainer is None or not trainer.dense
    return read_model(
        model or "heisenberg",
        size,
        periodic,
        most=TRAINED_AS_PRODUCTS if wide else TRAINED_UP_TO,
        task="train on a state vector" if not wide else "train",
        said=said,
    )


def _mitigation(mitigate: str | None, machine: backends.Backend) -> str:
    """The mitigation that is asked for; by default, one that extrapolates if the backend is noisy."""
    return mitigate or (DEFAULT if machine.noisy else "none")


def _kept(folder: RunFolder, resume: bool, molecule: Molecule) -> Molecule:
    """The molecule with the Hamiltonian of the run that is resumed, to the last bit, or a new one, kept."""
    path = folder.path / "hamiltonian.json"
    if resume and path.exists():
        return replace(molecule, hamiltonian=qml.read_hamiltonian(path))
    qml.write_hamiltonian(molecule.hamiltonian, path)
    return molecule


def _prepared(
    folder: RunFolder, resume: bool, hamiltonian: SparsePauliOp | Molecule, **how: Any
) -> Preparation:
    """The circuit and its starts: those of the run that is resumed, or new ones, kept in its folder."""
    kept = folder.path / "preparation"
    if resume and kept.with_suffix(".json").exists():
        return qml.Preparation.load(kept)
    prepared = qml.prepare(hamiltonian, **how)
    prepared.save(kept)
    return prepared


def _train(
    vqe: VQE, prepared: Preparation, folder: RunFolder, *, resume: bool, progress: bool, **how: Any
) -> tuple[dict[str, VQEResult], list[Stage]]:
    """Train from every start; the results by start, and what was measured on the way."""

    def measure(name: str, circuit: QuantumCircuit, angles: np.ndarray, began: float) -> Stage:
        ground = prepared.ground_states
        return exact_stage(name, vqe.hamiltonian, circuit, angles, ground, began=began, backend=vqe.backend)

    stages, trained = [], {}
    if prepared.mps_circuit is not None and prepared.mps_parameters is not None:
        began = perf_counter() - prepared.seconds
        stages = [measure("MPS as a circuit", prepared.mps_circuit, prepared.mps_parameters, began)]
    trace = Trace(folder)
    for start, angles in prepared.starts.items():
        name = "MPS" if start == "mps" else start
        stages.append(measure(f"{name} start", vqe.circuit, angles, perf_counter()))
        began = perf_counter()
        with trace.of(start) as write:
            trained[name] = vqe.run(
                angles,
                checkpoint=folder.path / f"checkpoint-{start}.safetensors",
                callbacks=[write],
                resume=resume,
                progress=f"VQE, {name} start" if progress else False,
                **how,
            )
        trace.keep(start, trained[name])
        stages.append(measure(f"{name} start, trained", vqe.circuit, trained[name].parameters, began))
    return trained, stages


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]
