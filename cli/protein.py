"""`bondwise protein`: the commands that classify proteins."""

from __future__ import annotations

import typer

from bondwise.cli import protein_benchmark, protein_fetch, protein_predict, protein_train

app = typer.Typer(
    help="Classify proteins with quantum tensor networks, beside classical methods.",
    invoke_without_command=True,
)


@app.callback()
def _app(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("train")(protein_train.command)
app.command("predict")(protein_predict.command)
app.command("benchmark")(protein_benchmark.command)
app.command("fetch")(protein_fetch.command)
