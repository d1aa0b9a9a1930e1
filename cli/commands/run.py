"""`bondwise run`: counts or expectation values of any circuit on any backend."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends, circuits
from bondwise.cli import options, spending
from bondwise.cli.circuit_files import read_observable, read_program, say
from bondwise.cli.commands.measurement import idle_mitigation, mitigator_of, verdict
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.machines import agreed, machine_for, require_shots
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import RunFolder, UsageError, read_bytes, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

SHOWN = 12  # outcomes in the printed table; the file has all of them


def command(
    circuit: Annotated[
        Path, typer.Argument(help="A .qpy or .qasm file (OpenQASM 2 or 3).", metavar="CIRCUIT")
    ],
    backend: options.Backend = "statevector",
    observable: Annotated[
        list[str] | None,
        typer.Option(
            "--observable",
            help="Observable such as ZZI, '0.5*XX - ZZ' or '0.5 X0 - Z1', or a file; repeatable.",
        ),
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters",
            help="Angles in radians: theta=0.3,x[0]=pi/4, JSON, or a file, JSON or .npy.",
            metavar="FILE|ANGLES",
        ),
    ] = None,
    mitigate: options.Mitigate = "none",
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the results; runs/NAME for NAME.qasm by default.", metavar="DIR"
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    no_wait: options.NoWait = False,
    dry_run: spending.DryRun = False,
    yes: spending.Yes = False,
    max_qpu_seconds: spending.MostQpuSeconds = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a circuit: counts of its measurements, or expectation values with --observable."""
    settings = settings_of(locals())
    program, angles = read_program(circuit, parameters)
    whole_number("shots", shots, least=0, most=options.MOST_SHOTS)
    if not observable and (not shots or mitigate != "none"):
        flag = "--shots 0" if not shots else "--mitigate"
        raise UsageError(f"{flag} is for expectation values; give --observable as well.")
    require_shots(backend, shots)
    said: list[str] = []
    observables = [read_observable(text, program.num_qubits, said=said) for text in observable or []]

    def measure(machine: backends.Backend) -> dict[str, Any]:
        if not observables:
            samples = backends.sample(program, angles, shots=shots, backend=machine, seed=seed)
            found = {"counts": samples.counts, "joint_counts": samples.joint_counts}
            return found | {"shots": samples.shots, "job_ids": list(samples.job_ids)}
        bare = circuits.without_measurements(program)
        found = _values(bare, observables, angles, machine, mitigate, shots=shots or None, seed=seed)
        return found | {"observables": observable}

    asks: dict[str, Any] = {"most_seconds": max_qpu_seconds, "quiet": quiet, "json": json}
    if dry_run:
        spending.approve(backends.get_backend(backend), measure, dry_run=True, **asks)
    # a resumed run must have the same circuit and angles, not just the same file names
    settings["program"] = sha256(read_bytes(circuit, "text_bytes")).hexdigest()[:16]
    settings["angles"] = None if angles is None else sha256(angles.tobytes()).hexdigest()[:16]
    result = envelope(settings) | {"circuit": str(circuit), "backend": backend, "seed": seed}
    with RunFolder(out or Path("runs") / circuit.stem, overwrite=overwrite, resume=resume) as folder:
        keep_settings(
            folder,
            settings,
            resume,
            command="run",
            flags={"circuit": "CIRCUIT"},
            contents={"program": "CIRCUIT", "angles": "--parameters"},
        )
        machine = machine_for(folder, backend, wait=not no_wait, progress=not quiet)
        say(said, quiet)
        if machine.remote:
            result["backend"] = machine.name  # the device that ibm:least_busy has become
        with agreed(folder, machine, measure, yes=yes, **asks):
            result |= measure(machine)
        found = verdict(program, observables or None)
        if found is not None:
            seconds = found.value if found.best else None
            result["simulability"] = {
                "best": found.best,
                "seconds": seconds,
                "log2_bond": round(math.log2(found.bond), 6),
                "light_cone": found.light_cone,
            }
        if angles is not None:
            result["parameters"] = [parameter.name for parameter in circuits.declared_parameters(program)]
        folder.write_json("result.json", result)
    if json:
        show_json(result)
    elif not quiet:
        if observables:
            _show_values(result)
        else:
            _show_counts(result)
        notes = list(result.get("notes", []))
        notes += [f"{found}." for found in [found] if found]
        if angles is not None:
            names = result["parameters"]
            more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
            notes.append(f"order of a plain list of angles: {', '.join(names[:SHOWN])}{more}")
        show(*notes, f"result: {folder.path / 'result.json'}")


