"""Store the numbers of a model in few bits, layer by layer in the order of the model.

With data, each layer is rounded for the inputs that it will see, those of the model whose earlier layers are
rounded already, and makes up for half of their error, as `calibration.fitting` describes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from bondwise.runs import Result, UsageError, kind_of, progress_bar, unknown_name, whole_number
from bondwise.runs.text import counted
from bondwise.tn.compress.calibration.batches import (
    answer,
    batches_of,
    compared,
    mean_divergence,
    parts_of,
    read_outputs,
)
from bondwise.tn.compress.calibration.moments import frozen
from bondwise.tn.compress.files import entries_of, file_size
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.layers import is_dense, is_table, matching, require_numbers, weights_of
from bondwise.tn.compress.quantization.inputs import InputsInOrder
from bondwise.tn.compress.quantization.modules import BITS, GROUP, quantize_tied
from bondwise.tn.compress.quantization.packed import packed_parameters

_EMBEDDINGS = "int8"  # what embeddings and output heads get at least, unless they are named
_BATCH = 8  # samples at a time


@dataclass(frozen=True, kw_only=True)
class Quantization(Result):
    """What `quantize` did to a model.

    Attributes:
        value: Bytes of the file `model.safetensors` that `save` would write.
        dense_bytes: The same for the model before.
        divergence: Mean Kullback-Leibler divergence from the answers of the model before, in nats per token
            or sample, on data that was not used; None without data.
        layers: What each layer is stored as.
        outputs: `logits` or `values`: how the outputs were compared; None without data.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image; None without data.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import quantize
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> quantize(model, "int4", data=data).report.layers
        {'0': 'int4', '2': 'int4'}
    """

    dense_bytes: int
    divergence: float | None
    layers: dict[str, str] = field(repr=False)
    outputs: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        lost = "" if self.divergence is None else f", divergence {self.divergence:.4g}"
        return (
            f"Quantization: {self.value:,} of {self.dense_bytes:,} bytes, "
            f"{counted(len(self.layers), 'layer')}{lost}{compared(self.outputs, self.unit)}"
        )


def quantize(
    model: nn.Module,
    bits: str | Mapping[str, str] = "int4",
    *,
    data: Any = None,
    method: str = "gptq",
    group: int = GROUP,
    skip: Iterable[str] = (),
    outputs: str | None = None,
    progress: bool = False,
) -> nn.Module:
    """Store the weights and the factors of a model in few bits.

    They stay packed in memory and in files, and are unpacked whenever a layer runs: this saves memory, not
    time. Groups of numbers share a scale (16 bits) and a zero. Biases and norms stay as they are. Factors
    cannot be trained any more, so that `refine` and `heal` come before.

    Args:
        model: A dense model, or one with factors; it stays as it is.
        bits: `int8`, `int4`, `int3` or `int2`, for all layers except embeddings and the output head that a
            model of transformers names, which are stored as `int8`; or names of layers with what each
            is stored as, also with wildcards, of which the first that fits counts: `{"*.down_proj": "int4",
            "*": "int3"}`. What several layers share is stored once, as the first of them.
        data: Calibration data, as for `compress`; 100 to 200 sequences are plenty.
        method: `gptq`, which moves the numbers that are not rounded yet to make up for those that are
            (arXiv:2210.17323), for linear layers and low-rank factors; or `round`, to the nearest, which
            needs no data and is what all other layers get.
        group: Most numbers that share a scale.
        skip: Names of layers that stay as they are, also with wildcards.
        outputs: `logits` or `values`, how the divergence is measured; None for what `compress` took them for,
            or as there.
        progress: Whether to show a progress bar.

    Returns:
        A copy of the model in evaluation mode; its `report` is a `Quantization`.

    Raises:
        UsageError: If an argument is out of range, if there is nothing to quantize, or if the model is
            quantized already, or holds numbers that are not finite.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import quantize
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10))
        >>> small = quantize(model, "int4", data=torch.randn(64, 64))
        >>> print(small.report)
        Quantization: 4,... of 29,... bytes, 2 layers, divergence 0.00...
    """
    if method not in ("gptq", "round"):
        raise unknown_name("method", method, ("gptq", "round"))
    whole_number("group", group)
    require_numbers(model)
    small = copy.deepcopy(model)
    widths = _widths(small, bits, [skip] if isinstance(skip, str) else list(skip))
    if method == "gptq" and data is None:
        raise UsageError("method='gptq' needs data; give calibration data, or method='round'")
    batches = [] if data is None else batches_of(data, _BATCH, read_outputs(outputs, model))
    used, held_out = parts_of(batches)
    loss = outputs = unit = None
    with frozen(model), frozen(small), progress_bar(len(widths), "quantize", progress) as bar:
        ordered = InputsInOrder(model, small, list(widths), used) if method == "gptq" else None
        for name, width in widths.items():
            bar.set_postfix_str(name)
            covariance = None if ordered is None else ordered.corrected(name)
            quantize_tied(small, small.get_submodule(name), BITS[width], covariance, group)
            bar.update()
        if held_out:
            with torch.no_grad():
                wanted = [answer(model, batch) for batch in held_out]
                loss = mean_divergence(lambda index: answer(small, held_out[index]), wanted)
                outputs, unit = wanted[0].outputs, wanted[0].unit
    small.eval()
    small.report = Quantization(  # type: ignore[assignment]
        value=file_size(entries_of(small)),
        dense_bytes=file_size(entries_of(model)),
        divergence=loss,
        layers=widths,
        outputs=outputs,
        unit=unit,
    )
    return small


def _widths(model: nn.Module, bits: str | Mapping[str, str], skip: Sequence[str]) -> dict[str, str]:
    """What each layer is to be stored as, in the order of the model; tied ones by the name of the first."""
    patterns = dict(bits) if isinstance(bits, Mapping) else {"*": bits}
    for width in patterns.values():
        if width not in BITS:
            raise unknown_name("number of bits", str(width), BITS)
    packed = next(packed_parameters(model), None)
    if packed is not None:
        raise UsageError(f"{packed[0]} is quantized already; give the model before, or dequantize(model)")
    present = {
        name: one for name, one in model.named_modules() if name and (is_factored(one) or is_dense(one))
    }
    for pattern in (*patterns, *skip):
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in present):
            raise UsageError(
                f"{pattern!r} fits no layer of the model; one is called {next(iter(present), None)!r}"
            )
    found: dict[str, str] = {}
    left, seen = weights_of(matching(present, skip)), set[int]()
    for name, module in present.items():
        widths = [width for pattern, width in patterns.items() if fnmatchcase(name, pattern)]
        weights = weights_of([module])
        if not widths or weights & left:  # skipped, or tied to one that is
            continue
        apart = isinstance(bits, str) and is_table(model, module)
        if weights - seen:
            found[name] = _EMBEDDINGS if apart else widths[0]
        seen |= weights
    if not found:
        if is_dense(model) or is_factored(model):
            raise UsageError(f"the model is itself {kind_of(model)}; give torch.nn.Sequential(model)")
        raise UsageError("the model has no layer to quantize: one that is not skipped is needed")
    return found
