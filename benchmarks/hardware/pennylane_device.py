"""A QNode and its parameter-shift gradient in one job, beside one job for each point.

The circuit has 20 angles on four wires: 41 points. In one job, all points are parameter sets of one compiled
circuit. "A job per point" is the same device that gets one tape at a time, so that the circuit is compiled
once. "Compiled per point" also compiles the circuit of every tape with its angles, as plugins do whose jobs
are bound circuits; on "aer" there is nothing to compile. All three are called by `qml.grad`. CPU times of the
whole process, simulation included; medians.

    python benchmarks/hardware/pennylane_device.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from record import add_out, save

from bondwise.backends import BondwiseDevice, estimate

BACKENDS = ("fake:torino", "fake:manila", "aer")
SHOTS = 4096
GOAL = 10
ENERGY = SparsePauliOp.from_sparse_list(
    [("ZZ", [i, i + 1], 1.0) for i in range(3)] + [("X", [i], 1.0) for i in range(4)], 4
)


def energy(angles: Any) -> Any:
    for layer in range(5):
        for wire in range(4):
            qml.RY(angles[4 * layer + wire], wire)
        for wire in range(3):
            qml.CNOT([wire, wire + 1])
    return qml.expval(qml.sum(*(qml.Z(i) @ qml.Z(i + 1) for i in range(3)), *(qml.X(i) for i in range(4))))


class JobPerPoint(BondwiseDevice):
    """A device that runs the circuits of a batch one by one."""

    def execute(self, circuits: Any, execution_config: Any = None) -> tuple[Any, ...]:
        return tuple(
            result for circuit in circuits for result in super(JobPerPoint, self).execute((circuit,))
        )


class CompiledPerPoint(BondwiseDevice):
    """A device that compiles each circuit with its angles, and runs it in a job of its own."""

    def execute(self, circuits: Any, execution_config: Any = None) -> tuple[Any, ...]:
        return tuple(self.value(tape) for tape in circuits)

    def value(self, tape: Any) -> float:
        circuit = QuantumCircuit(4)
        for gate in tape.operations:
            if gate.name == "RY":
                circuit.ry(float(gate.data[0]), gate.wires[0])
            else:
                circuit.cx(*gate.wires)
        return estimate(circuit, ENERGY, shots=SHOTS, backend=self.backend).value


WAYS = {
    "one job": (BondwiseDevice, "device", 1),
    "a job per point": (JobPerPoint, "parameter-shift", 41),
    "compiled per point": (CompiledPerPoint, "parameter-shift", 41),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one backend, one repetition")
    add_out(parser)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    print(f"{'backend':14}{'way':20}{'jobs':>6}{'CPU s':>9}{'times':>8}")
    rows = []
    for backend in BACKENDS[1:2] if options.quick else BACKENDS:
        base = 0.0
        for way, (kind, method, jobs) in WAYS.items():
            node = qml.QNode(energy, kind(4, backend=backend, seed=1), diff_method=method)
            gradient = qml.grad(qml.set_shots(node, SHOTS))
            gradient(pnp.array(rng.normal(size=20), requires_grad=True))  # loads and compiles
            seconds = []
            for _ in range(1 if options.quick else 7):
                angles = pnp.array(rng.normal(size=20), requires_grad=True)
                start = time.process_time()
                found = gradient(angles)
                seconds.append(time.process_time() - start)
                if backend == "aer":
                    exact = qml.grad(qml.QNode(energy, qml.device("default.qubit")))(angles)
                    assert np.abs(found - exact).max() < 5 * np.sqrt(7 / SHOTS)
            cpu = median(seconds)
            base = base or cpu
            rows.append({"backend": backend, "way": way, "jobs": jobs, "cpu_s": cpu, "times": cpu / base})
            print(f"{backend:14}{way:20}{jobs:6}{cpu:9.3f}{cpu / base:8.1f}", flush=True)
    least = min(
        row["times"] for row in rows if row["way"] == "compiled per point" and row["backend"] != "aer"
    )
    verdict = "met" if least >= GOAL else "MISSED"
    print(f"\none job instead of 41, at most 1/{least:.0f} of the CPU on devices, goal 1/{GOAL}: {verdict}")
    save(options.out, rows)


if __name__ == "__main__":
    main()
