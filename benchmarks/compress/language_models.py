"""Perplexity of language models whose linear layers keep a part of their parameters, by several methods.

The same model, calibration tokens and evaluation tokens for all. The first methods give every layer the same
fraction: truncated singular value decomposition, and the one whitened by the inputs (SVD-LLM,
arXiv:2403.07378). `compress` shares the budget out; then the model is refined block by block, and healed as a
whole by some steps of 1,024 tokens. Perplexities are measured on two slices of the evaluation text: methods
were chosen with an eye on the first and not on the second, except for the learning rate of healing.

    BONDWISE_DATA=DIR python benchmarks/compress/language_models.py --budgets 0.8 0.5 0.3 --seeds 0 1 2
"""

import argparse
import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from record import add_out, save
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from bondwise.tn.compress import LowRank, compress, heal, refine

CALIBRATION = 192  # sequences
REFINEMENT = 2_400  # sequences: none is seen twice in 600 steps of 4
RATE = 5e-4  # of healing after refinement


def perplexity(model: nn.Module, tokens: Tensor) -> float:
    """Of the next token, over sequences of shape (N, length)."""
    with torch.no_grad():
        losses = [model(part, labels=part).loss.item() * len(part) for part in tokens.split(16)]
    return math.exp(sum(losses) / len(tokens))


def tokens_of(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    """Sequences to calibrate and train on, and others to evaluate on."""
    if name == "stories260K":  # sampled from the model itself
        parts = [np.load(folder / name / f"samples_{part}.npy") for part in ("train", "valid")]
        train, valid = (torch.from_numpy(part.astype(np.int64)) for part in parts)
        return train, valid
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    texts = (folder / "train.txt").read_text()[1_000_000:7_000_000], (folder / "valid.txt").read_text()
    train, valid = (torch.tensor(tokenizer(text)["input_ids"], dtype=torch.long) for text in texts)
    return train[: len(train) // 256 * 256].view(-1, 256), valid[: len(valid) // 256 * 256].view(-1, 256)


def evenly(model: nn.Module, budget: float, moments: dict[str, Tensor] | None) -> nn.Module:
    """Every layer truncated to the same fraction, in the plain or the whitened norm."""
    small = copy.deepcopy(model)
    for name, layer in list(small.named_modules()):
        if not isinstance(layer, nn.Linear) or name == "lm_head":
            continue
        weight = layer.weight.detach().double()
        rank = int(budget * weight.numel() / sum(weight.shape))
        root = torch.eye(weight.shape[1], dtype=torch.float64)
        if moments is not None:
            values, vectors = torch.linalg.eigh(moments[name])
            root = vectors * values.clamp_min(1e-6 * float(values.max())).sqrt() @ vectors.T
        left, values, right = torch.linalg.svd(weight @ root, full_matrices=False)
        factors = left[:, :rank] * values[:rank], right[:rank] @ torch.linalg.inv(root)
        parent, _, last = name.rpartition(".")
        setattr(small.get_submodule(parent), last, LowRank(*(factor.float() for factor in factors)))
    return small


def second_moments(model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """Sums of x xᵀ over the inputs of each linear layer."""
    sums: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].flatten(0, -2).double()
            sums[name] = sums.get(name, 0) + x.T @ x

        return hook

    linear = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in linear]
    with torch.no_grad():
        for part in tokens.split(16):
            model(part)
    for handle in handles:
        handle.remove()
    return sums


def methods(
    model: nn.Module, budget: float, train: Tensor, seed: int, heal_steps: list[int] | None
) -> Iterator[tuple[str, nn.Module, float]]:
    """Name, model and CPU seconds of each method, with those of what went before."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = train[torch.randperm(len(train), generator=generator)]
    data = shuffled[:CALIBRATION]
    start = time.process_time()
    yield "truncated SVD, evenly", evenly(model, budget, None), time.process_time() - start
    start = time.process_time()
    whitened = evenly(model, budget, second_moments(model, data))
    yield "whitened SVD, evenly", whitened, time.process_time() - start
    start = time.process_time()
    small = compress(model, budget, data=data, seed=seed)
    spent = time.process_time() - start
    yield "`compress`", small, spent
    if heal_steps is None:
        return
    start = time.process_time()
    refine(small, model, data=shuffled[:REFINEMENT], seed=seed)
    spent += time.process_time() - start
    yield "… and `refine`", small, spent
    for steps in heal_steps:
        start = time.process_time()
        healed = copy.deepcopy(small)
        heal(healed, model, data=train, steps=steps, learning_rate=RATE, seed=seed)
        yield f"… and `heal` ({steps} steps)", healed, spent + time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dickens-1M", help="dickens-1M or stories260K")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.8, 0.5, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=32_768, help="tokens of a slice to evaluate on")
    parser.add_argument("--heal", type=int, nargs="*", default=[100, 500], help="steps of healing")
    add_out(parser)
    parser.add_argument("--untrained", action="store_true", help="neither refine nor heal")
    options = parser.parse_args()
    if "BONDWISE_DATA" not in os.environ:
        raise SystemExit("BONDWISE_DATA, the folder of data sets, is not set")
    torch.set_num_threads(1)
    folder = Path(os.environ["BONDWISE_DATA"]) / "lm"
    model = AutoModelForCausalLM.from_pretrained(folder / options.model).eval()
    train, valid = tokens_of(folder, options.model)
    slices = valid.split(max(1, options.tokens // valid.shape[1]))[:2]
    dense = [perplexity(model, part) for part in slices]
    said = ", ".join(f"{one:.3f} on {part.numel():,} tokens" for one, part in zip(dense, slices, strict=True))
    print(f"{options.model}: dense perplexity {said}")
    rows = []
    trained = None if options.untrained else options.heal
    for budget in options.budgets:
        for seed in options.seeds:
            for method, small, seconds in methods(model, budget, train, seed, trained):
                ratios = [perplexity(small, part) / one for part, one in zip(slices, dense, strict=True)]
                row = {"model": options.model, "budget": budget, "method": method, "seed": seed}
                rows.append({**row, "ratios": ratios, "cpu_seconds": seconds})
                said = " ".join(f"{ratio:9.4f}" for ratio in ratios)
                print(f"{budget:4} {method:25} seed {seed}: {said} x dense, {seconds:6.1f} CPU s", flush=True)
    save(options.out, rows)


if __name__ == "__main__":
    main()
