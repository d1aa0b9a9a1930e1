"""Mitigation of wide circuits: the parity of 30 qubits, and local observables of 50, from the same lines.

The circuits are one layer of the paper's ansatz (RY, RZ and a chain of CX, arXiv:2403.07025) with angles near
multiples of π/2, so that the parity of all qubits is far from 0, and two layers of brickwall. Noise is
depolarizing on CX, with readout errors of 1 to 3 %; Aer samples it from matrix product states. Noise-free
values come from the same simulator without noise, which is exact at these depths, and for local observables
also from their light cones on the state-vector simulator.

    python benchmarks/mitigation/width.py [--seeds N] [--shots N] [--mitigate NAME] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from bondwise.backends import estimate, get_backend
from bondwise.mitigation import MitigatedEstimator

sys.path.insert(0, str(Path(__file__).parent.parent))
from record import add_out, save  # noqa: E402

STRENGTH = 0.004  # of the depolarizing error of a CX
GATES = ["ry", "rz", "cx", "x", "rx"]


def staircase(width: int) -> QuantumCircuit:
    """RY and RZ on each qubit, and a chain of CX."""
    angles = ParameterVector("a", 2 * width)
    circuit = QuantumCircuit(width)
    for qubit in range(width):
        circuit.ry(angles[2 * qubit], qubit)
        circuit.rz(angles[2 * qubit + 1], qubit)
    circuit.cx(range(width - 1), range(1, width))
    return circuit


def brickwall(width: int) -> QuantumCircuit:
    """Two layers of RY and CX between neighbors."""
    angles = ParameterVector("a", 2 * width)
    circuit = QuantumCircuit(width)
    for layer in range(2):
        for qubit in range(width):
            circuit.ry(angles[layer * width + qubit], qubit)
        for qubit in range(layer, width - 1, 2):
            circuit.cx(qubit, qubit + 1)
    return circuit


def noise(width: int) -> NoiseModel:
    """Depolarizing CX, and a readout error of its own for each qubit."""
    model = NoiseModel(basis_gates=GATES)
    model.add_all_qubit_quantum_error(depolarizing_error(STRENGTH, 2), ["cx"])
    rng = np.random.default_rng(width)
    for qubit in range(width):
        p10, p01 = rng.uniform(0.005, [0.01, 0.03])
        model.add_readout_error(ReadoutError([[1 - p10, p10], [p01, 1 - p01]]), [qubit])
    return model


CASES = {
    "parity of 30 qubits": (staircase(30), SparsePauliOp("Z" * 30)),
    "Z Z in the middle of 50": (
        brickwall(50),
        SparsePauliOp.from_sparse_list([("ZZ", [24, 25], 1.0)], 50),
    ),
    "Σ Z Z of 50": (
        brickwall(50),
        SparsePauliOp.from_sparse_list([("ZZ", [q, q + 1], 1 / 49) for q in range(49)], 50),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="sets of angles")
    parser.add_argument(
        "--shots", type=int, default=1000, help="of a unit of the shares of the scale factors"
    )
    parser.add_argument("--mitigate", default=None, help="an extrapolation; the default of the package")
    add_out(parser)
    options = parser.parse_args()
    rows = []
    for name, (circuit, observable) in CASES.items():
        begin = time.process_time()
        width = circuit.num_qubits
        place = get_backend("aer:matrix_product_state", noise=noise(width))
        rng = np.random.default_rng(0)
        near = np.pi / 2 * rng.integers(0, 4, (options.seeds, circuit.num_parameters))
        if "parity" in name:  # of ±1 in all Clifford circuits nearby
            near = np.pi * rng.integers(0, 2, near.shape)
        sets = near + rng.normal(0, 0.12, near.shape)
        exact = estimate(circuit, observable, sets, backend="aer:matrix_product_state").value
        how = {} if options.mitigate is None else {"extrapolation": options.mitigate}
        estimator = MitigatedEstimator(place, shots=options.shots, seed=1, **how)
        result = estimator.run([(circuit, observable, sets)]).result()
        found, std = np.asarray(result[0].data.evs), np.asarray(result[0].data.stds)
        each = result.metadata["shots"] // options.seeds
        raw = estimate(circuit, observable, sets, backend=place, shots=each, seed=2).value
        errors = {"raw": np.abs(raw - exact), "mitigated": np.abs(found - exact)}
        row = {
            "case": name,
            "exact": exact.tolist(),
            "shots_each": each,
            **{f"{kind}_error": float(error.mean()) for kind, error in errors.items()},
            "within_two_std": int(np.sum(errors["mitigated"] <= 2 * std)),
            "seeds": options.seeds,
            "extrapolation": estimator.extrapolation,
            "cpu_seconds": round(time.process_time() - begin, 1),
        }
        rows.append(row)
        print(
            f"{name:24} |exact| {np.abs(exact).mean():.2f}, {each:,} shots each: error raw "
            f"{row['raw_error']:.4f}, mitigated {row['mitigated_error']:.4f} ({row['within_two_std']} of "
            f"{options.seeds} within 2 std), {row['cpu_seconds']} CPU s"
        )
    save(options.out, rows)


if __name__ == "__main__":
    main()
