"""Protein classifiers run as circuits: how shots, noise and a device snapshot change the accuracy.

WindowQTN and LatchQTN are trained on the exact executor (core set of `protein_accuracy.py`, one seed). Then
proteins of the test set are predicted through `predict_on_backend`: windows as short circuits, pooled
afterwards, and the latch as one dynamic circuit for each protein.

    exact        the executor itself
    shots        a simulator without noise; "plain" is without the correction for the bias of extremes
    noise        two-qubit depolarizing noise, exact values
    snapshot     fake:torino with and without readout mitigation; a device has more errors than that

"flips" counts predictions that differ from the executor's on the same proteins, which says more than
accuracies, whose errors come from the choice of proteins. "bias" and "rms" compare the logits with the
executor's.

    python benchmarks/protein_hardware.py [--quick] [--proteins N] [--latch-proteins N] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from dataclasses import asdict

import numpy as np
import torch
from protein_accuracy import data
from record import add_out, save

from bondwise.mitigation import MitigatedEstimator
from bondwise.qml.protein import LatchQTN, WindowQTN, predict_on_backend, score_predictions

SHOTS = (64, 256, 1024, 4096)
NOISE = (0.001, 0.003, 0.01)
DEVICE = "fake:torino"
DEVICE_SHOTS = 1024


class Table:
    """Rows of one model on the same proteins, printed one by one."""

    def __init__(self, name, model, sequences, labels, rows):
        self.name, self.model, self.sequences, self.labels, self.rows = name, model, sequences, labels, rows
        self.exact = model.decision_function(sequences)
        scores = score_predictions(labels, model.predict_proba(sequences), model.classes_)
        print(f"{name:7} {'exact':32} {len(labels):8d} {'':8} {_accuracy(scores)}", flush=True)
        rows.append({"model": name, "where": "exact", "scores": asdict(scores)})

    def add(self, where, backend, shots, seed=1):
        """Predict through a backend and compare."""
        cpu = time.process_time()
        found = predict_on_backend(self.model, self.sequences, backend=backend, shots=shots, seed=seed)
        cpu = time.process_time() - cpu
        scores = score_predictions(self.labels, found.probabilities, self.model.classes_)
        row = {"model": self.name, "where": where, "per_circuit": shots, "circuits": found.circuits}
        row |= {"shots": found.shots, "scores": asdict(scores), "cpu_seconds": cpu}
        line = f"{self.name:7} {where:32} {len(self.labels):8d} {found.circuits:8d} {_accuracy(scores)}"
        pooled = shots and isinstance(self.model, WindowQTN)
        kinds = {"corrected": found.logits} | ({"plain": found.uncorrected} if pooled else {})
        for kind, logits in kinds.items():
            error = logits - self.exact
            row[kind] = {
                "flips": int(((logits > 0) != (self.exact > 0)).sum()),
                "bias": float(error.mean()),
                "rms": float(np.sqrt((error**2).mean())),
                "accuracy": float(np.mean(self.model.classes_[(logits > 0).astype(int)] == self.labels)),
            }
            line += f" {row[kind]['flips']:5d} {row[kind]['bias']:+7.3f} {row[kind]['rms']:6.3f}"
        if shots:
            row["rms_error_over_std"] = float(
                np.sqrt(np.mean(((found.logits - self.exact) / found.std) ** 2))
            )
        print(f"{line}{'' if pooled else ' ' * 21} {cpu:7.1f}", flush=True)
        self.rows.append(row)


def _accuracy(scores):
    return f"{scores.accuracy:.3f} ± {scores.std:.3f}"


def trained(model, proteins):
    train, valid, test = (proteins.select(split) for split in ("train", "valid", "test"))
    cpu = time.process_time()
    model.fit(train.sequences, train.labels, validation=(valid.sequences, valid.labels))
    accuracy = model.score(test.sequences, test.labels)
    print(
        f"{type(model).__name__}: {model.num_parameters} parameters, test accuracy {accuracy:.3f} on all "
        f"{len(test)} proteins, trained in {time.process_time() - cpu:.0f} CPU s",
        flush=True,
    )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few epochs, proteins and settings")
    parser.add_argument("--proteins", type=int, default=200, help="number of test proteins for the windows")
    parser.add_argument("--latch-proteins", type=int, default=50, help="number of these for the latch")
    parser.add_argument("--seed", type=int, default=1, help="random seed for training")
    add_out(parser)
    options = parser.parse_args()
    if options.quick:
        options.proteins, options.latch_proteins = min(options.proteins, 20), min(options.latch_proteins, 5)
    torch.set_num_threads(1)
    proteins, start, rows = data(core=True), time.perf_counter(), []
    fewer = {"epochs": 3} if options.quick else {}
    window = trained(WindowQTN(seed=options.seed, **fewer), proteins)
    latch = trained(LatchQTN(seed=options.seed, **fewer), proteins)
    test = proteins.select("test")
    chosen = np.random.default_rng(0).permutation(len(test))[: options.proteins]
    sequences, labels = [test.sequences[i] for i in chosen], np.array([test.labels[i] for i in chosen])

    print(f"\n{'':7} {'':32} {'':8} {'':8} {'':13} {'corrected':>20} {'plain':>20}")
    print(
        f"{'model':7} {'where':32} {'proteins':>8} {'circuits':>8} {'accuracy':13}"
        + " flips    bias    rms" * 2
        + "   CPU s"
    )
    table = Table("window", window, sequences, labels, rows)
    for shots in SHOTS[::2] if options.quick else SHOTS:
        table.add(f"aer, {shots} shots", "aer", shots)
    for strength in NOISE[-1:] if options.quick else NOISE:
        table.add(f"depolarizing {strength:g}", f"aer:depolarizing={strength}", None)
    table.add(f"{DEVICE}, {DEVICE_SHOTS} shots", DEVICE, DEVICE_SHOTS)
    readout = MitigatedEstimator(DEVICE, extrapolation=None)
    table.add(f"{DEVICE}, {DEVICE_SHOTS}, readout undone", readout, DEVICE_SHOTS)

    few = slice(options.latch_proteins)
    table = Table("latch", latch, sequences[few], labels[few], rows)
    table.add(f"aer:density_matrix, {DEVICE_SHOTS} shots", "aer:density_matrix", DEVICE_SHOTS)
    for strength in NOISE[-1:] if options.quick else NOISE:
        table.add(f"depolarizing {strength:g}", f"aer:depolarizing={strength}", None)
    print(f"\n{time.perf_counter() - start:.0f} s, {time.process_time():.0f} CPU s")
    save(options.out, rows)


if __name__ == "__main__":
    main()
