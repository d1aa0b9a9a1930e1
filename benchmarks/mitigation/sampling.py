"""Shots drawn from the cells, so that every method spends as many in total, calibration included.

A batch of C circuits has C times the shots of one. What they share is paid by all: twins are measured with as
many shots as each circuit, so 30 twins for 100 circuits take 23 % of the shots, and the readout of a device
is calibrated with the shots of one circuit. Plans with "free" twins pay nothing for them, as if endlessly
many circuits shared them. Plans with "own" twins are how mitiq runs: each circuit has 10 to itself, which
take 10 of 11 shots. The draws of a method with more shots begin with those of one with fewer, so that methods
differ by little but themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cells import FACTORS, Cell

from bondwise.mitigation import NoiseScan, Twins


@dataclass(frozen=True)
class Plan:
    """What a method measures.

    Attributes:
        shares: Parts of the shots at each scale factor, in their order; those not named get none.
        twins: Whether twins are measured as well.
        own: Number of twins that each circuit has to itself.
        paid: Whether the shots of the twins count.
        corrected: Whether readout errors are undone.
    """

    shares: tuple[float, ...]
    twins: bool = False
    own: int = 0
    paid: bool = True
    corrected: bool = True

    def shots(self, budget: int, circuits: int, twins: int, calibration: bool) -> list[int]:
        """Shots of each circuit at each scale factor, of `budget` for a circuit."""
        total = circuits * budget - (budget if calibration and self.corrected else 0)
        shared = twins if self.twins and self.paid and not self.own else 0
        each = total / (circuits * (1 + self.own) + shared)
        return [int(share * each + 1e-6) for share in self.shares]


EVEN, UNEVEN = (1 / 3, 1 / 3, 1 / 3), (0.7, 0.15, 0.15)
PLANS = {
    "raw": Plan((1.0,), corrected=False),
    "readout": Plan((1.0,)),
    "scan": Plan(EVEN),
    "scan, uneven": Plan(UNEVEN),
    "cdr": Plan((1.0,), twins=True),
    "cdr, free": Plan((1.0,), twins=True, paid=False),
    "cdr, own": Plan((1.0,), twins=True, own=10),
    "vncdr": Plan(EVEN, twins=True),
    "vncdr, uneven": Plan(UNEVEN, twins=True),
    "vncdr, free": Plan(EVEN, twins=True, paid=False),
    "vncdr, own": Plan(EVEN, twins=True, own=10),
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
    shared = [name for name, plan in PLANS.items() if plan.twins and not plan.own]
    of_circuits, of_twins = (
        [nested(part[:, column], at(column, shots, names), rng) for column in range(len(FACTORS))]
        for part, names in ((cell.noisy[rows], PLANS), (cell.twin_noisy[twins], shared))
    )
    fidelity = error = None
    if cell.readout is not None:
        fidelity, error = calibrated(cell, budget, rng)
    scans = {}
    for name, plan in PLANS.items():
        undone, columns = fidelity if plan.corrected else None, range(len(plan.shares))
        value, covariance = estimates(cell, [of_circuits[column][name] for column in columns], undone, error)
        known = None
        if plan.own:
            alone = rng.integers(len(cell.twin_ideal), size=len(rows) * plan.own)
            counts = [
                rng.multinomial(shots[name][column], cell.twin_noisy[alone, column]) for column in columns
            ]
            apart = (len(rows), plan.own)
            known = Twins(
                *(part.reshape(*apart, -1) for part in measured(cell, counts, undone, error)),
                cell.twin_ideal[alone].reshape(apart),
            )
        elif plan.twins:
            counts = [of_twins[column][name] for column in columns]
            known = Twins(*measured(cell, counts, undone, error), cell.twin_ideal[twins])
        scans[name] = NoiseScan(
            value=value,
            std=np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
            scale_factors=FACTORS[: len(plan.shares)],
            shots=budget * len(rows),
            covariance=None if undone is None else covariance,
            spectrum=(-cell.limit, cell.limit),
            twins=known,
        )
    return scans


def measured(
    cell: Cell, counts: list[np.ndarray], fidelity: np.ndarray | None, error: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Values (C, S) and standard errors."""
    value, covariance = estimates(cell, counts, fidelity, error)
    return value, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def at(column: int, shots: dict[str, list[int]], names: Iterable[str]) -> dict[str, int]:
    """Shots at a scale factor of the plans that measure there."""
    return {name: shots[name][column] for name in names if column < len(shots[name])}


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
