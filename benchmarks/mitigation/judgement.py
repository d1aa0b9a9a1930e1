"""What the errors of all methods in all cells amount to: the table, and whether each bar is met.

Errors are means over circuits and seeds. Intervals are those of 95 %, from a bootstrap over the circuits of
each pool: cells that share circuits are resampled together, and the best method is chosen in each resample.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from methods import FREE, MITIQ, OWN, PLAIN

RESAMPLES = 1000
MEAN, WORST = 1 / 1.25, 1 / 0.95  # of the error in units of the best of mitiq: geometric mean, largest
FIXED = 1.5  # mean error of any one method of mitiq in units of the default's
COVERAGE = (0.92, 0.98)  # of the intervals of two standard errors, in each cell
HARM = 1.02  # largest error in units of the raw one
Row = dict[str, Any]
Interval = tuple[float, float, float]  # value, and the ends of its interval
CELL = {"n": 2, "kind": 6, "observable": 6, "noise": 17, "shots": 4}  # what identifies it, and widths


def resampled(row: Row) -> dict[str, np.ndarray]:
    """Mean error of each method in the spectrum's units: first as measured, then in each resample."""
    count = np.array(row["count"])
    depth = row["noise"].split(", ")[-1] if ", " in row["noise"] else ""
    pool = f"{row['n']} {row['kind']} {row['observable'] if row['kind'] == 'vqe' else ''} {depth}"
    rng = np.random.default_rng(zlib.crc32(pool.encode()))
    weights = rng.multinomial(count.size, np.full(count.size, 1 / count.size), size=RESAMPLES)
    weights = np.vstack([np.ones(count.size, dtype=np.int64), weights])
    total = weights @ count * row["limit"]
    return {name: weights @ np.array(found["errors"]) / total for name, found in row["methods"].items()}


def interval(samples: np.ndarray) -> Interval:
    low, high = np.quantile(samples[1:], [0.025, 0.975])
    return float(samples[0]), float(low), float(high)


def judge(rows: list[Row], default: str) -> Row:
    """Print the cells, the methods, and the bars; return what was found."""
    errors = [resampled(row) for row in rows]
    cells = [of_cell(row, found, default) for row, found in zip(rows, errors, strict=True)]
    print(
        f"{'errors are in units of the largest value':46}{'raw':>6}{'best of mitiq':>32}{default:>9}", end=""
    )
    print(f"{'ratio':>7}{'95 %':^14}{'2 sd':>4}{'/ raw':>7}")
    for cell in cells:
        print(line(cell, default))
    many = [found for row, found in zip(rows, errors, strict=True) if row["shots"] == "many"]
    few = [found for row, found in zip(rows, errors, strict=True) if row["shots"] == "few"]
    judged = many or few  # bars are about many shots, unless only few were asked for
    print(f"\nerror of a method over that of {default}: ratio of the means over all cells, geometric mean")
    methods = {}
    for name in errors[0]:
        arithmetic = interval(mean_of(judged, name) / mean_of(judged, default))
        each = interval(geometric([found[name] / found[default] for found in judged]))
        methods[name] = {"arithmetic": arithmetic, "geometric": each}
        print(f"{name:32}{shown(arithmetic)}   {shown(each)}")
    print(f"\ngeometric mean of the error of {default} over that of the best in each cell")
    groups = {
        "mitiq": tuple(MITIQ),
        "mitiq or none": (*MITIQ, *PLAIN),
        "mitiq, twins free": (*MITIQ, *FREE),
        "mitiq, twins not shared": (*[name for name in MITIQ if "cdr" not in name], *OWN),
    }
    overall = {}
    for group, names in groups.items():
        for shots, found in {"many": many, "few": few}.items():
            if found:
                overall[f"{group}, {shots} shots"] = interval(geometric(over_best(found, default, names)))
    for name, found in overall.items():
        print(f"{name:38}{shown(found)}")
    print()
    bars = [bar(*given) for given in measured(rows, judged, errors, default)]
    return {"default": default, "cells": cells, "methods": methods, "overall": overall, "bars": bars}


