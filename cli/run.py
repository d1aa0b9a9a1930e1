"""`bondwise run`: any circuit on any backend, sampled or measured."""

from __future__ import annotations

import json as json_format
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends, mitigation
from bondwise.cli import options
from bondwise.cli.circuit_files import read_circuit, read_observable, read_parameters
from bondwise.cli.stages import versions
from bondwise.runs import RunFolder, UsageError

if TYPE_CHECKING:
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
    observables = [read_observable(text, program.num_qubits) for text in observable or []]
    machine = backends.get_backend(backend)
    if mitigate != "none":
        if not observables:
            raise UsageError("--mitigate acts on expectation values; give --observable as well.")
        machine = backends.get_backend(
            mitigation.MitigatedEstimator(machine, extrapolation=mitigate, shots=shots or None, seed=seed)
        )
    with RunFolder(out, overwrite=overwrite) as folder:
        result: dict[str, Any] = {"schema": SCHEMA, "circuit": str(circuit), "backend": backend, "seed": seed}
        if observables:
            bare = program.remove_final_measurements(inplace=False) or program
            estimate = backends.estimate(
                bare, observables, angles, shots=shots or None, backend=machine, seed=seed
            )
            result |= {
                "observables": observable,
                "values": estimate.value.tolist(),
                "std": (estimate.value * 0 + estimate.std).tolist(),
                "mitigate": mitigate,
            }
            spent, jobs = estimate.shots, estimate.job_ids
            table = _values_table(result)
        else:
            if not shots:
                raise UsageError(
                    "--shots 0 is for expectation values; give --observable, or shots to sample."
                )
            samples = backends.sample(program, angles, shots=shots, backend=machine, seed=seed)
            result["counts"] = samples.counts
            spent, jobs = samples.shots, samples.job_ids
            table = _counts_table(result["counts"])
        result |= {"shots": spent, "job_ids": list(jobs), "versions": versions()}
        result["command"] = shlex.join(["bondwise", *sys.argv[1:]])
        folder.write_json("result.json", result)
    if json:
        print(json_format.dumps(result, indent=2))
    elif not quiet:
        from rich.console import Console

        Console().print(table)
        print(f"result.json is in {folder.path}")


def _values_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(
        "observable",
        "value",
        "± std",
        title=f"expectation values on {result['backend']}",
        title_justify="left",
    )
    several = isinstance(result["values"][0], list)
    rows = (
        zip(result["values"], result["std"], strict=True) if several else [(result["values"], result["std"])]
    )
    for values, errors in rows:
        for name, value, std in zip(result["observables"], values, errors, strict=True):
            table.add_row(name, f"{value:.6f}", f"{std:.6f}" if std else "exact")
    return table


def _counts_table(counts: Any) -> Table:
    from rich.table import Table

    table = Table("register", "outcome", "count", title="counts", title_justify="left")
    for register, outcomes in counts.items():
        ranked = sorted(outcomes.items(), key=lambda item: -item[1])
        for outcome, count in ranked[:SHOWN]:
            table.add_row(register, outcome, str(count))
        if len(ranked) > SHOWN:
            table.add_row(register, f"… {len(ranked) - SHOWN} more", "")
    return table
