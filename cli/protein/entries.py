"""Rows of the benchmark, a method with several seeds each, and sentences on which method wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bondwise.cli.protein.trials import Trial

COLUMNS = ("method", "params", "valid", "test ± std", "worst", "MCC", "AUROC", "s")
CONTROL = "WindowQTN, random labels"
WINDOW, UNENTANGLED, LATCH = "WindowQTN", "WindowQTN, entanglers off", "LatchQTN"
QUANTUM = (WINDOW, UNENTANGLED, LATCH)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table: a method and its fits, one per seed, or a single one if nothing is random."""

    name: str
    trials: list[Trial]

    @property
    def parameters(self) -> int:
        """Number of trained parameters of a fit."""
        return self.trials[0].parameters

    @property
    def accuracies(self) -> list[float]:
        """Accuracies on the test set, by seed."""
        return [trial.scores.accuracy for trial in self.trials]

    @property
    def mean(self) -> float:
        """Mean accuracy on the test set."""
        return sum(self.accuracies) / len(self.trials)

    @property
    def std(self) -> float:
        """Binomial standard error of the mean accuracy; seeds share a test set and do not lower it."""
        return (self.mean * (1 - self.mean) / self.trials[0].scores.size) ** 0.5

    def cells(self) -> list[str]:
        """Cells of the table: means over the seeds, and the worst accuracy."""
        valid = _mean(trial.valid for trial in self.trials)
        auroc = _mean(trial.scores.auroc for trial in self.trials)
        return [
            self.name,
            f"{self.parameters:,}",
            "–" if valid is None else f"{valid:.3f}",
            f"{self.mean:.3f} ± {self.std:.3f}",
            f"{min(self.accuracies):.3f}" if len(self.trials) > 1 else "–",
            f"{_mean(trial.scores.mcc for trial in self.trials):.3f}",
            "–" if auroc is None else f"{auroc:.3f}",
            f"{_mean(trial.seconds for trial in self.trials):.1f}",
        ]

    def facts(self) -> dict[str, Any]:
        """Entries about the method in `result.json`."""
        return {
            "name": self.name,
            "mean": self.mean,
            "worst": min(self.accuracies),
            "std": self.std,
            "seeds": [trial.facts() for trial in self.trials],
        }


def verdicts(entries: list[Entry], control: Entry) -> list[str]:
    """Sentences on which method wins, what entanglers do and whether random labels can be learned."""
    by_name = {entry.name: entry for entry in entries}
    best = max(entries, key=lambda entry: entry.mean)
    level = [
        f"{entry.name} ({entry.mean:.3f})"
        for entry in sorted(entries, key=lambda entry: -entry.mean)
        if entry is not best and best.mean - entry.mean <= _error(best, entry)
    ]
    kind = "quantum" if best.name in QUANTUM else "classical"
    figure = f"{best.mean:.3f} ± {best.std:.3f} with {best.parameters:,} parameters ({kind})"
    notes = [
        f"No single winner: {best.name} has the highest accuracy, {figure}; "
        f"within its error are {', '.join(level)}."
        if level
        else f"{best.name} wins: {figure}."
    ]
    quantum = max((by_name[name] for name in QUANTUM), key=lambda entry: entry.mean)
    simpler = [
        entry
        for entry in entries
        if entry.name not in QUANTUM
        and entry.parameters < quantum.parameters
        and entry.mean >= quantum.mean - _error(entry, quantum)
    ]
    if simpler:
        least = min(simpler, key=lambda entry: entry.parameters)
        notes.append(
            f"A simpler classical method is as good as or better than the best quantum one ({quantum.name}, "
            f"{quantum.mean:.3f}): {least.name} with {least.parameters:,} parameters, "
            f"{least.mean:.3f}."
        )
    on, off = by_name[WINDOW], by_name[UNENTANGLED]
    gain, error = on.mean - off.mean, _error(on, off)
    effect = (
        "no difference beyond the error" if abs(gain) <= error else "they help" if gain > 0 else "they hurt"
    )
    notes.append(
        f"Entanglers in windows: with {on.mean:.3f}, without {off.mean:.3f}: {effect} ({error:.3f})."
    )
    majority = by_name["majority"].mean
    learned = (
        "labels leak"
        if control.mean > majority + 3 * _error(control, by_name["majority"])
        else "nothing is learned, as expected"
    )
    notes.append(f"Random labels: {control.mean:.3f}, majority {majority:.3f}: {learned}.")
    return notes


def _error(one: Entry, other: Entry) -> float:
    """Standard error of the difference of two mean accuracies, from the proteins and from the seeds."""
    rights = [np.mean([trial.right for trial in entry.trials], axis=0) for entry in (one, other)]
    proteins = (rights[0] - rights[1]).var() / len(rights[0])
    seeds = sum(
        np.var(entry.accuracies, ddof=1) / len(entry.trials)
        for entry in (one, other)
        if len(entry.trials) > 1
    )
    return float((proteins + seeds) ** 0.5)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
