"""A QNode of PennyLane, unchanged, on an exact simulator and on a device snapshot: one job for a gradient.

python examples/07_pennylane_on_a_device.py                           # on fake:torino, about 20 s
python examples/07_pennylane_on_a_device.py --quick                   # fewer steps
python examples/07_pennylane_on_a_device.py --quick ibm:least_busy    # your account: 4 jobs
"""

import sys

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp

steps = 2 if "--quick" in sys.argv else 10
backend = next((word for word in sys.argv[1:] if not word.startswith("-")), "fake:torino")

# The transverse-field Ising chain of four spins, and an ansatz of 16 angles.
wires = range(4)
hamiltonian = -qml.sum(*(qml.Z(i) @ qml.Z(i + 1) for i in range(3)), *(qml.X(i) for i in wires))


def energy(angles):
    for layer in angles:
        for wire in wires:
            qml.RY(layer[wire], wire)
        for wire in range(3):
            qml.CNOT([wire, wire + 1])
    return qml.expval(hamiltonian)


start = pnp.array(np.random.default_rng(1).normal(scale=0.3, size=(4, 4)), requires_grad=True)

# 1. The same QNode on three devices. A value and its gradient have 33 points here, which are one job.
print(f"{'device':28}{'energy':>10}{'|gradient|':>12}{'jobs':>6}")
devices = {
    "default.qubit": qml.device("default.qubit", wires=4),
    "bondwise, statevector": qml.device("bondwise", wires=4, backend="statevector"),
    f"bondwise, {backend}": qml.device("bondwise", wires=4, backend=backend),
}
for name, device in devices.items():
    method = "backprop" if name == "default.qubit" else "device"
    qnode = qml.QNode(energy, device, diff_method=method)
    if "ibm:" in name:  # which has no exact values
        qnode = qml.set_shots(qnode, shots=2000)
    differentiate = qml.grad(qnode)
    with qml.Tracker(device) as tracker:
        gradient = differentiate(start)
    jobs = tracker.totals.get("jobs", "–")
    print(f"{name:28}{differentiate.forward:10.4f}{np.linalg.norm(gradient):12.4f}{jobs:>6}")

# 2. With shots, as on the device itself: the backend "ibm:least_busy" would send the same jobs to IBM.
sampled = qml.device("bondwise", wires=4, backend=backend, seed=1)
qnode = qml.set_shots(qml.QNode(energy, sampled, diff_method="device"), shots=2000)
angles = start
with qml.Tracker(sampled) as tracker:
    for _ in range(steps):
        angles = angles - 0.1 * qml.grad(qnode)(angles)
print(f"\n{steps} steps of gradient descent with 2000 shots: {tracker.totals['jobs']} jobs")
before, after = (float(qml.QNode(energy, devices["default.qubit"])(point)) for point in (start, angles))
exact = np.linalg.eigvalsh(qml.matrix(hamiltonian, wire_order=wires))[0]
print(f"energy without noise: {before:.3f} → {after:.3f} (ground state {exact:.3f})")

# 3. Mid-circuit measurements and branches run on the device.


@qml.qnode(sampled)
def reset_by_hand(angle):
    qml.RX(angle, 0)
    outcome = qml.measure(0)
    qml.cond(outcome, qml.X)(0)
    return qml.expval(outcome), qml.expval(qml.Z(0))


ones, after = qml.set_shots(reset_by_hand, shots=4000)(1.2)
print(f"\nmeasured 1 in {ones:.1%} of the shots (ideally {np.sin(0.6) ** 2:.1%}), and then ⟨Z⟩ = {after:.3f}")
