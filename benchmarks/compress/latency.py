"""How close models come to the latency that `compress` was asked for.

A Llama of random weights, on one thread. Each compressed model is measured beside the dense one, call by call
in turn, after all of the search is over.

    python benchmarks/compress/latency.py [--out FILE]
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from record import add_out, save
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from bondwise.tn.compress import compress

BATCHES = (1, 8)
FRACTIONS = (0.85, 0.7, 0.55)  # of the dense model's latency
LENGTH = 64  # tokens of a sequence
RUNS = 41


def milliseconds(models: Sequence[nn.Module], tokens: Tensor) -> list[float]:
    """Median wall time of each model, all of them in turn."""
    times: list[list[float]] = [[] for _ in models]
    with torch.no_grad():
        for _ in range(RUNS):
            for model, found in zip(models, times, strict=True):
                start = time.perf_counter()
                model(tokens)
                found.append(1000 * (time.perf_counter() - start))
    return [statistics.median(found) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=4,
        num_attention_heads=8,
        initializer_range=0.05,
    )
    model = LlamaForCausalLM(config).eval()
    tokens = torch.randint(512, (32, LENGTH))
    rows = []
    for batch in BATCHES:
        for fraction in FRACTIONS:
            [before] = milliseconds([model], tokens[:batch])
            asked = fraction * before
            small = compress(model, {"latency_ms": asked, "batch": batch}, data=tokens, seed=0)
            dense, found = milliseconds([model, small], tokens[:batch])
            rows.append({"batch": batch, "asked_ms": asked, "dense_ms": dense, "found_ms": found})
            rows[-1]["kept"] = small.report.value
            print(
                f"batch {batch}: dense {dense:6.1f} ms, asked for {asked:6.1f} ms, got {found:6.1f} ms "
                f"({found / asked - 1:+.1%}), {small.report.value:.1%} of the parameters kept",
                flush=True,
            )
    save(options.out, rows)


if __name__ == "__main__":
    main()
