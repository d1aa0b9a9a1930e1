"""The report of a training on proteins: curves, errors, and the residues that decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwise.cli.documents.report import render_report
from bondwise.cli.protein.data import SYNTHETIC, Splits, labels_of
from bondwise.qml import protein
from bondwise.runs import figure_text, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bondwise.cli.protein.trials import Trial

WINDOW, STRIDE = 15, 3  # residues in a cut, and from the start of one cut to the next
_LONGEST = 1000  # residues of a protein that is shown; the model reads it once per cut
_GRAY, _BLUE, _RED = "#7a8696", "#2b6cb0", "#c05621"

Figure = tuple[str, str, "Axes"]


def trial_cells(trial: Trial) -> list[str]:
    """A row of the table: model, parameters, valid, test ± std, MCC, AUROC."""
    scores = trial.scores
    return [
        trial.name,
        f"{trial.parameters:,}",
        "–" if trial.valid is None else f"{trial.valid:.3f}",
        f"{scores.accuracy:.3f} ± {scores.std:.3f}",
        f"{scores.mcc:.3f}",
        "–" if scores.auroc is None else f"{scores.auroc:.3f}",
    ]


def render_training(
    result: dict[str, Any],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    trial: Trial,
    cheap: Sequence[Trial],
    data: Splits,
) -> str:
    """`report.html` of `bondwise protein train`.

    Args:
        result: Content of `result.json`.
        columns: Headings of the table.
        rows: Cells of the table.
        trial: The trained model.
        cheap: The baselines.
        data: The proteins.
    """
    figures = [
        (
            "Training",
            "Cross-entropy and accuracy after each epoch; the gray line marks the epoch that was kept.",
            trial.model.history_.plot(new_figure().subplots()),
        ),
        _roc(trial, cheap, data),
        _confusion(trial, data),
        *_residues(trial, data),
    ]
    return render_report(
        result,
        title=f"{trial.name} on {data.name}",
        lead=f"{data.sizes}; {result['qubits']} qubits, {trial.parameters:,} parameters.",
        columns=columns,
        rows=rows,
        figures=marked(figures, data),
    )


def marked(figures: Sequence[Figure], data: Splits) -> list[Figure]:
    """The figures, with a mark in their headings if the proteins are synthetic."""
    mark = f"{SYNTHETIC} proteins: " if data.synthetic else ""
    return [(mark + heading, caption, ax) for heading, caption, ax in figures]


def _roc(trial: Trial, cheap: Sequence[Trial], data: Splits) -> Figure:
    """ROC curves: of all methods, or with more than two classes, of each class of the model."""
    from sklearn.metrics import roc_curve

    classes = trial.model.classes_.tolist()
    truth = np.asarray(labels_of(data.test))
    ax = new_figure(height=4.2).subplots()
    if len(classes) == 2:
        curves = [(row.name, row.probabilities[:, 1], truth == classes[1]) for row in (trial, *cheap)]
        caption = f"True against false positive rate of the class {classes[1]!r}."
    else:
        curves = [(str(name), trial.probabilities[:, i], truth == name) for i, name in enumerate(classes)]
        caption = f"True against false positive rate of each class for {trial.name}."
    for number, (name, chance, positive) in enumerate(curves):
        if positive.any() and not positive.all():
            wrong, found, _ = roc_curve(positive, chance)
            ax.plot(wrong, found, label=figure_text(name), lw=2.2 if number == 0 else 1)
    ax.plot([0, 1], [0, 1], color=_GRAY, lw=0.8, ls=":", label="chance")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return "ROC curve", f"{caption} Test set.", ax


def _confusion(trial: Trial, data: Splits) -> Figure:
    from sklearn.metrics import confusion_matrix

    classes = trial.model.classes_.tolist()
    predicted = trial.model.classes_[trial.probabilities.argmax(1)]
    counts = confusion_matrix(np.asarray(labels_of(data.test)), predicted, labels=classes)
    ax = new_figure(width=2.4 + 0.8 * len(classes), height=1.6 + 0.6 * len(classes)).subplots()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    edges = np.arange(len(classes) + 1) - 0.5
    ax.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)  # an image would be pixels
    ax.invert_yaxis()
    for row, column in np.ndindex(counts.shape):
        dark = counts[row, column] > counts[row].sum() / 2
        ax.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color="w" if dark else "k")
    numbers = range(len(classes))
    ax.set(xlabel="predicted", ylabel="true", xticks=numbers, yticks=numbers)
    names = [figure_text(name) for name in classes]
    ax.set_xticklabels(names)
    ax.set_yticklabels(names)
    return "Confusion matrix", f"Proteins of the test set: true classes and predictions of {trial.name}.", ax


def _residues(trial: Trial, data: Splits) -> list[Figure]:
    """The most confident right and wrong call for each of the first two classes, if any."""
    classes = trial.model.classes_
    predicted = trial.probabilities.argmax(1)
    lengths = np.array([len(protein.standardize(sequence)) for sequence in data.test.sequences])
    shown = (lengths > WINDOW) & (lengths <= _LONGEST)
    figures = []
    for right in (True, False):
        for number in range(min(2, len(classes))):
            fit = np.flatnonzero(shown & (trial.right == right) & (predicted == number))
            if len(fit):
                index = int(fit[trial.probabilities[fit, number].argmax()])
                figures.append(_along(trial, data, index))
    return figures


def _along(trial: Trial, data: Splits, index: int) -> Figure:
    """Window scores and hydropathy of a protein, one above the other."""
    sequence, classes = data.test.sequences[index], trial.model.classes_
    predicted = classes[int(trial.probabilities[index].argmax())]
    label = classes[1] if len(classes) == 2 else predicted
    at, scores = protein.window_scores(
        trial.model, sequence, label=label.item(), window=WINDOW, stride=STRIDE
    )
    above, below = new_figure().subplots(2, sharex=True)
    for sign, color in ((1, _BLUE), (-1, _RED)):
        above.fill_between(at, (sign * scores).clip(0) * sign, step="mid", color=color, lw=0)
    above.set(ylabel="score (nats)")
    at, means = protein.hydropathy_profile(sequence)
    below.plot(at, means, color=_GRAY)
    below.axhline(0, color=_GRAY, lw=0.6)
    below.set(xlabel="residue", ylabel="hydropathy", xlim=(1, max(2, len(sequence))))
    name = f"protein {index + 1}" if data.test.accessions is None else data.test.accessions[index]
    heading = (
        f"{name}: called {predicted}, is {labels_of(data.test)[index]}, "
        f"p = {trial.probabilities[index].max():.3f}"
    )
    caption = (
        f"Top: loss in the log-odds of {label} when {WINDOW} residues around a position are cut out; blue is "
        "evidence for the class, red against it. Bottom: Kyte–Doolittle hydropathy over 19 residues."
    )
    return heading, caption, above
