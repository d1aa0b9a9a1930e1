"""Speed of one linear layer in every format relative to the dense layer: one thread, float32, no gradients.

Each format keeps 0.3 of the numbers, or a little less. The layers take turns, each with some calls in a row,
and the lower quartile of the CPU times counts. Where factors would be slower, a layer multiplies by a copy of
its weight: its speed-up is 1, but for the sum of its factors that tells whether the copy is still good. A
second dense layer shows how much is noise. If tensorly-torch is installed
(`pip install tensorly tensorly-torch opt-einsum`), its factorized layer is timed with cores of the same
shapes as those of the matrix product operator.

    python benchmarks/compress/layer_speed.py [--kept 0.3] [--seconds 1]
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import torch
from record import add_out, save
from torch import Tensor, nn

from bondwise.tn.compress import BlockTensorTrain, LowRank, MatrixProductOperator

SHAPES = ((384, 128), (1024, 1024), (4096, 1024))  # output and input features
FACTORS = {  # of the sizes, for two and three cores
    128: ((16, 8), (8, 4, 4)),
    384: ((16, 24), (6, 8, 8)),
    1024: ((32, 32), (16, 8, 8)),
    4096: ((64, 64), (16, 16, 16)),
}
BLOCKS = 4  # of a block tensor train, in each direction
CALLS = 3e-3  # seconds of calls in a row
COPIES = 3  # of each layer, as it matters where in memory the numbers lie


class ThreeCores(MatrixProductOperator):
    number = 3


def largest(numbers: Callable[[int], int], most: float) -> int:
    """The largest rank whose factors have at most so many numbers."""
    rank = 1
    while numbers(rank + 1) <= most:
        rank += 1
    return rank


def bonds_of(sites: list[int], rank: int) -> list[int]:
    found = [1]
    for index in range(1, len(sites)):
        left, right = (int(torch.tensor(part).prod()) for part in (sites[:index], sites[index:]))
        found.append(min(rank, left, right))
    return [*found, 1]


def cores_of(rows: int, columns: int, number: int, most: float) -> tuple[list[Tensor], int]:
    """Random cores, and their rank."""
    outputs, inputs = sorted(FACTORS[rows][number - 2]), sorted(FACTORS[columns][number - 2])[::-1]
    sites = [one * other for one, other in zip(outputs, inputs, strict=True)]

    def numbers(rank: int) -> int:
        bonds = bonds_of(sites, rank)
        return sum(a * b * c for a, b, c in zip(bonds, sites, bonds[1:], strict=False))

    rank = largest(numbers, most)
    bonds = bonds_of(sites, rank)
    shapes = zip(outputs, bonds[1:], bonds, inputs, strict=False)
    return [torch.randn(shape) for shape in shapes], rank


def layers_of(rows: int, columns: int, kept: float) -> dict[str, nn.Module]:
    """One layer of each format, with random numbers and a bias."""
    most, bias = kept * rows * columns, torch.zeros(rows)
    rank = largest(lambda rank: rank * (rows + columns), most)
    block = largest(lambda rank: rank * BLOCKS * (rows + columns), most)
    (two, chi), (three, _) = (cores_of(rows, columns, number, most) for number in (2, 3))
    found: dict[str, nn.Module] = {
        "dense": nn.Linear(columns, rows),
        "dense, again": nn.Linear(columns, rows),
        "lowrank": LowRank(torch.randn(rows, rank), torch.randn(rank, columns), bias),
        "btt": BlockTensorTrain(
            torch.randn(BLOCKS, BLOCKS * block, rows // BLOCKS),
            torch.randn(BLOCKS, BLOCKS * block, columns // BLOCKS),
            bias,
        ),
        "mpo": MatrixProductOperator(two, bias),
        "mpo3": ThreeCores(three, bias),
    }
    if importlib.util.find_spec("tltorch"):
        from tltorch import FactorizedLinear

        shapes = tuple(core.shape[3] for core in two), tuple(core.shape[0] for core in two)
        found["tensorly-torch"] = FactorizedLinear(
            *shapes, factorization="blocktt", rank=(1, chi, 1), implementation="factorized"
        )
    return found


def times(layers: list[dict[str, nn.Module]], x: Tensor, seconds: float) -> dict[str, float]:
    """CPU microseconds of a call of each layer; where its numbers lie in memory is averaged over."""
    names = list(layers[0])
    found: dict[str, list[float]] = {name: [] for name in names}
    calls = {}
    for name in names:
        for copy in layers:
            copy[name](x)
        start = time.thread_time()
        layers[0][name](x)
        calls[name] = max(3, min(50, round(CALLS / max(time.thread_time() - start, 1e-7))))
    end = time.perf_counter() + seconds * len(names)
    while time.perf_counter() < end or len(found["dense"]) < 9:
        for copy in layers:
            for name, layer in copy.items():
                start = time.thread_time()
                for _ in range(calls[name]):
                    layer(x)
                found[name].append((time.thread_time() - start) / calls[name])
    return {name: 1e6 * sorted(values)[len(values) // 4] for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept", type=float, default=0.3, help="fraction of the numbers")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each layer and batch")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = []
    print(f"{'shape':>11} {'batch':>5} {'format':<15}{'kept':>6}{'CPU µs':>9}{'speed-up':>9}")
    for rows, columns in SHAPES:
        layers = [layers_of(rows, columns, arguments.kept) for _ in range(COPIES)]
        kept = {
            name: sum(p.numel() for p in layer.parameters() if p.ndim > 1) / (rows * columns)
            for name, layer in layers[0].items()
        }
        for batch in (1, 64):
            with torch.no_grad():
                measured = times(layers, torch.randn(batch, columns), arguments.seconds)
            for name, value in measured.items():
                speed = measured["dense"] / value
                row = {"shape": [rows, columns], "batch": batch, "format": name, "kept": round(kept[name], 4)}
                results.append(row | {"microseconds": round(value, 1), "speed_up": round(speed, 3)})
                shape = f"{rows}x{columns}"
                print(
                    f"{shape:>11} {batch:>5} {name:<15}{kept[name]:>6.2f}{value:>9.0f}{speed:>9.2f}",
                    flush=True,
                )
    save(arguments.out, results)


if __name__ == "__main__":
    main()
