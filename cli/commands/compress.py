"""`bondwise compress`: a language model in factors, trained to answer as before, beside other methods."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise.cli import options
from bondwise.cli.commands.compress_options import (
    SEQUENCES,
    Calibration,
    Formats,
    ModelFolder,
    Skip,
    budget_of,
    keep_run,
    listed,
    run_folder,
)
from bondwise.cli.commands.compress_rivals import WIDTHS, rivals
from bondwise.cli.documents.compression import render_compression
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.model_files import read_tokens
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import RunError, UsageError, real_number, unknown_name, whole_number
from bondwise.tn import compress as room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from bondwise.tn.compress.journal import Journal

_HELD_OUT = 64  # at most, a tenth of all
_FRACTIONS = (0.1, 0.3, 0.6)  # of the heat map
_BATCHES = (1, 16)  # that times are measured for
_GENTLE = 5e-4  # learning rate for a model that refinement has brought close


def command(
    model: ModelFolder,
    calibration: Calibration,
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            help="Fraction of the layers' parameters to keep, or limits for the whole model: params=1e6, "
            "bytes=4e5, flops=1e9, latency_ms=20,batch=8.",
            metavar="NUMBER|LIST",
        ),
    ] = "0.5",
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize",
            help="Store numbers as int8, int4, int3 or int2; several, with commas, for a budget in bytes.",
            metavar="NAME",
        ),
    ] = None,
    refine_steps: Annotated[
        int, typer.Option("--refine-steps", help="Training steps for each block; 300 to 600 are good.")
    ] = 0,
    heal_steps: Annotated[
        int, typer.Option("--heal-steps", help="Training steps of the whole model; 100 to 500 are good.")
    ] = 0,
    formats: Formats = None,
    skip: Skip = None,
    max_loss: Annotated[
        float | None,
        typer.Option("--max-loss", help="Largest divergence before training, in nats per token."),
    ] = None,
    no_rivals: Annotated[
        bool,
        typer.Option("--no-rivals", help="Measure no other methods, which takes most of the time."),
    ] = False,
    seed: options.Seed = 0,
    out: options.Out = Path("runs/compress"),
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compress a language model, and compare it with other methods.

    `bondwise compress profile MODEL_DIR` shows how sensitive each layer is.
    """
    settings = settings_of(locals())
    limit, names = budget_of(budget), listed(formats)
    whole_number("refine_steps", refine_steps, least=0)
    whole_number("heal_steps", heal_steps, least=0)
    if max_loss is not None:
        real_number("max_loss", max_loss)
    widths = listed(quantize)
    for width in widths or ():
        if width not in WIDTHS:
            raise unknown_name("--quantize", width, WIDTHS)
    # factors that are stored in few bits cannot be trained any more
    search = isinstance(limit, dict) and "bytes" in limit
    if widths and search and (refine_steps or heal_steps):
        raise UsageError(
            "--refine-steps and --heal-steps are for factors that are not quantized yet; leave them out, or "
            "give the budget as a fraction or as params=N."
        )
    later = widths and len(widths) == 1 and (refine_steps or heal_steps)
    at_once = None if later else widths
    with run_folder(out, model, calibration, overwrite=overwrite, resume=resume) as folder:
        from bondwise.tn.compress.checkpoints import load_checkpoint, tokenizer_files
        from bondwise.tn.compress.compression import LossExceeded
        from bondwise.tn.compress.journal import Journal
        from bondwise.tn.compress.layers import Layer

        dense = load_checkpoint(model)
        fitted, train, held = _split(read_tokens(calibration, model, dense.config), seed)
        run = keep_run(folder, settings, resume, "compress", model, calibration)
        kept = folder.path / "checkpoint"
        shared: dict[str, Any] = {"data": fitted, "skip": skip or [], "seed": seed, "progress": not quiet}
        shared |= {} if names is None else {"formats": names}
        try:
            small: Any = room.compress(
                dense, limit, quantize=at_once, max_loss=max_loss, checkpoint=kept / "compress", **shared
            )
        except LossExceeded as error:
            raise RunError(f"{error}, and run again with --overwrite") from error
        folder.keep()
        compression = small.report
        profile = room.profile(dense, fractions=_FRACTIONS, checkpoint=kept / "profile", **shared)
        journal = Journal(kept / "stages", run)
        notes = [str(compression)]
        training: dict[str, Any] = {"data": train, "seed": seed, "progress": not quiet}
        trainings: dict[str, tuple[int, Callable[..., Any]]] = {
            "refine": (refine_steps, room.refine),
            "heal": (heal_steps, partial(room.heal, learning_rate=_GENTLE) if refine_steps else room.heal),
        }
        for name, (steps, train_by) in trainings.items():
            if steps:
                work = partial(train_by, small, dense, steps=steps, **training)
                if name == "refine":
                    work = partial(work, checkpoint=kept / "refine")
                notes.append(_trained(journal, name, small, work))
        if widths and not at_once:
            small = room.quantize(small, widths[0], data=fitted, progress=not quiet)
            notes.append(str(small.report))
        room.save(small, folder.path)
        for name, content in tokenizer_files(model).items():
            folder.write(name, content)
        models: dict[str, Callable[[], nn.Module]] = {"dense": lambda: dense, "compressed": lambda: small}
        if not no_rivals:
            models |= rivals(
                dense,
                compression.value,
                data=fitted,
                skip=skip or [],
                width=widths[0] if widths else None,
                progress=not quiet,
            )
        found = _measured(journal, dense, held, models, progress=not quiet)
        notes.append(
            f"Measured on {len(held)} sequences of {held.shape[1]} tokens of {calibration.name} that "
            "nothing was fitted to."
        )
        notes.append(found.notes()[-1])
        result = envelope(settings) | {
            "seed": seed,
            "kept": compression.value,
            "divergence": found.value,
            "layers": {name: choice._asdict() for name, choice in compression.layers.items()},
            "models": [row._asdict() for row in found.rows],
            "batches": list(_BATCHES),
            "notes": notes,
        }
        compression.save(folder.path / "compression")
        profile.save(folder.path / "profile")
        found.save(folder.path / "report")
        sizes = {name: Layer(name, dense.get_submodule(name)).num_params for name in compression.layers}
        folder.write("report.html", render_compression(result, found, compression, profile, sizes))
        folder.write_json("result.json", result)
        Journal(kept).remove()
    if json:
        show_json(result)
    elif not quiet:
        head, *rows = found.table()
        shown = [place for place, name in enumerate(head) if name not in ("parameters", "flops")]
        table = [[line[place] for place in shown] for line in rows]
        show_table(str(model), [head[place] for place in shown], table, sections=[2], whole=True)
        show(*notes, f"report: {folder.path / 'report.html'}")


