"""Training circuits of 50 and 100 qubits by their exact energy on "mps", beside DMRG and Aer.

The open Heisenberg chain; the start is a DMRG state of bond 32 as a staircase, followed by a layer of blocks
near the identity; L-BFGS. One thread, CPU times. Aer gives energies only: a gradient by
parameter shift takes 2 of them per angle, of which one is measured and the rest is extrapolated.

    python benchmarks/products.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from statistics import median

import numpy as np
import torch
from record import add_out, save

from bondwise import qml, tn
from bondwise.backends import estimate, expectation, simulability


def gradient_seconds(circuit, hamiltonian, angles, repeats=5):
    times = []
    for _ in range(repeats + 1):
        began = time.process_time()
        theta = torch.tensor(angles, requires_grad=True)
        expectation(circuit, hamiltonian, theta, "mps").backward()
        times.append(time.process_time() - began)
    return median(times[1:])  # the first one plans the contraction


def aer_energy_seconds(circuit, hamiltonian, angles):
    times = []
    for _ in range(2):
        began = time.process_time()
        energy = estimate(circuit, hamiltonian, angles, backend="aer:matrix_product_state").value
        times.append(time.process_time() - began)
    return energy, min(times)


def measured(n, layers, steps):
    hamiltonian = qml.heisenberg(n)
    ground = tn.ground_state(hamiltonian, max_bond=32, seed=0)
    circuit, angles = qml.mps_start(layers, ground, pairs=qml.lattice_edges(n), seed=0)
    energy, aer = aer_energy_seconds(circuit, hamiltonian, angles)
    began = time.process_time()
    trained = qml.VQE(hamiltonian, circuit, backend="mps", optimizer="lbfgs").run(angles, steps=steps)
    return {
        "qubits": n,
        "layers": layers,
        "angles": len(angles),
        "bond": simulability(circuit, hamiltonian).bond,
        "gradient_s": gradient_seconds(circuit, hamiltonian, angles),
        "aer_energy_s": aer,
        "difference": abs(energy - trained.losses[0]),
        "energies": {str(step): float(trained.losses[step]) for step in (0, 20, 100, steps) if step <= steps},
        "training_s": time.process_time() - began,
        "dmrg": ground.value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small chain")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for n, layers in [(20, 2)] if options.quick else [(50, 2), (50, 3), (100, 2), (100, 3)]:
        row = measured(n, layers, steps=20 if options.quick else 200)
        rows.append(row)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        relative = (np.array(list(row["energies"].values())) - row["dmrg"]) / abs(row["dmrg"])
        print("  above DMRG:", *(f"{one:.2%}" for one in relative), flush=True)
    save(options.out, rows)


if __name__ == "__main__":
    main()
