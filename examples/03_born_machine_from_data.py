"""Bit strings to a quantum circuit: train a matrix product state on them, turn it into gates, train those.

python examples/03_born_machine_from_data.py              # bars and stripes, then handwritten digits
python examples/03_born_machine_from_data.py --quick      # bars and stripes, fewer layers and steps
python examples/03_born_machine_from_data.py strings.csv  # yours: one string of 0s and 1s per line, or .npy
"""

import sys

import numpy as np

import bondwise as bw


def split(strings):
    """Four fifths to train on and one fifth to validate. Keep related strings on one side."""
    order = np.random.default_rng(0).permutation(len(strings))
    held = len(strings) // 5
    return strings[order[held:]], strings[order[:held]]


def independent_bits(training, strings):
    """Negative log likelihood, in nats per string, if the bits were independent."""
    ones = (training.sum(axis=0) + 1) / (len(training) + 2)
    return -np.log(np.where(strings, ones, 1 - ones)).sum(axis=1).mean()


def learn(name, training, validation, max_bond, layers):
    """Train a state, print how well it fits, and turn it into a circuit."""
    trained = bw.tn.train_born(training, max_bond, validation=validation, seed=0)
    print(f"\n{name}: {len(training)} strings of {training.shape[1]} bits; {trained.message}")
    sets = [training] if validation is None else [training, validation]
    rows = {
        "independent bits": [independent_bits(training, strings) for strings in sets],
        "trained state": [-trained.log_probability(strings).mean() for strings in sets],
        "entropy of data": [trained.entropy],  # the least that any model can have on the training strings
    }
    print(f"{'nats per string':16} " + " ".join(["     train", "validation"][: len(sets)]))
    for label, values in rows.items():
        print(f"{label:16} " + " ".join(f"{value:10.4f}" for value in values))
    start = bw.tn.decompose(trained.state, layers=layers, seed=0)
    infidelity, cx = start.infidelity, start.cx_count
    print(f"as a circuit           infidelity {infidelity:.2g}, {cx} CX, two-qubit depth {start.depth}")
    return trained


def share(drawn, images):
    """Share of the strings that are among the images."""
    return (drawn[:, None] == images).all(axis=2).any(axis=1).mean()


def train_further(side, bond, layers, steps, seeds):
    """Train a circuit from a state of small bond and from random angles, and measure it on a noisy device."""
    images = bw.qml.bars_and_stripes(side, side)
    state = bw.tn.train_born(images, bond, seed=0)
    below = [(pixel, pixel + side) for pixel in range(side * (side - 1))]  # gates between rows: room to learn
    warm, cold = [], []
    for seed in range(seeds):
        circuit, angles = bw.qml.mps_start(layers, state, pairs=below, seed=seed)
        machine = bw.qml.BornMachine(circuit, images, optimizer="lbfgs")
        warm.append(machine.run(angles, steps=steps))
        cold.append(machine.run(bw.qml.random_start(circuit, seed=seed), steps=steps))
    cx = bw.circuits.cx_count(circuit)
    print(f"\nbars and stripes {side}x{side}, bond {bond}, {layers} layers: {side**2} qubits, {cx} CX")
    print(f"{'':24} {'KL, nats':>16}   right")  # share of 2000 samples, of the first seed
    alone = state.nll - state.entropy
    print(f"{'state alone':24} {alone:z16.3f} {share(state.sample(2000, seed=0), images):7.1%}")
    print(f"{'as a circuit':24} {warm[0].losses[0]:16.3f}")
    for name, found in (("trained", warm), ("trained, random start", cold)):
        values = [result.value for result in found]
        drawn = found[0].sample(2000, seed=0).bits["meas"]
        print(f"{name:24} {f'{min(values):.3f} to {max(values):.3f}':>16} {share(drawn, images):7.1%}")
    noisy = warm[0].sample(2000, backend="fake:torino", seed=0).bits["meas"]
    print(f"{'trained, on fake:torino':24} {'':16} {share(noisy, images):7.1%}")
    if alone < min(result.value for result in warm):
        print("the state alone is the better model, and needs no device")
    else:
        print("the circuit is the better model; so is a state of larger bond, without a device")


quick = "--quick" in sys.argv
files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
if files:
    strings = bw.tn.read_bitstrings(files[0])
    learn(files[0], *split(strings), max_bond=16, layers=2)
else:
    images = bw.qml.bars_and_stripes(4, 4)
    trained = learn("bars and stripes 4x4", images, None, max_bond=16, layers=2 if quick else 6)
    good = share(trained.sample(1000, seed=0), images)
    print(f"samples                {good:.1%} of 1000 are bars or stripes")
    train_further(3, bond=4, layers=2, steps=20 if quick else 100, seeds=1 if quick else 5)
    if not quick:
        train_further(3, bond=8, layers=4, steps=100, seeds=5)
        trained = learn("digits", *split(bw.qml.binary_digits()), max_bond=16, layers=2)
        for row in trained.sample(8, seed=1).reshape(8, 8, 8).transpose(1, 0, 2):
            print("  ".join("".join("█" if pixel else "·" for pixel in line) for line in row))
