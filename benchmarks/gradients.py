"""Time for one energy and its gradient on the exact simulator, compared with a PennyLane torch QNode.

Circuit: blocks of 3 CX and 15 angles on a chain; observable: the open Heisenberg chain. One thread.
The QNode passes its gradient to torch in float32, which explains the difference in the last column.

    python benchmarks/gradients.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable

import numpy as np
import pennylane as qml
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from record import add_out, save

from bondwise.backends import expectation, to_pennylane


def heisenberg(n: int) -> SparsePauliOp:
    bonds = [(pauli, [i, i + 1], 0.25) for i in range(n - 1) for pauli in ("XX", "YY", "ZZ")]
    return SparsePauliOp.from_sparse_list(bonds, n)


def brickwork(n: int, layers: int) -> QuantumCircuit:
    pairs = [(i, i + 1) for layer in range(layers) for i in range(layer % 2, n - 1, 2)]
    angles = iter(ParameterVector("theta", 15 * len(pairs)))
    circuit = QuantumCircuit(n)
    for pair in pairs:
        for control, target in (pair, pair[::-1], pair):
            for qubit in pair:
                circuit.rz(next(angles), qubit)
                circuit.ry(next(angles), qubit)
            circuit.cx(control, target)
        circuit.rz(next(angles), pair[0])
        circuit.rz(next(angles), pair[1])
        circuit.ry(next(angles), pair[1])
    return circuit


def milliseconds(step: Callable[[], torch.Tensor], repeats: int) -> tuple[float, torch.Tensor]:
    gradient = step()  # compiles
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        gradient = step()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times), gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small circuits")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [(8, 6), (8, 14), (12, 4), (12, 9), (16, 4)]
    rows = []
    print(f"{'qubits':>6} {'angles':>6} {'gates':>6} {'ours ms':>9} {'QNode ms':>9} {'difference':>11}")
    for n, layers in sizes[:2] if options.quick else sizes:
        circuit, hamiltonian = brickwork(n, layers), heisenberg(n)
        start = np.random.default_rng(0).normal(size=circuit.num_parameters)
        theta = torch.tensor(start, requires_grad=True)

        def ours(circuit=circuit, hamiltonian=hamiltonian, theta=theta) -> torch.Tensor:
            return torch.autograd.grad(expectation(circuit, hamiltonian, theta), theta)[0]

        ansatz, energy = to_pennylane(circuit), to_pennylane(hamiltonian)

        @qml.qnode(qml.device("lightning.qubit", wires=n), diff_method="adjoint", interface="torch")
        def node(parameters, ansatz=ansatz, energy=energy):
            ansatz(parameters)
            return qml.expval(energy)

        def peer(node=node, theta=theta) -> torch.Tensor:
            return torch.autograd.grad(node(theta), theta)[0]

        mine, gradient = milliseconds(ours, 10)
        other, reference = milliseconds(peer, 3)
        difference = float((gradient - reference).abs().max())
        row = {"qubits": n, "angles": len(theta), "gates": circuit.size(), "ours_ms": mine, "qnode_ms": other}
        rows.append(row | {"difference": difference})
        print(f"{n:6d} {len(theta):6d} {circuit.size():6d} {mine:9.1f} {other:9.1f} {difference:11.1e}")
    save(options.out, rows)


if __name__ == "__main__":
    main()
