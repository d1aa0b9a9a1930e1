"""Ground states to circuits: infidelity by number of CX, ours beside the analytic decomposition alone.

    python benchmarks/decompose.py [--quick] [--out results.json]

Every row prepares the same DMRG state (bond 32) with a staircase of equally many CX, by each method, on one
thread. Seconds are CPU time of the whole decomposition; what compilation takes, once per machine, is printed
first. `--quick` stops at the row that has a goal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy starts its threads

import numpy as np
import qiskit
import quimb
from qiskit.quantum_info import SparsePauliOp

from bondwise.qml import heisenberg, ising
from bondwise.tn import Decomposition, decompose, decompose_analytically, ground_state

BOND, SEED = 32, 0


@dataclass(frozen=True)
class Target:
    """A ground state, the numbers of layers to try, and the goal: an infidelity at a number of CX."""

    name: str
    hamiltonian: SparsePauliOp
    layers: tuple[int, ...]
    goal: tuple[int, float] | None = None


TARGETS = (
    Target("Heisenberg chain, n = 12", heisenberg(12), (1, 2, 3, 4, 5), (66, 3e-3)),
    Target("critical Ising chain, n = 20", ising(20), (1, 3, 5), (190, 2e-5)),
    Target("Heisenberg chain, n = 20", heisenberg(20), (1, 3, 5)),
)
METHODS: dict[str, Callable[[Any, int], Decomposition]] = {
    "bondwise": lambda state, layers: decompose(state, layers=layers, seed=SEED),
    "analytic": lambda state, layers: decompose_analytically(state, layers),
}


def compare(target: Target, quick: bool) -> list[dict[str, Any]]:
    """One row for every method and number of layers."""
    ground = ground_state(target.hamiltonian, BOND, seed=SEED)
    print(f"\n{target.name}: energy {ground.value:.8f}, {ground.message}")
    print(
        f"{'CX':>5} {'depth':>6}" + "".join(f"{name + '  infidelity':>22} {'CPU s':>7}" for name in METHODS)
    )
    rows = []
    for layers in target.layers:
        line = ""
        for name, method in METHODS.items():
            start = time.process_time()
            found = method(ground.state, layers)
            seconds = time.process_time() - start
            rows.append(
                {
                    "target": target.name,
                    "method": name,
                    "layers": layers,
                    "cx": found.cx_count,
                    "depth2q": found.depth,
                    "infidelity": found.infidelity,
                    "cpu_seconds": seconds,
                }
            )
            line += f"{found.infidelity:>22.2e} {seconds:>7.2f}"
        print(f"{rows[-1]['cx']:>5} {rows[-1]['depth2q']:>6}{line}", flush=True)
        if quick and target.goal and rows[-1]["cx"] >= target.goal[0]:
            break
    return rows


def judge(target: Target, rows: list[dict[str, Any]]) -> bool:
    """Print whether the goal is met."""
    if target.goal is None:
        return True
    cx, limit = target.goal
    ours = min(row["infidelity"] for row in rows if row["method"] == "bondwise" and row["cx"] <= cx)
    print(f"goal: at most {limit:.0e} with {cx} CX: {ours:.2e}, {'met' if ours <= limit else 'MISSED'}")
    return ours <= limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the targets and rows up to a goal")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()

    start = time.process_time()
    vector = np.random.default_rng(SEED).normal(size=16)
    decompose(vector / np.linalg.norm(vector), layers=1, seed=SEED)
    print(f"compilation or loading of the compiled contraction: {time.process_time() - start:.1f} CPU s")
    rows, met = [], True
    for target in TARGETS:
        if arguments.quick and target.goal is None:
            continue
        found = compare(target, arguments.quick)
        met &= judge(target, found)
        rows += found
    if arguments.out:
        versions = {
            "python": platform.python_version(),
            "qiskit": qiskit.__version__,
            "quimb": quimb.__version__,
        }
        arguments.out.write_text(
            json.dumps({"bond": BOND, "seed": SEED, "versions": versions, "rows": rows}, indent=1) + "\n"
        )
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
