"""Tensor network error mitigation beside zero-noise extrapolation and probabilistic error cancellation.

Chains of qubits of fake:torino, whose gate errors are twirled, without readout errors, and simulated as such.
The circuits are Trotter steps of the Ising chain H = Σ ZZ + Σ X from |0…0⟩, in gates of the device. For each
observable: the bias of an exponential extrapolation of exact values at the scales 1, 3 and 5, the exact bias
of the mitigated observable, its estimate from shots, and the overhead. This is the variance of a shot
relative to that of the noise-free circuit, measured in the same random bases (computed exactly), or in the
bases that are best for it (by the same function). Probabilistic error cancellation (PEC) pays γ², the product
over all gates.

    python benchmarks/mitigation/tem.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PTM, Chi, SparsePauliOp, SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError

from bondwise.backends import estimate, get_backend
from bondwise.mitigation import (
    MitigatedEstimator,
    TensorNetworkMitigation,
    mitigate_by_tensor_network,
    mitigated_observable,
    twirled_noise,
)

sys.path.insert(0, str(Path(__file__).parent.parent))
from record import add_out, save  # noqa: E402

LIMITS = {"max_bond": 128, "cutoff": 1e-6}
EXPONENT = 0.6  # of the overhead of PEC that ours may reach


def trotter(width: int, steps: int) -> QuantumCircuit:
    circuit = QuantumCircuit(width)
    for _ in range(steps):
        for first in (0, 1):
            for qubit in range(first, width - 1, 2):
                circuit.rzz(0.6, qubit, qubit + 1)
        circuit.rx(0.48, range(width))
    return circuit


def energy(width: int) -> SparsePauliOp:
    pairs = [("ZZ", [qubit, qubit + 1], 1.0) for qubit in range(width - 1)]
    return SparsePauliOp.from_sparse_list([*pairs, *(("X", [q], 1.0) for q in range(width))], width)


def middle(width: int) -> SparsePauliOp:
    return SparsePauliOp.from_sparse_list([("ZZ", [width // 2 - 1, width // 2], 1.0)], width)


# observable, number of qubits, of Trotter steps and of shots
CASES = [
    ("energy", energy, 6, 2, 1_000_000),
    ("energy", energy, 6, 4, 4_000_000),
    ("Z Z in the middle", middle, 6, 4, 1_000_000),
    ("energy", energy, 10, 2, 20_000),
    ("parity", lambda width: SparsePauliOp("Z" * width), 6, 4, 100_000),
]


def cancellation(circuit: QuantumCircuit, noise: NoiseModel) -> float:
    """γ² of probabilistic error cancellation: the squared one-norm of all inverses in Paulis."""
    norm, errors = 1.0, {}
    for error in noise.to_dict()["errors"]:  # each a random Pauli after one gate on certain qubits
        errors[error["operations"][0], error["gate_qubits"][0]] = QuantumError.from_dict(error)
    for step in circuit.data:
        where = tuple(circuit.find_bit(qubit).index for qubit in step.qubits)
        if (step.operation.name, where) in errors:
            error = SuperOp(errors[step.operation.name, where])
            inverse = Chi(PTM(np.linalg.inv(PTM(error).data))).data.diagonal().real
            norm *= np.abs(inverse).sum() / 2 ** len(where)
    return norm**2


def variance(circuit: QuantumCircuit, observable: SparsePauliOp, found: TensorNetworkMitigation) -> float:
    """Variance of a shot of the noise-free circuit in the random bases of a result.

    Two words count together if their letters agree where both have one: there, once instead of twice.
    """
    chances = {
        qubit: dict(zip("XYZ", row, strict=True))
        for qubit, row in zip(found.qubits, found.bases, strict=True)
    }
    terms = [
        ({qubit: letter for qubit, letter in enumerate(reversed(label)) if letter != "I"}, weight.real)
        for label, weight in observable.to_list()
    ]
    products, weights = [], []
    for one, first in terms:
        for other, second in terms:
            shared = one.keys() & other.keys()
            if all(one[qubit] == other[qubit] for qubit in shared):
                left = [(qubit, letter) for qubit, letter in (one | other).items() if qubit not in shared]
                word = ("".join(letter for _, letter in left), [qubit for qubit, _ in left], 1.0)
                products.append(SparsePauliOp.from_sparse_list([word], observable.num_qubits))
                weights.append(first * second / np.prod([chances[qubit][one[qubit]] for qubit in shared]))
    square = float(np.array(weights) @ estimate(circuit, products).value)
    return square - estimate(circuit, observable).value ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a case of 4 qubits")
    add_out(parser)
    options = parser.parse_args()
    rows = []
    for name, make, width, steps, shots in [("energy", energy, 4, 1, 2000)] if options.quick else CASES:
        begin = time.process_time()
        noise = twirled_noise("fake:torino", range(width), readout=False)
        place, ideal = get_backend("aer", noise=noise), get_backend("aer")
        circuit, observable = place.transpile(trotter(width, steps)), make(width)
        exact = estimate(circuit, observable).value
        estimator = MitigatedEstimator(place, extrapolation="exponential", readout=False)
        extrapolated = float(estimator.run([(circuit, observable)]).result()[0].data.evs)
        how = {"shots": shots, "seed": 1, **LIMITS}
        found = mitigate_by_tensor_network(circuit, observable, noise, backend=place, **how)
        clean = mitigate_by_tensor_network(circuit, observable, NoiseModel(), backend=ideal, **how)
        bias = None
        if width <= 6:
            mitigated = mitigated_observable(circuit, observable, noise, **LIMITS)
            bias = estimate(circuit, mitigated.to_operator(), backend=place).value - exact
        row = {
            "observable": name,
            "qubits": width,
            "steps": steps,
            "two_qubit_gates": circuit.count_ops()["cz"],
            "shots": shots,
            "exact": exact,
            "raw_bias": estimate(circuit, observable, backend=place).value - exact,
            "zne_bias": extrapolated - exact,
            "tem_exact_bias": bias,
            "tem_error": found.value - exact,
            "tem_std": found.std,
            "bond": found.bond,
            "overhead": found.std**2 * shots / variance(circuit, observable, found),
            "overhead_best": (found.std / clean.std) ** 2,
            "overhead_mean_state": found.overhead,
            "pec": cancellation(circuit, noise),
            "cpu_seconds": round(time.process_time() - begin, 1),
        }
        row["zne_biased"] = bool(abs(row["zne_bias"]) > 3 * found.std)
        row["unbiased"] = bool(abs(row["tem_error"]) <= 2 * found.std)
        row["cheap"] = bool(row["overhead"] <= row["pec"] ** EXPONENT)
        row["cheap_best"] = bool(row["overhead_best"] <= row["pec"] ** EXPONENT)
        rows.append(row)
        print(
            f"{name}, {width} qubits, {row['two_qubit_gates']} CZ, {shots:,} shots: exact {exact:.4f}, "
            f"raw {row['raw_bias']:+.4f}, exponential {row['zne_bias']:+.5f} "
            f"({abs(row['zne_bias']) / found.std:.1f} std), TEM {row['tem_error']:+.5f} ± {found.std:.5f} "
            f"({met(row['unbiased'])}; exactly {bias}), bond {found.bond}\n"
            f"    overhead {row['overhead']:.3f} in the same bases ({met(row['cheap'])}), "
            f"{row['overhead_best']:.3f} over the best ({met(row['cheap_best'])}), {found.overhead:.3f} in "
            f"the mean state; PEC {row['pec']:.3f}, to the power {EXPONENT} {row['pec'] ** EXPONENT:.3f}; "
            f"{row['cpu_seconds']} CPU s",
            flush=True,
        )
        save(options.out, rows)
    judged = [row for row in rows if row["zne_biased"]]
    within, of_all = (sum(row["unbiased"] for row in some) for some in (judged, rows))
    print(
        f"the exponential is biased by more than 3 std in {len(judged)} of {len(rows)} cases; TEM is within "
        f"2 std in {within} of these, and in {of_all} of all"
    )


def met(bar: bool) -> str:
    return "met" if bar else "NOT met"


if __name__ == "__main__":
    main()
