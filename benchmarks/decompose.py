"""States to circuits: the infidelity that `decompose` reaches, other packages, and how the cost grows.

    python benchmarks/decompose.py goals [--quick] [--out goals.json]
    python benchmarks/decompose.py peers [--quick] [--out peers.json]
    python benchmarks/decompose.py growth [--quick] [--out growth.json] [--plot growth.png]

`goals`: states with an infidelity to reach within a number of CX, for several seeds, next to as many analytic
layers (Ran). `peers`: the Heisenberg chain with other packages, in the same run (`decompose_peers.py` lists
what to install). `growth`: time and memory of one contraction against sites, bond and layers. Everything runs
on one thread, and seconds are CPU seconds. The time for compilation, needed once per machine, is printed
first. `--quick` leaves out whatever takes minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy starts its threads

import numpy as np
from record import add_out, save

from bondwise.qml import heisenberg, ising
from bondwise.tn import ExactOverlap, decompose, decompose_analytically, ground_state, site_tensors, to_quimb

BOND = 32


def chain(model: Callable[[int], Any], sites: int) -> list[np.ndarray]:
    """Ground state by DMRG."""
    return site_tensors(ground_state(model(sites), BOND, seed=0).state)


def uniform(bitstrings: np.ndarray) -> list[np.ndarray]:
    """All strings with the same positive amplitude."""
    vector = np.zeros(2 ** bitstrings.shape[1])
    vector[bitstrings @ (1 << np.arange(bitstrings.shape[1]))] = len(bitstrings) ** -0.5
    return site_tensors(vector)


def bars_and_stripes(side: int) -> np.ndarray:
    lines = np.array(list(product((0, 1), repeat=side)))
    return np.unique(np.concatenate([np.repeat(lines, side, 1), np.tile(lines, (1, side))]), axis=0)


def cardinality(bits: int, ones: int) -> np.ndarray:
    strings = np.array(list(product((0, 1), repeat=bits)))
    return strings[strings.sum(1) == ones]


@dataclass(frozen=True)
class Goal:
    """An infidelity to reach with at most `cx` CX, in at most `seconds` (None: no limit)."""

    state: str
    cx: int
    infidelity: float
    seconds: float | None = None
    layout: str = "bidirectional"
    restarts: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)
    slow: bool = False


STATES: dict[str, Callable[[], list[np.ndarray]]] = {
    "Heisenberg 12": lambda: chain(heisenberg, 12),
    "Heisenberg 20": lambda: chain(heisenberg, 20),
    "Heisenberg 50": lambda: chain(heisenberg, 50),
    "Heisenberg 100": lambda: chain(heisenberg, 100),
    "critical Ising 20": lambda: chain(ising, 20),
    "critical Ising 50": lambda: chain(ising, 50),
    "critical Ising 100": lambda: chain(ising, 100),
    "bars and stripes 4x4": lambda: uniform(bars_and_stripes(4)),
    "cardinality 12/6": lambda: uniform(cardinality(12, 6)),
}
GOALS = (
    Goal("Heisenberg 12", 66, 2e-3, 4),
    Goal("Heisenberg 12", 88, 6e-4, 4),
    Goal("Heisenberg 12", 110, 3e-4, 4),
    Goal("critical Ising 20", 190, 1.2e-5, 2),
    Goal("critical Ising 50", 490, 2e-4, 5),
    Goal("critical Ising 100", 990, 1.2e-3, 10),
    Goal("Heisenberg 20", 228, 8e-3),
    Goal("Heisenberg 50", 784, 1e-2, restarts=12, seeds=(0,), slow=True),
    Goal("Heisenberg 100", 1584, 5e-2, restarts=12, seeds=(0,), slow=True),
    Goal("bars and stripes 4x4", 200, 1e-2, layout="staircase", restarts=12),
    Goal("cardinality 12/6", 200, 1e-2),
)


def timed(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """The result and the CPU seconds it took."""
    start = time.process_time()
    return call(*arguments, **options), time.process_time() - start


def goals(quick: bool) -> list[dict[str, Any]]:
    """Every goal, for every seed."""
    states: dict[str, list[np.ndarray]] = {}
    print(
        f"\n{'state':22} {'layout':14} {'goal':>16} {'seed':>4} {'infidelity':>10} {'CX':>5} {'depth':>5}",
        end="",
    )
    print(f" {'CPU s':>6}  {'met':5} analytic layers alone")
    rows = []
    for goal in GOALS:
        if quick and goal.slow:
            continue
        state = states.setdefault(goal.state, STATES[goal.state]())
        layers = (goal.cx + 1) // (2 * (len(state) - 1))
        analytic = decompose_analytically(state, layers).infidelity
        for seed in goal.seeds:
            found, seconds = timed(
                decompose,
                state,
                max_cx=goal.cx,
                infidelity=goal.infidelity,
                layout=goal.layout,
                restarts=goal.restarts,
                seed=seed,
            )
            in_time = goal.seconds is None or seconds <= goal.seconds
            met = "yes" if found.converged and in_time else "late" if found.converged else "NO"
            print(
                f"{goal.state:22} {goal.layout:14} {goal.infidelity:8.1e} @{goal.cx:5} {seed:>6} "
                f"{found.infidelity:10.2e} {found.cx_count:5} {found.depth:5} {seconds:6.1f}  {met:5} "
                f"{analytic:.1e}",
                flush=True,
            )
            rows.append(
                {**asdict(goal), "seed": seed, "reached": found.infidelity, "cx_used": found.cx_count}
                | {"depth": found.depth, "cpu_seconds": seconds, "met": met, "analytic": analytic}
                | {"history": [(entry["cx_count"], entry["infidelity"]) for entry in found.history]}
            )
    return rows


def peers(quick: bool) -> list[dict[str, Any]]:
    """bondwise and others on the Heisenberg chain, and the time to reach what TNOptimizer reaches."""
    from decompose_peers import run_aqc, run_mps_prep, run_tn_optimizer

    rows: list[dict[str, Any]] = []
    forms = {"infidelity": "{:.3e}", "cx": "{}", "cpu_seconds": "{:.1f}"}

    def show(sites: int, seed: int, name: str, note: str = "", **figures: Any) -> None:
        cells = ["–" if figures[key] is None else form.format(figures[key]) for key, form in forms.items()]
        print(
            f"{sites:>3} {seed:>4} {name:36} {cells[0]:>10} {cells[1]:>6} {cells[2]:>7}  {note}", flush=True
        )
        rows.append({"sites": sites, "seed": seed, "name": name, **figures, "note": note})

    def show_peer(sites: int, seed: int, run: Any, note: str = "") -> None:
        figures = {key: getattr(run, key) for key in forms}
        show(sites, seed, run.name, note + run.note, **figures)

    def show_ours(sites: int, seed: int, name: str, peer: Any = None, **options: Any) -> None:
        found, seconds = timed(decompose, tensors, seed=seed, **options)
        note = ""
        if peer is not None:
            theirs = peer.seconds_to(options["infidelity"])
            note = "not reached"
            if found.converged and theirs:
                note = f"{theirs / seconds:.0f} times less than {peer.name}"
        show(sites, seed, name, note, infidelity=found.infidelity, cx=found.cx_count, cpu_seconds=seconds)

    print(f"\n{'n':>3} {'seed':>4} {'method':36} {'infidelity':>10} {'CX':>6} {'CPU s':>7}")
    for sites, ours in ((12, (66, 88)), (20, (114, 152))):
        if quick and sites > 12:
            continue
        tensors = chain(heisenberg, sites)
        mps = to_quimb(tensors)
        for cx in ours:
            for seed in range(3):
                show_ours(sites, seed, "bondwise, bidirectional", max_cx=cx, layout="bidirectional")
        for layers in (2, 3):
            runs = [run_tn_optimizer(mps, layers, seed) for seed in range(1 if quick else 3)]
            for seed, run in enumerate(runs):
                show_peer(sites, seed, run)
            best = min(runs, key=lambda run: run.infidelity)
            # both can reach this with these gates: 1 % above the peer's best
            target = 1.01 * best.infidelity
            for seed in range(3):
                name = f"bondwise, staircase, to {target:.2e}"
                show_ours(sites, seed, name, best, max_cx=best.cx, infidelity=target)
    for sites in (12,) if quick else (12, 20):
        tensors = chain(heisenberg, sites)
        mps = to_quimb(tensors)
        show_peer(sites, 0, run_mps_prep(mps))
        start = decompose(tensors, layers=3, seed=0)
        bound = start.circuit.assign_parameters(start.parameters)
        show_peer(sites, 0, run_aqc(mps, 3, 0, start=bound), f"start {start.infidelity:.3e}; ")
        for layers in (2, 3):
            for seed in range(1 if quick else 3):
                show_peer(sites, seed, run_aqc(mps, layers, seed))
    return rows


def growth(quick: bool) -> list[dict[str, Any]]:
    """Median time and memory of one pass up and down, varying one size at a time."""
    rng = np.random.default_rng(0)
    base = {"sites": 50, "bond": 32, "layers": 5}
    scans = {
        "sites": (12, 25, 50, 100, 200),
        "bond": (4, 8, 16, 32, 64),
        "layers": (1, 2, 3, 4, 5, 6, 7, 8),
    }
    rows = []
    print(f"\n{'sites':>6} {'bond':>6} {'layers':>6} {'ms':>9} {'MB kept':>9}")
    for varied, values in scans.items():
        for value in values[: 3 if quick else None]:
            size = base | {varied: value}
            sites, bond, layers = size["sites"], size["bond"], size["layers"]
            bonds = [min(bond, 2**i, 2 ** (sites - i)) for i in range(sites + 1)]
            state = [
                rng.normal(size=(a, 2, b)) / np.sqrt(2 * a) for a, b in zip(bonds, bonds[1:], strict=False)
            ]
            pairs = [(i, i + 1) for _ in range(layers) for i in range(sites - 1)]
            contraction = ExactOverlap(state, pairs)
            gates = np.linalg.qr(rng.normal(size=(len(pairs), 4, 4)))[0]
            contraction.environments(gates)
            milliseconds = 1e3 * np.median([timed(contraction.environments, gates)[1] for _ in range(7)])
            megabytes = 2 * 8 * contraction.cost / 1e6
            rows.append({"varied": varied, **size, "milliseconds": milliseconds, "megabytes": megabytes})
            print(f"{sites:>6} {bond:>6} {layers:>6} {milliseconds:>9.2f} {megabytes:>9.1f}", flush=True)
    for varied in scans:
        for what in ("milliseconds", "megabytes"):
            print(f"{what} grow with {describe(rows, varied, what)}")
    return rows


def describe(rows: list[dict[str, Any]], varied: str, what: str) -> str:
    """The fitted growth, from the upper half of the scan, where constants no longer matter."""
    scan = [row for row in rows if row["varied"] == varied]
    scan = scan[len(scan) // 2 :] if len(scan) > 3 else scan
    x, y = np.array([row[varied] for row in scan]), np.log([row[what] for row in scan])
    if varied == "layers":
        return f"{np.exp(np.polyfit(x, y, 1)[0]):.2f}^layers"
    return f"{varied}^{np.polyfit(np.log(x), y, 1)[0]:.2f}"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for ax, varied in zip(figure.subplots(1, 3), ("sites", "bond", "layers"), strict=True):
        scan = [row for row in rows if row["varied"] == varied]
        for what, marker in (("milliseconds", "o"), ("megabytes", "s")):
            label = f"{what}: {describe(rows, varied, what)}"
            ax.plot([row[varied] for row in scan], [row[what] for row in scan], marker=marker, label=label)
        ax.set(yscale="log", xscale="linear" if varied == "layers" else "log", xlabel=varied)
        ax.set_xticks([row[varied] for row in scan], [str(row[varied]) for row in scan])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("goals", "peers", "growth"))
    parser.add_argument("--quick", action="store_true", help="leave out whatever takes minutes")
    add_out(parser)
    parser.add_argument("--plot", type=Path, help="plot the growth to this file")
    arguments = parser.parse_args()

    vector = np.random.default_rng(0).normal(size=16)
    _, seconds = timed(decompose, vector / np.linalg.norm(vector), layers=1, seed=0)
    print(f"compilation or loading of the compiled contraction: {seconds:.1f} CPU s")
    rows = {"goals": goals, "peers": peers, "growth": growth}[arguments.what](arguments.quick)
    if arguments.plot and arguments.what == "growth":
        plot(rows, arguments.plot)
    save(arguments.out, rows)


if __name__ == "__main__":
    main()
