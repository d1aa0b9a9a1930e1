"""`bondwise mitigate`: zero-noise values of a circuit, by one method and by all others on the same shots."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends, mitigation
from bondwise.cli import options, spending
from bondwise.cli.circuit_files import say
from bondwise.cli.commands.mitigate_options import (
    Circuit,
    Costs,
    Folding,
    Observables,
    Parameters,
    ScaleFactors,
    Shares,
    program_of,
    require_noise,
    require_scales,
    scan_flags,
    symmetry_of,
)
from bondwise.cli.commands.mitigate_report import render, show_methods
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.machines import agreed, machine_for, require_shots
from bondwise.cli.terminal import show, show_json
from bondwise.mitigation.names import (
    DEFAULT,
    EXTRAPOLATIONS,
    NEED_SYMMETRY,
    NEED_TWINS,
    USE_TWINS,
    extrapolation_named,
)
from bondwise.runs import RunFolder, UsageError, read_json, real_number, unknown_name

if TYPE_CHECKING:
    from bondwise.backends import Backend
    from bondwise.mitigation import Extrapolation, MitigatedEstimator, NoiseScan, ShotPlan

_PLAN = "shots.json"  # kept, because a device that drifts would change the plan of a run that is resumed


def command(
    circuit: Circuit,
    observable: Observables = None,
    backend: options.Backend = "fake:torino",
    mitigate: Annotated[
        str, typer.Option("--mitigate", help=f"{', '.join(EXTRAPOLATIONS)}.", metavar="NAME")
    ] = DEFAULT,
    parameters: Parameters = None,
    scale_factors: ScaleFactors = "1,3,5",
    shares: Shares = None,
    folding: Folding = "global",
    twins: Annotated[
        int | None,
        typer.Option(
            "--twins",
            help="Number of near-Clifford circuits to learn from; 20 for the methods that need them "
            f"({', '.join(NEED_TWINS)}), and none for others, by default.",
        ),
    ] = None,
    symmetry: Annotated[
        str | None,
        typer.Option(
            "--symmetry",
            help="An observable whose value is known, measured with the others, for guess.",
            metavar="ZZZZ=VALUE",
        ),
    ] = None,
    std: Annotated[
        float | None,
        typer.Option("--std", help="Plan as many shots as this standard error of the values needs."),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots",
            help="Number of shots per measured basis and, on average, noise strength, 4096 by default; "
            "0 for exact values if available.",
        ),
    ] = None,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/mitigate"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    no_wait: options.NoWait = False,
    dry_run: spending.DryRun = False,
    yes: spending.Yes = False,
    max_qpu_seconds: spending.MostQpuSeconds = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Extrapolate expectation values of a circuit to zero noise, by all methods on the same shots.

    `bondwise mitigate benchmark CIRCUIT` measures which method is best on a device.
    """
    settings = settings_of(locals())
    _require_method(mitigate, twins, symmetry)
    if std is not None:
        real_number("std", std)
        if shots is not None or shares is not None:
            raise UsageError("--std plans the shots and their shares; leave out --shots and --shares.")
    flags = scan_flags(scale_factors, shares, shots)
    require_shots(backend, 1 if flags["shots"] else 0)
    said: list[str] = []
    program = program_of(circuit, observable, parameters, said)
    how: dict[str, Any] = flags | {"folding": folding, "twins": twins, "seed": seed}
    how["symmetry"] = symmetry_of(symmetry, program.pub[0].num_qubits)

    def chosen(scan: NoiseScan) -> Extrapolation:
        return extrapolation_named(mitigate)(scan)

    def estimator(machine: Backend) -> MitigatedEstimator:
        if not twins or mitigate in USE_TWINS:
            return mitigation.MitigatedEstimator(machine, extrapolation=mitigate, **how)
        # by its name, it would refuse twins that only other methods of the table learn from
        from bondwise.mitigation.scales import checked_scales

        checked_scales(mitigate, how["scale_factors"])
        return mitigation.MitigatedEstimator(machine, extrapolation=chosen, **how)

    def measure(machine: Backend) -> Any:
        return estimator(machine).run([program.pub]).result()

    def prepare(machine: Backend, kept: ShotPlan | None = None) -> tuple[Costs, ShotPlan | None]:
        """Plan the shots if they are to be planned, and count them."""
        require_noise(machine)
        plan = kept
        if std is not None:
            plan = kept or estimator(machine).plan_shots(program.pub, std)
            how.update(shots=plan.shots, shares=plan.shares)
            said.append(f"planned: {plan}")
        costs = Costs.of(estimator(machine).prepare([program.pub]))
        require_scales(costs, machine)
        said.append(str(costs))
        return costs, plan

    asks: dict[str, Any] = {"most_seconds": max_qpu_seconds, "quiet": quiet, "json": json}
    if dry_run:
        machine = backends.get_backend(backend)
        prepare(machine)
        say(said, quiet)
        spending.approve(machine, measure, dry_run=True, **asks)
    settings |= program.contents
    with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
        keep_settings(
            folder,
            settings,
            resume,
            command="mitigate",
            flags={"circuit": "CIRCUIT"},
            contents={"program": "CIRCUIT", "angles": "--parameters"},
        )
        machine = machine_for(folder, backend, wait=not no_wait, progress=not quiet)
        costs, plan = prepare(machine, _kept_plan(folder))
        if plan is not None:
            folder.write_json(_PLAN, asdict(plan))
        say(said, quiet)
        with agreed(folder, machine, measure, yes=yes, **asks):
            done = measure(machine)
        scan = mitigation.NoiseScan.from_pub_result(done[0])
        fits, skipped = _fits(scan, symmetry is not None)
        fit = estimator(machine).extrapolate(scan)  # by which nothing is extrapolated that does not decay
        fits[mitigate] = fit
        name = machine.name if machine.remote else backend  # the device that ibm:least_busy has become
        result = envelope(settings) | {"circuit": str(circuit), "backend": name, "seed": seed}
        result |= {"observables": observable} | _content(mitigate, scan, fits, skipped)
        result |= {
            "parameters": program.parameters,
            "plan": None if plan is None else asdict(plan),
            "costs": costs.as_dict(),
            "shots": int(done.metadata["shots"]),
            "job_ids": list(done.metadata["job_ids"]),
        }
        scan.save(folder.path / "scan")
        if fit.curve_std is None:
            fit = fit.with_band(scan, extrapolation_named(mitigate))
        folder.write("report.html", render(result, fit))
        folder.write_json("result.json", result)
    if json:
        show_json(result)
    elif not quiet:
        show_methods(result)
        show(*result["notes"], f"report: {folder.path / 'report.html'}")


