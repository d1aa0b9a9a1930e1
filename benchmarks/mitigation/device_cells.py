"""Cells of the benchmark on snapshots of IBM devices, with relaxation, one-qubit errors and readout errors.

The whole transpiled circuit is folded, as `MitigatedEstimator` does by default. Readout errors of a snapshot
are the same for 0 and 1, so they shrink each product of Z by a factor; a device has this after its bits are
flipped at random (TREX, arXiv:2012.09738). The factor is measured on |0…0⟩ with the shots of the method.
Estimators may be tuned on the devices of the pool `train` only.

    python benchmarks/mitigation/device_cells.py [--pool train]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from angles import signs, z_strings
from ansatz import outcomes, walsh
from cells import FACTORS, KINDS, OBSERVABLES, POOLS, Cell, angles_of, from_file, grouped
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Backend, get_backend
from bondwise.mitigation import fold_global

DEVICES = {"train": ("fez", "sherbrooke"), "test": ("torino", "marrakesh", "kyiv")}
LAYERS = {"shallow": {4: 2, 6: 1}, "deep": {4: 10, 6: 6}}  # 5 or 6 and 30 two-qubit gates
COUNTS = {"random": 150, "vqe": 150, "twins": 60}


def device_cell(pool: str, device: str, n: int, depth: str, kind: str, observable: str) -> Cell:
    """A cell on a snapshot of a device."""
    known = stored_on(pool, device, n, depth, kind, observable)
    twins = stored_on(pool, device, n, depth, "twins", observable)
    terms = signs(observable, n)
    values, groups = np.unique(terms, axis=1, return_inverse=True)
    strings = np.array(z_strings(observable, n))
    return Cell(
        name=f"{n} qubits, {kind}, {observable}, {device}, {depth}",
        values=values,
        ideal=known["ideal"] @ terms.sum(0),
        noisy=grouped(known["noisy"], groups, values.shape[1]).swapaxes(0, 1),
        twin_ideal=twins["ideal"] @ terms.sum(0),
        twin_noisy=grouped(twins["noisy"], groups, values.shape[1]).swapaxes(0, 1),
        readout=known["readout"],
        supports=(strings[:, None] >> np.arange(n)) & 1,
    )


def stored_on(
    pool: str, device: str, n: int, depth: str, kind: str, observable: str
) -> dict[str, np.ndarray]:
    """Angles, exact outcomes (C, 2^n), noisy ones (scale factor, C, 2^n), and readout factors (n,)."""

    def make() -> dict[str, np.ndarray]:
        angles = angles_of(pool, n, LAYERS[depth][n], kind, observable, COUNTS[kind])
        backend = get_backend(f"fake:{device}")
        noisy, readout = run(backend, angles)
        return {"angles": angles, "ideal": outcomes(angles, 0.0, 1), "noisy": noisy, "readout": readout}

    of = "" if kind == "random" else f"-{observable}"
    return from_file(f"{pool}-{device}-{depth}-{n}-{kind}{of}", make)


def run(backend: Backend, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of all outcomes at each scale factor, and what readout leaves of Z on each qubit."""
    n = angles.shape[-1]
    isa = backend.transpile(circuit(n, angles.shape[1] - 1))
    strings = [pauli(string, n).apply_layout(isa.layout) for string in range(1, 2**n)]
    folded = [fold_global(isa, factor, target=backend.target) for factor in FACTORS]
    if [factor for _, factor in folded] != list(FACTORS):
        raise SystemExit("folding a whole circuit reaches odd scale factors exactly, and it has not")
    sets = angles.reshape(len(angles), -1)
    pubs = [(each, [[string] for string in strings], sets) for each, _ in folded]
    values = [part.data["evs"].T for part in backend.run(pubs, shots=None)]  # (C, 2^n - 1)
    whole = np.ones((len(angles), 1))
    noisy = np.stack([walsh(np.hstack([whole, part])) / 2**n for part in values])
    zero = QuantumCircuit(isa.num_qubits)
    alone = [pauli(1 << qubit, n).apply_layout(isa.layout) for qubit in range(n)]
    readout = backend.run([(zero, alone)], shots=None)[0].data["evs"]
    noisy = np.clip(noisy, 0, None)
    return noisy / noisy.sum(-1, keepdims=True), readout


def pauli(string: int, n: int) -> SparsePauliOp:
    """A product of Z, from the bits of its qubits."""
    qubits = [qubit for qubit in range(n) if string >> qubit & 1]
    return SparsePauliOp.from_sparse_list([("Z" * len(qubits), qubits, 1.0)], n)


def circuit(n: int, layers: int) -> QuantumCircuit:
    """The ansatz, with parameters in the order of the angles."""
    angles = np.array(ParameterVector("a", (layers + 1) * 2 * n)).reshape(layers + 1, 2, n)
    made = QuantumCircuit(n)
    for layer in range(layers + 1):
        for qubit in range(n):
            made.ry(angles[layer, 0, qubit], qubit)
            made.rz(angles[layer, 1, qubit], qubit)
        for qubit in range(n - 1) if layer < layers else ():
            made.cx(qubit, qubit + 1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", choices=list(POOLS), default="test")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for device in DEVICES[options.pool]:
        for depth, sizes in LAYERS.items():
            for n in sizes:
                for kind in (*KINDS, "twins"):
                    for observable in OBSERVABLES:
                        stored_on(options.pool, device, n, depth, kind, observable)


if __name__ == "__main__":
    main()
