"""IBM's own mitigation beside ours, on a snapshot of an IBM device and the same number of shots.

The energy of an 8-qubit Heisenberg chain is measured on brickwall circuits: without mitigation, with our
twirled readout, folding and extrapolation (`MitigatedEstimator`), by an exponential with as many shots at
each scale factor and by the network with most at 1, and with levels 1 (TREX) and 2 (TREX, gate folding,
extrapolation) of the estimator in IBM's client. The budget is what level 2 spends; the others choose their
shots per circuit so that they spend as much. Errors are distances to the exact value of the same circuit. CPU
time and memory are those of this process.

    python benchmarks/hardware/resilience.py [--quick] [--seeds N] [--shots N] [--layers N] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import time

import numpy as np
from record import add_out, save

from bondwise.backends import estimate, get_backend
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import brickwall, heisenberg, random_start

QUBITS, BASES, FACTORS = 8, 3, (1, 3, 5)
LEVELS = {"IBM level 1": 1, "IBM level 2": 2}
SHARES = {"exponential": (1, 1, 1), "neural": (5, 1, 1)}
NAMES = ("raw", *SHARES, *LEVELS)


def timed(call):
    """What a call returns, and the CPU seconds that it takes."""
    began = time.process_time()
    return call(), time.process_time() - began


def measure(circuit, hamiltonian, angles, device, shots, seed):
    """Value, standard error, shots and CPU seconds of each method."""

    def through(name, each):
        backend = get_backend(f"{device},resilience={LEVELS[name]}" if name in LEVELS else device)
        if name in SHARES:
            how = {"extrapolation": name, "scale_factors": FACTORS, "shares": SHARES[name]}
            estimator = MitigatedEstimator(backend, shots=each, seed=seed, **how)
            result = estimator.run([(circuit, hamiltonian, angles)]).result()
            data, spent = result[0].data, result.metadata["shots"]
            return float(data.evs), float(data.stds), int(spent)
        found = estimate(circuit, hamiltonian, angles, shots=each, backend=backend, seed=seed)
        return float(found.value), float(found.std), int(found.shots)

    rows = {}
    (value, std, budget), seconds = timed(lambda: through("IBM level 2", shots))
    rows["IBM level 2"] = {"value": value, "std": std, "shots": budget, "cpu_seconds": seconds}
    # the readout calibration has as many shots as all scale factors of a basis
    circuits = {"raw": BASES} | dict.fromkeys(SHARES, (BASES + 1) * len(FACTORS))
    for name in NAMES[:-1]:
        if name in circuits:
            each = budget // circuits[name]
        else:  # how many circuits level 1 makes is known after a first measurement
            each = budget * shots // through(name, shots)[2]
        (value, std, spent), seconds = timed(lambda name=name, each=each: through(name, each))
        rows[name] = {"value": value, "std": std, "shots": spent, "cpu_seconds": seconds}
    return rows, budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--shots", type=int, default=4096, help="shots of level 2 per circuit")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--backend", default="fake:torino")
    add_out(parser)
    options = parser.parse_args()

    hamiltonian, circuit = heisenberg(QUBITS), brickwall(QUBITS, options.layers)
    cases = []
    for seed in range(2 if options.quick else options.seeds):
        angles = random_start(circuit, seed=seed)
        exact = float(estimate(circuit, hamiltonian, angles).value)
        rows, budget = measure(circuit, hamiltonian, angles, options.backend, options.shots, seed)
        cases.append({"seed": seed, "exact": exact, "budget": budget, "methods": rows})
    gates = get_backend(options.backend).transpile(circuit).num_nonlocal_gates()
    print(f"{QUBITS} qubits on {options.backend}, {gates} two-qubit gates, {len(cases)} seeds")
    print(
        f"{'method':14} {'mean error':>10} {'largest':>8} {'median error/std':>17} {'shots':>8} {'CPU s':>6}"
    )
    methods = {}
    for name in NAMES:
        of_name = [case["methods"][name] for case in cases]
        errors = np.array(
            [abs(row["value"] - case["exact"]) for row, case in zip(of_name, cases, strict=True)]
        )
        pulls = errors / np.array([row["std"] for row in of_name])
        methods[name] = {
            "mean_error": float(errors.mean()),
            "largest_error": float(errors.max()),
            "median_error_over_std": float(np.nanmedian(pulls)),
            "shots": float(np.mean([row["shots"] for row in of_name])),
            "cpu_seconds": float(np.mean([row["cpu_seconds"] for row in of_name])),
        }
        row = methods[name]
        shown = f"{name:14} {row['mean_error']:10.4f} {row['largest_error']:8.4f}"
        print(f"{shown} {row['median_error_over_std']:17.1f} {row['shots']:8.0f} {row['cpu_seconds']:6.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")
    save(options.out, {"two_qubit_gates": gates, "methods": methods, "cases": cases, "peak_mib": peak})


if __name__ == "__main__":
    main()
