"""`bondwise protein train`: a quantum tensor network on proteins, compared with cheap baselines."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from bondwise.cli import options
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.protein.data import Data, MaxLength, MinLength, Splits, Where, read_splits
from bondwise.cli.protein.files import predictions_csv
from bondwise.cli.protein.report import render_training, trial_cells
from bondwise.cli.protein.trials import BASELINES, MODELS, Trial, baseline, fit, verdicts
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.qml import protein
from bondwise.runs import RunFolder, Stopped, real_number, unknown_name
from bondwise.runs.text import counted

CHECKPOINT = "checkpoint.safetensors"
_COLUMNS = ("model", "parameters", "valid", "test ± std", "MCC", "AUROC")


def command(
    data: Data = None,
    model: Annotated[
        str, typer.Option("--model", help="window, latch, path, tree or recurrent.", metavar="NAME")
    ] = "window",
    qubits: Annotated[
        int | None, typer.Option("--qubits", min=1, max=5, help="Number of qubits; each model has a default.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Number of epochs; the best by validation is kept."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Peak of the learning rate; each model has a default."),
    ] = None,
    seed: options.Seed = 0,
    where: Where = None,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    out: options.Out = Path("runs/protein"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a quantum tensor network to classify proteins and compare it with cheap baselines."""
    settings = settings_of(locals())
    if model not in MODELS:
        raise unknown_name("model", model, MODELS)
    if learning_rate is not None:
        real_number("learning_rate", learning_rate)
    given = {"qubits": qubits, "epochs": epochs, "learning_rate": learning_rate}
    network = getattr(protein, MODELS[model])(
        seed=seed, **{key: value for key, value in given.items() if value is not None}
    )
    begun = False
    try:
        with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
            proteins = read_splits(
                data, where=where, min_length=min_length, max_length=max_length, seed=seed, progress=not quiet
            )
            if data is not None:  # the file must not change before a run is resumed
                settings["content"] = sha256(data.read_bytes()).hexdigest()[:16]
            keep_settings(
                folder,
                settings,
                resume,
                command="train",
                flags={"data": "DATA"},
                contents={"content": "DATA"},
            )
            begun = True
            checkpoint = folder.path / CHECKPOINT
            trial = fit(
                type(network).__name__,
                network,
                proteins,
                checkpoint=checkpoint,
                resume=resume and checkpoint.exists(),  # it may have been stopped before the first
                progress=not quiet,
            )
            folder.keep()
            cheap = [fit(name, baseline(name), proteins, progress=not quiet) for name in BASELINES]
            notes = [_hardware(trial, proteins), *verdicts(trial, cheap), proteins.note]
            result = envelope(settings) | {
                "seed": seed,
                "data": proteins.facts(),
                "classes": network.classes_.tolist(),
                "qubits": network.num_qubits,
                "legal_on_hardware": network.legal_on_hardware,
                "model": trial.facts(),
                "baselines": [row.facts() for row in cheap],
                "notes": notes,
            }
            network.save(folder.path)
            test, classes = proteins.test, network.classes_.tolist()
            folder.write(
                "predictions.csv",
                predictions_csv(test.accessions, trial.probabilities, classes, true=test.labels),
            )
            rows = [trial_cells(row) for row in (trial, *cheap)]
            folder.write("report.html", render_training(result, _COLUMNS, rows, trial, cheap, proteins))
            folder.write_json("result.json", result)
    except KeyboardInterrupt:
        if not begun:
            raise Stopped("stopped before the training; repeat the command.") from None
        raise Stopped(f"stopped; the same command with --resume continues from what is in {out}.") from None
    if json:
        show_json(result)
    elif not quiet:
        show_table(f"{trial.name} on {proteins.name}", _COLUMNS, rows, sections=[1])
        show(*notes, f"report: {folder.path / 'report.html'}")


def _hardware(trial: Trial, data: Splits) -> str:
    import numpy as np

    model = trial.model
    said = f"{trial.name}: {trial.parameters:,} parameters, {counted(model.num_qubits, 'qubit')}"
    if model.legal_on_hardware:
        return f"{said}, legal on hardware: nothing is post-selected."
    median = np.median(model.log10_postselection(data.test.sequences))
    return (
        f"{said}, not legal on hardware: its post-selections pass with a median log10 probability of "
        f"{median:.1f}, so one shot in 10^{-median:.0f} counts."
    )
