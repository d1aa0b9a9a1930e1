"""`bondwise vqe`: DMRG → circuit → VQE from that start and from a random one → device, raw and mitigated."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bondwise import backends, qml
from bondwise.cli import options
from bondwise.cli.commands.measurement import announce, idle_mitigation, measure_on_device, mitigator_of
from bondwise.cli.commands.preparation import check_start, measure, prepare, read_model
from bondwise.cli.commands.vqe_report import render, verdicts
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.documents.stages import Stage, show_stages, timed, versions
from bondwise.cli.terminal import show, show_json
from bondwise.runs import RunFolder, Stopped, UsageError, is_file, read_bytes

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from bondwise.qml import VQEResult

SCHEMA = 1
_SAME = 1e-10  # energies that differ by less, relative to the sum of all coefficients, are the same
_NOT_SETTINGS = ("out", "overwrite", "resume", "json", "quiet")


def command(
    model: Annotated[
        str,
        typer.Option(
            "--model", help="heisenberg, ising, xxz, or a file with a Hamiltonian.", metavar="NAME|FILE"
        ),
    ] = "heisenberg",
    size: Annotated[
        str | None, typer.Option("--size", help="Sites of a chain (12), a ladder (2x6) or a grid (3x4).")
    ] = None,
    periodic: Annotated[
        bool, typer.Option("--periodic", help="Close the lattice in every direction.")
    ] = False,
    max_bond: Annotated[int, typer.Option("--max-bond", help="Bond dimension of the DMRG ground state.")] = 8,
    layers: Annotated[int, typer.Option("--layers", help="Layers of two-qubit gates the state becomes.")] = 2,
    extend: Annotated[
        int,
        typer.Option(
            "--extend", help="Layers of near-identity gates, one on each coupled pair.", metavar="N"
        ),
    ] = 1,
    start: Annotated[
        str,
        typer.Option(
            "--start", help="mps, product, near-identity, random, or a file of angles.", metavar="NAME|FILE"
        ),
    ] = "mps",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the optimizer.")] = 200,
    optimizer: Annotated[
        str, typer.Option("--optimizer", help="lbfgs, adam, nadam, rmsprop or sgd.")
    ] = "lbfgs",
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Of the optimizer; each has its own default.")
    ] = None,
    backend: options.Backend = "fake:torino",
    mitigate: options.MitigateNoise = None,
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/vqe"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a circuit that starts as a tensor network, run it on a device and mitigate the noise."""
    settings = {key: str(value) for key, value in locals().items() if key not in _NOT_SETTINGS}
    for flag, number, least in (
        ("steps", steps, 1),
        ("layers", layers, 1),
        ("extend", extend, 0),
        ("shots", shots, 0),
    ):
        if number < least:
            raise UsageError(f"--{flag} {number} is too small; give {least} or more.")
    if shots == 1:
        raise UsageError("--shots 1 has no error bar; give 2 or more, or 0 for exact values.")
    check_start(start)
    qml.check_optimizer(optimizer, learning_rate)
    hamiltonian = read_model(model, size, periodic)
    # what a name stands for must not change under a run that is resumed
    settings["hamiltonian"] = _fingerprint(repr(hamiltonian.to_list()).encode())
    if is_file(start):
        settings["angles"] = _fingerprint(read_bytes(start, "array_bytes"))
    machine = backends.get_backend(backend)
    if machine.num_qubits is not None and machine.num_qubits < hamiltonian.num_qubits:
        raise UsageError(
            f"the Hamiltonian has {hamiltonian.num_qubits} qubits, {machine.name} {machine.num_qubits}; "
            "give a larger backend (`bondwise backends` lists them)."
        )
    if mitigate is None:
        mitigate = settings["mitigate"] = "exponential" if machine.noisy else "none"
    mitigator = mitigator_of(mitigate, machine, shots=shots or None, seed=seed)

    try:
        with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
            flags = {"hamiltonian": "--model", "angles": "--start"}
            run = keep_settings(folder, settings, resume, flags=flags)
            prepared = prepare(
                hamiltonian,
                folder,
                max_bond=max_bond,
                layers=layers,
                extend=extend,
                start=start,
                seed=seed,
                resume=resume,
                run=run,
                progress=not quiet,
            )
            circuit = prepared.circuit
            if not quiet:
                announce(machine, mitigator, hamiltonian, circuit, shots)
            stages = [Stage(**stage) for stage in prepared.stages]
            trained: dict[str, VQEResult] = {}
            for name, angles in prepared.starts.items():
                with timed(f"{name} start", stages) as stage:
                    measure(stage, hamiltonian, circuit, angles, prepared.ground_states)
                with timed(f"{name} start, trained", stages) as stage:
                    vqe = qml.VQE(hamiltonian, circuit, optimizer=optimizer, learning_rate=learning_rate)
                    trained[name] = vqe.run(
                        angles,
                        steps=steps,
                        checkpoint=folder.path / f"checkpoint-{name}.safetensors",
                        resume=resume,
                        run=run,
                        seed=seed,
                        progress=f"VQE, {name} start" if not quiet else False,
                    )
                    measure(stage, hamiltonian, circuit, trained[name].parameters, prepared.ground_states)
            best = next(iter(trained.values()))
            extrapolation = measure_on_device(
                stages,
                machine,
                mitigator,
                hamiltonian,
                circuit,
                best.parameters,
                shots=shots,
                seed=seed,
            )
            references = [("exact", prepared.exact_energy), (f"DMRG, bond {max_bond}", float(prepared.value))]
            smallest = _SAME * float(abs(hamiltonian.coeffs).sum())
            notes = verdicts(prepared, trained, stages, extrapolation, smallest)
            notes += idle_mitigation(mitigate, machine)
            result = {
                "schema": SCHEMA,
                "seed": seed,
                "versions": versions(),
                "command": shlex.join(["bondwise", *sys.argv[1:]]),
                "settings": settings,
                "exact_energy": prepared.exact_energy,
                "dmrg_energy": float(prepared.value),
                "stages": [asdict(stage) for stage in stages],
                "notes": notes,
            }
            _write_circuit(folder, circuit, best)
            folder.write("trace.csv", _trace(trained))
            folder.write(
                "report.html", render(result, references, stages, trained, extrapolation, circuit, smallest)
            )
            folder.write_json("result.json", result)
    except KeyboardInterrupt:
        raise Stopped(f"stopped. The same command with --resume goes on from what is in {out}.") from None
    if json:
        show_json(result)
    elif not quiet:
        show_stages(f"{model} {size or ''} on {machine.name}", references, stages)
        show(*notes, f"report: {folder.path / 'report.html'}")


def _fingerprint(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def _write_circuit(folder: RunFolder, circuit: QuantumCircuit, best: VQEResult) -> None:
    """The trained circuit, angles inside, as QPY and OpenQASM 3; and free, with the angles beside it."""
    from qiskit import qasm3

    from bondwise.runs import qpy_bytes

    bound = circuit.assign_parameters(best.parameters)
    for name, program in (("ansatz.qpy", circuit), ("trained.qpy", bound)):
        folder.write(name, qpy_bytes(program))
    folder.write("trained.qasm", qasm3.dumps(bound))
    names = (parameter.name for parameter in circuit.parameters)
    folder.write_json("parameters.json", dict(zip(names, best.parameters.tolist(), strict=True)))


def _trace(trained: dict[str, VQEResult]) -> str:
    """The training from every start as CSV."""
    lines = ["start,step,energy,gradient_norm,seconds"]
    for name, result in trained.items():
        columns = (result.losses.tolist(), result.gradient_norms.tolist(), result.seconds.tolist())
        for step, (energy, norm, seconds) in enumerate(zip(*columns, strict=True)):
            lines.append(f"{name},{step},{energy!r},{norm!r},{seconds:.3f}")
    return "\n".join(lines) + "\n"
