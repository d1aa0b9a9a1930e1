"""`bondwise jobs loopback`: a server on this machine in place of IBM's service."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bondwise.cli.terminal import show


def command(
    device: Annotated[
        list[str] | None,
        typer.Option("--device", help="Snapshot to offer, manila by default; repeatable.", metavar="NAME"),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Port; 0 for any free one.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="Folder that keeps its jobs; a temporary one by default.", metavar="DIR"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Random seed of its jobs, in their order.", metavar="N")
    ] = None,
) -> None:
    """Serve IBM's API on this machine, with simulated devices, until Ctrl-C."""
    from bondwise.backends.ibm.loopback import LoopbackService

    with LoopbackService(devices=device or ["manila"], port=port, folder=folder, seed=seed) as server:
        # the key is good for this server only, as long as it runs
        show("# in another terminal:")
        show(*(f"export {name}={shlex.quote(value)}" for name, value in server.environment().items()))
        show(f"# then --backend ibm:ibm_{(device or ['manila'])[0]}, as with an account")
        server.serve_forever()
