"""`bondwise protein predict`: predictions of a trained model, exact or measured on a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise import backends
from bondwise.cli import options
from bondwise.cli.commands.measurement import mitigator_of
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.protein.data import SYNTHETIC, MaxLength, MinLength, Where, conditions
from bondwise.cli.protein.files import predictions_csv, require_free
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.qml import protein
from bondwise.runs import UsageError, read_json, unknown_name, write_atomically
from bondwise.runs.text import counted

if TYPE_CHECKING:
    import numpy as np

    from bondwise.qml.protein import Scores

_MITIGATIONS = ("none", "readout")


def command(
    model: Annotated[
        Path, typer.Argument(help="Folder that `bondwise protein train` wrote.", metavar="MODEL")
    ],
    data: Annotated[
        Path, typer.Argument(help="CSV or TSV with a column sequence, or FASTA; also .gz.", metavar="DATA")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="CSV with accession, label and probabilities.", metavar="CSV")
    ],
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="Backend to measure on: statevector, aer, fake:<device>, ibm:<name>.",
            metavar="NAME",
        ),
    ] = None,
    shots: Annotated[
        int, typer.Option("--shots", min=1, help="Number of shots per circuit, with --backend.")
    ] = 1024,
    mitigate: Annotated[
        str, typer.Option("--mitigate", help="readout or none, with --backend.", metavar="readout|none")
    ] = "none",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N proteins.")] = None,
    where: Where = None,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    seed: options.Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict the classes of proteins, exactly or with circuits on a backend."""
    settings = settings_of(locals())
    if mitigate not in _MITIGATIONS:
        raise unknown_name("mitigation", mitigate, _MITIGATIONS)
    if mitigate != "none" and backend is None:
        raise UsageError(f"--mitigate {mitigate} is for measured values; give --backend as well.")
    require_free(out, overwrite)
    classifier = protein.ProteinClassifier.load(model)
    machine = None if backend is None else backends.get_backend(backend)
    proteins = protein.read_proteins(
        data, where=conditions(where), min_length=min_length, max_length=max_length, labeled=False
    )
    sequences = proteins.sequences[:limit]
    found = {"exact": classifier.predict_proba(sequences)}
    result = envelope(settings) | {
        "model": str(model),
        "data": str(data),
        "synthetic": proteins.synthetic,
        "proteins": len(sequences),
        "classes": classifier.classes_.tolist(),
    }
    if machine is not None:
        measured = protein.predict_on_backend(
            classifier,
            sequences,
            backend=mitigator_of(mitigate, machine, shots=shots, seed=seed) or machine,
            shots=shots,
            seed=seed,
            progress=not quiet,
        )
        found["measured"] = measured.probabilities
        result |= {"backend": backend, "mitigate": mitigate, "seed": seed, "shots": measured.shots}
        result |= {"circuits": measured.circuits, "job_ids": list(measured.job_ids)}
        result["largest_difference"] = float(abs(found["measured"] - found["exact"]).max())
    notes = _warnings(model, proteins.synthetic)
    if proteins.labels is not None:
        scores, note = _scores(proteins.labels[:limit], found, classifier.classes_)
        result |= {kind: asdict(score) for kind, score in scores.items()}
        notes += [note] if note else []
    accessions = None if proteins.accessions is None else proteins.accessions[:limit]
    best = found.get("measured", found["exact"])
    write_atomically(out, predictions_csv(accessions, best, result["classes"]))
    result["notes"] = notes
    if json:
        show_json(result)
    elif not quiet:
        _print(result, backend, mitigate)
        show(f"{len(sequences)} predictions are in {out}")


def _scores(
    labels: Sequence[Any], found: dict[str, np.ndarray], classes: np.ndarray
) -> tuple[dict[str, Scores], str | None]:
    """Scores of each kind of probabilities, or no scores and the reason."""
    by_name = {str(name): name for name in classes.tolist()}  # files hold text, classes may be numbers
    strange = sorted({str(label) for label in labels} - by_name.keys())
    if strange:
        return {}, f"no accuracy: label {strange[0]!r} is not among the model's classes {list(by_name)}."
    true = [by_name[str(label)] for label in labels]
    return {kind: protein.score_predictions(true, values, classes) for kind, values in found.items()}, None


def _warnings(model: Path, synthetic: bool) -> list[str]:
    """Notes on synthetic proteins among the data or in the training."""
    notes = [f"{SYNTHETIC}: the proteins are synthetic."] if synthetic else []
    try:
        if read_json(model / "result.json")["data"]["synthetic"]:
            notes.append(f"{SYNTHETIC}: the model was trained on synthetic proteins.")
    except (UsageError, LookupError, TypeError):
        pass  # a model that was saved without a run has no result file
    return notes


def _print(result: dict[str, Any], backend: str | None, mitigate: str) -> None:
    places = {"exact": "exact"}
    if backend is not None:
        places["measured"] = backend if mitigate == "none" else f"{backend}, {mitigate} errors mitigated"
    rows = []
    for kind, place in places.items():
        if kind in result:
            scores = result[kind]
            area = "–" if scores["auroc"] is None else f"{scores['auroc']:.3f}"
            accuracy = f"{scores['accuracy']:.3f} ± {scores['std']:.3f}"
            rows.append([place, accuracy, f"{scores['mcc']:.3f}", area])
    if rows:
        mark = f"{SYNTHETIC}: " if result["synthetic"] else ""
        show_table(f"{mark}{result['proteins']} proteins", ("values", "accuracy ± std", "MCC", "AUROC"), rows)
    if backend is not None:
        show(
            f"{counted(result['circuits'], 'circuit')}, {counted(result['shots'], 'shot')} in total; "
            f"probabilities differ from exact ones by at most {result['largest_difference']:.3f}"
        )
    show(*result["notes"])
