"""One default beside the better of IBM's levels 1 and 2 in each cell, chosen when the errors are known.

The cells are the first circuits of those of `device_cells.py`. Each method measures all circuits of a cell in
one job: our network learns from them together, and IBM calibrates once for all of them. The budget is what
level 2 spends with 4096 shots per circuit and noise factor; the others spend as much, calibrations included,
and `raw` all of it without folding. Level 1 is TREX, level 2 also folds gates and extrapolates; both are run
by IBM's client with its defaults. Its values are taken as they are; for comparison they are also cut off at
the ends of the spectrum, which ours never exceed. Random circuits have both observables, which share a basis:
IBM and `raw` measure them in one run, and ours in a job each. Cells are stored beside `--out`, and a run that
was stopped goes on from there.

    python benchmarks/mitigation/ibm_levels.py [--quick] [--out FILE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from angles import signs, z_strings
from ansatz import outcomes
from cells import OBSERVABLES, angles_of
from compare import add, stored_rows
from device_cells import COUNTS, DEVICES, LAYERS, circuit, pauli
from judgement import HARM, Interval, bar, geometric, interval, over_best, resampled, shown
from record import add_out, save

from bondwise.backends import get_backend
from bondwise.mitigation import MitigatedEstimator

LEVELS = {"IBM level 1": 1, "IBM level 2": 2}
CLIPPED = {f"{name}, cut off": name for name in LEVELS}
SHOTS = 4096  # of level 2 per circuit and noise factor
FACTORS = 3  # scale factors of ours
MEAN, WORST = 1 / 1.15, 1.05  # of the error in units of the better level: geometric mean, largest
KEYS = ("n", "kind", "observable", "noise")  # what identifies a cell
Row = dict[str, Any]


def grid(quick: bool) -> Iterator[tuple[int, str, str, str, tuple[str, ...], int]]:
    """Qubits, depth, device, kind and observables of each set of circuits, and its size; cheap ones first."""
    sizes = [(4, "shallow"), (4, "deep"), (6, "shallow"), (6, "deep")]
    devices = DEVICES["test"][:1] if quick else DEVICES["test"]
    groups = [("random", OBSERVABLES), *(("vqe", (name,)) for name in OBSERVABLES)]
    for (n, depth), device, (kind, observables) in product(sizes[: 2 if quick else None], devices, groups):
        few = 12  # level 2 takes 5 CPU seconds for each deep circuit of 6 qubits
        yield n, depth, device, kind, observables, few if quick or (n, depth) == (6, "deep") else 24


def measure(
    n: int, depth: str, device: str, kind: str, observables: tuple[str, ...], count: int
) -> list[Row]:
    """Exact values, and values and standard errors of each method, for each observable."""
    layers = LAYERS[depth][n]
    angles = angles_of("test", n, layers, kind, observables[0], COUNTS[kind])[:count]
    ideal = outcomes(angles, 0.0, 1)
    made, sets = circuit(n, layers), angles.reshape(count, -1)
    sums = [sum(pauli(string, n) for string in z_strings(name, n)) for name in observables]
    seed = zlib.crc32(f"{n} {depth} {device} {kind} {observables}".encode())

    def plain(name: str, shots: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
        backend = get_backend(name)
        isa = backend.transpile(made)
        column = [[observable.apply_layout(isa.layout)] for observable in sums]
        result = backend.run([(isa, column, sets)], shots=shots, seed=seed)
        data = result[0].data
        return data["evs"], data["stds"], [result.metadata["shots"]] * len(sums)

    def ours(shots: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
        values, stds, spent = [], [], []
        for observable in sums:
            estimator = MitigatedEstimator(f"fake:{device}", shots=shots, seed=seed)
            result = estimator.run([(made, observable, sets)]).result()
            values.append(result[0].data["evs"])
            stds.append(result[0].data["stds"])
            spent.append(result.metadata["shots"])
        return np.array(values), np.array(stds), spent

    found = {"IBM level 2": plain(f"fake:{device},resilience=2", SHOTS)}
    budget = found["IBM level 2"][2][0]
    # the calibrations of level 1 and of ours take as many shots as one circuit
    found["IBM level 1"] = plain(f"fake:{device},resilience=1", budget // (count + 1))
    found["ours"] = ours(budget // (FACTORS * (count + 1)))
    found["raw"] = plain(f"fake:{device}", budget // count)
    rows = []
    for index, observable in enumerate(observables):
        terms = signs(observable, n).sum(0)
        row: Row = {"n": n, "kind": kind, "observable": observable, "noise": f"{device}, {depth}"}
        row |= {"limit": float(terms.max()), "count": [1] * count, "ideal": (ideal @ terms).tolist()}
        row["measured"] = {
            name: {"values": values[index].tolist(), "stds": stds[index].tolist(), "shots": spent[index]}
            for name, (values, stds, spent) in found.items()
        }
        if any(abs(one["shots"] / budget - 1) > 0.02 for one in row["measured"].values()):
            raise SystemExit(f"not all methods spend {budget} shots: {row['measured']}")
        rows.append(row)
    return rows


def judged(row: Row) -> Row:
    """The row with the errors of each method, and which truths are within two standard errors."""
    ideal, limit, methods = np.array(row["ideal"]), row["limit"], {}
    names = {name: name for name in row["measured"]} | CLIPPED
    for name, source in names.items():
        values, stds = (np.array(row["measured"][source][part], dtype=float) for part in ("values", "stds"))
        if name in CLIPPED:
            values = values.clip(-limit, limit)
        errors = np.nan_to_num(np.abs(values - ideal), nan=2 * limit, posinf=2 * limit)
        methods[name] = {"errors": errors, "inside": errors <= 2 * stds}
    return row | {"methods": methods}


def judge(rows: list[Row]) -> Row:
    """Print the cells, what they amount to, and the bars; return what was found."""
    rows = [judged(row) for row in rows]
    errors = [resampled(row) for row in rows]
    names = ("raw", *LEVELS, "ours")
    heads = "".join(f"{name:>13}" for name in names) + f"{'ratio':>8}{'95 %':^14}{'2 sd':>5}{'/ raw':>7}"
    print(f"{'errors are in units of the largest value':42}{heads}")
    cells = []
    for row, found in zip(rows, errors, strict=True):
        cell = {key: row[key] for key in KEYS} | {"circuits": len(row["count"])}
        cell["shots"] = {name: one["shots"] for name, one in row["measured"].items()}
        cell["errors"] = {name: float(samples[0]) for name, samples in found.items()}
        cell["ratio"] = interval(over_best([found], "ours", tuple(LEVELS))[0])
        cell["coverage"] = {name: float(one["inside"].mean()) for name, one in row["methods"].items()}
        cell["over_raw"] = interval(found["ours"] / found["raw"])
        cells.append(cell)
        print(line(cell, names))
    overall = {}
    for key in KEYS:
        for value in dict.fromkeys(row[key] for row in rows):
            overall[f"{key} = {value}"] = mean_ratio(
                [found for row, found in zip(rows, errors, strict=True) if row[key] == value], tuple(LEVELS)
            )
    overall |= {name: mean_ratio(errors, (name,)) for name in LEVELS}
    overall["IBM, cut off"] = mean_ratio(errors, tuple(CLIPPED))
    print("\ngeometric mean of our error over that of the better level in each cell, or of one level")
    for name, each in overall.items():
        print(f"{name:38}{shown(each)}")
    print()
    ratios = over_best(errors, "ours", tuple(LEVELS))
    harm = np.max([found["ours"] / found["raw"] for found in errors], axis=0)
    bars = [
        bar("geometric mean of the error over the better level", geometric(ratios), 0, MEAN),
        bar("the same in the worst cell", np.max(ratios, axis=0), 0, WORST),
        bar("error over the raw one in the worst cell", harm, 0, HARM),
    ]
    return {"cells": cells, "overall": overall, "bars": bars}


def mean_ratio(errors: list[dict[str, np.ndarray]], names: tuple[str, ...]) -> Interval:
    """Geometric mean over cells of our error in units of the smallest of some methods."""
    return interval(geometric(over_best(errors, "ours", names)))


def line(cell: Row, names: tuple[str, ...]) -> str:
    """A cell as a row of the table."""
    what = f"{cell['n']} {cell['kind']:6} {cell['observable']:6} {cell['noise']:18} {cell['circuits']:>3}"
    each = "".join(f"{cell['errors'][name]:13.4f}" for name in names)
    ratio = "{:8.2f} {:5.2f} – {:4.2f} ".format(*cell["ratio"])
    return f"{what:42}{each}{ratio}{cell['coverage']['ours']:6.2f}{cell['over_raw'][0]:7.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="12 circuits of 4 qubits on one snapshot")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = options.out.with_suffix(".cells.jsonl") if options.out else None
    settings = {"quick": options.quick, "level_2_shots": SHOTS}
    done = stored_rows(store, settings)
    rows = []
    for n, depth, device, kind, observables, count in grid(options.quick):
        keys = [(n, kind, observable, f"{device}, {depth}") for observable in observables]
        held = [row for row in done if tuple(row[key] for key in KEYS) in keys]
        if len(held) < len(keys):
            start = time.process_time()
            held = [settings | row for row in measure(n, depth, device, kind, observables, count)]
            print(f"{keys[0]}: {time.process_time() - start:.0f} CPU s", flush=True)
            for row in held:
                add(store, row)
        rows += held
    save(options.out, judge(rows))


if __name__ == "__main__":
    main()
