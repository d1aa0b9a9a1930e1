"""What a compressed model costs and what it has lost, beside the dense one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bondwise.runs import Result, progress_bar, whole_number
from bondwise.runs.result import html_table
from bondwise.tn.compress.calibration.batches import (
    Answer,
    Batch,
    answer,
    batches_of,
    compared_as,
    described,
    divergence,
    given_in,
    inputs_of,
    read_outputs,
)
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.costs import compared, flops_of, latency_of, take
from bondwise.tn.compress.files import entries_of, file_size
from bondwise.tn.compress.formats.formats import require_order
from bondwise.tn.compress.quantization.packed import count_numbers
from bondwise.tn.compress.quantization.quantization import BITS, quantize

_BATCH = 8  # samples at a time


class Row(NamedTuple):
    """One model of a report.

    Attributes:
        name: What it is.
        params: Numbers in its parameters, packed or not.
        bytes: Size of its tensors on disk.
        flops: Floating-point operations for a sample, two for each multiplication, as it was run.
        perplexity: Of the next token; None if it is no language model.
        divergence: Mean Kullback-Leibler divergence from the dense model's answers, in nats; half the squared
            distance if the outputs are values.
        latency: Milliseconds of wall time for a batch of each size.
        speed: For each size, how many times as fast as the dense model it is, both measured in turns.
    """

    name: str
    params: int
    bytes: int
    flops: int
    perplexity: float | None
    divergence: float
    latency: tuple[float, ...]
    speed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Report(Result):
    """A compressed model beside the dense one.

    Attributes:
        value: Mean divergence of the compressed model, in nats per token or sample.
        rows: The dense model, the compressed one, and the dense one in few bits.
        batch: Sizes of the batches that latencies are for.
        outputs: `logits` or `values`: how the outputs were compared.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, report
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> small = compress(model, 0.5, data=data, seed=0)
        >>> report(small, reference=model, data=data, batch=(1,)).rows[0].params
        2762
    """

    rows: tuple[Row, ...] = field(repr=False)
    batch: tuple[int, ...]
    outputs: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        # a result that is loaded has plain tuples
        object.__setattr__(self, "rows", tuple(Row(*row) for row in self.rows))

    def table(self) -> list[list[str]]:
        """The cells of a table, the headings first."""
        speaks = any(row.perplexity is not None for row in self.rows)
        head = ["model", "parameters", "bytes", "flops"]
        head += ["perplexity"] * speaks + ["divergence"] + [f"ms, batch {batch}" for batch in self.batch]
        return [head] + [_cells(row, self.rows[0], speaks) for row in self.rows]

    def notes(self) -> list[str]:
        """Sentences that say what the columns are."""
        said = [] if self.outputs is None else [f"Outputs compared as {described(self.outputs, self.unit)}."]
        return [
            *said,
            "In brackets: times as fast as the dense model, which was run again in turns with each one, so "
            "that this need not be the ratio of the milliseconds of two rows.",
        ]

    def __str__(self) -> str:
        table = self.table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in table
        ]
        return "\n".join([*(line.rstrip() for line in lines), *self.notes()])

    def _repr_html_(self) -> str:
        return html_table(" ".join(["Report.", *self.notes()]), self.table())


def _cells(row: Row, dense: Row, speaks: bool) -> list[str]:
    cells = [
        row.name,
        f"{row.params:,}",
        f"{row.bytes:,} ({row.bytes / dense.bytes:.1%})",
        f"{row.flops:.3g}",
    ]
    cells += ["" if row.perplexity is None else f"{row.perplexity:.2f}"] * speaks + [f"{row.divergence:.4f}"]
    return cells + [f"{ms:.3g} ({speed:.2f}x)" for ms, speed in zip(row.latency, row.speed, strict=True)]


def report(
    model: nn.Module,
    *,
    reference: nn.Module,
    data: Any,
    calibration: Any = None,
    batch: int | Iterable[int] = (1, 64),
    outputs: str | None = None,
    progress: bool = False,
) -> Report:
    """Measure a compressed model, the dense one, and the dense one in few bits, on the same data and machine.

    Args:
        model: What `compress` or `quantize` returned.
        reference: The dense model.
        data: As for `compress`, but other data than that was given.
        calibration: Data that the dense model is quantized for (GPTQ); None to round to the nearest.
        batch: Samples for which wall time is measured; fewer are repeated.
        outputs: `logits` or `values`; None for what `compress` took them for, or as there.
        progress: Whether to show a progress bar.

    Returns:
        The rows of a table, which `print` shows. Times are medians of several runs; how many times as fast as
        the dense model each one is, is measured in turns with it, beside each row.

    Raises:
        UsageError: If an argument is out of range, or the two models are the same or in the wrong order.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, report
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> small = compress(model, 0.5, data=torch.randn(64, 32), seed=0)
        >>> print(report(small, reference=model, data=torch.randn(64, 32), batch=8))
        model            parameters           bytes     flops  divergence  ms, batch 8
        dense                 2,762 11,... (100.0%)  5.38e+03      0.0000  ... (1.00x)
        compressed            1,... ... (...%)  ...      0.0...  ...x)
        dense, int8 (rounded)  ...
    """
    sizes = tuple(whole_number("batch", one) for one in ([batch] if isinstance(batch, int) else batch))
    require_order(model, reference)
    outputs = read_outputs(outputs, model)
    batches = batches_of(data, _BATCH, outputs)
    rows = []
    with progress_bar(2 + len(BITS), "report", progress) as bar:
        for name, one in (("dense", reference), ("compressed", model)):
            rows.append(measure(name, one, reference, batches, sizes))
            bar.update()
        for width in BITS:
            method, how = ("round", "rounded") if calibration is None else ("gptq", "GPTQ")
            packed = quantize(reference, width, method=method, data=calibration, outputs=outputs)
            rows.append(measure(f"dense, {width} ({how})", packed, reference, batches, sizes))
            bar.update()
    return made_of(rows, sizes, reference, batches)


def made_of(
    rows: Sequence[Row], sizes: Sequence[int], reference: nn.Module, batches: Sequence[Batch]
) -> Report:
    """A report of rows that are measured; the second one is the compressed model's."""
    with frozen(reference):
        outputs, unit = compared_as(reference, batches[0])
    rows = [Row(*row) for row in rows]
    return Report(value=rows[1].divergence, rows=tuple(rows), batch=tuple(sizes), outputs=outputs, unit=unit)


