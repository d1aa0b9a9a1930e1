"""`bondwise protein`: the commands that classify proteins."""

from __future__ import annotations

import typer

from bondwise.cli import flags
from bondwise.cli.protein import benchmark, fetch, predict, train

app = typer.Typer(
    help="Classify proteins with quantum tensor networks and with classical methods.",
    invoke_without_command=True,
    cls=flags.Group,
)


@app.callback()
def _app(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("train", cls=flags.Command)(train.command)
app.command("predict", cls=flags.Command)(predict.command)
app.command("benchmark", cls=flags.Command)(benchmark.command)
app.command("fetch", cls=flags.Command)(fetch.command)