def _require_method(name: str, twins: int | None, symmetry: str | None) -> None:
    if name in ("readout", "none"):
        raise UsageError(
            f"--mitigate {name} extrapolates nothing; choose one of {', '.join(EXTRAPOLATIONS)}, or "
            f"`bondwise run --mitigate {name}`."
        )
    if name not in EXTRAPOLATIONS:
        raise unknown_name("mitigation", name, EXTRAPOLATIONS)
    if name in NEED_SYMMETRY and symmetry is None:
        raise UsageError(f"--mitigate {name} learns from a symmetry; give one, such as --symmetry ZZZZ=1.")
    if name in NEED_TWINS and twins == 0:
        raise UsageError(f"--mitigate {name} learns from twins; leave out --twins 0, or give --twins 20.")


def _kept_plan(folder: RunFolder) -> ShotPlan | None:
    path = folder.path / _PLAN
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = read_json(path)
        return mitigation.ShotPlan(**content | {"shares": tuple(content["shares"])})
    except (TypeError, KeyError):
        raise UsageError(f"{path} is damaged; start again with --overwrite.") from None


def _fits(scan: NoiseScan, guided: bool) -> tuple[dict[str, Extrapolation], dict[str, str]]:
    """What each method makes of a scan, and why some cannot make anything of it.

    Twins are other circuits, and a symmetry is an observable of the same one: no method learns from both.
    """
    fits, skipped = {}, {}
    for name in EXTRAPOLATIONS:
        if name in NEED_TWINS and (scan.twins is None or guided):
            skipped[name] = "needs twins; add --twins 20"
            continue
        if name in NEED_SYMMETRY and not guided:
            skipped[name] = "needs a symmetry; add --symmetry ZZZZ=1, if that is one"
            continue
        try:
            known = scan.without_twins() if guided and name not in NEED_SYMMETRY else scan
            fits[name] = extrapolation_named(name)(known)
        except UsageError as error:  # too few scale factors or twins for its unknowns
            skipped[name] = str(error)
    return fits, skipped


def _content(
    mitigate: str, scan: NoiseScan, fits: dict[str, Extrapolation], skipped: dict[str, str]
) -> dict[str, Any]:
    """What `result.json` says of the values."""
    import numpy as np

    nearest = int(np.abs(scan.scale_factors - 1).argmin())
    methods = {
        name: {
            "values": np.asarray(fit.value).tolist(),
            "std": np.asarray(fit.std).tolist(),
            "converged": np.asarray(fit.converged).tolist(),
            "message": fit.message,
        }
        for name, fit in fits.items()
    }
    method, message = fits[mitigate].method, fits[mitigate].message
    notes = [f"{mitigate}: {message}."] if message else [f"chosen: {method}."] if method != mitigate else []
    without = [name for name in NEED_TWINS if name in skipped]
    if scan.twins is None and without:
        notes.append(f"{' and '.join(without)} need twins; --twins 20 measures some.")
    untold = (*without, *NEED_SYMMETRY) if scan.twins is None else ()
    notes += [f"{name}: {reason}" for name, reason in skipped.items() if name not in untold]
    return {
        "mitigate": mitigate,
        "values": methods[mitigate]["values"],
        "std": methods[mitigate]["std"],
        "readout": {
            "scale_factor": float(scan.scale_factors[nearest]),
            "values": scan.value[..., nearest].tolist(),
            "std": scan.std[..., nearest].tolist(),
        },
        "methods": methods,
        "skipped": skipped,
        "notes": notes,
    }
