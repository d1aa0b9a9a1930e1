"""Compress a model: measure what matters in each layer, share out the budget, and fit factors in order."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bondwise.runs import (
    Result,
    RunError,
    UsageError,
    progress_bar,
    random_generator,
    real_number,
    unknown_name,
)
from bondwise.runs.text import counted
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.budgets import latency_found, read_budget, require_possible, share_out
from bondwise.tn.compress.calibration.batches import (
    Answer,
    answer,
    batches_of,
    compared,
    mean_divergence,
    parts_of,
    read_outputs,
    sample_losses,
)
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import in_order, leaders_of
from bondwise.tn.compress.calibration.fitting import fit_in_order
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import frozen, measure_moments
from bondwise.tn.compress.calibration.probes import Probes
from bondwise.tn.compress.calibration.sharing import joint_options
from bondwise.tn.compress.checkpoints import load_checkpoint
from bondwise.tn.compress.formats.formats import FORMATS, require_dense
from bondwise.tn.compress.journal import Journal
from bondwise.tn.compress.layers import Layer, find_layers, is_table, others_of, owners_in, require_numbers
from bondwise.tn.compress.quantization.modules import BITS, quantize_tied
from bondwise.tn.compress.quantization.options import (
    dense_options,
    factored_options,
    measured_options,
    read_bits,
    rounded_options,
    smallest_options,
    table_bits,
)

_BATCH = 8  # samples at a time


class LossExceeded(RunError):
    """Raised if the divergence is above `max_loss`."""


@dataclass(frozen=True, kw_only=True)
class Compression(Result):
    """What `compress` did to a model.

    Attributes:
        value: Fraction of the parameters of the layers that a format is for that is left.
        divergence: Mean Kullback-Leibler divergence from the dense model's answers, in nats per token or
            sample, on calibration data that was not fitted to (on all of it, if it is a single batch). Half
            the squared distance if the outputs are values.
        divergence_std: Standard error of that over samples or sequences; None if none were held out, or one.
        layers: For each layer its format (`dense` if it stayed as it was), the rank, the numbers in its
            factors, the loss that was expected of it, and the bits of a number (0 for those of the dense
            layer). With `quantize`, layers that no format is for, embeddings and output heads are among them.
        dense_params: Number of parameters in these layers before.
        outputs: `logits` or `values`: how the outputs were compared.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image.
        latency_ms: For a budget in milliseconds, what was `asked`, for which `batch`, what the compressed
            model was `measured` to take, and the `dense` one in turns with it.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> report = compress(model, 0.5, data=data, seed=0).report
        >>> list(report.layers), report.value <= 0.5
        (['0', '2'], True)
    """

    divergence: float
    layers: dict[str, Choice] = field(repr=False)
    dense_params: int
    outputs: str | None = None
    latency_ms: dict[str, float] | None = None
    divergence_std: float | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        # a result that is loaded has plain tuples
        choices = {name: Choice(*choice) for name, choice in self.layers.items()}
        object.__setattr__(self, "layers", choices)

    def __str__(self) -> str:
        factors = sum(choice.format != "dense" for choice in self.layers.values())
        widths = sorted({choice.bits for choice in self.layers.values()} - {0}, reverse=True)
        stored = f", stored in {'/'.join(map(str, widths))} bits" if widths else ""
        error = "" if self.divergence_std is None else f" ± {self.divergence_std:.2g}"
        return (
            f"Compression: {self.value:.1%} of {self.dense_params:,} parameters in "
            f"{counted(len(self.layers), 'layer')}, {factors} of them in factors{stored}, divergence "
            f"{self.divergence:.4g}{error}{compared(self.outputs, self.unit)}{_times(self.latency_ms)}"
        )


def _times(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return (
        f", {found['measured']:.3g} ms for a batch of {found['batch']} (asked for {found['asked']:.3g}, "
        f"dense {found['dense']:.3g})"
    )


def compress(
    model: nn.Module | str | os.PathLike[str],
    budget: float | Mapping[str, float] = 0.5,
    *,
    data: Any,
    formats: Iterable[str] = ("lowrank", "separable"),
    skip: Iterable[str] = (),
    outputs: str | None = None,
    quantize: str | Iterable[str] | None = None,
    max_loss: float | None = None,
    seed: int | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Replace layers of a model by factors that change its answers as little as possible.

    The layers are `torch.nn.Linear`, `Conv1d`, `Conv2d`, `Conv3d` and transformers' `Conv1D`, except those
    that share their weight with another module, such as an embedding, and what a model of transformers names
    as its output head (`get_output_embeddings()`). In modules of your own nobody knows which layer is the
    head: it is compressed like the others, unless `skip` names it. Needs no labels: the loss is the
    divergence from the dense model's own answers.

    Args:
        model: Any module that returns a tensor or an output of transformers; it stays as it is. Or a folder
            with a model of transformers as safetensors, which is loaded; code in it is not run.
        budget: Fraction of the parameters of the compressible layers to keep, between 0 and 1; or a limit for
            the whole model: `{"params": N}` parameters, `{"flops": N}` floating-point operations for one
            sample as long as those of the data (two for a multiplication), or `{"latency_ms": t, "batch": b}`
            milliseconds of wall time for a batch of b samples of the data, as measured here and now, or
            `{"bytes": N}` for the file `model.safetensors` that `save` writes.
        data: Calibration data: token ids, int64 (sequences, length); samples (N, …); a dict of the model's
            arguments, such as `tokenizer(texts, padding=True, return_tensors="pt")`; or an iterable of
            batches, each such a tensor or dict, or a tuple (inputs, labels). 100 to 200 sequences are plenty.
        formats: Names of the formats to choose from, layer by layer: `lowrank`, `shared` (a low rank with one
            factor for all layers with the same input; not for budgets in bytes or ms, nor with `quantize`,
            where it is `lowrank`), `lowrank_sparse` (a low rank and single entries), `btt` (block tensor
            train), `mpo`, `mpo3` and `mpo4` (matrix product operators of 2, 3 and 4 cores; `kron`, a sum of
            Kronecker products, is another word for `mpo`) for linear layers,
            `separable`, `tucker2` and `cp` for convolutions, `tt_embedding` for embeddings. Layers that none
            of them is for stay dense.
        skip: Names of layers that stay dense, with wildcards such as `*.o_proj`.
        outputs: How answers are compared: `logits` as probabilities (Kullback-Leibler divergence over the
            last axis, or the second one of images), `values` by half of the squared distance; None to
            tell from transformers' config, the labels and the shape: a plain tensor of two axes, or for token
            ids, counts as logits, so that `values` is to be said for several numbers of a regression.
        quantize: `int8`, `int4`, `int3` or `int2` to store factors and layers that stay dense so, those that
            no format is for among them, and dense embeddings and the output head as `int8`; several of them
            to choose from for each of these, if the budget is in bytes; None to store all numbers as they
            are. What `skip` names stays as it is. See `quantize`, which is for later: quantized factors
            cannot be trained.
        max_loss: Largest divergence that is accepted, in nats per token, or per sample if the model has one
            answer for each.
        seed: Random seed of the labels that the model's answers are measured with.
        progress: Whether to show a progress bar.
        checkpoint: Folder for what is finished, from which the same call continues after it was killed. It
            is not needed once the call has returned.

    Returns:
        A copy of the model with factors in it, in evaluation mode; its `report` is a `Compression`.

    Raises:
        UsageError: If an argument is out of range, if there is nothing to compress, if the model is
            compressed already, if it or the data hold numbers that are not finite, or if a folder holds no
            whole model.
        RunError: If the divergence exceeds `max_loss`.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> small = compress(model, 0.5, data=torch.randn(64, 32), seed=0)
        >>> print(small.report)
        Compression: 4...% of 2,688 parameters in 2 layers, ... of them in factors, divergence 0.0...
    """
    limit = read_budget(budget)
    names = [formats] if isinstance(formats, str) else list(formats or ())
    if not names:
        raise UsageError("formats is empty; leave it out, or give names such as 'lowrank'")
    skip = [skip] if isinstance(skip, str) else list(skip)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    bits = read_bits(quantize)
    if len(bits) > 1 and limit.unit != "bytes":  # nothing else gets smaller with fewer bits
        widths = ",".join(name for name, width in BITS.items() if width in bits)
        raise UsageError(
            f"quantize={widths} is a choice, which only a budget in bytes makes; give one of them, or "
            "budget={'bytes': N}"
        )
    shared = "shared" in names and not bits and limit.unit not in ("bytes", "latency_ms")
    # layers that share nothing are of low rank too
    names = list(dict.fromkeys("lowrank" if name == "shared" else name for name in names))
    if max_loss is not None:
        max_loss = real_number("max_loss", max_loss)
    if isinstance(model, str | os.PathLike):
        model = load_checkpoint(model)
    elif not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}; give a torch module, or the folder of a model")
    require_numbers(model)
    require_dense(model)
    small = copy.deepcopy(model)
    compressible = find_layers(small, skip, {FORMATS[name].kind for name in names})
    batches = batches_of(data, _BATCH, read_outputs(outputs))
    fitted_to, held_out = parts_of(batches)
    with frozen(small):
        spared = others_of(small, skip, compressible) if bits else {}
        layers = _fitted(small, compressible, spared)
        leaders = leaders_of(small, layers, fitted_to[0])
        # without data that reaches it, a layer can only be rounded to the nearest
        layers = {name: one for name, one in layers.items() if name in compressible or name in leaders}
        layers = in_order(layers, leaders)
        spared = {name: layer for name, layer in spared.items() if name not in layers}
        formats_of = {name: names if name in compressible else [] for name in layers}
        smallest = {name: smallest_options(layer, formats_of[name], bits) for name, layer in layers.items()}
        rounded = rounded_options(small, spared, bits)
        searched = layers | spared if limit.unit == "bytes" else layers
        if limit.unit not in ("bytes", "latency_ms"):  # which alone depend on bits
            searched = {name: layer for name, layer in layers.items() if name in compressible}
        least = {name: choices for name, choices in (smallest | rounded).items() if name in searched}
        require_possible(limit, least, small, searched, batches)
    journal = Journal(checkpoint, model, batches, limit, names, shared, list(layers), skip, seed, bits)
    generator = torch.Generator().manual_seed(int(random_generator(seed).integers(2**31)))
    with (
        frozen(model),
        frozen(small),
        progress_bar(len(fitted_to) + 2 * len(layers), "compress", progress) as bar,
    ):
        bar.set_postfix_str("calibration")
        moments = journal.moments(
            lambda: measure_moments(small, layers, leaders, _counted(fitted_to, bar), generator)
        )
        bar.update(len(fitted_to) - bar.n)
        probes = Probes(Blocks.found_in(small, layers, held_out))
        options: dict[str, list[Choice]] = {}
        for index, (name, layer) in enumerate(layers.items()):
            bar.set_postfix_str(f"probing {name}")
            found = journal.get(f"probed-{index}")
            if found is None:
                found = _options(layer, formats_of[name], bits, moments.metrics[name], probes)
                journal.put(f"probed-{index}", found)
            options[name] = [Choice(*one) for one in found]
            bar.update()
        options |= measured_options(small, rounded, held_out)
        picked = journal.get("chosen")
        if picked is None:
            joint = joint_options(layers, moments, options) if shared else []
            among = {name: choices for name, choices in options.items() if name in searched}
            picked = journal.put("chosen", share_out(limit, among, small, searched, batches, joint))
        chosen = {name: Choice(*picked.get(name, choices[0])) for name, choices in options.items()}
        for name, layer in spared.items():
            quantize_tied(small, layer.module, chosen[name].bits)
        fit_in_order(small, model, layers, chosen, moments, fitted_to, bar, journal)
        with torch.no_grad():
            wanted = [answer(model, batch) for batch in held_out]
            lost: list[torch.Tensor] = []

            def run(index: int) -> Answer:
                given = answer(small, held_out[index])
                lost.append(sample_losses(given, wanted[index], held_out[index]))
                return given

            loss = mean_divergence(run, wanted)
            losses = torch.cat(lost)
            spread = float(losses.std()) / len(losses) ** 0.5 if min(len(batches), len(losses)) > 1 else None
        latency = latency_found(limit, model, small, batches)
    if max_loss is not None and len(batches) == 1:
        warnings.warn(
            "max_loss is compared with the divergence on what was fitted to, as the data are a single batch; "
            f"give more than {_BATCH} samples, or several batches",
            stacklevel=2,
        )
    if max_loss is not None and not loss <= max_loss:
        widths = ",".join(f"int{width}" for width in bits)
        more = f", leave out quantize={widths} or give more bits" if bits else ""
        raise LossExceeded(
            f"the divergence is {loss:.4g}, above max_loss={max_loss:g}; "
            f"raise {limit}{more}, or raise max_loss"
        )
    total = sum(layer.num_params for layer in compressible.values())
    left = sum(chosen[name].size for name in compressible)
    small.eval()
    small.report = Compression(  # type: ignore[assignment]
        value=left / total,
        seed=seed,
        divergence=loss,
        layers=chosen,
        dense_params=total,
        outputs=wanted[0].outputs,
        unit=wanted[0].unit,
        latency_ms=latency,
        divergence_std=spread,
    )
    return small


