"""`bondwise protein`: the commands that classify proteins."""

from __future__ import annotations

import typer

from bondwise.cli.protein import benchmark, fetch, predict, train

app = typer.Typer(
    help="Classify proteins with quantum tensor networks and with classical methods.",
    invoke_without_command=True,
)


@app.callback()
def _app(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("train")(train.command)
app.command("predict")(predict.command)
app.command("benchmark")(benchmark.command)
app.command("fetch")(fetch.command)
