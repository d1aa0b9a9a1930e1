"""The flags that all commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="statevector, aer, aer:matrix_product_state, aer:depolarizing=0.01, fake:<device>, ibm:<name>.",
    ),
]
MITIGATIONS = ("exponential", "linear", "polynomial", "richardson", "readout", "none")
Mitigate = Annotated[
    str,
    typer.Option(
        "--mitigate",
        help="exponential, linear, polynomial, richardson, readout (without extrapolation), or none.",
        metavar="NAME|none",
    ),
]
MitigateNoise = Annotated[
    str | None,
    typer.Option(
        "--mitigate",
        help="exponential, linear, polynomial, richardson, readout or none. "
        "Unless given, exponential where the backend has noise.",
        metavar="NAME|none",
    ),
]
Shots = Annotated[
    int,
    typer.Option(
        "--shots",
        max=2**53,
        help="Per measured basis and noise scale; 0 is exact where the backend can be.",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, max=2**32 - 1, help="The same seed gives the same numbers on simulators."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="DIR")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in that folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no table.")]