def _values(
    circuit: QuantumCircuit,
    observables: list[SparsePauliOp],
    angles: np.ndarray | None,
    machine: backends.Backend,
    mitigate: str,
    *,
    shots: int | None,
    seed: int,
) -> dict[str, Any]:
    """Values and standard errors of shape (*batch, K), with shots, jobs and notes."""
    import numpy as np

    estimator = mitigator_of(mitigate, machine, shots=shots, seed=seed)
    if estimator is None:
        done = backends.estimate(circuit, observables, angles, shots=shots, backend=machine, seed=seed)
        values, std, spent, jobs = done.value, done.std, done.shots, done.job_ids
        notes = idle_mitigation(mitigate, machine)
    else:
        sets = np.zeros((1, 0)) if angles is None else np.atleast_2d(angles)
        pub = (circuit, observables, sets[:, None])
        job = estimator.run([pub]).result()
        shape = (*([] if angles is None else angles.shape[:-1]), len(observables))
        values, std = job[0].data.evs.reshape(shape), job[0].data.stds.reshape(shape)
        spent, jobs = int(job.metadata["shots"]), job.metadata["job_ids"]
        notes = [f"mitigation: {job[0].metadata['message']}."] if job[0].metadata["message"] else []
    return {
        "values": values.tolist(),
        # a single shot has no standard error
        "std": np.where(np.isnan(std), np.array(None), np.broadcast_to(std, values.shape)).tolist(),
        "mitigate": mitigate,
        "shots": spent,
        "job_ids": list(jobs),
        "notes": notes,
    }


def _show_values(result: dict[str, Any]) -> None:
    batch = isinstance(result["values"][0], list)
    sets = zip(result["values"], result["std"], strict=True) if batch else [(result["values"], result["std"])]
    rows = []
    for index, (values, errors) in enumerate(sets):
        for name, value, std in zip(result["observables"], values, errors, strict=True):
            error = "no shots" if not result["shots"] else "unknown" if std is None else f"{std:.6f}"
            rows.append([*([index] if batch else []), name, f"{value:.6f}", error])
    how = counted(result["shots"], "shot") if result["shots"] else "exact"
    title = f"expectation values on {result['backend']}, {how}"
    show_table(
        title, [*(["angles"] if batch else []), "observable", "value", "± std"], rows, left=["observable"]
    )


def _show_counts(result: dict[str, Any]) -> None:
    counts, joint = result["counts"], result["joint_counts"]
    batch = isinstance(joint, list)
    if len(counts) > 1:  # as Qiskit prints them: the last register first
        counts = counts | {" ".join(reversed(counts)): joint}
    rows: list[list[object]] = []
    sections = []
    for register, sets in counts.items():
        sections.append(len(rows))
        for index, outcomes in enumerate(sets if batch else [sets]):
            before = [index, register] if batch else [register]
            ranked = sorted(outcomes.items(), key=lambda item: -item[1])
            rows += [[*before, outcome, f"{count:,}"] for outcome, count in ranked[:SHOWN]]
            if len(ranked) > SHOWN:
                rows.append([*before, f"… {len(ranked) - SHOWN} more", ""])
    columns = [*(["angles"] if batch else []), "register", "outcome", "count"]
    title = f"counts on {result['backend']}, {counted(result['shots'], 'shot')}"
    show_table(title, columns, rows, left=["register", "outcome"], sections=sections[1:])
