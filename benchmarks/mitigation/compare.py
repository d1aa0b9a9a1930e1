"""One estimator for all cases beside the best method of mitiq for each, chosen when the errors are known.

Each cell has circuits of one kind under one noise (`cells.py`, `device_cells.py`); its exact outcomes are
computed once, which takes an hour for all cells. Every seed draws a batch of circuits and twins from the
pools, and new shots. All methods spend the same number of shots on a batch, calibration included, and those
with the same measurement see the same outcomes (`sampling.py`). Results are stored cell by cell beside
`--out`, and a run that was stopped goes on from there.

    python benchmarks/mitigation/compare.py [--quick] [--default NAME] [--seeds N] [--jobs N] [--out FILE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cells
import device_cells
import numpy as np
import torch
from cells import KINDS, OBSERVABLES, Cell
from device_cells import device_cell
from judgement import judge
from methods import METHODS, OURS
from record import add_out, save
from sampling import draw

BATCH, TWINS = 100, 30
BUDGETS = {"many": 3 * 4096, "few": 3 * 256}  # shots for each circuit
FIRST_SEED = 1000  # those below were used while estimators were built
Row = dict[str, Any]


def grid(quick: bool) -> Iterator[tuple[Row, Callable[[], Cell]]]:
    """What is known of each cell, and the function that loads it."""
    sizes = (4, 6) if quick else cells.LAYERS
    for n, kind, observable, strength in product(sizes, KINDS, OBSERVABLES, cells.STRENGTHS):
        known = {"n": n, "kind": kind, "observable": observable, "noise": f"p = {strength}"}
        yield known, partial(cells.cell, "test", n, kind, observable, strength)
    devices, sizes = (("torino",), (4,)) if quick else (device_cells.DEVICES["test"], (4, 6))
    for device, depth, n, kind, observable in product(
        devices, device_cells.LAYERS, sizes, KINDS, OBSERVABLES
    ):
        known = {"n": n, "kind": kind, "observable": observable, "noise": f"{device}, {depth}"}
        yield known, partial(device_cell, "test", device, n, depth, kind, observable)


def measure(load: Callable[[], Cell], budget: int, seeds: range, names: Sequence[str]) -> Row:
    """For each method and circuit, how large the errors of all seeds are, and how many are within 2 sd."""
    torch.set_num_threads(1)
    cell = load()
    size = len(cell.ideal)
    count = np.zeros(size, dtype=np.int64)
    errors = {name: np.zeros(size) for name in names}
    inside = {name: np.zeros(size, dtype=np.int64) for name in names}
    seconds, missing = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for seed in seeds:
        rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode()), budget])
        rows = rng.choice(size, BATCH, replace=False)
        twins = rng.choice(len(cell.twin_ideal), TWINS, replace=False)
        scans = draw(cell, rows, twins, budget, rng)
        count[rows] += 1
        for name in names:
            method = METHODS[name]
            start = time.process_time()
            value, std = method.fit(scans[method.plan])
            seconds[name] += time.process_time() - start
            error = np.abs(value - cell.ideal[rows])
            lost = ~np.isfinite(error)
            missing[name] += int(lost.sum())
            errors[name][rows] += np.where(lost, 2 * cell.limit, error)  # the largest error there is
            inside[name][rows] += error <= 2 * std
    return {
        "limit": cell.limit,
        "count": count.tolist(),
        "methods": {
            name: {
                "errors": np.round(errors[name], 7).tolist(),
                "inside": inside[name].tolist(),
                "missing": missing[name],
                "seconds": seconds[name] / len(seeds),
            }
            for name in names
        },
    }


def results(
    tasks: list[tuple[Row, Callable[[], Cell], int]], seeds: range, names: list[str], jobs: int
) -> Iterator[tuple[Row, Row]]:
    """Each row and what was measured for it, as it is done."""
    if jobs == 1:
        for row, load, budget in tasks:
            yield row, measure(load, budget, seeds, names)
        return
    with ProcessPoolExecutor(jobs) as executor:
        waiting = {executor.submit(measure, *task, seeds, names): row for row, *task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, up to 6 qubits, one device")
    parser.add_argument(
        "--default", choices=list(OURS), default="default", help="the estimator that is judged"
    )
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--without", choices=list(OURS), nargs="+", default=[], help="methods to leave out")
    parser.add_argument("--shots", choices=list(BUDGETS), nargs="+", default=list(BUDGETS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    add_out(parser)
    options = parser.parse_args()
    names = [name for name in METHODS if name not in options.without]
    seeds = range(options.first_seed, options.first_seed + (2 if options.quick else options.seeds))
    settings = {"seeds": [seeds.start, seeds.stop], "batch": BATCH, "twins": TWINS, "names": names}
    store = options.out.with_suffix(".cells.jsonl") if options.out else None
    done = stored_rows(store, settings)
    rows: list[Row] = []
    tasks, start = [], time.perf_counter()
    for known, load in grid(options.quick):
        for shots in options.shots:
            key = {**known, "shots": shots}
            found = next((row for row in done if key.items() <= row.items()), None)
            rows.append(found or settings | key)
            if found is None:
                tasks.append((rows[-1], load, BUDGETS[shots]))
    for row, found in results(tasks, seeds, names, options.jobs):
        row |= found
        add(store, row)
    summary = judge(rows, options.default)
    print(f"\n{len(seeds)} seeds, {time.perf_counter() - start:.0f} s")
    save(options.out, summary)


def add(path: Path | None, row: Row) -> None:
    """Append a row, if there is a file to write it to."""
    if path:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def stored_rows(path: Path | None, settings: Row) -> list[Row]:
    """The rows of a run with the same settings that was stopped; the last line may be cut off."""
    if path is None or not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    if any(row[name] != value for row in rows for name, value in settings.items()):
        raise SystemExit(f"{path} holds rows with other settings; delete it, or choose another --out")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


if __name__ == "__main__":
    main()
