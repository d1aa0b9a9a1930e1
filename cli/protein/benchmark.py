"""`bondwise protein benchmark`: classical and quantum classifiers on the same proteins, for several seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise.cli import options
from bondwise.cli.documents.envelope import envelope, settings_of
from bondwise.cli.documents.report import render_report
from bondwise.cli.protein.data import Data, MaxLength, MinLength, Splits, Where, labels_of, read_splits
from bondwise.cli.protein.entries import COLUMNS, CONTROL, LATCH, UNENTANGLED, WINDOW, Entry, verdicts
from bondwise.cli.protein.report import marked
from bondwise.cli.protein.trials import BASELINES, baseline, fit
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.qml import protein
from bondwise.runs import RunFolder, Stopped, UsageError, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bondwise.qml.protein import ProteinSet

_QUICK_EPOCHS, _QUICK_SIZE = 2, 150


def command(
    data: Data = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Number of seeds for each method that starts at random.")
    ] = 5,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"One seed, {_QUICK_EPOCHS} epochs and {_QUICK_SIZE} proteins per set, as a quick check.",
        ),
    ] = False,
    seed: options.Seed = 0,
    where: Where = None,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    out: options.Out = Path("runs/protein-benchmark"),
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare window and latch models with classical methods, ablations and a control on random labels."""
    settings = settings_of(locals())
    numbers = range(seed, seed + (1 if quick else seeds))
    short: dict[str, Any] = {"epochs": _QUICK_EPOCHS} if quick else {}
    methods: dict[str, Callable[[int], Any]] = {
        "CNN": lambda number: protein.CNN(seed=number, **short),
        "GRU": lambda number: protein.GRU(seed=number, **short),
        "classical twin": lambda number: protein.ClassicalTwin(seed=number, **short),
        WINDOW: lambda number: protein.WindowQTN(seed=number, **short),
        UNENTANGLED: lambda number: protein.WindowQTN(seed=number, entangle=False, **short),
        LATCH: lambda number: protein.LatchQTN(seed=number, **short),
    }
    try:
        with RunFolder(out, overwrite=overwrite) as folder:
            proteins = read_splits(
                data, where=where, min_length=min_length, max_length=max_length, seed=seed, progress=not quiet
            )
            if quick:
                proteins = _shortened(proteins)
            entries = [
                Entry(name=name, trials=[fit(name, baseline(name), proteins, progress=not quiet)])
                for name in BASELINES
            ]
            notes = [proteins.note]
            try:
                trial = fit("ESM-2 LR", protein.EsmLR(), proteins, progress=not quiet)
                entries.append(Entry(name="ESM-2 LR", trials=[trial]))
            except UsageError as error:
                notes.append(f"ESM-2 is left out: {str(error).partition(';')[0]}.")
            for name, make in methods.items():
                trials = [fit(name, make(number), proteins, progress=not quiet) for number in numbers]
                entries.append(Entry(name=name, trials=trials))
            shuffled = [
                fit(
                    CONTROL,
                    methods[WINDOW](number),
                    _with_random_labels(proteins, number),
                    progress=not quiet,
                )
                for number in numbers
            ]
            control = Entry(name=CONTROL, trials=shuffled)
            notes = [*verdicts(entries, control), *notes]
            if quick:
                notes.insert(0, "--quick: the figures mean nothing with so few epochs and proteins.")
            entries.append(control)
            rows = [entry.cells() for entry in entries]
            result = envelope(settings) | {
                "seed": seed,
                "seeds": len(numbers),
                "quick": quick,
                "data": proteins.facts(),
                "methods": [entry.facts() for entry in entries],
                "notes": notes,
            }
            folder.write("report.html", _render(result, rows, entries, proteins))
            folder.write_json("result.json", result)
    except KeyboardInterrupt:
        raise Stopped("stopped; a benchmark cannot be resumed.") from None
    if json:
        show_json(result)
    elif not quiet:
        show_table(f"{len(proteins.test.sequences):,} test proteins of {proteins.name}", COLUMNS, rows)
        show(*notes, f"report: {folder.path / 'report.html'}")


def _shortened(data: Splits) -> Splits:
    """The first proteins of each class in each set."""

    def cut(part: ProteinSet) -> ProteinSet:
        most = _QUICK_SIZE // len(part.classes)
        seen: Counter[Any] = Counter()
        kept = []
        for index, label in enumerate(labels_of(part)):
            seen[label] += 1
            if seen[label] <= most:
                kept.append(index)
        return part.take(kept)

    return replace(
        data,
        train=cut(data.train),
        valid=None if data.valid is None else cut(data.valid),
        test=cut(data.test),
    )


def _with_random_labels(data: Splits, seed: int) -> Splits:
    """The same proteins with shuffled labels in the training and the validation set."""
    import numpy as np

    rng = np.random.default_rng(seed)

    def shuffle(part: ProteinSet) -> ProteinSet:
        labels = labels_of(part)
        return replace(part, labels=tuple(labels[index] for index in rng.permutation(len(labels))))

    return replace(data, train=shuffle(data.train), valid=None if data.valid is None else shuffle(data.valid))


def _render(result: dict[str, Any], rows: list[list[str]], entries: list[Entry], data: Splits) -> str:
    return render_report(
        result,
        title=f"Protein classifiers on {data.name}",
        lead=f"{data.sizes}; {result['seeds']} seeds.",
        columns=COLUMNS,
        rows=rows,
        figures=marked([_accuracies(entries)], data),
    )


def _accuracies(entries: list[Entry]) -> tuple[str, str, Axes]:
    ax = new_figure(height=1.2 + 0.3 * len(entries)).subplots()
    for row, entry in enumerate(entries):
        color = "#c05621" if "QTN" in entry.name else "#2b6cb0"
        ax.errorbar(entry.mean, row, xerr=entry.std, color=color, marker="s", ms=5, capsize=3)
        ax.plot(entry.accuracies, [row] * len(entry.trials), ".", color=color, alpha=0.5)
    ax.set(xlabel="accuracy on the test set", yticks=range(len(entries)))
    ax.set_yticklabels([f"{entry.name} ({entry.parameters:,})" for entry in entries])
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return "Accuracy", "Mean with binomial error, and each seed; parameter counts are in parentheses.", ax
