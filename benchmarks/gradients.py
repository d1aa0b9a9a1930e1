"""Energy and gradient on the exact simulator, from and to torch in float64, beside PennyLane and qulacs.

Circuits: blocks of 3 CX and 15 angles on a chain with the open Heisenberg chain, and a brickwall of RY, RZ
and CX with the transverse-field Ising chain. One thread; medians of CPU times. Lightning's device is called
on a prepared tape, without a QNode, and qulacs gets new angles and returns numpy arrays.

    python benchmarks/gradients.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import ExecutionConfig
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from record import add_out, save

from bondwise.backends import expectation, to_pennylane

try:
    import qulacs
except ImportError:
    qulacs = None

Step = Callable[[], tuple[float, np.ndarray]]


def heisenberg(n: int) -> SparsePauliOp:
    bonds = [(pauli, [i, i + 1], 0.25) for i in range(n - 1) for pauli in ("XX", "YY", "ZZ")]
    return SparsePauliOp.from_sparse_list(bonds, n)


def ising(n: int) -> SparsePauliOp:
    bonds = [("ZZ", [i, i + 1], -1.0) for i in range(n - 1)]
    return SparsePauliOp.from_sparse_list(bonds + [("X", [i], -0.9) for i in range(n)], n)


def blocks(n: int, layers: int) -> QuantumCircuit:
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


def brickwall(n: int, layers: int) -> QuantumCircuit:
    angles = iter(ParameterVector("theta", n * (2 * layers + 1)))
    circuit = QuantumCircuit(n)
    for layer in range(layers):
        for qubit in range(n):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(layer % 2, n - 1, 2):
            circuit.cx(qubit, qubit + 1)
    for qubit in range(n):
        circuit.ry(next(angles), qubit)
    return circuit


def ours(circuit: QuantumCircuit, hamiltonian: SparsePauliOp, point: np.ndarray) -> Step:
    theta = torch.tensor(point, requires_grad=True)

    def step() -> tuple[float, np.ndarray]:
        value = expectation(circuit, hamiltonian, theta)
        return value.item(), torch.autograd.grad(value, theta)[0].numpy()

    return step


def qnode(circuit: QuantumCircuit, hamiltonian: SparsePauliOp, point: np.ndarray) -> Step:
    theta = torch.tensor(point, requires_grad=True)
    ansatz, energy = to_pennylane(circuit), to_pennylane(hamiltonian)
    device = qml.device("lightning.qubit", wires=circuit.num_qubits)

    @qml.qnode(device, diff_method="adjoint", interface="torch")
    def node(parameters):
        ansatz(parameters)
        return qml.expval(energy)

    def step() -> tuple[float, np.ndarray]:
        value = node(theta)
        return value.item(), torch.autograd.grad(value, theta)[0].numpy()

    return step


def lightning(circuit: QuantumCircuit, hamiltonian: SparsePauliOp, point: np.ndarray) -> Step:
    """The device itself, on a tape with its angles that was prepared once."""
    device = qml.device("lightning.qubit", wires=circuit.num_qubits)
    with qml.queuing.AnnotatedQueue() as queue:
        to_pennylane(circuit)(point)
        qml.expval(to_pennylane(hamiltonian))
    tape = qml.tape.QuantumScript.from_queue(queue)
    gates = [gate for gate in tape.operations if not isinstance(gate, qml.GlobalPhase)]
    tape = qml.tape.QuantumScript(gates, tape.measurements, trainable_params=range(len(point)))
    config = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True)
    transforms, config = device.preprocess(config)
    (tape,), _ = transforms([tape])

    def step() -> tuple[float, np.ndarray]:
        (value,), (gradient,) = device.execute_and_compute_derivatives([tape], config)
        return float(value), np.ravel(gradient)

    return step


def qulacs_backprop(circuit: QuantumCircuit, hamiltonian: SparsePauliOp, point: np.ndarray) -> Step:
    n = circuit.num_qubits
    parametric = qulacs.ParametricQuantumCircuit(n)
    for step in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
        if step.name == "cx":
            parametric.add_CNOT_gate(*qubits)
        else:  # the angles are numbered in order of use
            getattr(parametric, f"add_parametric_{step.name.upper()}_gate")(qubits[0], 0.0)
    observable = qulacs.Observable(n)
    for label, weight in zip(hamiltonian.paulis.to_labels(), hamiltonian.coeffs.real, strict=True):
        letters = [f"{letter} {qubit}" for qubit, letter in enumerate(label[::-1]) if letter != "I"]
        observable.add_operator(float(weight), " ".join(letters))
    state = qulacs.QuantumState(n)

    def step() -> tuple[float, np.ndarray]:
        for index, angle in enumerate((-point).tolist()):  # its rotations turn the other way
            parametric.set_parameter(index, angle)
        state.set_zero_state()
        parametric.update_quantum_state(state)
        return observable.get_expectation_value(state), -np.array(parametric.backprop(observable))

    return step


def milliseconds(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(3):  # rounds, so that a busy moment of the machine does not meet one package alone
        for name, step in steps.items():
            for _ in range(repeats):
                start = time.process_time()
                step()
                times[name].append(time.process_time() - start)
    return {f"{name}_ms": 1e3 * median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small circuits")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(n, *case) for n in (8, 12, 16, 20) for case in ((blocks, heisenberg), (brickwall, ising))]
    peers = {"ours": ours, "lightning": lightning, "qulacs": qulacs_backprop, "qnode": qnode}
    if qulacs is None:
        del peers["qulacs"]
        print("without qulacs, which is not installed; pip install qulacs")
    rows = []
    names = "".join(f"{name + ' ms':>13}" for name in peers)
    print(f"{'circuit':>9} {'qubits':>6} {'angles':>6}{names} {'difference':>11}")
    for n, ansatz, model in cases[:2] if options.quick else cases:
        circuit, hamiltonian = ansatz(n, 4), model(n)
        point = np.random.default_rng(0).normal(size=circuit.num_parameters)
        steps = {name: peer(circuit, hamiltonian, point) for name, peer in peers.items()}
        values, gradients = zip(*[step() for step in steps.values()], strict=True)  # compiles, too
        double = [name != "qnode" for name in peers]  # the QNode passes float32 to torch
        difference = max(
            max(abs(value - values[0]), np.abs(gradient - gradients[0]).max())
            for value, gradient, exact in zip(values, gradients, double, strict=True)
            if exact
        )
        row = {"circuit": ansatz.__name__, "qubits": n, "angles": len(point), "gates": circuit.size()}
        row |= milliseconds(steps, {8: 30, 12: 10, 16: 3, 20: 1}[n]) | {"difference": difference}
        rows.append(row)
        shown = "".join(f"{row[f'{name}_ms']:13.2f}" for name in peers)
        print(f"{row['circuit']:>9} {n:6d} {len(point):6d}{shown} {difference:11.1e}", flush=True)
    save(options.out, rows)


if __name__ == "__main__":
    main()
