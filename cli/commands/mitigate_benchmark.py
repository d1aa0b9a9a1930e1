"""`bondwise mitigate benchmark`: which mitigation is best on a device, for circuits like a given one.

The noise-free values of a circuit are not known, but those of its near-Clifford twins are. Half of the twins
calibrate the methods that learn from some; on the other half every method extrapolates the same shots. The
yardstick is the value at noise 1 with readout errors undone, for which all shots of a scan are spent there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
    shots_spent,
)
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.machines import agreed, machine_for, require_shots
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.mitigation.names import EXTRAPOLATIONS, NEED_SYMMETRY, NEED_TWINS, extrapolation_named
from bondwise.runs import RunFolder, UsageError, random_generator, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from bondwise.backends import Backend
    from bondwise.mitigation import MitigatedEstimator, NoiseScan

_READOUT = "readout"  # the mitigation without extrapolation, as --mitigate calls it


class _Test(NamedTuple):
    """What a method makes of the T tested twins and K observables, all arrays of shape (K, T)."""

    value: np.ndarray
    std: np.ndarray
    converged: np.ndarray


def command(
    circuit: Circuit,
    observable: Observables = None,
    backend: options.Backend = "fake:torino",
    parameters: Parameters = None,
    scale_factors: ScaleFactors = "1,3,5",
    shares: Shares = None,
    folding: Folding = "global",
    twins: Annotated[
        int,
        typer.Option("--twins", help="Number of near-Clifford circuits; half of them calibrate."),
    ] = 40,
    shots: options.Shots = 4096,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/mitigate-benchmark"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    no_wait: options.NoWait = False,
    dry_run: spending.DryRun = False,
    yes: spending.Yes = False,
    max_qpu_seconds: spending.MostQpuSeconds = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure which mitigation is best on a device, on circuits like this one whose values are known."""
    settings = settings_of(locals())
    whole_number("twins", twins, least=8)
    how: dict[str, Any] = scan_flags(scale_factors, shares, shots) | {"folding": folding, "seed": seed}
    require_shots(backend, shots)
    said: list[str] = []
    program = program_of(circuit, observable, parameters, said)

    asks: dict[str, Any] = {"most_seconds": max_qpu_seconds, "quiet": quiet, "json": json}
    if dry_run:
        machine = backends.get_backend(backend)
        require_noise(machine)
        work = _Work(machine, program.pub, how, twins)
        say([*said, *work.announced(machine)], quiet)
        spending.approve(machine, work.measure, dry_run=True, **asks)
    settings |= program.contents
    with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
        keep_settings(
            folder,
            settings,
            resume,
            command="mitigate benchmark",
            flags={"circuit": "CIRCUIT"},
            contents={"program": "CIRCUIT", "angles": "--parameters"},
        )
        machine = machine_for(folder, backend, wait=not no_wait, progress=not quiet)
        require_noise(machine)
        work = _Work(machine, program.pub, how, twins)
        say([*said, *work.announced(machine)], quiet)
        with agreed(folder, machine, work.measure, yes=yes, **asks):
            done = work.measure(machine)
        scan, plain = (mitigation.NoiseScan.from_pub_result(one[0]) for one in done)
        test, truth = work.split(scan)
        tests, skipped = _tested(test, plain)
        rows = _judged(tests, truth)
        name = machine.name if machine.remote else backend  # the device that ibm:least_busy has become
        result = envelope(settings) | {
            "circuit": str(circuit),
            "backend": name,
            "seed": seed,
            "observables": observable,
            "twins": {"calibrate": len(work.known), "test": len(work.tested)},
            "methods": rows,
            "ideal": truth.tolist(),
            "best": min(rows, key=lambda method: rows[method]["error"]),
            "skipped": skipped,
            "costs": [cost.as_dict() for cost in work.costs(machine)],
            "shots": sum(int(one.metadata["shots"]) for one in done),
            "job_ids": [job for one in done for job in one.metadata["job_ids"]],
            "notes": _verdicts(tests, truth, skipped),
        }
        test.save(folder.path / "scan")
        folder.write_json("result.json", result)
    if json:
        show_json(result)
    elif not quiet:
        _show(result)
        show(*result["notes"], f"result: {folder.path / 'result.json'}")


