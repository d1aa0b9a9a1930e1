"""Proteins as sentences: read, classify, run on a noisy device. The proteins are SYNTHETIC, made here.

python examples/04_protein_sentences.py            # tensor network start, then the circuit; fake:torino
python examples/04_protein_sentences.py --quick    # fewer proteins, no device
"""

import sys

import numpy as np

from bondwise.qml.protein import (
    HydropathyLR,
    PathQTN,
    WindowQTN,
    dynamic_circuit,
    predict_on_backend,
    score_predictions,
    synthetic_proteins,
    window_scores,
)

QUICK = "--quick" in sys.argv[1:]


def fitted(model, train, valid):
    return model.fit(train.sequences, train.labels, validation=(valid.sequences, valid.labels))


def report(name, model, test, probabilities=None):
    if probabilities is None:
        probabilities = model.predict_proba(test.sequences)
    scores = score_predictions(test.labels, probabilities, model.classes_)
    print(f"{name:42} {model.num_parameters:4d} parameters, {scores}")


proteins = synthetic_proteins(200 if QUICK else 600, seed=1)
train, valid, test = (proteins.select(split) for split in ("train", "valid", "test"))
print(proteins)

# short circuits on windows of 15 residues; a tensor network, trained first, gives their starting point
start = "angles" if QUICK else "tensor-network"
window = fitted(WindowQTN(start=start, epochs=25, seed=1), train, valid)
report("windows, 2 qubits", window, test)
report("logistic regression on hydropathy", fitted(HydropathyLR(), train, valid), test)

# the path of the paper: one box per residue, the second wire post-selected
path = fitted(PathQTN(discard=False, epochs=2), train, valid)
report("path, post-selected", path, test)
rate = np.median(path.log10_postselection(test.sequences))
print(f"  log10 of the probability that a run passes its post-selections: {rate:.1f}, not for hardware")

# which residues decided the call
positions, scores = window_scores(window, test.sequences[0])
peak = int(positions[np.abs(scores).argmax()])
print(f"the call on the first test protein rests most on the residues around {peak}")

circuit, length = dynamic_circuit(window, test.sequences[0]), len(test.sequences[0])
print(f"all its windows as one dynamic circuit: {circuit.num_qubits} qubits for {length} residues")

few = test.sequences[: 5 if QUICK else 40]
backend = "statevector" if QUICK else "fake:torino"
measured = predict_on_backend(window, few, backend=backend, shots=256, seed=0)
exact = window.predict_proba(few)
agree = (measured.probabilities.argmax(1) == exact.argmax(1)).mean()
print(f"{backend}: {measured.shots:,} shots, {agree:.0%} of {len(few)} calls as without noise")
