"""Mean-square energy gradient against the number of qubits, on the open Heisenberg chain.

    python benchmarks/trainability.py [--quick] [--samples 6] [--out FILE.json] [--plot FILE.png]

A staircase of SU(4) blocks follows a matrix product state (the DMRG state of bond dimension 1, 2, 4 or
8, or |0…0⟩), and the energy is differentiated along all 15 Pauli words after each block; the blocks' angles
are normal with the given strength, as `bondwise.tn.extend` draws them. Nothing of size 2ⁿ is formed. For
comparison, on dense states: brickwalls of n layers of Haar-random SU(4) blocks, differentiated with respect
to all their own angles, and along the words of an identity layer after them. All derivatives are with
respect to angles of exp(−i angle P / 2). Slopes are of ln(mean square) against n, by least squares over the
sizes shown.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy starts its threads

import numpy as np
import torch
from qiskit.quantum_info import Statevector
from record import add_out, save
from scipy.stats import unitary_group

from bondwise.backends import expectation
from bondwise.qml import brickwall, heisenberg
from bondwise.tn import SU4, gradient_profile, ground_state

SIZES, BONDS, RANDOM_SIZES = (6, 12, 25, 50, 100), (1, 2, 4, 8), (4, 6, 8, 10, 12)
STRENGTHS = (0.0, 0.01, 0.1)  # 0.01 is what `extend` takes by default
SWEEPS, SEED = 20, 0
VANISHED = 1e-3  # a mean square below this fraction of the largest in its row is zero by symmetry
RATIO_GOAL, RATIO_BONDS, RATIO_SIZES = 0.8, (1, 2, 4), (25, 100)
RANDOM_SLOPE_GOAL, NETWORK_SLOPE_GOAL = -0.25, -0.05
OWN, BEHIND = "own angles", "identity layer behind"
REMARKS = """
Product starts do not vanish either: the gradient of bond 1 is the largest of all. Tensor networks of larger
bond have smaller gradients because they start near a minimum; what they share with product starts is that no
more is lost as n grows. |0…0⟩ is an eigenstate: its gradient comes from the blocks alone. At strength 0 a
real spin singlet has no gradient, by symmetry: DMRG states of even length and bond 4 or 8 are singlets where
DMRG settles. Blocks slightly off the identity lead away from there. The random circuits have n layers;
what shallow ones lose is not measured.
"""

Row = dict[str, Any]


def network_rows(sizes: tuple[int, ...], bonds: tuple[int, ...], samples: int) -> list[Row]:
    """One row per start, size and strength."""
    rows = []
    for n in sizes:
        hamiltonian = heisenberg(n)
        starts: dict[str, Any] = {"|0…0⟩": [np.array([1.0, 0.0]).reshape(1, 2, 1)] * n}
        for bond in bonds:
            found = ground_state(hamiltonian, bond, sweeps=SWEEPS, seed=SEED)
            starts[f"bond {bond}"] = found.tensors
        for name, state in starts.items():
            for strength in STRENGTHS:
                began = time.process_time()
                profile = gradient_profile(hamiltonian, state, strength=strength, samples=samples, seed=SEED)
                rows.append(
                    {
                        "start": name,
                        "n": n,
                        "strength": strength,
                        "mean_square": profile.value,
                        "std": profile.std,
                        "energy": profile.energy,
                        "cpu_seconds": time.process_time() - began,
                    }
                )
    return rows


def random_rows(sizes: tuple[int, ...], draws: int) -> list[Row]:
    """Mean squares of random circuits of depth n: of their own angles, and of a later identity layer."""
    rows = []
    for n in sizes:
        hamiltonian, circuit = heisenberg(n), brickwall(n, n, gate="su4")
        squares: dict[str, list[float]] = {OWN: [], BEHIND: []}
        for draw in range(draws):
            gates = unitary_group.rvs(4, circuit.num_parameters // SU4.size, random_state=1000 * n + draw)
            angles = torch.tensor(SU4.angles(gates).ravel(), requires_grad=True)
            gradient = torch.autograd.grad(expectation(circuit, hamiltonian, angles), angles)[0]
            squares[OWN].append(float((gradient**2).mean()))
            state = Statevector(circuit.assign_parameters(angles.detach().numpy()))
            squares[BEHIND].append(gradient_profile(hamiltonian, state.data).value)
        for name, values in squares.items():
            error = np.std(values, ddof=1) / np.sqrt(draws)
            rows.append({"start": name, "n": n, "mean_square": float(np.mean(values)), "std": float(error)})
    return rows


def slope(rows: list[Row]) -> tuple[float, float]:
    """Slope and intercept of ln(mean square) against n."""
    values = [row["mean_square"] for row in rows]
    fit = np.polyfit([row["n"] for row in rows], np.log(values), 1)
    return float(fit[0]), float(fit[1])


def vanished(rows: list[Row]) -> list[int]:
    """Sizes at which the gradient is zero by symmetry."""
    largest = max(row["mean_square"] for row in rows)
    return [row["n"] for row in rows if row["mean_square"] <= VANISHED * largest]


def show(title: str, curves: dict[str, list[Row]]) -> None:
    """Print one table, one line per start."""
    sizes = [row["n"] for row in next(iter(curves.values()))]
    print(f"\n{title}\n{'n':<24}" + "".join(f"{n:>11}" for n in sizes) + f"{'slope':>10}")
    for name, rows in curves.items():
        cells = "".join(f"{row['mean_square']:>11.2e}" for row in rows)
        print(f"{name:<24}{cells}{'–' if vanished(rows) else f'{slope(rows)[0]:.4f}':>10}")


def judge(networks: dict[float, dict[str, list[Row]]], randoms: dict[str, list[Row]]) -> bool:
    """Print which goals are met; rows that vanish by symmetry are not judged."""

    def verdict(met: bool) -> str:
        verdicts.append(met)
        return "met" if met else "MISSED"

    verdicts: list[bool] = []
    print(f"\ngoal: slope of random circuits at most {RANDOM_SLOPE_GOAL}")
    for name, rows in randoms.items():
        found = slope(rows)[0]
        print(f"  {name:<24} {found:8.4f}  {verdict(found <= RANDOM_SLOPE_GOAL)}")
    small, large = RATIO_SIZES
    print(
        f"goals: slope of a tensor-network start at least {NETWORK_SLOPE_GOAL}; mean square at n = {large} "
        f"at least {RATIO_GOAL} of that at n = {small} (bond 1, 2, 4)"
    )
    for strength, curves in networks.items():
        for name, rows in curves.items():
            line = f"  strength {strength:<5} {name:<8}"
            if zero := vanished(rows):
                print(f"{line} not judged, zero by symmetry at n = {', '.join(map(str, zero))}")
                continue
            found = slope(rows)[0]
            line += f" slope {found:8.4f}  {verdict(found >= NETWORK_SLOPE_GOAL):<6}"
            values = {row["n"]: row["mean_square"] for row in rows}
            if name in [f"bond {bond}" for bond in RATIO_BONDS]:
                ratio = values[large] / values[small]
                line += f"  ratio {ratio:.3f}  {verdict(ratio >= RATIO_GOAL)}"
            print(line)
    return all(verdicts)


def comment(networks: dict[float, dict[str, list[Row]]], randoms: dict[str, list[Row]]) -> None:
    """Print remarks on the figures."""
    strength = STRENGTHS[1]
    print(REMARKS)
    steepness, height = slope(randoms[OWN])
    print(f"strength {strength}: energy; where random circuits' own angles fall below it, by their fit")
    for name, rows in networks[strength].items():
        last = rows[-1]
        crossing = (np.log(last["mean_square"]) - height) / steepness
        print(f"  {name:<8} n = {last['n']}: {last['energy']:9.4f}; n = {crossing:.0f}")
    early = {name: slope(rows[:2])[0] for name, rows in networks[strength].items()}
    sizes = " to ".join(str(row["n"]) for row in rows[:2])
    print(f"  slopes from n = {sizes} alone: " + ", ".join(f"{k} {v:.3f}" for k, v in early.items()))


def plot(path: Path, networks: dict[float, dict[str, list[Row]]], randoms: dict[str, list[Row]]) -> None:
    """Draw the mean squares against n."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    for name, rows in networks[STRENGTHS[1]].items():
        axes.plot([row["n"] for row in rows], [row["mean_square"] for row in rows], "o-", label=name)
    for name, rows in randoms.items():
        axes.plot(
            [row["n"] for row in rows], [row["mean_square"] for row in rows], "s--", label=f"random, {name}"
        )
    axes.set(xscale="log", yscale="log", xlabel="qubits", ylabel="mean square of the energy gradient")
    axes.set_title(f"Heisenberg chain, blocks of strength {STRENGTHS[1]}")
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 25 qubits, bonds 1 and 2, random up to 8")
    parser.add_argument(
        "--samples", type=int, default=6, help="number of draws of the blocks at strength > 0"
    )
    add_out(parser)
    parser.add_argument("--plot", type=Path, help="plot the figures to this file")
    arguments = parser.parse_args()
    sizes, bonds, random_sizes, draws = SIZES, BONDS, RANDOM_SIZES, 20
    if arguments.quick:
        sizes, bonds, random_sizes, draws = SIZES[:3], BONDS[:2], RANDOM_SIZES[:3], 10

    began = time.process_time()
    randoms = random_rows(random_sizes, draws)
    found = network_rows(sizes, bonds, arguments.samples)
    by_start = {name: [row for row in randoms if row["start"] == name] for name in (OWN, BEHIND)}
    names = list(dict.fromkeys(row["start"] for row in found))
    networks = {
        strength: {
            name: [row for row in found if row["start"] == name and row["strength"] == strength]
            for name in names
        }
        for strength in STRENGTHS
    }
    show(f"random circuits of n layers, mean of {draws} draws", by_start)
    for strength, curves in networks.items():
        if strength == 0:
            curves.pop("|0…0⟩")  # an eigenstate
        show(f"tensor-network starts, blocks of strength {strength}", curves)
    met = arguments.quick or judge(networks, by_start)
    if arguments.quick:
        print("\nthe goals are for the sizes of the full run")
    comment(networks, by_start)
    print(f"{time.process_time() - began:.0f} CPU s")
    save(arguments.out, {"networks": found, "randoms": randoms})
    if arguments.plot:
        plot(arguments.plot, networks, by_start)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
