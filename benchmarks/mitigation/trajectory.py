"""Energies along a VQE on snapshots of IBM devices: raw, and mitigated in one job.

Three Hamiltonians are trained without noise, from a new start for each seed: the Ising chain of 4 sites and
H2 from a product state with random blocks behind it, and Z⊗Z⊗Z⊗Z of arXiv:2403.07025 from random angles of
the paper's ansatz. The energy is measured at 20 stops. All extrapolations take the shots of the same job,
with 5/7 of them at scale factor 1; `raw` and `readout` spend as many in total, calibration included, without
folding. All values are clipped to the bounds of the energy that follow from its coefficients, as `neural`
does by itself.

    python benchmarks/mitigation/trajectory.py [--seeds N] [--shots N] [--backends NAME ...] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from record import add_out, save

from bondwise.backends import estimate, get_backend
from bondwise.mitigation import (
    MitigatedEstimator,
    NoiseScan,
    extrapolate_bayes,
    extrapolate_exponential,
    extrapolate_linear,
    extrapolate_neural,
    extrapolate_paper_network,
)
from bondwise.qml import VQE, ising, lattice_edges, product_start, random_start

STOPS, STEPS, SHARES = 20, 60, (5, 1, 1)
FITS = {
    "neural": extrapolate_neural,
    "bayes": extrapolate_bayes,
    "exponential": extrapolate_exponential,
    "linear": extrapolate_linear,
    "paper_network": extrapolate_paper_network,
}
# STO-3G at 0.735 Å on two qubits (parity mapping), in hartree with the repulsion of the nuclei
HYDROGEN = SparsePauliOp(
    ["II", "IZ", "ZI", "ZZ", "XX"],
    [-0.332404251323, 0.397937424843, -0.397937424843, -0.011280104256, 0.180931199784],
)
PROBLEMS = {"Ising chain of 4": ising(4), "H2": HYDROGEN, "Z⊗Z⊗Z⊗Z": SparsePauliOp("ZZZZ")}


def rotations_and_cx(qubits, layers):
    """The paper's ansatz: RY and RZ on each qubit between chains of CX."""
    angles = iter(ParameterVector("a", 2 * qubits * (layers + 1)))
    circuit = QuantumCircuit(qubits)
    for layer in range(layers + 1):
        if layer:
            circuit.cx(range(qubits - 1), range(1, qubits))
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
    return circuit


def trained(problem, seed):
    """A circuit, the angles at all stops, shape (stops, P), and the exact energies there."""
    hamiltonian, path = PROBLEMS[problem], []
    if problem.startswith("Z"):
        circuit = rotations_and_cx(4, layers=2)
        start = random_start(circuit, seed=seed)
    else:
        edges = lattice_edges(hamiltonian.num_qubits)
        circuit, start = product_start(hamiltonian, layers=1, pairs=edges, strength=0.4, seed=seed)
    vqe = VQE(hamiltonian, circuit, learning_rate=0.1)
    vqe.run(start, steps=STEPS, callbacks=[lambda step: path.append(step.parameters)])
    stops = np.array(path)[np.linspace(0, STEPS, STOPS).astype(int)]
    return circuit, stops, estimate(circuit, hamiltonian, stops).value


def measured(circuit, hamiltonian, stops, backend, shots, seed):
    """Energies and standard errors (stops,) by every method, and the shots that each has spent."""
    estimator = MitigatedEstimator(backend, shots=shots, shares=SHARES, seed=seed)
    result = estimator.run([(circuit, hamiltonian, stops)]).result()
    budget, scan = result.metadata["shots"], NoiseScan.from_pub_result(result[0])
    fits = {name: extrapolate(scan) for name, extrapolate in FITS.items()}
    bases = estimate(circuit, hamiltonian, stops[0], shots=1).shots
    each = budget // (bases * STOPS)
    fits["raw"] = estimate(circuit, hamiltonian, stops, backend=backend, shots=each, seed=seed + 1000)
    calibrated = budget // (bases * STOPS + 1)  # the readout takes as many shots as one basis
    readout = MitigatedEstimator(backend, extrapolation=None, shots=calibrated, seed=seed + 2000)
    fits["readout"] = estimate(circuit, hamiltonian, stops, backend=readout)
    assert all(0.99 * budget < fits[name].shots <= budget for name in ("raw", "readout"))
    low, high = scan.spectrum[0]
    energies = {name: (np.clip(fit.value, low, high), fit.std) for name, fit in fits.items()}
    return energies, budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--shots", type=int, default=2389, help="per basis and, on average, scale factor")
    devices = ("fake:torino", "fake:marrakesh", "fake:kyiv")
    parser.add_argument("--backends", nargs="+", default=devices)
    add_out(parser)
    options = parser.parse_args()
    start, tables = time.process_time(), []
    names = ["raw", "readout", *FITS]
    print(f"{'':34}" + "".join(f"{name:>15}" for name in names))
    for problem, hamiltonian in PROBLEMS.items():
        cases = [trained(problem, seed) for seed in range(options.seeds)]
        for name in options.backends:
            backend, errors, inside = get_backend(name), {}, {}
            for seed, (circuit, stops, ideal) in enumerate(cases):
                energies, budget = measured(circuit, hamiltonian, stops, backend, options.shots, seed)
                for method, (value, std) in energies.items():
                    off = np.abs(value - ideal)
                    errors.setdefault(method, []).append(float(off.mean()))
                    inside.setdefault(method, []).append(float(np.mean(off <= 2 * std)))
            gates = backend.transpile(cases[0][0]).num_nonlocal_gates()
            row = {
                "hamiltonian": problem,
                "backend": name,
                "two_qubit_gates": gates,
                "shots": budget,
                "mean_error": {method: float(np.mean(errors[method])) for method in names},
                "errors_of_seeds": errors,
                "within_2_std": {method: float(np.mean(inside[method])) for method in names},
            }
            tables.append(row)
            shown = "".join(f"{row['mean_error'][method]:15.4f}" for method in names)
            print(f"{problem:17}{name:17}{shown}", flush=True)
            held = "".join(f"{row['within_2_std'][method]:14.0%} " for method in names)
            print(f"{f'{gates} two-qubit gates, within 2 std':34}{held}")
    print(f"{options.seeds} seeds, {time.process_time() - start:.0f} CPU s")
    save(options.out, tables)


if __name__ == "__main__":
    main()
