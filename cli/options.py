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
Molecule = Annotated[
    str | None,
    typer.Option(
        "--molecule",
        help="h2, lih, beh2, h2o, n2, an XYZ file, or its text 'H 0 0 0; H 0 0 0.74', instead of --model.",
        metavar="NAME|FILE",
    ),
]
Bond = Annotated[
    float | None, typer.Option("--bond", help="Bond length of a named molecule in Å.", metavar="LENGTH")
]
Basis = Annotated[
    str | None, typer.Option("--basis", help="Basis set of the molecule; sto-3g by default.", metavar="NAME")
]
Active = Annotated[
    str | None,
    typer.Option(
        "--active",
        help="Active electrons and orbitals of the molecule, such as 2,5; all but the core by default.",
        metavar="N,N",
    ),
]
Mapping = Annotated[
    str | None,
    typer.Option(
        "--mapping", help="jordan-wigner, the default, or parity, with two qubits less.", metavar="NAME"
    ),
]
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