class _Work:
    """Twins of a circuit, and the two jobs that measure them: the scan, and the yardstick of the tested ones.

    Args:
        machine: The backend that they are made for.
        pub: The circuit, its K observables and its angles.
        how: Arguments of the estimator of the scan.
        count: Number of twins.

    Attributes:
        known: Indices of the twins that calibrate.
        tested: Indices of those that are tested.
    """

    def __init__(self, machine: Backend, pub: Any, how: dict[str, Any], count: int) -> None:
        self._how = how
        job = self._scanning(machine).prepare([pub])
        require_scales(Costs.of(job), machine)
        [item] = job.items
        circuit, angles, self._ideal = mitigation.near_clifford_twins(
            item.circuit, item.observables, item.values(), count, seed=how["seed"]
        )
        self.known, self.tested = _halves(angles, how["seed"])
        observables = item.observables[..., None]
        self._pubs = [(circuit, observables, angles), (circuit, observables, angles[self.tested])]

    def measure(self, machine: Backend) -> list[Any]:
        """The results of both jobs, which are submitted before the first is waited for."""
        jobs = [one.run([pub]) for one, pub in self._estimators(machine)]
        return [job.result() for job in jobs]

    def costs(self, machine: Backend) -> list[Costs]:
        """What each job costs."""
        return [Costs.of(one.prepare([pub])) for one, pub in self._estimators(machine)]

    def announced(self, machine: Backend) -> list[str]:
        """Sentences on what will be measured."""
        scan, plain = self.costs(machine)
        twins = counted(self._ideal.shape[-1], "twin")
        return [
            f"{twins}, of which {len(self.tested)} are tested: {scan}",
            f"the tested ones without extrapolation: {plain}",
        ]

    def split(self, scan: NoiseScan) -> tuple[NoiseScan, np.ndarray]:
        """The scan of the tested twins, which learns from the other ones, and true values, shape (K, T)."""
        from dataclasses import replace

        import numpy as np

        shape = (len(self._ideal), len(self.tested))

        def for_each(array: np.ndarray) -> np.ndarray:  # every tested twin learns from all that calibrate
            array = array[:, self.known]
            return np.broadcast_to(array[:, None], (*shape, *array.shape[1:]))

        names = ("value", "std", "asymptote", "spectrum")
        parts = {name: getattr(scan, name)[:, self.tested] for name in names}
        covariance = None if scan.covariance is None else scan.covariance[:, self.tested]
        twins = mitigation.Twins(for_each(scan.value), for_each(scan.std), for_each(self._ideal))
        return replace(scan, **parts, covariance=covariance, twins=twins), self._ideal[:, self.tested]

    def _scanning(self, machine: Backend) -> MitigatedEstimator:
        # the scan is the same for every extrapolation
        return mitigation.MitigatedEstimator(machine, extrapolation=EXTRAPOLATIONS[0], twins=0, **self._how)

    def _estimators(self, machine: Backend) -> Iterator[tuple[MitigatedEstimator, Any]]:
        scanning, shots, seed = self._scanning(machine), self._how["shots"], self._how["seed"]
        shots = None if shots is None else shots * len(scanning.shares)
        plain = mitigation.MitigatedEstimator(machine, extrapolation=None, shots=shots, seed=seed)
        return zip((scanning, plain), self._pubs, strict=True)


