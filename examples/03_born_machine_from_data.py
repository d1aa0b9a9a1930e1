"""Bit strings to a quantum circuit: train a matrix product state on them, then turn it into gates.

python examples/03_born_machine_from_data.py              # bars and stripes, then handwritten digits
python examples/03_born_machine_from_data.py --quick      # bars and stripes, fewer layers
python examples/03_born_machine_from_data.py strings.csv  # yours: one string of 0s and 1s per line, or .npy
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

import bondwise as bw


def bars_and_stripes(side):
    """All images of full rows or of full columns, (30, 16) for side 4."""
    lines = (np.arange(2**side)[:, None] >> np.arange(side)) & 1
    return np.unique(np.concatenate([np.repeat(lines, side, axis=1), np.tile(lines, side)]), axis=0)


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


quick = "--quick" in sys.argv
files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
if files:
    strings = bw.tn.read_bitstrings(files[0])
    learn(files[0], *split(strings), max_bond=16, layers=2)
else:
    images = bars_and_stripes(4)
    trained = learn("bars and stripes", images, None, max_bond=16, layers=2 if quick else 6)
    drawn = trained.sample(1000, seed=0)
    good = (drawn[:, None] == images).all(axis=2).any(axis=1).mean()
    print(f"samples                {good:.1%} of 1000 are bars or stripes")
    if not quick:
        digits = (load_digits().data > 7).astype(np.uint8)  # 8 x 8 pixels
        trained = learn("digits", *split(digits), max_bond=16, layers=2)
        for row in trained.sample(8, seed=1).reshape(8, 8, 8).transpose(1, 0, 2):
            print("  ".join("".join("█" if pixel else "·" for pixel in line) for line in row))
