"""A mitigated energy and its parameter-shift gradient in one job, beside jobs for each point.

The circuit has 20 angles on four qubits: 41 points, each at three noise scales, with a readout calibration.
In one job, all points are parameter sets of three folded circuits, and the extrapolation learns from all.
"A job per point" is the same estimator that gets one point at a time. "Compiled per point" binds the angles
first, so that each point is transpiled, folded and calibrated by itself, as mitiq's executors are called.
CPU times of the whole process, simulation included; medians.

    python benchmarks/hardware/mitigated_gradient.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from statistics import median

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from record import add_out, save

from bondwise.backends import estimate, expectation
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import ising

QUBITS, LAYERS, SHOTS, GOAL = 4, 5, 4096, 10
METHODS = ("neural", "exponential")


def ansatz() -> QuantumCircuit:
    """Layers of RY and a chain of CX."""
    angles = iter(ParameterVector("a", QUBITS * LAYERS))
    circuit = QuantumCircuit(QUBITS)
    for _ in range(LAYERS):
        for qubit in range(QUBITS):
            circuit.ry(next(angles), qubit)
        circuit.cx(range(QUBITS - 1), range(1, QUBITS))
    return circuit


CIRCUIT, ENERGY = ansatz(), ising(QUBITS)


def one_job(name: str, backend: str, angles: np.ndarray) -> np.ndarray:
    """The gradient, as an optimizer asks for it."""
    estimator = MitigatedEstimator(backend, extrapolation=name, shots=SHOTS, seed=1)
    given = torch.tensor(angles, requires_grad=True)
    return torch.autograd.grad(expectation(CIRCUIT, ENERGY, given, estimator), given)[0].numpy()


def points(angles: np.ndarray) -> np.ndarray:
    """The point itself, and those that are shifted by π/2."""
    shifts = np.pi / 2 * np.eye(angles.size)
    return np.concatenate([angles[None], angles + shifts, angles - shifts])


def shifted(values: list[float]) -> np.ndarray:
    plus, minus = np.split(np.array(values[1:]), 2)
    return (plus - minus) / 2


def job_per_point(name: str, backend: str, angles: np.ndarray) -> np.ndarray:
    estimator = MitigatedEstimator(backend, extrapolation=name, shots=SHOTS, seed=1)
    results = [estimator.run([(CIRCUIT, ENERGY, point)]).result() for point in points(angles)]
    return shifted([float(result[0].data.evs) for result in results])


def compiled_per_point(name: str, backend: str, angles: np.ndarray) -> np.ndarray:
    values = []
    for point in points(angles):
        estimator = MitigatedEstimator(backend, extrapolation=name, shots=SHOTS, seed=1)
        [result] = estimator.run([(CIRCUIT.assign_parameters(point), ENERGY)]).result()
        values.append(float(result.data.evs))
    return shifted(values)


WAYS = {"one job": one_job, "a job per point": job_per_point, "compiled per point": compiled_per_point}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition, without compiling per point")
    parser.add_argument("--backend", default="fake:torino")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    angles = np.random.default_rng(1).uniform(-1, 1, CIRCUIT.num_parameters)
    exact = shifted(estimate(CIRCUIT, ENERGY, points(angles)).value.tolist())
    one_job("linear", options.backend, angles)  # loads the noise of the device
    rows = []
    print(f"{'extrapolation':14}{'way':20}{'jobs':>6}{'CPU s':>9}{'times':>8}{'error of the gradient':>24}")
    for name in METHODS:
        base = 0.0
        for way, gradient in list(WAYS.items())[: 2 if options.quick else 3]:
            seconds = []
            for _ in range(3 if way == "one job" and not options.quick else 1):
                start = time.process_time()
                found = gradient(name, options.backend, angles)
                seconds.append(time.process_time() - start)
            cpu, error = median(seconds), float(np.abs(found - exact).mean())
            base = base or cpu
            jobs = 1 if way == "one job" else 41
            rows.append({"extrapolation": name, "way": way, "jobs": jobs, "cpu_s": cpu, "error": error})
            rows[-1]["times"] = cpu / base
            print(f"{name:14}{way:20}{jobs:6}{cpu:9.2f}{cpu / base:8.1f}{error:24.4f}")
    worst = min(row["times"] for row in rows if row["jobs"] > 1)
    print(f"at least {worst:.1f} times less CPU time in one job, goal {GOAL}")
    save(options.out, rows)


if __name__ == "__main__":
    main()
