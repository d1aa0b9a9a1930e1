"""A torch network with a circuit in it, trained exactly, then run as it is on a device: one job a batch.

python examples/09_hybrid_network.py                    # five seeds, about a minute
python examples/09_hybrid_network.py --quick            # one seed, fewer steps
python examples/09_hybrid_network.py ibm:least_busy     # the trained network on your account: 4 jobs
"""

import sys

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from sklearn.datasets import make_moons
from torch import nn

import bondwise as bw

quick = "--quick" in sys.argv
backend = next((word for word in sys.argv[1:] if not word.startswith("-")), "fake:torino")
seeds, steps = (1, 40) if quick else (5, 100)
shots, batch = 1000, 50


def moons(seed):
    """Points of two crescents, float64 (200, 2), and which one they belong to, (200, 1)."""
    points, labels = make_moons(200, noise=0.25, random_state=seed)
    return torch.from_numpy(points), torch.from_numpy(labels).double()[:, None]


def quantum_layer(**where):
    """Two inputs to ⟨Z⟩ of three qubits, with 18 angles to train; the inputs come in again in every layer."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 18)
    circuit = QuantumCircuit(3)
    for layer in range(3):
        for qubit in range(3):
            circuit.ry(x[qubit % 2], qubit)
            circuit.rz(w[6 * layer + qubit], qubit)
            circuit.ry(w[6 * layer + 3 + qubit], qubit)
        circuit.cz(0, 1), circuit.cz(1, 2)
    return bw.backends.to_torch(circuit, ["Z0", "Z1", "Z2"], inputs=x, **where)


def hybrid(**where):
    return nn.Sequential(nn.Linear(2, 2), quantum_layer(**where), nn.Linear(3, 1)).double()


def classical():
    return nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 1)).double()


def trained(network, points, labels):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(points), labels).backward()
        optimizer.step()
    return network


def in_batches(network, points):
    with torch.no_grad():
        return torch.cat([network(part) for part in points.split(batch)])


def accuracy(logits, labels):
    return ((logits > 0) == (labels > 0.5)).double().mean().item()


# 1. The network learns on the exact simulator, and so does a classical one of the same size.
points, labels = moons(seed=1000)  # to test on
found = {"hybrid": [], "classical": []}
for seed in range(seeds):
    for name, make in (("classical", classical), ("hybrid", hybrid)):
        torch.manual_seed(seed)
        network = trained(make(), *moons(seed))
        found[name].append(accuracy(in_batches(network, points), labels))
means = {name: sum(values) / seeds for name, values in found.items()}
print(f"two moons, 200 points to learn from and 200 to test on; mean of {seeds} seeds")
for name, make in (("hybrid", hybrid), ("classical", classical)):
    size = sum(weight.numel() for weight in make().parameters())
    spread = f"({min(found[name]):.1%} to {max(found[name]):.1%})"
    print(f"{name:20} {means[name]:6.1%} right {spread:20} {size} parameters")

# 2. The same weights on the device. A batch is one PUB in one job, and so is its gradient.
noisy = hybrid(backend=backend, shots=shots, seed=0)
noisy.load_state_dict(network.state_dict())
logits = in_batches(noisy, points)
exact = in_batches(network, points)
print(f"\nlast hybrid network  {accuracy(exact, labels):6.1%} right (exact)")
print(f"on {backend:17} {accuracy(logits, labels):6.1%} right")
changed = ((logits > 0) != (exact > 0)).sum().item()
print(f"                     {changed} of {len(points)} answers differ, with {shots} shots a point")


def evaluate(place):
    device = hybrid(backend=place, shots=shots)
    device.load_state_dict(network.state_dict())
    return in_batches(device, points)


def one_step(place):
    device = hybrid(backend=place, shots=shots)
    nn.functional.binary_cross_entropy_with_logits(device(points[:batch]), labels[:batch]).backward()


print(f"\n{'what is sent to the device':34}{'jobs':>6}{'PUBs':>6}{'circuits':>10}")
for name, work in (
    (f"{len(points)} points in batches of {batch}", evaluate),
    (f"gradient of a batch of {batch}", one_step),
):
    plan = bw.backends.plan(backend, work)
    print(f"{name:34}{plan.jobs:6}{plan.pubs:6}{plan.circuits:10,}")

# 3. What it is worth.
ahead = means["hybrid"] - means["classical"]
print(f"\nthe {'hybrid' if ahead > 0 else 'classical'} network is right {abs(ahead):.1%} more often", end="")
print(" with this seed, which decides nothing" if seeds == 1 else f" on average over {seeds} seeds")
print("the classical one needs no device, no shots, and a small part of the time")
