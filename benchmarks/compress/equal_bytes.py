"""Perplexity of a language model at equal sizes of its file: in factors, in few bits, and in both.

Dense layers are rounded to the nearest or by GPTQ. So are the factors of three baselines, which keep the
same fraction of every layer: plain matrix product operators of two cores (CompactifAI, arXiv:2401.14109), and
plain and whitened singular value decompositions (SVD-LLM, arXiv:2403.07378). `compress` chooses factors,
ranks and bits of every layer for a file of some size; then it is refined, healed by 100 steps of 1,024
tokens, and rounded again. Sizes are those of files that were written.

    BONDWISE_DATA=DIR python benchmarks/compress/equal_bytes.py --sizes 0.095 0.13 0.16
"""

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from language_models import CALIBRATION, RATE, REFINEMENT, perplexity, tokens_of
from record import add_out, save
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from bondwise.tn.compress import compress, compress_evenly, dequantize, heal, quantize, refine
from bondwise.tn.compress import save as save_model

WIDTHS = ("int4", "int3", "int2")  # of layers and embeddings, to choose from
DENSE = {"int8": ("int8",), "int4": ("int8", "int4"), "int3": ("int4",), "int2": ("int8", "int4")}
EMBEDDING = "model.embed_tokens"  # the head is tied to it
HEAL = 100  # steps
BASELINES = 0.1  # largest part of the file in float32 that the baselines are for
Row = dict[str, Any]


def size_of(model: nn.Module) -> int:
    """Bytes of `model.safetensors`."""
    with tempfile.TemporaryDirectory() as folder:
        return (save_model(model, folder) / "model.safetensors").stat().st_size


def dense_rows(model: nn.Module, data: Tensor) -> Iterator[tuple[str, nn.Module]]:
    """The dense model, in fewer and fewer bits."""
    yield "dense fp32", model
    yield "dense fp16", copy.deepcopy(model).half()
    for width, other in ((width, other) for width, others in DENSE.items() for other in others):
        bits = {EMBEDDING: other, "*": width}
        yield f"dense {width}, rounded, embedding {other}", quantize(model, bits, method="round")
        if width != "int8":
            yield f"dense {width}, GPTQ, embedding {other}", quantize(model, bits, data=data)


def fraction_for(size: int, factored: Callable[[float], nn.Module]) -> float:
    """About the largest fraction whose factors in 4 bits fit into a file."""

    def found(fraction: float) -> int:
        return size_of(quantize(factored(fraction), {"*": "int4"}, method="round"))

    low, high = found(0.2), found(0.6)
    fraction = 0.2 + 0.4 * (size - low) / (high - low)
    while found(fraction) > size:
        fraction -= 0.01
    return fraction


def baseline_rows(model: nn.Module, size: int, data: Tensor) -> Iterator[tuple[str, nn.Module]]:
    """The same fraction of every layer, in 4 bits."""
    methods = {"plain MPO": ("mpo", None), "plain SVD": ("lowrank", None), "whitened SVD": ("lowrank", data)}
    for name, (kind, given) in methods.items():
        fraction = fraction_for(size, lambda part, kind=kind: compress_evenly(model, part, format=kind))
        factors = compress_evenly(model, fraction, format=kind, data=given)
        yield f"{name} and int4", quantize(factors, {"*": "int4"}, data=data)


def our_rows(
    model: nn.Module, size: int, data: Tensor, train: Tensor, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """Chosen for the size; then trained and rounded again."""
    small = compress(model, {"bytes": size}, data=data, quantize=WIDTHS, seed=seed)
    yield "`compress`", small
    bits = {name: f"int{choice.bits}" for name, choice in small.report.layers.items()}
    loose = dequantize(small)
    refine(loose, model, data=train[:REFINEMENT], seed=seed)
    heal(loose, model, data=train, steps=HEAL, learning_rate=RATE, seed=seed)
    yield f"`compress`, `refine`, `heal` ({HEAL} steps), `quantize`", quantize(loose, bits, data=data)


def trained_dense_rows(
    model: nn.Module, data: Tensor, train: Tensor, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """The dense model in 2 bits with as many steps of healing, and no refinement before."""
    bits = {EMBEDDING: "int4", "*": "int2"}
    loose = dequantize(quantize(model, bits, data=data))
    heal(loose, model, data=train, steps=HEAL, seed=seed)
    yield f"dense int2, GPTQ, embedding int4, healed ({HEAL} steps)", quantize(loose, bits, data=data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.095, 0.13, 0.16])
    parser.add_argument("--tokens", type=int, default=32_768, help="tokens to evaluate on")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    options = parser.parse_args()
    if "BONDWISE_DATA" not in os.environ:
        raise SystemExit("BONDWISE_DATA, the folder of data sets, is not set")
    torch.set_num_threads(1)
    folder = Path(os.environ["BONDWISE_DATA"]) / "lm"
    model = AutoModelForCausalLM.from_pretrained(folder / "dickens-1M").eval()
    train, valid = tokens_of(folder, "dickens-1M")
    valid = valid[: max(1, options.tokens // valid.shape[1])]
    generator = torch.Generator().manual_seed(options.seed)
    data = train[torch.randperm(len(train), generator=generator)[:CALIBRATION]]
    whole = size_of(model)
    rows: list[Row] = []

    def measure(found: Iterator[tuple[str, nn.Module]], asked: float | None = None) -> None:
        start = time.process_time()
        for method, one in found:
            seconds = time.process_time() - start
            size, lost = size_of(one), perplexity(one.float(), valid)
            row = {"method": method, "asked": asked, "bytes": size, "perplexity": round(lost, 3)}
            rows.append({**row, "part": size / whole, "cpu_seconds": seconds})
            said = (
                f"{size / whole:6.1%} {size:9,} bytes  perplexity {lost:8.3f}  {method}, {seconds:.0f} CPU s"
            )
            print(said, flush=True)
            if "report" in vars(one) and hasattr(one.report, "dense_params"):
                kinds = [f"{choice.format} int{choice.bits}" for choice in one.report.layers.values()]
                counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
                rows[-1]["layers"] = counts
                print(f"       {counts}", flush=True)
            start = time.process_time()

    measure(dense_rows(model, data))
    for part in options.sizes:
        measure(our_rows(model, int(part * whole), data, train, options.seed), part)
        if part <= BASELINES:
            measure(baseline_rows(model, int(part * whole), data), part)
        save(options.out, {"rows": rows, "evaluated_tokens": valid.numel()})
    measure(trained_dense_rows(model, data, train, options.seed))
    print("\nthe best in a file of at most")
    crossing = None
    for part in sorted(row["part"] for row in rows):
        fitting = [row for row in rows if row["part"] <= part]
        best = min(fitting, key=lambda row: row["perplexity"])
        print(f"{part:6.1%}  {best['method']}: {best['perplexity']:.3f}")
        if crossing is None and best["method"].startswith("dense int4"):
            crossing = part
    said = "at none of these sizes" if crossing is None else f"from {crossing:.1%} of the float32 file on"
    print(f"dense int4 wins {said}")
    save(options.out, {"rows": rows, "int4_wins_from": crossing, "evaluated_tokens": valid.numel()})


if __name__ == "__main__":
    main()
