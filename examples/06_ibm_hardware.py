"""The same lines as 01_run_on_a_simulator.py on an IBM device; jobs survive the process.

python examples/06_ibm_hardware.py                    # a server on this machine that speaks IBM's API; 10 s
python examples/06_ibm_hardware.py --quick            # fewer shots
python examples/06_ibm_hardware.py ibm:least_busy     # your account: 3 jobs, about 36 s there (--quick: 8 s)
"""

import os
import sys
import tempfile

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import bondwise as bw

shots = 1_000 if "--quick" in sys.argv else 20_000
device = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
if device is None:
    print(
        "No backend was named: jobs go to a server on this machine, which simulates the device ibm_manila.\n"
    )
    device = "ibm:ibm_manila"
    server = bw.backends.LoopbackService(devices=["manila"], seed=1)
    server.start()
    os.environ.update(server.environment())  # in place of an account
    folder = tempfile.TemporaryDirectory()
    journal = bw.backends.Journal(f"{folder.name}/jobs.sqlite")
else:
    journal = bw.backends.Journal()  # the user's
names = ("statevector", device)
backends = {name: bw.backends.record(name, "example 6", journal=journal) for name in names}

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

# 4. All jobs are in the journal. Under the same name, what was asked before is answered from there.
before = len(journal.records())
again = bw.backends.record(device, "example 6", journal=journal)
repeated = bw.backends.sample(circuit, angles, shots=shots, backend=again, seed=1)
new = len(journal.records()) - before
print("\nasked again:", new, "new jobs, same counts:", repeated.counts == samples.counts)
for job in journal.records(run="example 6"):
    if job.job_ids:
        print(
            f"{job.job_ids[0]} {job.state}, circuits: {job.about['circuits']}, QPU time: {job.qpu_seconds} s"
        )