def measure(
    name: str, model: nn.Module, reference: nn.Module, batches: Sequence[Batch], sizes: Sequence[int]
) -> Row:
    """The row of one model; the reference is the dense one."""
    lost, rows, entropy, tokens = 0.0, 0, 0.0, 0
    with frozen(model), frozen(reference), torch.no_grad():
        for one in batches:
            found = answer(model, one)
            lost += float(divergence(found, answer(reference, one))) * len(found.rows)
            rows += len(found.rows)
            if found.logits and _speaks(model):
                total, count = _cross_entropy(found, one)
                entropy, tokens = entropy + total, tokens + count
        flops = flops_of(model, take(batches, 1))
        timed = [_beside(model, reference, take(batches, size)) for size in sizes]
    return Row(
        name=name,
        params=count_numbers(model),
        bytes=file_size(entries_of(model)),
        flops=flops,
        perplexity=math.exp(entropy / tokens) if tokens else None,
        divergence=lost / rows,
        latency=tuple(ms for ms, _ in timed),
        speed=tuple(speed for _, speed in timed),
    )


def _beside(model: nn.Module, reference: nn.Module, batch: Batch) -> tuple[float, float]:
    """Milliseconds of a model for a batch, and how many times as fast as the dense one that is."""
    if model is reference:
        return latency_of(model, batch), 1.0
    _, own, ratio = compared(lambda: (latency_of(reference, batch, 1), latency_of(model, batch, 1)))
    return own, 1 / ratio


def _speaks(model: nn.Module) -> bool:
    """Whether a model predicts the next token."""
    return isinstance(model, PreTrainedModel) and model.can_generate() and not model.config.is_encoder_decoder


def _cross_entropy(found: Answer, batch: Batch) -> tuple[float, int]:
    """Sum of the negative log-likelihoods of the next tokens, and their number."""
    ids = inputs_of(batch).to(found.rows.device).long()
    batch = given_in(batch)
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    known: Tensor = torch.ones_like(ids) if mask is None else mask.to(ids.device)
    sequence, tokens = known.nonzero()[:, 0], ids[known.bool()]
    follows = sequence[1:] == sequence[:-1]
    total = nn.functional.cross_entropy(found.rows[:-1][follows], tokens[1:][follows], reduction="sum")
    return float(total), int(follows.sum())