def _split(tokens: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences to calibrate with, to train on, and to measure with."""
    import torch

    held = max(1, min(_HELD_OUT, len(tokens) // 10))
    train = tokens[:-held]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train[order[:SEQUENCES]], train, tokens[-held:]


def _trained(journal: Journal, name: str, model: nn.Module, train: Callable[[], Any]) -> str:
    """Train a model in place, or take what an earlier run has trained; how that went."""
    kept = journal.get(name)
    if kept is None:
        said = str(train())
        journal.put(name, {"said": said, "state": dict(model.state_dict())})
        return said
    model.load_state_dict(kept["state"])
    said = kept["said"]
    return said


def _measured(
    journal: Journal,
    dense: nn.Module,
    held: Tensor,
    models: Mapping[str, Callable[[], nn.Module]],
    *,
    progress: bool,
) -> room.Report:
    """All models on the same sequences."""
    from bondwise.runs import progress_bar
    from bondwise.tn.compress.calibration.batches import batches_of
    from bondwise.tn.compress.reporting import made_of, measure

    batches = batches_of(held, 8)
    rows = []
    with progress_bar(len(models), "measure", progress) as bar:
        for name, make in models.items():
            bar.set_postfix_str(name)
            row = journal.get(f"row {name}")
            if row is None:
                row = journal.put(f"row {name}", measure(name, make(), dense, batches, _BATCHES))
            rows.append(row)
            bar.update()
    return made_of(rows, _BATCHES, dense, batches)
