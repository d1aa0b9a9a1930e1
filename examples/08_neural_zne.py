"""Zero-noise extrapolation that learns: the network of arXiv:2403.07025 and ours, and two VQEs on a device.

python examples/08_neural_zne.py                           # on fake:torino, about a minute
python examples/08_neural_zne.py --quick                   # fewer stops and shots
python examples/08_neural_zne.py --backend fake:marrakesh  # or fake:kyiv; or ibm:least_busy, 4 jobs
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks this small gain nothing from threads

import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import bondwise as bw
from bondwise.mitigation import extrapolate_exponential, extrapolate_neural, extrapolate_paper_network

parser = argparse.ArgumentParser()
parser.add_argument("--backend", default="fake:torino")
parser.add_argument("--quick", action="store_true")
options = parser.parse_args()
STOPS, SWEEPS, SHOTS = (8, 2, 512) if options.quick else (20, 8, 4096)


def rotations_and_cx(qubits, layers):
    """The ansatz of the paper: RY and RZ on each qubit between chains of CX."""
    angles = iter(ParameterVector("a", 2 * qubits * (layers + 1)))
    circuit = QuantumCircuit(qubits)
    for layer in range(layers + 1):
        if layer:
            circuit.cx(range(qubits - 1), range(1, qubits))
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
    return circuit


def trajectory(hamiltonian, circuit, start, steps):
    """Train without noise; the steps of some stops, the angles there (stops, P), and their exact energies."""
    path = []
    vqe = bw.qml.VQE(hamiltonian, circuit, learning_rate=0.1)
    vqe.run(start, steps=steps, callbacks=[lambda step: path.append(step.parameters)])
    at = np.unique(np.linspace(0, steps, STOPS).astype(int))
    angles = np.array(path)[at]
    return at, angles, bw.backends.estimate(circuit, hamiltonian, angles).value


figure = Figure(figsize=(12, 3.6), layout="constrained")
axes = figure.subplots(1, 3)

# 1. The paper's problem: H = Z⊗Z⊗Z⊗Z, simulated with error probabilities of 1 to 5 %, asked at 0. All methods
#    see the same shots, and values are clipped to what H can be. Only `neural` learns from all stops at once.
hamiltonian, circuit = SparsePauliOp("ZZZZ"), rotations_and_cx(4, layers=2)
_, angles, ideal = trajectory(hamiltonian, circuit, bw.qml.random_start(circuit, seed=2), steps=40)
sweeps = [
    bw.mitigation.scan_error_probabilities(circuit, hamiltonian, angles, shots=1024, seed=seed)
    for seed in range(SWEEPS)
]
methods = {
    "network of the paper": extrapolate_paper_network,
    "exponential": extrapolate_exponential,
    "neural": extrapolate_neural,
}
print(f"Z⊗Z⊗Z⊗Z: {SWEEPS} sweeps over {STOPS} stops of a VQE, which ends at {ideal[-1]:.4f}")
print(f"{'method':22}{'end of first sweep':>20}{'mean error':>12}")
print(f"{'none, at 1 %':22}{sweeps[0].value[-1, 0]:11.4f} ± {sweeps[0].std[-1, 0]:.4f}", end="")
print(f"{np.mean([np.abs(sweep.value[:, 0] - ideal) for sweep in sweeps]):12.4f}")
errors = {}
for name, extrapolate in methods.items():
    fits = [extrapolate(sweep) for sweep in sweeps]
    values = np.clip([fit.value for fit in fits], -1, 1)
    errors[name] = np.abs(values - ideal).mean()
    print(f"{name:22}{values[0, -1]:11.4f} ± {fits[0].std[-1]:.4f}{errors[name]:12.4f}")
    at, curves = fits[0].curve_at / 100, np.array([fit.curve[-1] for fit in fits])
    (drawn,) = axes[0].plot(at, curves.mean(axis=0), label=name)
    low, high = curves.min(axis=0), curves.max(axis=0)  # of all sweeps
    axes[0].fill_between(at, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
best = min(errors, key=errors.get)
ratio = errors["network of the paper"] / errors[best]
print(f"closest: {best}; the errors of the paper's network are {ratio:.1f} times as large")
first = sweeps[0]
axes[0].errorbar(
    first.meta["error_probabilities"], first.value[-1], first.std[-1], fmt="k.", label="measured"
)
axes[0].plot(0, ideal[-1], "k*", label="without noise")
axes[0].set(xlabel="error probability", ylabel="⟨ZZZZ⟩", title="end of the VQE")
axes[0].legend(fontsize="small")

# 2. The energy along two VQEs whose start is a tensor network of bond dimension 1 (for H2, Hartree-Fock) and
#    random blocks behind it. H2: STO-3G, 0.735 Å, on two qubits, in hartree with the repulsion of the nuclei.
hydrogen = SparsePauliOp(
    ["II", "IZ", "ZI", "ZZ", "XX"],
    [-0.332404251323, 0.397937424843, -0.397937424843, -0.011280104256, 0.180931199784],
)
problems = {"Ising chain of 4": bw.qml.ising(4), "H2": hydrogen}
backend = bw.backends.get_backend(options.backend)
for axis, (name, hamiltonian) in zip(axes[1:], problems.items(), strict=True):
    exact, _ = bw.qml.exact_ground_state(hamiltonian)
    edges = bw.qml.lattice_edges(hamiltonian.num_qubits)
    circuit, start = bw.qml.product_start(hamiltonian, layers=1, pairs=edges, strength=0.4, seed=1)
    steps, angles, ideal = trajectory(hamiltonian, circuit, start, steps=60)

    # all stops, noise strengths and the readout calibration are one job
    zne = bw.mitigation.MitigatedEstimator(backend, shots=SHOTS, seed=1)
    mitigated = bw.backends.estimate(circuit, hamiltonian, angles, backend=zne, seed=1)
    bases = bw.backends.estimate(circuit, hamiltonian, angles[0], shots=1).shots
    shots = mitigated.shots // (bases * len(angles))  # as many in total
    raw = bw.backends.estimate(circuit, hamiltonian, angles, backend=backend, shots=shots, seed=2)

    print(f"\n{name} on {backend.name}: ground state {exact:.4f}, {mitigated.shots:,} shots each way")
    print(f"{'step':>4}{'ideal':>10}{'raw':>19}{'mitigated':>19}")
    rows = zip(steps, ideal, raw.value, raw.std, mitigated.value, mitigated.std, strict=True)
    for step, energy, *measured in list(rows)[:: max(1, STOPS // 5)]:
        print(f"{step:4}{energy:10.4f}" + "{:10.4f} ± {:.4f}{:10.4f} ± {:.4f}".format(*measured))
    off = {"raw": np.abs(raw.value - ideal).mean(), "mitigated": np.abs(mitigated.value - ideal).mean()}
    print("mean error: raw {raw:.4f}, mitigated {mitigated:.4f}".format(**off), end="")
    print(f"; {min(off, key=off.get)} is closer")

    axis.plot(steps, ideal, "k-", label="ideal")
    axis.axhline(exact, color="0.7", linestyle=":", label="ground state")
    for label, result, mark in (("raw", raw, "s"), ("mitigated", mitigated, "o")):
        axis.errorbar(steps, result.value, result.std, fmt=mark, markersize=4, capsize=2, label=label)
    axis.set(xlabel="step", ylabel="energy", title=f"{name}, {backend.name}")
axes[1].legend(fontsize="small")
figure.savefig("neural_zne.png", dpi=150)
print("\nfigure: neural_zne.png")
