"""Mitigated and raw energies of trained 8-qubit Heisenberg circuits on a snapshot of an IBM device.

Three kinds of circuit are trained for each seed: `demo` starts as a tensor network, as in `make demo`;
`deep` and `shallow` are brickwalls of 4 layers and of 1 from a random start. Then the energy is measured. All
methods spend the same number of shots: 3 bases × 3 scale factors, and the readout calibration;
`raw` and `readout` spend the shots that they save on the circuit itself. Errors are distances to the exact
energy of the same circuit. Unlike a device, the snapshot has no coherent errors, crosstalk or drift.

    python benchmarks/hardware/snapshot_energies.py [--quick] [--seeds N] [--shots N ...] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time

import numpy as np
from record import add_out, save

from bondwise.backends import estimate, get_backend
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_richardson,
)
from bondwise.qml import VQE, brickwall, heisenberg, lattice_edges, mps_start, random_start
from bondwise.tn import ground_state

QUBITS, FACTORS, BASES = 8, (1, 3, 5), 3
FITS = {
    "linear": extrapolate_linear,
    "richardson": extrapolate_richardson,
    "exponential": extrapolate_exponential,
}


def trained(kind, hamiltonian, seed):
    """A circuit and its angles, trained on the exact simulator."""
    if kind == "demo":
        ground = ground_state(hamiltonian, max_bond=8, seed=seed)
        circuit, angles = mps_start(2, ground, pairs=lattice_edges(QUBITS), seed=seed)
    else:
        circuit = brickwall(QUBITS, {"deep": 4, "shallow": 1}[kind])
        angles = random_start(circuit, seed=seed)
    vqe = VQE(hamiltonian, circuit, optimizer="lbfgs")
    return circuit, vqe.run(angles, steps=150, seed=seed).parameters


def measure(circuit, hamiltonian, parameters, backend, shots, seed):
    """Energies by every method, {name: (value, standard error)}, and the shots that each has spent."""
    pub = (circuit, hamiltonian, parameters)
    energies = {}
    for folding in ("global", "gates"):
        estimator = MitigatedEstimator(
            backend, folding=folding, scale_factors=FACTORS, shares=(1, 1, 1), shots=shots, seed=seed
        )
        result = estimator.run([pub]).result()
        budget = result.metadata["shots"]
        scan = NoiseScan.from_pub_result(result[0])
        for name, extrapolate in FITS.items():
            fit = extrapolate(scan)
            energies[f"{name}, {folding}"] = fit.value, fit.std
    isa = backend.transpile(circuit)
    observable = hamiltonian.apply_layout(isa.layout)
    raw = backend.run([(isa, observable, parameters)], shots=budget // BASES, seed=seed + 1000)[0].data
    energies["raw"] = (float(raw.evs), float(raw.stds))
    readout = MitigatedEstimator(
        backend, extrapolation=None, shots=budget // (BASES + 1), seed=seed + 2000
    ).run([pub])
    energies["readout"] = float(readout.result()[0].data.evs), float(readout.result()[0].data.stds)
    return energies, budget


def table(rows, names):
    """Print the errors of each method over the seeds, and return them as a dictionary."""
    errors = np.array([[abs(row["energies"][name][0] - row["exact"]) for row in rows] for name in names])
    stds = np.array([[row["energies"][name][1] for row in rows] for name in names])
    print(
        f"{'method':20} {'mean error':>10} {'largest':>8} {'rms error/std':>14} {'beats raw':>12} {'best':>5}"
    )
    summary = {}
    for name, error, std in zip(names, errors, stds, strict=True):
        pull, wins = np.sqrt(np.mean((error / std) ** 2)), int(np.sum(error < errors[0]))
        best = int(np.sum(error == errors.min(axis=0)))
        shown = f"{name:20} {error.mean():10.4f} {error.max():8.4f} {pull:14.1f}"
        print(f"{shown} {wins:6} of {len(rows):<2} {best:5}")
        summary[name] = {
            "mean_error": float(error.mean()),
            "largest_error": float(error.max()),
            "rms_error_over_std": float(pull),
            "beats_raw": wins,
            "best_in": best,
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three seeds")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[4096, 256], help="shots per basis and scale factor"
    )
    kinds = ("demo", "deep", "shallow")
    parser.add_argument("--circuits", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--backend", default="fake:torino")
    add_out(parser)
    options = parser.parse_args()

    backend, hamiltonian, start = get_backend(options.backend), heisenberg(QUBITS), time.perf_counter()
    names = ["raw", "readout", *(f"{fit}, {folding}" for folding in ("global", "gates") for fit in FITS)]
    tables = []
    for kind in options.circuits:
        seeds = range(3 if options.quick else options.seeds)
        cases = [trained(kind, hamiltonian, seed) for seed in seeds]
        two_qubit = backend.transpile(cases[0][0]).num_nonlocal_gates()
        for shots in options.shots:
            rows = []
            for seed, (circuit, angles) in zip(seeds, cases, strict=True):
                energies, budget = measure(circuit, hamiltonian, angles, backend, shots, seed)
                exact = float(estimate(circuit, hamiltonian, angles).value)
                rows.append({"seed": seed, "exact": exact, "shots": budget, "energies": energies})
            print(
                f"\n{kind} circuits on {options.backend}, {two_qubit} two-qubit gates, {len(rows)} seeds,",
                end=" ",
            )
            print(f"{shots} shots per basis and scale factor, {budget} for each energy by each method")
            summary = table(rows, names)
            tables.append(
                {
                    "circuits": kind,
                    "two_qubit_gates": two_qubit,
                    "shots": shots,
                    "budget": budget,
                    "methods": summary,
                    "rows": rows,
                }
            )
    print(f"\n{time.perf_counter() - start:.0f} s")
    save(options.out, tables)


if __name__ == "__main__":
    main()
