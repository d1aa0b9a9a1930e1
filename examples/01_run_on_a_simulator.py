"""One circuit, four backends: the same lines run exactly, with shots, with noise, and on a device snapshot.

python examples/01_run_on_a_simulator.py          # about 15 s
python examples/01_run_on_a_simulator.py --quick  # fewer shots
"""

import sys

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import bondwise as bw

shots = 1_000 if "--quick" in sys.argv else 20_000
names = ("statevector", "aer", "aer:depolarizing=0.01", "fake:torino")
backends = {name: bw.backends.get_backend(name) for name in names}

# A GHZ-like state of four qubits whose two weights are set by one angle: cos(θ/2)|0000⟩ + sin(θ/2)|1111⟩.
theta = ParameterVector("theta", 1)
circuit = QuantumCircuit(4)
circuit.ry(theta[0], 0)
for qubit in range(3):
    circuit.cx(qubit, qubit + 1)
angles = np.array([np.pi / 3])

# 1. Counts of all qubits, since the circuit has no measurements of its own.
for backend in backends.values():
    samples = bw.backends.sample(circuit, angles, shots=shots, backend=backend, seed=1)
    print(samples)
    print("  counts:", samples.counts["meas"])

# 2. Expectation values with standard errors, on one backend after another: only the name changes.
observables = [SparsePauliOp("ZZII"), SparsePauliOp("XXXX")]
print(f"\n{'backend':28} {'⟨ZZII⟩':>18} {'⟨XXXX⟩':>18}")
for name, backend in backends.items():
    result = bw.backends.estimate(
        circuit, observables, angles, shots=None if name == "statevector" else shots, backend=backend, seed=1
    )
    errors = np.broadcast_to(result.std, result.value.shape)
    print(
        f"{name:28}",
        *(f"{value:9.4f} ± {error:.4f}" for value, error in zip(result.value, errors, strict=True)),
    )
print("exact: ⟨ZZII⟩ = 1, ⟨XXXX⟩ = sin(π/3) =", round(np.sin(np.pi / 3), 4))

# 3. Gradients: bw.backends.expectation() returns a torch tensor on every backend.
parameters = torch.tensor(angles, requires_grad=True)
print()
for name, backend in backends.items():
    value = bw.backends.expectation(
        circuit, observables[1], parameters, backend, shots=None if name == "statevector" else shots, seed=1
    )
    (gradient,) = torch.autograd.grad(value, parameters)
    print(f"{name:28} d⟨XXXX⟩/dθ = {gradient.item():.6f}   (exact: cos(π/3) = 0.5)")
