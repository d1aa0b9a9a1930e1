"""A convolutional surrogate of the 2-D wave equation, its layers dense or in factors from the start.

The networks are given two successive fields and the map of the speed, and predict the field eight time steps
later. All have the same shape, are trained on the same waves for as many steps, and are judged on waves
through maps that none was trained on. The learning rate of each was chosen from 4, 8 and 16 · 10⁻³ with one
seed, on validation waves; the figures are of other ones. The finite-difference solver, which is exact here
because it made the data, is timed for the same outputs.

    python benchmarks/compress/wave.py [--seeds 3] [--steps 400]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from record import add_out, save
from torch import Tensor, nn
from wave_equation import LARGEST_COURANT, convergence_order, propagate, samples

from bondwise.tn.compress import FactorizedConv2d, parameter_groups

SIZE, AHEAD, COURANT = 24, 8, 0.5  # grid points, time steps, dt / h
WIDTH, KERNEL, BLOCKS = 16, 5, 2
BATCH = 16
BUDGET = 0.28  # of the inner layers; the first and the last stay dense
RATES = {"dense": 8e-3, "separable": 8e-3, "cp": 1.6e-2, "tucker2": 8e-3}


class Block(nn.Module):
    """Two convolutions around which the input is led."""

    def __init__(self, layer: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = layer(), layer()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(nn.functional.gelu(self.first(nn.functional.gelu(x))))


class Surrogate(nn.Module):
    """A residual network from (N, 3, size, size) to (N, 1, size, size)."""

    def __init__(self, format: str) -> None:
        super().__init__()

        def layer() -> nn.Module:
            if format == "dense":
                return nn.Conv2d(WIDTH, WIDTH, KERNEL, padding="same")
            return FactorizedConv2d(WIDTH, WIDTH, KERNEL, padding="same", format=format, budget=BUDGET)

        self.first = nn.Conv2d(3, WIDTH, KERNEL, padding="same")
        self.blocks = nn.Sequential(*[Block(layer) for _ in range(BLOCKS)])
        self.last = nn.Conv2d(WIDTH, 1, KERNEL, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2] + self.last(nn.functional.gelu(self.blocks(self.first(x))))


def relative_error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Root of the squared error over that of zero."""
    with torch.no_grad():
        found = torch.cat([model(part) for part in x.split(64)])
    return float((found - y).norm() / y.norm())


def trained(format: str, x: Tensor, y: Tensor, steps: int, seed: int, rate: float) -> nn.Module:
    """A network after so many steps of Adam, at a rate that falls as a cosine."""
    torch.manual_seed(seed)
    model = Surrogate(format)
    groups = parameter_groups(model, rate)
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=steps, pct_start=0.1
    )
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,))
        loss = nn.functional.mse_loss(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def milliseconds(work: Callable[[], object], runs: int = 15) -> float:
    """Median wall time."""
    times = []
    with torch.no_grad():
        for _ in range(runs + 2):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="training steps")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    order = convergence_order()
    print(f"Courant number {COURANT}, at most {LARGEST_COURANT:.3f}; order of the solver {order:.2f}")
    x, y = samples(128, 6, SIZE, AHEAD, seed=0, courant=COURANT)
    test = samples(32, 6, SIZE, AHEAD, seed=2, courant=COURANT)  # the validation waves had the seed 1
    sample = test[0][:BATCH]
    solver = milliseconds(
        lambda: propagate(sample[:, 0], sample[:, 1], sample[:, 2], COURANT, AHEAD, absorbing=True)
    )
    rows = []
    dense: dict[str, float] = {}
    for format, rate in RATES.items():
        errors, seconds = [], []
        for seed in range(options.seeds):
            start = time.process_time()
            model = trained(format, x, y, options.steps, seed, rate)
            seconds.append(time.process_time() - start)
            errors.append(relative_error(model, *test))
            print(f"{format:10} seed {seed}: error {errors[-1]:.4f}, {seconds[-1]:.0f} CPU s", flush=True)
        error = statistics.mean(errors)
        numbers = sum(p.numel() for name, p in model.named_parameters() if not name.endswith("bias"))
        dense = dense or {"error": error, "numbers": numbers}
        rows.append(
            {
                "format": format,
                "learning_rate": rate,
                "error": error,
                "errors": errors,
                "error_ratio": error / dense["error"],
                "conv_params": numbers,
                "params_ratio": dense["numbers"] / numbers,
                "train_cpu_seconds": statistics.mean(seconds),
                "milliseconds": milliseconds(lambda model=model: model(sample)),
            }
        )
    for row in rows:
        print(
            f"{row['format']:10} error {row['error']:.4f}, {row['error_ratio']:.3f} x dense; "
            f"{row['conv_params']:,} convolution parameters, {row['params_ratio']:.2f} x fewer; training "
            f"{row['train_cpu_seconds']:.0f} CPU s; {row['milliseconds']:.1f} ms for {BATCH} fields"
        )
    fastest = min(row["milliseconds"] for row in rows)
    ratio = fastest / solver
    said = f"{ratio:.1f} x faster than the fastest network" if ratio > 1 else f"{1 / ratio:.1f} x slower"
    print(f"solver     {solver:.2f} ms for the same {BATCH} fields, and exact: {said}")
    if ratio > 1:
        print("no network pays on a grid as small as this, in factors or not")
    save(options.out, {"solver_milliseconds": solver, "order": order, "rows": rows})


if __name__ == "__main__":
    main()