def _fitted(model: nn.Module, layers: Mapping[str, Layer], others: Mapping[str, Layer]) -> dict[str, Layer]:
    """Layers, and those of others that can be fitted to their inputs too, in the order of the model.

    Embeddings, output heads and what shares its weight cannot.
    """
    owners = owners_in(model)
    found = {
        name: layer
        for name, layer in others.items()
        if not is_table(model, layer.module)
        and all(owners[id(one)] == 1 for one in layer.module.parameters())
    }
    found |= layers
    return {name: found[name] for name, _ in model.named_modules() if name in found}


def _options(
    layer: Layer, names: list[str], bits: Sequence[int], metric: Metric, probes: Probes
) -> list[Choice]:
    """All ways to store a layer, with the losses to expect."""
    options = [Choice("dense", 0, layer.num_params, 0.0)]
    if bits:
        widths = table_bits(bits) if layer.kind == "embedding" else bits
        options = dense_options(layer, widths, metric, probes)
    for kind in names:
        if FORMATS[kind].kind != layer.kind:
            continue
        fits = FORMATS[kind].fits(layer, layer.weight, metric)
        sizes = [FORMATS[kind].num_params(layer, rank) for rank in fits.ranks]
        choices = [Choice(kind, *point) for point in zip(fits.ranks, sizes, fits.losses, strict=True)]
        corrected = probes.correct(layer, choices, fits)
        if bits:
            corrected = factored_options(layer, choices, corrected, fits, bits, metric, probes)
        options += corrected
    return options


def _counted(batches: list[Any], bar: Any) -> Iterator[Any]:
    for batch in batches:
        yield batch
        bar.update()