def _halves(angles: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which twins calibrate and which are tested, drawn; of a small circuit, several can be the same one."""
    import numpy as np

    _, kinds = np.unique(np.round(angles % (2 * np.pi), 9), axis=0, return_inverse=True)
    order = np.argsort(random_generator(seed).permutation(len(angles))[kinds.ravel()], kind="stable")
    known, tested = order[: len(order) // 2], order[len(order) // 2 :]
    return known[~np.isin(kinds[known], kinds[tested])], tested  # nothing is tested that calibrates


def _tested(scan: NoiseScan, plain: NoiseScan) -> tuple[dict[str, _Test], dict[str, str]]:
    """What each method makes of the tested twins, and why methods were left out."""
    import numpy as np

    tests = {_READOUT: _Test(plain.value[..., 0], plain.std[..., 0], np.ones(plain.value.shape[:-1], bool))}
    skipped = {}
    for name in EXTRAPOLATIONS:
        if name in NEED_SYMMETRY:  # twins are other circuits
            skipped[name] = "needs a symmetry of the circuit, which its twins need not have"
            continue
        try:
            fit = extrapolation_named(name)(scan)
            tests[name] = _Test(fit.value, fit.std, fit.converged)
        except UsageError as error:  # too few scale factors or twins for its unknowns
            skipped[name] = str(error)
    return tests, skipped


def _judged(tests: dict[str, _Test], truth: np.ndarray) -> dict[str, Any]:
    """Errors and error bars of each method, the best one first."""
    import numpy as np

    rows = {}
    for name, test in tests.items():
        errors = np.abs(test.value - truth)
        of_twins = errors.mean(axis=0)  # observables of one twin share its shots
        rows[name] = {
            "error": float(of_twins.mean()),
            "error_std": float(of_twins.std(ddof=1) / of_twins.size**0.5),
            "claimed_std": float(np.mean(test.std)),
            "coverage": float(np.mean(errors <= 2 * test.std + 1e-12)),
            "not_converged": int(np.sum(~np.asarray(test.converged))),
        }
    return dict(sorted(rows.items(), key=lambda row: row[1]["error"]))


def _verdicts(tests: dict[str, _Test], truth: np.ndarray, skipped: dict[str, str]) -> list[str]:
    """Sentences on which method won, and whether that is more than noise."""
    import numpy as np

    errors = {name: np.abs(test.value - truth).mean(axis=0) for name, test in tests.items()}
    best = min(errors, key=lambda name: errors[name].mean())

    def lead(other: str) -> tuple[float, float]:
        """By how much the best method is better, twin by twin, and the standard error of that."""
        gain = errors[other] - errors[best]
        return float(gain.mean()), float(gain.std(ddof=1) / gain.size**0.5)

    def beyond_noise(other: str) -> bool:
        gain, noise = lead(other)
        return gain > 2 * noise

    rivals = [name for name in errors if name not in (best, _READOUT) and not beyond_noise(name)]
    if best == _READOUT:
        notes = ["readout won: no extrapolation is better than spending all shots at noise 1."]
    else:
        notes = [f"{best} won{', beyond noise' if not rivals and beyond_noise(_READOUT) else ''}."]
    if rivals:
        notes.append(f"Within noise as good: {', '.join(rivals)}.")
    if best != _READOUT:
        gain, noise = lead(_READOUT)
        verdict = "beyond noise" if beyond_noise(_READOUT) else "which noise alone may explain"
        notes.append(
            f"Its errors are smaller than those of readout alone by {gain:.4f} ± {noise:.4f}, {verdict}."
        )
    taught = [name for name in NEED_TWINS if name in tests]
    notes.append(f"{_READOUT}: nothing is extrapolated; all shots of a scan are spent at noise 1.")
    if taught:
        notes.append(f"{' and '.join(taught)} also used the twins that calibrate, which others do without.")
    return notes + [f"{name}: {reason}" for name, reason in skipped.items()]


def _show(result: dict[str, Any]) -> None:
    tested = result["twins"]["test"] * len(result["observables"])
    rows = [
        [
            name,
            f"{row['error']:.4f} ± {row['error_std']:.4f}",
            f"{row['claimed_std']:.4f}",
            f"{row['coverage']:.0%}",
            row["not_converged"] or "–",
        ]
        for name, row in result["methods"].items()
    ]
    title = (
        f"{counted(tested, 'value')} of circuits like {Path(result['circuit']).name} on {result['backend']}"
    )
    columns = ("method", "mean error", "claimed std", "within 2 std", "not converged")
    show_table(f"{title}, {shots_spent(result['shots'])}", columns, rows)
