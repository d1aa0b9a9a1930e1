"""`bondwise compress profile`: how sensitive a model is to the compression of each of its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bondwise.cli import options
from bondwise.cli.commands.compress_options import (
    SEQUENCES,
    Calibration,
    Formats,
    ModelFolder,
    Skip,
    keep_run,
    listed,
    run_folder,
)
from bondwise.cli.documents.compression import profile_rows, render_profile
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.model_files import read_tokens
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import UsageError
from bondwise.tn import compress as room


def command(
    model: ModelFolder,
    calibration: Calibration,
    formats: Formats = None,
    fractions: Annotated[
        str, typer.Option("--fractions", help="Fractions to keep, with commas.", metavar="LIST")
    ] = "0.1,0.3,0.5,0.7,0.9",
    skip: Skip = None,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/profile"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compress one layer of a language model at a time, and measure what that does to its answers."""
    settings = settings_of(locals())
    names, wanted = listed(formats), _numbers(fractions)
    with run_folder(out, model, calibration, overwrite=overwrite, resume=resume) as folder:
        from bondwise.tn.compress.checkpoints import load_checkpoint
        from bondwise.tn.compress.journal import Journal

        dense = load_checkpoint(model)
        tokens = read_tokens(calibration, model, dense.config)[:SEQUENCES]
        keep_run(folder, settings, resume, "compress profile", model, calibration)
        kept = folder.path / "checkpoint"
        given: dict[str, Any] = {} if names is None else {"formats": names}
        profile = room.profile(
            dense,
            data=tokens,
            fractions=wanted,
            skip=skip or [],
            seed=seed,
            progress=not quiet,
            checkpoint=kept,
            **given,
        )
        result = envelope(settings) | {
            "seed": seed,
            "layers": list(profile.layers),
            "formats": list(profile.formats),
            "fractions": list(profile.fractions),
            "divergence": profile.value.tolist(),
            "kept": profile.kept.tolist(),
            "notes": [str(profile)],
        }
        profile.save(folder.path / "profile")
        folder.write("report.html", render_profile(result, profile))
        folder.write_json("result.json", result)
        Journal(kept).remove()
    if json:
        show_json(result)
    elif not quiet:
        columns = ["layer", "parameters", *(f"{fraction:g}" for fraction in profile.fractions)]
        show_table("divergence with one layer in factors", columns, profile_rows(profile), whole=True)
        show(str(profile), f"report: {folder.path / 'report.html'}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--fractions {text} is no list of numbers; write 0.1,0.5,0.9.") from None
