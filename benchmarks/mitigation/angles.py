"""The circuits of the benchmark: random angles, stopped optimizations, and near-Clifford twins."""

from __future__ import annotations

import numpy as np
import torch
from ansatz import z_expectations
from torch import Tensor

STEPS = 25  # of Adam at most
FREE = 0.1  # part of a twin's angles that is no multiple of π/2
WALK = 400  # changed angles of a twin


def z_strings(observable: str, n: int) -> list[int]:
    """The products of Z that an observable sums, as bits of the qubits: Z⊗n or Σ Z_i Z_{i+1}."""
    return {"parity": [2**n - 1], "chain": [3 << qubit for qubit in range(n - 1)]}[observable]


def signs(observable: str, n: int) -> np.ndarray:
    """The value, 1 or -1, of each of these products on all outcomes, (K, 2^n)."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    masks = (np.array(z_strings(observable, n))[:, None] >> np.arange(n)) & 1
    return 1 - 2 * (masks @ bits.T % 2)


def energy(angles: Tensor, observable: str) -> Tensor:
    """Value of an observable without noise, divided by the number of its terms."""
    strings, whole = z_strings(observable, angles.shape[-1]), torch.ones(len(angles), dtype=torch.float64)
    return z_expectations(angles, whole, whole)[:, strings].mean(-1)


def random_angles(n: int, layers: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-np.pi, np.pi, (count, layers + 1, 2, n))


def stopped_angles(n: int, layers: int, observable: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Where Adam, at a rate of 0.1, is after a random number of steps towards ±1 of an observable."""
    starts, stops = random_angles(n, layers, count, rng), rng.integers(0, STEPS + 1, count)
    directions = torch.from_numpy(rng.choice([-1.0, 1.0], count))
    kept = []
    for rows in np.array_split(np.arange(count), max(1, count // 32)):
        angles = torch.from_numpy(starts[rows]).requires_grad_()
        optimizer = torch.optim.Adam([angles], lr=0.1)
        path = [angles.detach().clone()]
        for _ in range(STEPS):
            optimizer.zero_grad()
            (directions[rows] * energy(angles, observable)).sum().backward()
            optimizer.step()
            path.append(angles.detach().clone())
        kept.append(torch.stack(path)[stops[rows], np.arange(len(rows))].numpy())
    return np.concatenate(kept)


def twin_angles(n: int, layers: int, observable: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Near-Clifford circuits whose values without noise spread over the whole spectrum.

    Multiples of π/2 are changed one at a time, as long as the value does not move away from a target that is
    drawn for each circuit; few of the near-Clifford circuits drawn at random have a value other than 0.
    """
    shape = (count, layers + 1, 2, n)
    free, targets = rng.random(shape) < FREE, rng.uniform(-1, 1, count)
    angles = np.where(free, rng.uniform(-np.pi, np.pi, shape), rng.integers(0, 4, shape) * np.pi / 2)

    def distance(candidates: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [energy(part, observable) for part in torch.from_numpy(candidates).split(16)]
        return np.abs(torch.cat(parts).numpy() - targets)

    best = distance(angles)
    fixed = [np.flatnonzero(~mask) for mask in free.reshape(count, -1)]
    for _ in range(WALK):
        moved = angles.copy()
        places = np.array([rng.choice(open_places) for open_places in fixed])
        moved.reshape(count, -1)[np.arange(count), places] = rng.integers(0, 4, count) * np.pi / 2
        found = distance(moved)
        nearer = found <= best
        angles[nearer], best[nearer] = moved[nearer], found[nearer]
    return angles
