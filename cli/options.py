"""The flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bondwise.mitigation.names import DEFAULT, EXTRAPOLATIONS, NEED_SYMMETRY

Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        help="Sites of a chain (12), ladder (2x6) or grid (3x4); not for a file.",
        metavar="SIZE",
    ),
]
Periodic = Annotated[bool, typer.Option("--periodic", help="Close the lattice in every direction.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="statevector, aer, aer:matrix_product_state, aer:depolarizing=0.01, fake:<device>, ibm:<name>.",
        metavar="NAME",
    ),
]
_ALONE = [name for name in EXTRAPOLATIONS if name not in NEED_SYMMETRY]
MITIGATIONS = (*_ALONE, "readout", "none")
_MITIGATE = f"{', '.join(_ALONE)}, readout (without extrapolation), or none."
Mitigate = Annotated[str, typer.Option("--mitigate", help=_MITIGATE, metavar="NAME|none")]
MitigateNoise = Annotated[
    str | None,
    typer.Option(
        "--mitigate",
        help=f"{_MITIGATE} The default is {DEFAULT} if the backend is noisy.",
        metavar="NAME|none",
    ),
]
Shots = Annotated[
    int,
    typer.Option(
        "--shots",
        help="Number of shots per measured basis and, on average, noise scale; 0 for exact values if "
        "available.",
    ),
]
MOST_SHOTS = 2**53
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        help="Random seed; the same seed gives the same numbers on simulators.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="DIR")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier run in that folder, with all of its files.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in that folder.")]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Submit to a device and end; `bondwise jobs resume DIR` collects the results."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars and no table.")]
