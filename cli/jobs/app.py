"""The commands of `bondwise jobs`."""

from __future__ import annotations

import typer

from bondwise.cli import flags
from bondwise.cli.jobs import control, export, listing, loopback, resume

app = typer.Typer(
    cls=flags.Group, help="Jobs on devices: list, follow, wait for, cancel, resume and export them."
)
app.command("list", cls=flags.Command)(listing.jobs)
app.command("show", cls=flags.Command)(listing.job)
app.command("wait", cls=flags.Command)(control.wait)
app.command("cancel", cls=flags.Command)(control.cancel)
app.command("settle", cls=flags.Command)(control.settle)
app.command("resume", cls=flags.Command)(resume.command)
app.command("export", cls=flags.Command)(export.command)
app.command("loopback", cls=flags.Command)(loopback.command)
