"""The tables of `docs/benchmarks.md`, from `benchmarks/results/`.

    python docs/tables.py    # rewrites the tables in place

Each table stands between `<!-- table NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
STARTS = {
    "mps": "MPS start",
    "product": "product start",
    "near-identity": "near-identity start",
    "random": "random start",
}


def results(name: str) -> Any:
    """The results in one file."""
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    lines = [list(heads), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scientific(value: float, digits: int = 2) -> str:
    """1.2e-3 rather than 1.2e-03."""
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def span(values: list[Any], form: Callable[[Any], str] = str) -> str:
    """The smallest and the largest value, or the only one."""
    ends = list(dict.fromkeys((form(min(values)), form(max(values)))))
    return "–".join(ends)


def listed(values: list[int | None]) -> str:
    """One value per seed; a dash if the goal was not reached."""
    return " ".join("–" if value is None else str(value) for value in values)


def grouped(rows: list[dict], *keys: str) -> list[list[dict]]:
    """Groups of rows that agree in the keys, in order of first appearance."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def goals() -> str:
    rows = []
    for group in grouped(results("goals"), "state", "cx"):
        goal = group[0]
        limit = "" if goal["seconds"] is None else f" in {goal['seconds']} s"
        reached = span([row["reached"] for row in group], scientific)
        missed = any(row["met"] == "NO" for row in group)
        rows.append(
            [
                goal["state"],
                f"{scientific(goal['infidelity'], 1)} with {goal['cx']} CX{limit}",
                f"**missed**: {reached}" if missed else reached,
                span([row["cx_used"] for row in group]),
                span([row["depth"] for row in group]),
                span([row["cpu_seconds"] for row in group], lambda s: f"{s:.1f}" if s < 100 else f"{s:.0f}"),
                scientific(goal["analytic"], 1),
            ]
        )
    return table(("state", "goal", "infidelity", "CX", "depth", "CPU s", "layers alone (Ran)"), rows)


def peers() -> str:
    runs = [row | {"size": round(row["cx"], -1)} for row in results("peers")]  # synthesis varies by a CX
    rows = []
    for group in grouped(runs, "sites", "name", "size"):
        best = min(group, key=lambda row: row["infidelity"])
        stopped = "stopped" in best["note"]
        started = re.match(r"start (\S+);", best["note"])
        name = best["name"] + (f" of {scientific(float(started[1]), 3)}" if started else "")
        name = re.sub(r"(\d)e([+-])0", r"\1e\2", name)
        seconds = f"{best['cpu_seconds']:.1f}" + (" (stopped)" if stopped else "")
        times = [int(found[1]) for row in group if (found := re.match(r"(\d+) times less", row["note"]))]
        infidelity = scientific(best["infidelity"]) if best["infidelity"] else "0"
        ratio = f"{span(times)}×" if times else ""
        rows.append([best["sites"], name, len(group), infidelity, f"{best['cx']:,}", seconds, ratio])
    heads = ("sites", "method", "starts", "best infidelity", "CX", "CPU s", "faster than TNOptimizer")
    return table(heads, rows)


def growth() -> str:
    rows = []
    for row in results("growth"):
        figures = f"{row['milliseconds']:.2f}", f"{row['megabytes']:.1f}"
        rows.append([row["varied"], row["sites"], row["bond"], row["layers"], *figures])
    return table(("varied", "sites", "bond", "layers", "milliseconds", "MB"), rows)


def trainability() -> str:
    found = results("trainability")
    chosen = [row for row in found["networks"] if row["strength"] == 0.01]
    sizes = sorted({row["n"] for row in chosen} | {row["n"] for row in found["randoms"]})
    rows = []
    for group in [*grouped(chosen, "start"), *grouped(found["randoms"], "start")]:
        name = group[0]["start"]
        name = name if name.startswith(("bond", "|")) else f"random circuit, {name}"
        values = {row["n"]: scientific(row["mean_square"], 1) for row in group}
        rows.append([name.replace("|", "\\|"), *(values.get(size, "") for size in sizes)])
    return table(("start", *(f"n = {size}" for size in sizes)), rows)


def vqe(layers: int) -> str:
    found = next(one for one in results("vqe")["circuits"] if one["layers"] == layers)
    columns = [0, 25, 50, 100, 200]
    rows = []
    for name, start in found["starts"].items():
        errors = 100 * np.array(start["errors"])[:, columns]
        spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(errors.mean(axis=0), spread, strict=True)]
        rows.append([STARTS[name], *cells, listed(start["steps_to_goal"])])
    heads = [f"{layers} layers, {found['cx']} CX", "0 steps", *map(str, columns[1:])]
    return table([*heads, "steps to the mean of random starts after 200"], rows)


