"""`bondwise run`: any circuit on any backend, sampled or measured."""

from __future__ import annotations

import json as json_format
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends
from bondwise.cli import options
from bondwise.cli.circuit_files import read_circuit, read_observable, read_parameters
from bondwise.cli.device import mitigator_of
from bondwise.cli.stages import versions
from bondwise.runs import RunFolder, UsageError

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from rich.table import Table

SCHEMA = 1
SHOWN = 12  # outcomes in the printed table; the file has all


def command(
    circuit: Annotated[
        Path, typer.Argument(help="A .qpy or .qasm file (OpenQASM 2 or 3).", metavar="CIRCUIT")
    ],
    backend: options.Backend = "statevector",
    observable: Annotated[
        list[str] | None,
        typer.Option("--observable", help="Such as ZZI or '0.5*XX - ZZ', or a file; may be repeated."),
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option("--parameters", help="Angles: JSON or .npy, radians.", metavar="FILE")
    ] = None,
    mitigate: options.Mitigate = "none",
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/circuit"),
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a circuit: counts of its measurements, or expectation values with --observable."""
    program = read_circuit(circuit)
    angles = read_parameters(parameters, program) if parameters else None
    if program.parameters and angles is None:
        raise UsageError(
            f"{circuit} has {len(program.parameters)} free parameters; give them with --parameters FILE."
        )
    if shots < 0:
        raise UsageError(f"--shots {shots} is negative; give a positive number, or 0 for exact values.")
    if not observable and (not shots or mitigate != "none"):
        flag = "--shots 0" if not shots else "--mitigate"
        raise UsageError(f"{flag} is for expectation values; give --observable as well.")
    observables = [read_observable(text, program.num_qubits) for text in observable or []]
    machine = backends.get_backend(backend)
    result: dict[str, Any] = {"schema": SCHEMA, "circuit": str(circuit), "backend": backend, "seed": seed}
    with RunFolder(out, overwrite=overwrite) as folder:
        if observables:
            bare = program.copy()
            bare.remove_final_measurements()
            result |= _values(bare, observables, angles, machine, mitigate, shots=shots or None, seed=seed)
            result["observables"] = observable
            table = _values_table(result)
        else:
            samples = backends.sample(program, angles, shots=shots, backend=machine, seed=seed)
            result |= {"counts": samples.counts, "shots": samples.shots, "job_ids": list(samples.job_ids)}
            table = _counts_table(result["counts"])
        result |= {"versions": versions(), "command": shlex.join(["bondwise", *sys.argv[1:]])}
        folder.write_json("result.json", result)
    if json:
        print(json_format.dumps(result, indent=2))
    elif not quiet:
        from rich.console import Console

        Console().print(table)
        for note in result.get("notes", []):
            print(note)
        print(f"result.json is in {folder.path}")


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
    """Values and standard errors of shape (*batch, K), and what they took."""
    import numpy as np

    estimator = mitigator_of(mitigate, machine, shots=shots, seed=seed)
    if estimator is None:
        done = backends.estimate(circuit, observables, angles, shots=shots, backend=machine, seed=seed)
        values, std, spent, jobs, notes = done.value, done.std, done.shots, done.job_ids, []
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
        "std": np.broadcast_to(std, values.shape).tolist(),
        "mitigate": mitigate,
        "shots": spent,
        "job_ids": list(jobs),
        "notes": notes,
    }


def _values_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    batch = isinstance(result["values"][0], list)
    table = Table(
        title=f"expectation values on {result['backend']}, {result['shots']:,} shots", title_justify="left"
    )
    for column in (["angles"] if batch else []) + ["observable", "value", "± std"]:
        table.add_column(column)
    rows = zip(result["values"], result["std"], strict=True) if batch else [(result["values"], result["std"])]
    for index, (values, errors) in enumerate(rows):
        for name, value, std in zip(result["observables"], values, errors, strict=True):
            error = f"{std:.6f}" if result["shots"] else "no shots"
            table.add_row(*([str(index)] if batch else []), name, f"{value:.6f}", error)
    return table


def _counts_table(counts: dict[str, Any]) -> Table:
    from rich.table import Table

    batch = any(isinstance(outcomes, list) for outcomes in counts.values())
    table = Table(title="counts", title_justify="left")
    for column in (["angles"] if batch else []) + ["register", "outcome", "count"]:
        table.add_column(column)
    for register, sets in counts.items():
        for index, outcomes in enumerate(sets if batch else [sets]):
            ranked = sorted(outcomes.items(), key=lambda item: -item[1])
            rows = [(outcome, str(count)) for outcome, count in ranked[:SHOWN]]
            if len(ranked) > SHOWN:
                rows.append((f"… {len(ranked) - SHOWN} more", ""))
            for row in rows:
                table.add_row(*([str(index)] if batch else []), register, *row)
    return table