def of_cell(row: Row, errors: dict[str, np.ndarray], default: str) -> Row:
    best = min(MITIQ, key=lambda name: errors[name][0])
    held = sum(row["methods"][default]["inside"]) / sum(row["count"])
    return {
        **{key: row[key] for key in ("n", "kind", "observable", "noise", "shots")},
        "errors": {name: float(samples[0]) for name, samples in errors.items()},
        "best": best,
        "ratio": interval(over_best([errors], default, tuple(MITIQ))[0]),
        "coverage": held,
        "over_raw": interval(errors[default] / errors["raw"]),
    }


def line(cell: Row, default: str) -> str:
    """A cell as a row of the table."""
    errors, (ratio, low, high) = cell["errors"], cell["ratio"]
    name = " ".join(f"{cell[key]:{width}}" for key, width in CELL.items()) + " shots"
    best = f"{cell['best'].removeprefix('mitiq '):>24}{errors[cell['best']]:8.4f}{errors[default]:9.4f}"
    spread = f"{ratio:7.2f} {low:5.2f} – {high:4.2f}"
    return f"{name:46}{errors['raw']:7.4f}{best}{spread}{cell['coverage']:6.2f}{cell['over_raw'][0]:7.2f}"


def over_best(errors: list[dict[str, np.ndarray]], default: str, names: tuple[str, ...]) -> list[np.ndarray]:
    return [found[default] / np.min([found[name] for name in names], axis=0) for found in errors]


def geometric(ratios: list[np.ndarray]) -> np.ndarray:
    return np.exp(np.log(ratios).mean(0))


def mean_of(errors: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.mean([found[name] for found in errors], axis=0)


def shown(found: Interval) -> str:
    return "{:6.3f} ({:.3f} to {:.3f})".format(*found)


def measured(
    rows: list[Row], judged: list[dict[str, np.ndarray]], errors: list[dict[str, np.ndarray]], default: str
) -> list[tuple[str, np.ndarray, float, float]]:
    """What the bars are about: name, measured and resampled, smallest and largest that is allowed."""
    ratios = over_best(judged, default, tuple(MITIQ))
    fixed = np.min([mean_of(judged, name) for name in MITIQ], axis=0) / mean_of(judged, default)
    harm = np.max([found[default] / found["raw"] for found in errors], axis=0)
    kept = [row for row in rows if row["shots"] == "many"] or rows
    held = [sum(row["methods"][default]["inside"]) / sum(row["count"]) for row in kept]
    missing = sum(row["methods"][default]["missing"] for row in rows)
    return [
        ("geometric mean of the error over the best of mitiq", geometric(ratios), 0, MEAN),
        ("the same in the worst cell", np.max(ratios, axis=0), 0, WORST),
        ("mean error of the best fixed method of mitiq over the default's", fixed, FIXED, np.inf),
        ("least part of the truths within 2 sd in a cell", np.full(2, min(held)), *COVERAGE),
        ("largest part of the truths within 2 sd in a cell", np.full(2, max(held)), *COVERAGE),
        ("error over the raw one in the worst cell, few shots included", harm, 0, HARM),
        ("values that are not finite", np.full(2, missing), 0, 0),
    ]


def bar(name: str, samples: np.ndarray, least: float, most: float) -> Row:
    """Whether a bar is met by the measured value; printed with its interval."""
    value, low, high = interval(samples)
    met = bool(least <= value <= most)
    allowed = f"at most {most:.3g}" if not least else f"at least {least:.3g}"
    if least and most < np.inf:
        allowed = f"{least:.3g} to {most:.3g}"
    spread = f"({low:.3f} to {high:.3f})" if low < high else ""
    print(f"{name:66}{value:7.3f} {spread:18} {allowed:16} {'met' if met else 'MISSED'}")
    return {"name": name, "value": value, "interval": [low, high], "allowed": allowed, "met": met}