def molecules() -> str:
    rows = []
    for group in grouped(results("molecules"), "case", "method"):
        seconds = [row["seconds_to_accuracy"] for row in group if row["seconds_to_accuracy"] is not None]
        missed = len(group) - len(seconds)
        reached = span(seconds, lambda s: f"{s:.2f}") if seconds else ""
        if missed:
            reached = f"{reached}, missed by {missed} of {len(group)}" if seconds else "missed"
        rows.append(
            [
                f"{group[0]['case']}, {group[0]['qubits']} qubits",
                group[0]["method"],
                group[0]["cx"],
                group[0]["angles"],
                span([round(row["start_error"], 2) for row in group]),
                span([round(row["error"], 3) + 0.0 for row in group]),
                reached,
            ]
        )
    heads = ("molecule", "ansatz and start", "CX", "angles", "mHa at the start", "mHa at the end")
    return table((*heads, "CPU s to 1.6 mHa"), rows)


def accuracies(name: str) -> dict[str, tuple[dict, list[float]]]:
    """For each model, its first row and the test accuracies of all seeds."""
    groups = grouped(results(name), "name")
    return {group[0]["name"]: (group[0], [row["test"]["accuracy"] for row in group]) for group in groups}


def protein() -> str:
    names = {
        "window": "`WindowQTN`, core",
        "window, entangler off": "the same without entanglers",
        "latch": "`LatchQTN`, core: one circuit, nothing pooled classically",
        "committee of 8 windows": "committee of eight `WindowQTN`s, core",
        "window, all proteins": "`WindowQTN(stride=4, epochs=5)`, all 5,232 / 2,544 proteins",
    }
    found: dict[str, tuple[dict, list[float]]] = {}
    for part in ("core", "single", "large", "full"):
        found |= accuracies(f"protein_{part}")
    rows = []
    for name, shown in names.items():
        row, values = found[name]
        means = f"{np.mean(values):.3f}", f"{min(values):.3f}"
        rows.append([shown, row["parameters"], row["qubits"], len(values), *means])
    for row in results("protein_baselines"):
        for data in ("core", "all"):
            if data in row:
                worst = f"{row['worst']:.3f}" if "worst" in row else ""
                shown = f"{row['name']}, {'core' if data == 'core' else 'all proteins'}"
                rows.append([shown, f"{row['parameters']:,}", "–", "", f"{row[data]:.3f}", worst])
    return table(("model", "parameters", "qubits", "seeds", "mean", "worst"), rows)


def protein_start() -> str:
    rows = []
    for group in grouped(results("protein_start"), "name"):
        values = [row["test"]["accuracy"] for row in group]
        epochs = " ".join(
            "–" if row["epochs_to_goal"] is None else str(row["epochs_to_goal"]) for row in group
        )
        seconds = f"{np.mean([row['cpu_seconds'] for row in group]):.0f}"
        rows.append([group[0]["name"], epochs, f"{np.mean(values):.3f}", f"{min(values):.3f}", seconds])
    return table(("start", "epochs to 0.87 on valid", "mean", "worst", "CPU s"), rows)


def protein_paper() -> str:
    found = accuracies("protein_paper")
    log10: dict[str, list[float]] = {}
    for row in results("protein_paper"):
        log10.setdefault(row["name"], []).append(row["log10_postselection"])
    rows = []
    for shape in ("uPTN", "hPTN", "uCTN", "hCTN"):
        cells = []
        for way in ("Sim14, post-selected", "Sim14, discards", "exchange, discards"):
            means = [np.mean(found[f"{shape} {way}, {split}"][1]) for split in ("partitions", "random")]
            cells.append(", ".join(f"{mean:.3f}" for mean in means))
        both = [log10[f"{shape} Sim14, post-selected, {split}"] for split in ("partitions", "random")]
        rates = sum(both, [])
        rows.append([shape, cells[0], f"{max(rates):.0f} to {min(rates):.0f}", *cells[1:]])
    heads = ("", "Sim14, post-selected", "log10 p(post-selection)", "Sim14, discards", "exchange, discards")
    return table(heads, rows)


def protein_hardware() -> str:
    rows = []
    for row in results("protein_hardware"):
        scores, logits = row["scores"], row.get("corrected")
        cells = [row["model"], row["where"], f"{scores['accuracy']:.3f} ± {scores['std']:.3f}"]
        cells += [str(logits["flips"]), f"{logits['bias']:+.3f}"] if logits else ["", ""]
        rows.append([*cells, f"{row['plain']['bias']:+.3f}" if "plain" in row else ""])
    heads = ("model", "where", "accuracy", "calls that differ", "bias", "bias without correction")
    return table(heads, rows)


def protein_speed() -> str:
    groups = grouped(results("protein_speed"), "shape", "mode")
    rows = [
        [f"{group[0]['shape']}, {group[0]['mode']}", *(f"{row['ratio']:,.0f}×" for row in group)]
        for group in groups
    ]
    return table(("", *(f"{row['residues']} residues" for row in groups[0])), rows)


def lambeq_models() -> str:
    groups = grouped(results("lambeq_models"), "circuits")
    rows = [[group[0]["circuits"], *(f"{row['ratio']:.0f}×" for row in group)] for group in groups]
    return table(("circuits", *(f"batch of {row['batch']}" for row in groups[0])), rows)


