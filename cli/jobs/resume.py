"""`bondwise jobs resume`: go on with a command that has submitted jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bondwise.cli import options, spending
from bondwise.cli.documents.settings import earlier_command


def command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of the run.", metavar="DIR")],
    yes: spending.Yes = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Repeat the command of a run with the jobs that it has submitted; asks before it submits others."""
    words = [*earlier_command(folder), "--out", str(folder), "--resume"]
    words += ["--yes"] if yes else []
    words += ["--json"] if json else []
    words += ["--quiet"] if quiet else []
    context.find_root().command.main(args=words, prog_name="bondwise", standalone_mode=False)
