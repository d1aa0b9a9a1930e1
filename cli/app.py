"""The commands of `bondwise`."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Annotated

import typer

from bondwise.cli import flags
from bondwise.cli.commands import (
    backends,
    compress,
    compress_profile,
    decompose,
    mitigate,
    mitigate_benchmark,
    run,
    vqe,
    warmup,
)
from bondwise.cli.jobs import app as jobs
from bondwise.cli.protein import app as protein
from bondwise.cli.sweeps import command as sweep

app = typer.Typer(
    name="bondwise",
    help="Tensor networks that start quantum circuits: train, mitigate and run them.",
    invoke_without_command=True,
    cls=flags.Group,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _app(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"bondwise {installed('bondwise')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


app.command("vqe", cls=flags.Command)(vqe.command)
app.command("decompose", cls=flags.Command)(decompose.command)
app.command("run", cls=flags.Command)(run.command)
app.command("sweep", cls=flags.Command)(sweep.command)
app.command("mitigate", cls=flags.Command)(mitigate.command)
app.command("mitigate benchmark", cls=flags.Command)(mitigate_benchmark.command)
app.command("compress", cls=flags.Command)(compress.command)
app.command("compress profile", cls=flags.Command)(compress_profile.command)
app.add_typer(protein.app, name="protein")
app.add_typer(jobs.app, name="jobs")
app.command("backends", cls=flags.Command)(backends.command)
app.command("warmup", cls=flags.Command)(warmup.command)