def fake() -> str:
    rows = []
    for name, row in results("fake").items():
        building = f" (and {row['building']:.1f} to build the model)" if "building" in row else ""
        rows.append([name, f"{row['seconds']:.3g}{building}"])
    return table(("", "seconds"), rows)


def gradients() -> str:
    peers = ("ours", "lightning", "qulacs", "qnode")
    cells = [
        [row["circuit"], row["qubits"], row["angles"], *[milliseconds(row, peer) for peer in peers]]
        for row in results("gradients")
    ]
    heads = (
        "circuit",
        "qubits",
        "angles",
        "`expectation`",
        "`lightning.qubit`, prepared tape",
        "qulacs `backprop`",
        "torch QNode on `lightning.qubit`",
    )
    return table(heads, cells)


def products() -> str:
    cells = []
    for row in results("products"):
        above = [f"{100 * (energy / row['dmrg'] - 1):.2f}".lstrip("-") for energy in row["energies"].values()]
        shift = (2 * row["angles"] + 1) * row["aer_energy_s"]
        times = f"{row['gradient_s']:.3f}", f"{row['aer_energy_s']:.2f}", f"{shift:.0f}"
        cells.append([row["qubits"], row["layers"], row["angles"], row["bond"], *times, *above])
    steps = [f"{step} steps" for step in results("products")[0]["energies"]]
    heads = ("qubits", "layers", "angles", "bond", "energy and gradient", "one energy on Aer", "shifted")
    return table((*heads, *steps), cells)


def milliseconds(row: dict[str, Any], peer: str) -> str:
    time = row.get(f"{peer}_ms")
    return "" if time is None else f"{time:.3g}" if time < 999.5 else f"{time:.0f}"


def ordinary_calls() -> str:
    def row(found: dict[str, Any]) -> tuple[str, ...]:
        peer = "–" if found["peer"] is None else f"{found['peer']:.2g}"
        return found["call"], f"{found['ours']:.2g}", peer, found["peer_name"]

    return table(("call", "CPU s", "peer, CPU s", "peer"), map(row, results("ordinary_calls")))


def first_run() -> str:
    rows = [(row["what"], f"{row['first']:.1f}", f"{row['second']:.1f}") for row in results("first_run")]
    return table(("process", "first, CPU s", "second, CPU s"), rows)


def suites() -> str:
    heads = ("suite", "passed", "failed", "different", "untouched", "skipped")
    return table(heads, [[row[head] for head in heads] for row in results("suites")])


def jobs() -> str:
    found = results("jobs")
    thousands = found["jobs"] / 1000
    rows = [
        ("1,000 jobs recorded, with results of 1 kB", f"{found['recorded_s'] / thousands:.2f} s"),
        ("1,000 jobs listed", f"{found['listed_s'] / thousands:.3f} s"),
        ("a job of IBM's estimator (level 1) alone, CPU", f"{found['bare_cpu_s']:.2f} s"),
        ("the same recorded, CPU", f"{found['ours_cpu_s']:.2f} s"),
    ]
    return table(("", ""), rows)


def pennylane_device() -> str:
    groups = grouped(results("pennylane_device"), "backend")
    rows = [
        [f"`{one['backend']}`", f"{one['cpu_s']:.2f}", f"{point['times']:.1f}×", f"{bound['times']:.1f}×"]
        for one, point, bound in groups
    ]
    return table(("backend", "one job, CPU s", "41 jobs, compiled once", "41 jobs, each compiled"), rows)


def resilience() -> str:
    rows = [
        [
            name,
            f"{found['mean_error']:.3f}",
            f"{found['largest_error']:.3f}",
            f"{found['median_error_over_std']:.1f}",
            f"{found['cpu_seconds']:.1f}",
        ]
        for name, found in results("resilience")["methods"].items()
    ]
    return table(("method", "mean error", "largest error", "median error / standard error", "CPU s"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "goals": goals,
    "peers": peers,
    "growth": growth,
    "trainability": trainability,
    "vqe-2": lambda: vqe(2),
    "vqe-3": lambda: vqe(3),
    "molecules": molecules,
    "protein": protein,
    "protein-start": protein_start,
    "protein-paper": protein_paper,
    "protein-hardware": protein_hardware,
    "protein-speed": protein_speed,
    "lambeq-models": lambeq_models,
    "fake": fake,
    "jobs": jobs,
    "pennylane-device": pennylane_device,
    "resilience": resilience,
    "gradients": gradients,
    "products": products,
    "ordinary-calls": ordinary_calls,
    "first-run": first_run,
    "suites": suites,
}


def rendered(text: str, tables: dict[str, Callable[[], str]] | None = None) -> str:
    """The text with every table rendered again; without `tables`, those of `docs/benchmarks.md`."""
    tables = TABLES if tables is None else tables
    marks = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return marks.sub(lambda match: f"{match[1]}{tables[match[2]]()}\n{match[3]}", text)


def main() -> None:
    page = DOCS / "benchmarks.md"
    page.write_text(rendered(page.read_text()))


if __name__ == "__main__":
    main()
