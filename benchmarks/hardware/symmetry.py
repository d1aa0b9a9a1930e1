"""Extrapolations with and without a symmetry, on snapshots of IBM devices.

Circuits conserve the number of ones, so Z⊗…⊗Z is known. Methods that do not measure it get its shots as well:
all spend the same number, readout calibration included. Errors are means over circuits, observables (the
Heisenberg energy of a chain per bond, one ZZ, one Z) and angles, which are extrapolated together.

    python benchmarks/hardware/symmetry.py [--quick] [--seeds N] [--shots N] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from record import add_out, save

from bondwise.backends import estimate
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import heisenberg

QUBITS, LAYERS, SETS = 6, 3, 8
PARITY = ("Z" * QUBITS, float((-1) ** (QUBITS // 2)))
SNAPSHOTS = ("fake:torino", "fake:marrakesh", "fake:kyiv")
METHODS = {
    "readout only": {"extrapolation": None},
    "linear": {"extrapolation": "linear"},
    "exponential": {"extrapolation": "exponential"},
    "neural": {},
    "guess": {"extrapolation": "guess", "symmetry": PARITY},
}


def conserving() -> QuantumCircuit:
    """Every second qubit is 1; XX + YY and Z rotations move and phase the ones."""
    pairs = [(a, a + 1) for start in (0, 1) for a in range(start, QUBITS - 1, 2)] * LAYERS
    angles = ParameterVector("a", 2 * len(pairs))
    circuit = QuantumCircuit(QUBITS)
    circuit.x(range(0, QUBITS, 2))
    for place, (first, second) in enumerate(pairs):
        circuit.rxx(angles[2 * place], first, second)
        circuit.ryy(angles[2 * place], first, second)
        circuit.rz(angles[2 * place + 1], second)
    return circuit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--shots", type=int, default=4096, help="per basis and scale factor")
    add_out(parser)
    options = parser.parse_args()
    circuit, rows = conserving(), []
    energy = heisenberg(QUBITS) / (QUBITS - 1)
    observables = [energy, "I" * (QUBITS - 2) + "ZZ", "I" * (QUBITS - 3) + "ZII"]
    print(f"{'mean error':16}" + "".join(f"{name:>18}" for name in METHODS))
    for snapshot in SNAPSHOTS:
        errors: dict[str, list[float]] = {name: [] for name in METHODS}
        inside: dict[str, list[float]] = {name: [] for name in METHODS}
        spent: dict[str, int] = {}
        for seed in range(1 if options.quick else options.seeds):
            rng = np.random.default_rng(seed)
            sets = rng.uniform(-np.pi, np.pi, (SETS, circuit.num_parameters))
            exact = np.array([[estimate(circuit, one, row).value for one in observables] for row in sets])
            pub = (circuit, observables, sets[:, None])
            bases = {"readout only": 4, "linear": 4 / 3, "exponential": 4 / 3, "neural": 4 / 3}
            for name, how in METHODS.items():
                shots = round(options.shots * bases.get(name, 1))
                estimator = MitigatedEstimator(snapshot, shots=shots, seed=seed, **how)
                result = estimator.run([pub]).result()
                error = np.abs(result[0].data.evs - exact)
                errors[name].append(float(error.mean()))
                inside[name].append(float((error <= 2 * result[0].data.stds).mean()))
                spent[name] = int(result.metadata["shots"])
        means = {name: float(np.mean(found)) for name, found in errors.items()}
        coverage = {name: float(np.mean(found)) for name, found in inside.items()}
        print(f"{snapshot:16}" + "".join(f"{means[n]:10.4f} ({coverage[n]:.2f}) " for n in METHODS))
        rows.append({"backend": snapshot, "mean_error": means, "within_2_std": coverage, "shots": spent})
    print("shots:", rows[-1]["shots"])
    save(options.out, rows)


if __name__ == "__main__":
    main()
