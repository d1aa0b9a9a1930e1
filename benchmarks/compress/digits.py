"""A small residual network on scikit-learn's digits: `compress` against each kernel truncated by itself.

The network learns from three fifths of the 1,797 images, one fifth says when to stop, and the last fifth is
looked at once, for what is printed. Evenly truncated layers all keep the same fraction, by the singular value
decomposition of the kernel alone, between the first and the second axis; healing is the same for both.

    python benchmarks/compress/digits.py [--budgets 0.5 0.3] [--seeds 3]
"""

import argparse
import copy
import time
from collections.abc import Iterator

import torch
from record import add_out, save
from sklearn.datasets import load_digits
from torch import Tensor, nn

from bondwise.tn.compress import FactorizedConv2d, FactorizedLinear, compress, heal

EPOCHS, BATCH, HEAL = 20, 32, 200
WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two convolutions around which the input is led."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.around = (
            nn.Conv2d(before, after, 1, stride=stride, bias=False) if before != after else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.first_norm(self.first(x)).relu()
        return (self.second_norm(self.second(y)) + self.around(x)).relu()


def network() -> nn.Module:
    """A residual network for images of shape (N, 1, 8, 8) and ten classes."""
    stem = [nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()]
    pairs = zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)
    blocks = [Block(before, after, 1 if before == after else 2) for before, after in pairs]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 10))


def split(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Images and labels to train on, to stop by, and to test with."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)[order] / 16
    y = torch.tensor(labels)[order]
    cuts = [3 * len(x) // 5, len(x) // 5]
    sizes = [cuts[0], cuts[1], len(x) - sum(cuts)]
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


@torch.no_grad()
def accuracy(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    return float((model.eval()(part[0]).argmax(-1) == part[1]).double().mean())


def trained(train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], seed: int) -> nn.Module:
    """A network, as it was after the epoch that was best on the validation part."""
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(train[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    best, kept = -1.0, {}
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(train[0]))
        for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(model(train[0][chosen]), train[1][chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        now = accuracy(model, valid)
        if now > best:
            best, kept = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


@torch.no_grad()
def evenly(model: nn.Module, budget: float) -> nn.Module:
    """Every layer truncated to the same fraction."""
    small = copy.deepcopy(model)
    for name, layer in list(small.named_modules()):
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight
        if isinstance(layer, nn.Linear):
            weight = weight[..., None, None]
        rows, columns, height, width = weight.shape
        matrix = weight.permute(1, 2, 3, 0).reshape(columns * height, width * rows)
        rank = max(1, int(budget * matrix.numel() / sum(matrix.shape)))
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        left, right = left[:, :rank] * values[:rank].sqrt(), values[:rank].sqrt()[:, None] * right[:rank]
        factors: nn.Module
        if isinstance(layer, nn.Linear):
            factors = FactorizedLinear(columns, rows, rank=rank)
            factors.right.copy_(left.T)
            factors.left.copy_(right.T)
            factors.bias.copy_(layer.bias)
        else:
            shape = layer.kernel_size, layer.stride, layer.padding
            factors = FactorizedConv2d(columns, rows, *shape, bias=False, rank=rank)
            factors.factors[0].copy_(left.T.reshape(rank, columns, height, 1))
            factors.factors[1].copy_(right.reshape(rank, width, rows).permute(2, 0, 1)[:, :, None])
        parent, _, last = name.rpartition(".")
        setattr(small.get_submodule(parent), last, factors)
    return small.eval()


def methods(
    model: nn.Module, budget: float, train: Tensor, seed: int
) -> Iterator[tuple[str, nn.Module, float]]:
    """Name, model and CPU seconds of each method."""
    start = time.process_time()
    small = compress(model, budget, data=train[:512], seed=seed)
    spent = time.process_time() - start
    for name, before, cost in (("truncated", evenly(model, budget), 0.0), ("`compress`", small, spent)):
        yield name, before, cost
        start = time.process_time()
        healed = copy.deepcopy(before)
        heal(healed, model, data=train, steps=HEAL, batch=BATCH, seed=seed)
        yield f"{name}, `heal`", healed, cost + time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.3])
    parser.add_argument("--seeds", type=int, default=3)
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(options.seeds):
        train, valid, test = split(seed)
        start = time.process_time()
        model = trained(train, valid, seed)
        found = [(1.0, "dense", model, time.process_time() - start)]
        found += [
            (budget, *method)
            for budget in options.budgets
            for method in methods(model, budget, train[0], seed)
        ]
        for budget, name, small, seconds in found:
            row = {"budget": budget, "method": name, "seed": seed, "accuracy": accuracy(small, test)}
            rows.append({**row, "params": sum(p.numel() for p in small.parameters()), "cpu_seconds": seconds})
            print(
                f"seed {seed}, {budget:4} {name:18} accuracy {row['accuracy']:.3f}, "
                f"{rows[-1]['params']:,} parameters, {seconds:.0f} CPU s",
                flush=True,
            )
    save(options.out, rows)


if __name__ == "__main__":
    main()
