"""Shots drawn from the cells, so that every method spends as many in total, calibration included.

A batch of C circuits has C times the shots of one. What they share is paid by all: twins are measured with as
many shots as each circuit, so 30 twins for 100 circuits take 23 % of the shots, and the readout of a device
is calibrated with the shots of one circuit. Plans with "free" twins pay nothing for them, as if endlessly
many circuits shared them. The draws of a method with more shots begin with those of one with fewer, so that
methods differ by little but themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cells import FACTORS, Cell

from bondwise.mitigation import NoiseScan, Twins


@dataclass(frozen=True)
class Plan:
    """What a method measures.

    Attributes:
        columns: Which of the scale factors.
        twins: Whether twins are measured as well.
        paid: Whether the shots of the twins count.
        corrected: Whether readout errors are undone.
    """

    columns: tuple[int, ...]
    twins: bool = False
    paid: bool = True
    corrected: bool = True

    def shots(self, budget: int, circuits: int, twins: int, calibration: bool) -> int:
        """Shots of each circuit at each scale factor, of `budget` for a circuit."""
        total = circuits * budget - (budget if calibration and self.corrected else 0)
        return total // (len(self.columns) * (circuits + (twins if self.twins and self.paid else 0)))


PLANS = {
    "raw": Plan((0,), corrected=False),
    "readout": Plan((0,)),
    "scan": Plan((0, 1, 2)),
    "cdr": Plan((0,), twins=True),
    "vncdr": Plan((0, 1, 2), twins=True),
    "cdr, free": Plan((0,), twins=True, paid=False),
    "vncdr, free": Plan((0, 1, 2), twins=True, paid=False),
}


def draw(
    cell: Cell, rows: np.ndarray, twins: np.ndarray, budget: int, rng: np.random.Generator
) -> dict[str, NoiseScan]:
    """Scans of some circuits of a cell, by plan.

    Args:
        cell: The cell.
        rows: Circuits of the batch.
        twins: Its twins.
        budget: Shots for each circuit.
        rng: Source of the shots.
    """
    shots = {
        name: plan.shots(budget, len(rows), len(twins), cell.readout is not None)
        for name, plan in PLANS.items()
    }
    of_circuits = [
        nested(cell.noisy[rows, column], {name: shots[name] for name in using(column)}, rng)
        for column in range(len(FACTORS))
    ]
    of_twins = [
        nested(cell.twin_noisy[twins, column], {name: shots[name] for name in using(column, twins=True)}, rng)
        for column in range(len(FACTORS))
    ]
    fidelity = error = None
    if cell.readout is not None:
        fidelity, error = calibrated(cell, budget, rng)
    scans = {}
    for name, plan in PLANS.items():
        undone = fidelity if plan.corrected else None
        value, covariance = estimates(cell, [of_circuits[c][name] for c in plan.columns], undone, error)
        known = None
        if plan.twins:
            measured, spread = estimates(cell, [of_twins[c][name] for c in plan.columns], undone, error)
            deviation = np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
            known = Twins(measured, deviation, cell.twin_ideal[twins])
        scans[name] = NoiseScan(
            value=value,
            std=np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
            scale_factors=[FACTORS[column] for column in plan.columns],
            shots=budget * len(rows),
            covariance=None if undone is None else covariance,
            spectrum=(-cell.limit, cell.limit),
            twins=known,
        )
    return scans


def using(column: int, twins: bool = False) -> list[str]:
    """Plans that measure at a scale factor."""
    return [name for name, plan in PLANS.items() if column in plan.columns and plan.twins >= twins]


def nested(
    probabilities: np.ndarray, shots: dict[str, int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Counts (C, V) for several numbers of shots; more shots continue those before."""
    drawn, before, counts = {}, 0, np.zeros(probabilities.shape, dtype=np.int64)
    for name in sorted(shots, key=lambda name: shots[name]):
        counts = counts + rng.multinomial(shots[name] - before, probabilities)
        drawn[name], before = counts, shots[name]
    return drawn


def calibrated(cell: Cell, shots: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What readout leaves of each term, measured on |0…0⟩, and the covariance of these errors.

    Flips of the qubits are drawn one by one; a term is read rightly if an even number of its qubits flip.
    """
    flips = rng.random((shots, len(cell.readout))) < (1 - cell.readout) / 2
    read = 1 - 2 * (flips @ cell.supports.T % 2)
    return read.mean(0), np.atleast_2d(np.cov(read, rowvar=False)) / shots


def estimates(
    cell: Cell, counts: list[np.ndarray], fidelity: np.ndarray | None, error: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Values (C, S) and their covariances (C, S, S), from counts (C, V) at each scale factor."""
    weights = np.ones(len(cell.values)) if fidelity is None else 1 / fidelity
    energies = weights @ cell.values
    shots = np.array([part[0].sum() for part in counts])
    value = np.stack([part @ energies for part in counts], 1) / shots
    square = np.stack([part @ energies**2 for part in counts], 1) / shots
    variance = np.clip(square - value**2, 0, None) / np.maximum(shots - 1, 1)
    covariance = variance[:, :, None] * np.eye(len(counts))
    if fidelity is not None:
        terms = np.stack([part @ cell.values.T for part in counts], 1) / shots[:, None]
        slopes = terms * weights**2
        covariance = covariance + np.einsum("csk,kl,ctl->cst", slopes, error, slopes)
    return value, covariance
