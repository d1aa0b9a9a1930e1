"""Accuracy of the protein classifiers: cytoplasm or cell membrane, split by homology, five seeds.

The data is the CSV file `proteins/cytoplasm_vs_cell_membrane.csv` in the folder BONDWISE_DATA; train, valid
and test are whole homology partitions. Epochs are chosen on valid, and test is predicted once, at the end of
each row. "core": one location only, 80 to 500 residues. `bondwise protein benchmark` prints the baselines.

    core    WindowQTN, at most 150 parameters
    large   committees of eight WindowQTNs, the mean of their logits: at most 1,000 parameters
    full    WindowQTN on all proteins, whatever their length
    single  LatchQTN: one circuit per protein, nothing pooled classically
    start   starts compared: tensor network, small angles, random angles
    paper   the four variants of arXiv:2403.06890, on partitions and on a random split, which leaks homologues

    python benchmarks/protein_accuracy.py core [--seeds 5] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from record import add_out, save

from bondwise.qml.protein import (
    LatchQTN,
    PathQTN,
    ProteinSet,
    TreeQTN,
    WindowQTN,
    read_proteins,
    score_predictions,
)

GOAL = 0.87  # valid accuracy, to which epochs are counted when starts are compared


def data(core: bool) -> ProteinSet:
    folder = os.environ.get("BONDWISE_DATA")
    if not folder:
        sys.exit("set BONDWISE_DATA to the folder that holds proteins/cytoplasm_vs_cell_membrane.csv.")
    path = Path(folder) / "proteins" / "cytoplasm_vs_cell_membrane.csv"
    if not core:
        return read_proteins(path)
    return read_proteins(path, where={"primary": "1"}, min_length=80, max_length=500)


def randomly_split(proteins: ProteinSet) -> ProteinSet:
    """The same proteins in random splits of the same sizes, so that homologues end up on both sides."""
    order = np.random.default_rng(0).permutation(len(proteins))
    splits = tuple(proteins.splits[number] for number in order)
    return ProteinSet(proteins.sequences, proteins.labels, proteins.accessions, splits)


def run(name: str, model, proteins: ProteinSet) -> dict:
    train, valid, test = (proteins.select(split) for split in ("train", "valid", "test"))
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(train.sequences, train.labels, validation=(valid.sequences, valid.labels))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    scores = score_predictions(test.labels, model.predict_proba(test.sequences), model.classes_)
    accuracies = model.history_.valid_accuracies
    reached = next((epoch + 1 for epoch, value in enumerate(accuracies) if value >= GOAL), None)
    row = {
        "name": name,
        "seed": model.seed,
        "parameters": model.num_parameters,
        "qubits": model.num_qubits,
        "legal": model.legal_on_hardware,
        "log10_postselection": float(np.median(model.log10_postselection(test.sequences))),
        "valid": accuracies[model.history_.best],
        "epochs_to_goal": reached,
        "test": asdict(scores),
        "seconds": seconds,
        "cpu_seconds": cpu,
    }
    epochs = "–" if reached is None else reached
    print(
        f"{name:46} {model.seed:4d} {row['parameters']:6d} {row['qubits']:6d} {row['valid']:7.3f}"
        f" {scores.accuracy:7.3f} {scores.mcc:6.3f} {scores.auroc:6.3f} {epochs:>7} {cpu:6.0f}"
        + ("" if row["legal"] else f"   log10 p(post-selection) {row['log10_postselection']:.0f}"),
        flush=True,
    )
    return row


def summary(rows: list[dict]) -> None:
    for name in dict.fromkeys(row["name"] for row in rows):
        found = [row["test"]["accuracy"] for row in rows if row["name"] == name]
        if len(found) > 1:
            error = rows[0]["test"]["std"]
            print(f"{name}: test mean {np.mean(found):.4f}, worst {min(found):.4f}; one figure ± {error:.3f}")


def core(seeds: range) -> list[dict]:
    proteins = data(core=True)
    rows = [run("window", WindowQTN(seed=seed), proteins) for seed in seeds]
    return rows + [run("window, entangler off", WindowQTN(seed=s, entangle=False), proteins) for s in seeds]


class Committee:
    """Classifiers with different seeds; the mean of their logits decides."""

    def __init__(self, seed: int, members: int = 8) -> None:
        self.seed = seed
        self.members = [WindowQTN(seed=members * (seed - 1) + number + 1) for number in range(members)]

    def fit(self, sequences, labels, validation) -> None:
        for member in self.members:
            member.fit(sequences, labels, validation=validation)
        first = self.members[0]
        self.classes_, self.num_qubits, self.legal_on_hardware = first.classes_, first.num_qubits, True
        self.num_parameters = sum(member.num_parameters for member in self.members)
        # no epoch is chosen for the committee as a whole: one entry, its final accuracy
        found = self.predict_proba(validation[0]).argmax(1)
        accuracy = float(np.mean(self.classes_[found] == np.array(validation[1])))
        self.history_ = SimpleNamespace(valid_accuracies=[accuracy], best=0)

    def predict_proba(self, sequences) -> np.ndarray:
        logits = np.mean([member.decision_function(sequences) for member in self.members], axis=0)
        positive = 1 / (1 + np.exp(-logits))
        return np.stack([1 - positive, positive], axis=1)

    def log10_postselection(self, sequences) -> np.ndarray:
        return np.zeros(len(sequences))


def large(seeds: range) -> list[dict]:
    proteins = data(core=True)
    return [run("committee of 8 windows", Committee(seed), proteins) for seed in seeds]


def full(seeds: range) -> list[dict]:
    proteins = data(core=False)
    return [run("window, all proteins", WindowQTN(seed=s, stride=4, epochs=5), proteins) for s in seeds]


def single(seeds: range) -> list[dict]:
    proteins = data(core=True)
    return [run("latch", LatchQTN(seed=seed), proteins) for seed in seeds]


def start(seeds: range) -> list[dict]:
    proteins, rows = data(core=True), []
    starts = {
        "tensor network": {"start": "tensor-network"},
        "small angles": {"start": "angles"},
        "random angles": {"start": "angles", "spread": 1.8},
    }
    for name, settings in starts.items():
        rows += [run(name, WindowQTN(seed=seed, **settings), proteins) for seed in seeds]
    return rows


def paper(seeds: range) -> list[dict]:
    partitions = data(core=True)
    shapes = {"uPTN": (PathQTN, 1), "hPTN": (PathQTN, 90), "uCTN": (TreeQTN, 1), "hCTN": (TreeQTN, 10)}
    ways = {
        "Sim14, post-selected": {"discard": False},
        "Sim14, discards": {},
        "exchange, discards": {"ansatz": "exchange", "learning_rate": 0.06, "epochs": 24},
    }
    rows = []
    for split, proteins in (("partitions", partitions), ("random", randomly_split(partitions))):
        for shape, (kind, boxes) in shapes.items():
            for way, settings in ways.items():
                name = f"{shape} {way}, {split}"
                rows += [run(name, kind(boxes=boxes, seed=seed, **settings), proteins) for seed in seeds]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=["core", "large", "full", "single", "start", "paper"])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this number")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':46} seed params qubits   valid    test    MCC  AUROC   to {GOAL}  CPU s")
    rows = globals()[options.table](range(1, options.seeds + 1))
    summary(rows)
    save(options.out, rows)


if __name__ == "__main__":
    main()
