"""`bondwise protein fetch`: labeled proteins from UniProt into a CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bondwise.cli import options
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.protein.files import require_free
from bondwise.cli.terminal import show, show_json
from bondwise.qml import protein
from bondwise.runs import Stopped, UsageError


def command(
    location: Annotated[
        list[str],
        typer.Option(
            "--location",
            help="Label and UniProt's term for a location in the cell, such as membrane=SL-0039; repeatable.",
            metavar="LABEL=TERM",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="CSV with accession, label and sequence.", metavar="CSV")
    ],
    organism: Annotated[
        int | None, typer.Option("--organism", min=1, help="Taxonomy number, such as 9606 for humans.")
    ] = None,
    min_length: Annotated[int, typer.Option("--min-length", min=1, help="Minimum number of residues.")] = 80,
    max_length: Annotated[int, typer.Option("--max-length", min=1, help="Maximum number of residues.")] = 500,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of proteins per label.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Download reviewed proteins by their location in the cell; repeat the command to resume a download."""
    settings = settings_of(locals())
    locations: dict[str, str] = {}
    for text in location:
        label, sign, term = text.partition("=")
        if not (sign and label and term) or label in locations:
            raise UsageError(
                f"--location {text} is not a new label with a term; write LABEL=TERM, such as "
                "cytoplasm=SL-0086."
            )
        locations[label] = term
    require_free(out, overwrite)
    try:
        done = protein.fetch_uniprot(
            locations,
            out,
            organism=organism,
            min_length=min_length,
            max_length=max_length,
            limit=limit,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        raise Stopped("stopped; the same command continues from there.") from None
    if json:
        result = envelope(settings) | {
            "path": str(done.path),
            "counts": done.counts,
            "left_out": done.shared,
            "release": done.release,
        }
        show_json(result)
    elif not quiet:
        show(
            done,
            "UniProt's content is licensed under CC BY 4.0; credit the UniProt Consortium when you use it.",
        )
