"""The cells of the benchmark: circuits under one noise, with exact outcomes at all scale factors.

A cell has circuits of one kind, one observable, and one noise. Its circuits come from one of two pools with
different seeds: estimators may be tuned on `train`, at the strengths in `TRAINED`; `test` has all strengths.
What is computed is stored in $BONDWISE_CACHE, or else in the user's cache folder; shots are drawn from it.

    python benchmarks/mitigation/cells.py [--pool train] [--sizes 4 6 10]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from angles import random_angles, signs, stopped_angles, twin_angles
from ansatz import outcomes
from safetensors.numpy import load_file, save_file

LAYERS = {4: 2, 6: 3, 10: 3}
FACTORS = (1, 3, 5)  # every gate is folded, so that its noise acts as many times
STRENGTHS = (0.005, 0.01, 0.015, 0.02, 0.05)
TRAINED = (0.005, 0.01, 0.02)  # 0.015 lies between those that estimators are tuned on, 0.05 outside
KINDS = ("random", "vqe")
OBSERVABLES = ("parity", "chain")
COUNTS = {"random": 300, "vqe": 300, "twins": 120}
POOLS = {"train": 1, "test": 2}  # first number of the seeds
VERSION = 1  # of the files; must change with what they hold


@dataclass(frozen=True)
class Cell:
    """Circuits with exact outcomes, grouped by the values that an observable takes.

    Attributes:
        name: Circuits, observable and noise.
        values: Values of each of the K terms on V different outcomes, (K, V).
        ideal: Expectation values without noise, (C,).
        noisy: Probabilities of the outcomes at each scale factor, (C, S, V).
        twin_ideal: The same of near-Clifford twins, (T,).
        twin_noisy: (T, S, V).
        readout: What readout leaves of Z on each qubit, (n,); None if it is perfect.
        supports: Qubits of each term, 0 or 1, (K, n); None if readout is perfect, and K may be 1 then.
    """

    name: str
    values: np.ndarray
    ideal: np.ndarray
    noisy: np.ndarray
    twin_ideal: np.ndarray
    twin_noisy: np.ndarray
    readout: np.ndarray | None = None
    supports: np.ndarray | None = None

    @property
    def limit(self) -> float:
        """Largest value of the observable; the smallest is its negative."""
        return float(self.values.sum(0).max())


def cell(pool: str, n: int, kind: str, observable: str, strength: float) -> Cell:
    """A cell with depolarizing noise."""
    at = STRENGTHS.index(strength)
    known, twins = stored(pool, n, kind, observable), stored(pool, n, "twins", observable)
    totals = signs(observable, n).sum(0, keepdims=True)
    values, groups = np.unique(totals, axis=1, return_inverse=True)
    return Cell(
        name=f"{n} qubits, {kind}, {observable}, p = {strength}",
        values=values,
        ideal=known["ideal"] @ totals[0],
        noisy=grouped(known["noisy"][at], groups, values.shape[1]).swapaxes(0, 1),
        twin_ideal=twins["ideal"] @ totals[0],
        twin_noisy=grouped(twins["noisy"][at], groups, values.shape[1]).swapaxes(0, 1),
    )


def grouped(probabilities: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Probabilities of groups of outcomes, (..., count)."""
    return probabilities @ np.eye(count)[groups.ravel()]


def angles_of(pool: str, n: int, layers: int, kind: str, observable: str, count: int) -> np.ndarray:
    """The angles of a pool of circuits, always the same."""
    kinds = ("random", "vqe", "twins")
    seed = [POOLS[pool], n, layers, kinds.index(kind)]
    if kind == "random":  # for both observables
        return random_angles(n, layers, count, np.random.default_rng(seed))
    make = {"vqe": stopped_angles, "twins": twin_angles}[kind]
    rng = np.random.default_rng([*seed, OBSERVABLES.index(observable)])
    return make(n, layers, observable, count, rng)


def stored(pool: str, n: int, kind: str, observable: str) -> dict[str, np.ndarray]:
    """Angles, exact outcomes (C, 2^n), and noisy ones, (strength, scale factor, C, 2^n)."""

    def make() -> dict[str, np.ndarray]:
        angles = angles_of(pool, n, LAYERS[n], kind, observable, COUNTS[kind])
        strengths = TRAINED if pool == "train" else STRENGTHS
        noisy = np.full((len(STRENGTHS), len(FACTORS), len(angles), 2**n), np.nan)
        for strength in strengths:
            for column, factor in enumerate(FACTORS):
                noisy[STRENGTHS.index(strength), column] = outcomes(angles, strength, factor)
        return {"angles": angles, "ideal": outcomes(angles, 0.0, 1), "noisy": noisy}

    of = "" if kind == "random" else f"-{observable}"
    return from_file(f"{pool}-{n}-{kind}{of}", make)


def from_file(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of a file, which are made if they are not there yet."""
    chosen = os.environ.get("BONDWISE_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bondwise"
    path = (Path(chosen) if chosen else cache) / f"mitigation-cells-{VERSION}" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        start, partial = time.perf_counter(), path.with_suffix(f".{os.getpid()}")
        save_file(make(), partial)
        partial.rename(path)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
    return load_file(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", choices=list(POOLS), default="test")
    parser.add_argument("--sizes", type=int, nargs="+", choices=list(LAYERS), default=list(LAYERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for n in options.sizes:
        for kind in (*KINDS, "twins"):
            for observable in OBSERVABLES:
                stored(options.pool, n, kind, observable)


if __name__ == "__main__":
    main()
