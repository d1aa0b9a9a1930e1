"""CPU time per protein, forward and backward, next to lambeq's PytorchQuantumModel on the same circuits.

One thread, process time, batch of 64 proteins of one length, Sim14 with one qubit per residue, medians.
lambeq contracts along greedy paths; its default path optimizer takes half a minute for each new length.
Its outputs are compared after renormalizing the diagonal: they do not sum to 1 with discards or beyond 32
residues. At 64 residues, lambeq contracts only a few proteins of the batch.

    python benchmarks/protein_speed.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
import statistics
import time

import numpy as np
import torch
from lambeq import AtomicType, PytorchQuantumModel
from lambeq.training.tn_path_optimizer import TnPathOptimizer
from record import add_out, save

from bondwise.qml.protein import (
    RESIDUES,
    Alphabet,
    Ansatz,
    Merging,
    PathNetwork,
    PathReader,
    TreeReader,
    lambeq_ansatz,
)

BATCH = 64
ANSATZ = Ansatz("sim14")


def circuits_of(shape: str, proteins: list[str], discard: bool) -> list:
    reader = PathReader() if shape == "path" else TreeReader()
    compiled = lambeq_ansatz(ANSATZ, {AtomicType.SENTENCE: 1}, discard=discard)
    return [compiled(reader.sentence2diagram(protein)) for protein in proteins]


def network_of(shape: str, discard: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    kinds = {"ansatz": ANSATZ, "qubits": 1, "discard": discard, "spread": 1.0}
    return PathNetwork(20, residues="states", **kinds) if shape == "path" else Merging(20, **kinds)


def seconds(step, repeats: int) -> float:
    step()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return statistics.median(times)


def row_of(shape: str, length: int, discard: bool, lambeq_batch: int, repeats: int) -> dict:
    rng = np.random.default_rng(length)
    proteins = ["".join(rng.choice(list(RESIDUES), length)) for _ in range(BATCH)]
    tokens = torch.tensor(np.array([Alphabet().tokenize(protein) for protein in proteins]))
    network = network_of(shape, discard)

    def ours() -> torch.Tensor:
        network.zero_grad()
        outcomes = network(tokens)[0]
        outcomes[:, 0].sum().backward()
        return outcomes.detach()

    began = time.process_time()
    circuits = circuits_of(shape, proteins[:lambeq_batch], discard)
    preparation = (time.process_time() - began) / lambeq_batch
    peer = PytorchQuantumModel.from_diagrams(circuits, tn_path_optimizer=TnPathOptimizer("greedy"))
    angles = network.angles(tuple(RESIDUES))
    weights = []
    for symbol in peer.symbols:
        name, _, _, number = symbol.name.rsplit("_", 3)
        weights.append(angles[name][int(number)].item() / (2 * math.pi))
    peer.weights = torch.nn.Parameter(torch.tensor(weights))

    def theirs() -> torch.Tensor:
        peer.zero_grad()
        outcomes = peer(circuits)
        outcomes = torch.diagonal(outcomes, dim1=1, dim2=2) if outcomes.ndim == 3 else outcomes
        outcomes.real[:, 0].sum().backward()
        return outcomes.detach().real

    began = time.process_time()
    reference = theirs()
    other = (time.process_time() - began) / lambeq_batch
    if lambeq_batch == BATCH:
        other = seconds(theirs, 1) / lambeq_batch
    mine = seconds(ours, repeats) / BATCH
    total = reference.sum(1)
    difference = (reference / total[:, None] - ours()[:lambeq_batch]).abs().max().item()
    return {
        "shape": shape,
        "residues": length,
        "mode": "discard" if discard else "post-select",
        "lambeq_seconds": other,
        "lambeq_preparation_seconds": preparation,
        "lambeq_batch": lambeq_batch,
        "seconds": mine,
        "ratio": other / mine,
        "difference": difference,
        "lambeq_sum": total.mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="16 residues, few proteins")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lengths = [(16, 4)] if options.quick else [(16, BATCH), (64, 4)]
    print("shape  residues mode        lambeq s     ours s    ratio  difference  lambeq's sum")
    rows = []
    for length, lambeq_batch in lengths:
        for shape in ("path", "tree"):
            for discard in (False, True):
                row = row_of(shape, length, discard, lambeq_batch, repeats=5 if options.quick else 25)
                rows.append(row)
                print(
                    f"{shape:6} {length:8d} {row['mode']:11} {row['lambeq_seconds']:8.3f}"
                    f" {row['seconds']:10.2e} {row['ratio']:8.0f} {row['difference']:11.1e}"
                    f" {row['lambeq_sum']:13.2g}",
                    flush=True,
                )
    save(options.out, rows)


if __name__ == "__main__":
    main()
