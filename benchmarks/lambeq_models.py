"""CPU time for the output and gradient of a lambeq model, compared with lambeq's own PytorchQuantumModel.

Data: 130 sentences on cooking and on software, such as "skillful man prepares tasty sauce", with and without
each adjective, as pregroup diagrams with their cups and after lambeq's RemoveCupsRewriter; qubits: 1 for n
and 1 for s. lambeq is timed with `TnPathOptimizer("greedy")` and with its default optimizer once that has
cached all its paths. Loss: binary cross-entropy; medians of process time on one thread. The last column is
the largest difference between the gradients, relative to the largest entry.

    python benchmarks/lambeq_models.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import random
import time
from collections.abc import Callable
from statistics import median

import torch
from lambeq import (
    AtomicType,
    IQPAnsatz,
    PytorchQuantumModel,
    RemoveCupsRewriter,
    Sim14Ansatz,
    TnPathOptimizer,
)
from lambeq.backend.grammar import Cup, Diagram, Id, Word
from record import add_out, save

from bondwise.qml import BatchedModel

N, S = AtomicType.NOUN, AtomicType.SENTENCE
PEOPLE = ["man", "woman", "person"]
FOOD = (["prepares", "cooks", "bakes"], ["meal", "dinner", "sauce"], ["tasty"])
SOFTWARE = (["runs", "debugs", "writes"], ["software", "program", "application"], ["useful"])
SKILLED = ["skillful"]


def reduced(words: list[Word]) -> Diagram:
    """The words side by side, with a cup wherever a type meets its adjoint."""
    diagram = words[0].to_diagram()
    for word in words[1:]:
        diagram = diagram @ word
    place = 0
    while place + 1 < len(diagram.cod):
        left, right = diagram.cod[place : place + 1], diagram.cod[place + 1 : place + 2]
        if left.r == right:
            diagram >>= Id(diagram.cod[:place]) @ Cup(left, right) @ Id(diagram.cod[place + 2 :])
            place = max(0, place - 1)
        else:
            place += 1
    return diagram


def sentences(count: int) -> tuple[list[Diagram], torch.Tensor]:
    adjective, verb = (N @ N.l), (N.r @ S @ N.l)
    found = []
    for label, (verbs, things, kinds) in enumerate((FOOD, SOFTWARE)):
        for person in PEOPLE:
            for v in verbs:
                for thing in things:
                    for first in ([], SKILLED):
                        for second in ([], kinds):
                            words = [Word(a, adjective) for a in first] + [Word(person, N), Word(v, verb)]
                            words += [Word(a, adjective) for a in second] + [Word(thing, N)]
                            found.append((words, label))
    random.Random(0).shuffle(found)
    labels = torch.eye(2)[[label for _, label in found[:count]]]
    return [reduced(words) for words, _ in found[:count]], labels


def milliseconds(step: Callable[[], torch.Tensor], repeats: int) -> tuple[float, torch.Tensor]:
    gradient = step()  # reads the circuits, fills the caches
    times = []
    for _ in range(repeats):
        start = time.process_time()
        gradient = step()
        times.append(time.process_time() - start)
    return 1e3 * median(times), gradient


def stepper(model: PytorchQuantumModel, circuits: list, labels: torch.Tensor) -> Callable[[], torch.Tensor]:
    def step() -> torch.Tensor:
        output = model(circuits)
        loss = torch.nn.functional.binary_cross_entropy(output, labels.to(output.dtype))
        return torch.autograd.grad(loss, model.weights)[0]

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="16 sentences, one repetition of lambeq's models"
    )
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, repeats = (16, 1) if options.quick else (130, 3)
    diagrams, labels = sentences(count)
    rewrite = RemoveCupsRewriter()
    rows = []
    heads = ("batch", "angles", "ours ms", "greedy ms", "default ms", "ratio", "difference")
    print(f"{'circuits':18}", *(f"{head:>10}" for head in heads))
    for name, ansatz in (("IQP", IQPAnsatz), ("Sim14", Sim14Ansatz)):
        build = ansatz({N: 1, S: 1}, n_layers=1)
        for cups in (True, False):
            circuits = [build(diagram if cups else rewrite(diagram)) for diagram in diagrams]
            models = {
                "ours": BatchedModel.from_diagrams(circuits),
                "greedy": PytorchQuantumModel.from_diagrams(
                    circuits, tn_path_optimizer=TnPathOptimizer("greedy")
                ),
                "default": PytorchQuantumModel.from_diagrams(circuits),
            }
            torch.manual_seed(0)
            weights = torch.nn.Parameter(torch.rand(len(models["ours"].symbols)))
            for batch in (count,) if options.quick else (64, count):
                row = {
                    "circuits": f"{name}, {'cups' if cups else 'no cups'}",
                    "batch": batch,
                    "angles": len(weights),
                }
                gradients = {}
                for kind, model in models.items():
                    model.weights = weights
                    step = stepper(model, circuits[:batch], labels[:batch])
                    row[f"{kind}_ms"], gradients[kind] = milliseconds(step, 30 if kind == "ours" else repeats)
                row["ratio"] = min(row["greedy_ms"], row["default_ms"]) / row["ours_ms"]
                difference = (gradients["ours"] - gradients["greedy"]).abs().max() / gradients[
                    "greedy"
                ].abs().max()
                row["difference"] = float(difference)
                rows.append(row)
                numbers = (f"{row[f'{kind}_ms']:10.1f}" for kind in models)
                print(f"{row['circuits']:18} {batch:10d} {len(weights):10d}", *numbers, end=" ")
                print(f"{row['ratio']:9.0f}x {row['difference']:10.1e}", flush=True)
    save(options.out, rows)


if __name__ == "__main__":
    main()
