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


def train_further(side, steps):
    """Train a circuit from a state that is too small for the images, and measure it on a noisy device."""
    images = bw.qml.bars_and_stripes(side, side)
    rows = {}
    small, large = (bw.tn.train_born(images, bond, seed=0) for bond in (4, 8))
    for bond, trained in ((4, small), (8, large)):
        rows[f"state of bond {bond} alone"] = trained.nll - trained.entropy, trained.sample(2000, seed=0)
    below = [(pixel, pixel + side) for pixel in range(side * (side - 1))]  # gates between rows: room to learn
    circuit, angles = bw.qml.mps_start(2, small, pairs=below, seed=0)
    machine = bw.qml.BornMachine(circuit, images, optimizer="lbfgs")
    start = machine.run(angles, steps=0)
    warm = machine.run(angles, steps=steps)
    cold = machine.run(bw.qml.random_start(circuit, seed=0), steps=steps)
    for name, found in (
        ("as a circuit of 2 layers", start),
        ("trained", warm),
        ("trained, random start", cold),
    ):
        rows[name] = found.value, found.sample(2000, seed=0).bits["meas"]
    noisy = warm.sample(2000, backend="fake:torino", seed=0)
    rows["trained, on fake:torino"] = None, noisy.bits["meas"]
    print(
        f"\nbars and stripes {side}x{side} on {circuit.num_qubits} qubits, {bw.circuits.cx_count(circuit)} CX"
    )
    print(f"{'':26} {'KL, nats':>9} {'right':>7}   of 2000 samples")
    for name, (divergence, drawn) in rows.items():
        shown = "–" if divergence is None else f"{divergence:z.4f}"
        print(f"{name:26} {shown:>9} {share(drawn, images):7.1%}")
    best = "state of bond 8" if large.nll - large.entropy < warm.value else "circuit"
    print(f"the {best} is the better model; the state needs no device and has no noise")


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
    train_further(3, steps=20 if quick else 150)
    if not quick:
        trained = learn("digits", *split(bw.qml.binary_digits()), max_bond=16, layers=2)
        for row in trained.sample(8, seed=1).reshape(8, 8, 8).transpose(1, 0, 2):
            print("  ".join("".join("█" if pixel else "·" for pixel in line) for line in row))
