"""The tables of `docs/mitigation.md`, from `benchmarks/results/mitigation*.json`.

python docs/mitigation_tables.py    # rewrites the tables in place
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tables import grouped, rendered, results, table

PAGE = Path(__file__).parent / "mitigation.md"


def energies() -> str:
    names = {"demo": "the demo's", "deep": "brickwall, 4 layers", "shallow": "brickwall, 1 layer"}
    methods = ("raw", "readout", "linear, global", "richardson, global", "exponential, global")
    rows = []
    for group in grouped(results("mitigation"), "circuits"):
        many, few = sorted(group, key=lambda row: -row["shots"])
        cells = [
            f"{many['methods'][m]['mean_error']:.3f} ({few['methods'][m]['mean_error']:.3f})" for m in methods
        ]
        rows.append([names[many["circuits"]], many["two_qubit_gates"], *cells])
    return table(("circuit", "CZ", "raw", "readout only", "linear", "Richardson", "exponential"), rows)


def methods() -> str:
    found = results("mitigation_methods")["methods"]
    rows = [
        [name, *(f"{found[name][mean][0]:.2f}" for mean in ("arithmetic", "geometric"))]
        for name in sorted(found, key=lambda name: found[name]["geometric"][0])
    ]
    return table(("method", "mean error", "geometric mean over cells"), rows)


def trajectory() -> str:
    found = results("mitigation_trajectory")
    methods = ("raw", "readout", "linear", "exponential", "bayes", "neural", "paper_network")
    rows = []
    for row in found:
        errors, least = row["mean_error"], min(row["mean_error"].values())
        cells = [f"{errors[m]:.4f}" if errors[m] > least else f"**{errors[m]:.4f}**" for m in methods]
        where = row["backend"].removeprefix("fake:")
        rows.append([row["hamiltonian"], where, row["two_qubit_gates"], *cells])
    heads = ("energy of", "snapshot", "two-qubit gates", "raw", "readout only", *methods[2:-1])
    return table([*heads, "network of arXiv:2403.07025"], rows)


def tem() -> str:
    rows = []
    for row in results("mitigation_tem"):
        costs = [
            f"{row[f'overhead{kind}']:.2f}" if row[f"cheap{kind}"] else f"**{row[f'overhead{kind}']:.2f}**"
            for kind in ("", "_best")
        ]
        size = f"{row['observable']}, {row['qubits']} qubits", row["two_qubit_gates"], f"{row['shots']:,}"
        zne = f"{row['zne_bias']:+.4f} ({abs(row['zne_bias']) / row['tem_std']:.1f} std)"
        found = f"{row['tem_error']:+.4f} ± {row['tem_std']:.4f}"
        pec = f"{row['pec']:.2f} ({row['pec'] ** 0.6:.2f})"
        rows.append([*size, f"{row['raw_bias']:+.4f}", zne, found, row["bond"], *costs, pec])
    heads = ["observable", "CZ", "shots", "raw", "exponential", "TEM", "bond"]
    return table([*heads, "overhead", "over the best", "PEC (^0.6)"], rows)


def gradient() -> str:
    cells = [
        [row["extrapolation"], row["way"], row["jobs"], f"{row['cpu_s']:.2f}", f"{row['times']:.1f}"]
        for row in results("mitigated_gradient")
    ]
    return table(("extrapolation", "way", "jobs", "CPU s", "times"), cells)


def symmetry() -> str:
    rows, found = [], results("mitigation_symmetry")
    for row in found:
        errors, inside = row["mean_error"], row["within_2_std"]
        cells = [f"{errors[name]:.4f} ({inside[name]:.2f})" for name in errors]
        rows.append([row["backend"].removeprefix("fake:"), *cells])
    return table(("snapshot", *found[0]["mean_error"]), rows)


def ibm_levels() -> str:
    cells = [
        cell | {"depth": cell["noise"].split(", ")[1]} for cell in results("mitigation_ibm_levels")["cells"]
    ]
    methods, rows = ("raw", "IBM level 1", "IBM level 2", "ours"), []
    for group in grouped(cells, "kind", "n", "depth"):
        kind = {"random": "random", "vqe": "VQE points"}[group[0]["kind"]]
        means = [f"{np.mean([cell['errors'][name] for cell in group]):.4f}" for name in methods]
        ratios = [cell["ratio"][0] for cell in group]
        ratio = f"{np.exp(np.mean(np.log(ratios))):.2f}"
        rows.append([f"{group[0]['depth']}, {kind}", group[0]["n"], *means, ratio, f"{max(ratios):.2f}"])
    return table(("circuits", "qubits", *methods, "ours / better level", "worst cell"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "energies": energies,
    "methods": methods,
    "trajectory": trajectory,
    "ibm-levels": ibm_levels,
    "tem": tem,
    "gradient": gradient,
    "symmetry": symmetry,
}


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(), TABLES))


if __name__ == "__main__":
    main()
