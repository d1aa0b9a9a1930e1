"""How sensitive a model is to the compression of each of its layers (CompactifAI, arXiv:2401.14109)."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import (
    Result,
    UsageError,
    axes_or_new,
    figure_text,
    progress_bar,
    random_generator,
    real_number,
    unknown_name,
)
from bondwise.runs.text import counted
from bondwise.tn.compress.calibration.batches import (
    Answer,
    batches_of,
    compared,
    mean_divergence,
    parts_of,
    read_outputs,
)
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import in_order, leaders_of
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import frozen, measure_moments
from bondwise.tn.compress.checkpoints import load_checkpoint
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.journal import Journal
from bondwise.tn.compress.layers import Layer, find_layers, replace, require_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BATCH = 8  # samples at a time
_NAMES = 60  # of layers that fit beside a figure
_FRACTIONS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, kw_only=True)
class Profile(Result):
    """What a model loses if one layer alone is compressed.

    Attributes:
        value: Mean Kullback-Leibler divergence from the dense model's answers, in nats per token or sample,
            float64 (formats, layers, fractions); NaN where a format has no factors of that size.
        kept: Fraction of the layer's parameters that is left, of the same shape: the largest up to the one
            asked for.
        formats: Names of the formats that there are layers for.
        layers: Names of the layers, in the order of the model.
        fractions: Fractions that were asked for.
        sizes: Parameters of each dense layer.
        outputs: `logits` or `values`: how the outputs were compared.
        unit: What the divergence is per: `token`, `sample`, or `point` of an image.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import profile
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> profile(model, data=data, fractions=(0.5,), seed=0).value.shape
        (1, 2, 1)
    """

    kept: np.ndarray = field(repr=False)
    formats: tuple[str, ...]
    layers: tuple[str, ...]
    fractions: tuple[float, ...]
    sizes: tuple[int, ...] = field(repr=False)
    outputs: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        losses = self.best()
        reached = np.where(np.isnan(losses), -np.inf, losses)
        worst = self.layers[int(reached[:, -1].argmax())]
        return (
            f"Profile: {counted(len(self.layers), 'layer')} at {counted(len(self.fractions), 'fraction')} of "
            f"their parameters, divergence up to {np.nanmax(losses):.4g}; at {self.fractions[-1]:g} the most "
            f"sensitive one is {worst}{compared(self.outputs, self.unit)}"
        )

    def best(self) -> np.ndarray:
        """The least divergence over the formats, float64 (layers, fractions)."""
        found = np.where(np.isnan(self.value), np.inf, self.value).min(axis=0)
        return np.where(np.isinf(found), np.nan, found)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the least divergence over the formats as a heat map, a row for each layer.

        Args:
            ax: Matplotlib Axes; a new figure by default.
        """
        from matplotlib.colors import LogNorm

        ax = axes_or_new(ax)
        losses = self.best()
        least = float(np.nanmin(losses, initial=np.inf, where=losses > 0))
        most = float(np.nanmax(losses))
        norm = LogNorm(least, max(most, 1.001 * least)) if np.isfinite(least) else None
        image = ax.imshow(losses.clip(least), norm=norm, aspect="auto", cmap="magma_r", interpolation="none")
        every = -(-len(self.layers) // _NAMES)
        ax.set_yticks(
            range(0, len(self.layers), every), [figure_text(name) for name in self.layers[::every]], size=7
        )
        ax.set_xticks(range(len(self.fractions)), [f"{fraction:g}" for fraction in self.fractions])
        ax.set_xlabel("fraction of the layer's parameters that is kept")
        ax.figure.colorbar(image, ax=ax, label="divergence from the dense model")
        return ax


def profile(
    model: nn.Module | str | os.PathLike[str],
    *,
    data: Any,
    formats: Iterable[str] = ("lowrank", "separable"),
    fractions: float | Iterable[float] = _FRACTIONS,
    skip: Iterable[str] = (),
    outputs: str | None = None,
    seed: int | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Profile:
    """Compress one layer of a model at a time, and measure what that does to its answers.

    Args:
        model: As for `compress`, also a folder; it stays as it is.
        data: As for `compress`; a sixteenth is kept to measure the divergence on.
        formats: Names of formats, as for `compress`; those that no layer is of the kind for are left out.
        fractions: Fractions of the parameters of a layer to keep, between 0 and 1, or one of them.
        skip: Names of layers to leave out, with wildcards.
        outputs: As for `compress`: `logits`, `values`, or None to tell from config, labels and shape.
        seed: Random seed of the labels that the model's answers are measured with.
        progress: Whether to show a progress bar.
        checkpoint: Folder for what is finished, from which the same call continues after it was killed.

    Raises:
        UsageError: As for `compress`.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import profile
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> found = profile(model, data=torch.randn(64, 32), fractions=[0.2, 0.5, 0.8], seed=0)
        >>> found.value.shape, found.layers, bool((found.value[0, :, 0] > found.value[0, :, 2]).all())
        ((1, 2, 3), ('0', '2'), True)
        >>> ax = found.plot()
    """
    names = [formats] if isinstance(formats, str) else list(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    listed = fractions if isinstance(fractions, Iterable) else [fractions]
    wanted = [real_number("a number in fractions", fraction, below=1) for fraction in listed]
    if not (names and wanted):
        raise UsageError("formats or fractions is empty; leave it out, or give at least one")
    generator = torch.Generator().manual_seed(int(random_generator(seed).integers(2**31)))
    if not isinstance(model, nn.Module):
        model = load_checkpoint(model)
    require_numbers(model)
    small = copy.deepcopy(model)
    layers = find_layers(small, skip, {FORMATS[name].kind for name in names})
    batches = batches_of(data, _BATCH, read_outputs(outputs))
    fitted_to, held_out = parts_of(batches)
    with frozen(small):
        leaders = leaders_of(small, layers, fitted_to[0])
    layers = in_order(layers, leaders)
    kinds = {layer.kind for layer in layers.values()}
    names = [name for name in names if FORMATS[name].kind in kinds]
    journal = Journal(checkpoint, small, batches, names, wanted, list(layers), seed)
    found = np.empty((len(layers), 2, len(names), len(wanted)))
    with frozen(small), progress_bar(len(layers), "profile", progress) as bar:
        bar.set_postfix_str("calibration")
        moments = journal.moments(lambda: measure_moments(small, layers, leaders, fitted_to, generator))
        blocks = Blocks.found_in(small, layers, held_out)
        with torch.no_grad():
            answers = [blocks.run(index) for index in range(len(held_out))]
        for row, layer in enumerate(layers.values()):
            bar.set_postfix_str(layer.name)
            kept = journal.get(f"profiled-{row}")
            if kept is None:
                kept = _losses(layer, names, wanted, moments.metrics[layer.name], blocks, answers)
                journal.put(f"profiled-{row}", kept)
            found[row] = kept
            bar.update()
    losses, sizes = found.transpose(1, 2, 0, 3)
    return Profile(
        value=losses,
        seed=seed,
        kept=sizes,
        formats=tuple(names),
        layers=tuple(layers),
        fractions=tuple(wanted),
        sizes=tuple(layer.num_params for layer in layers.values()),
        outputs=answers[0].outputs,
        unit=answers[0].unit,
    )


def _losses(
    layer: Layer,
    names: Sequence[str],
    fractions: Sequence[float],
    metric: Metric,
    blocks: Blocks,
    answers: Sequence[Answer],
) -> np.ndarray:
    """What the model loses with a layer in factors, and what these keep, of shape (2, formats, fractions)."""
    found = np.full((2, len(names), len(fractions)), np.nan)
    blocks.advance(blocks.of(layer.name))
    for row, name in enumerate(names):
        if FORMATS[name].kind != layer.kind:
            continue
        fits = FORMATS[name].fits(layer, layer.weight, metric)
        sizes = {FORMATS[name].num_params(layer, rank) / layer.num_params: rank for rank in fits.ranks}
        for column, fraction in enumerate(fractions):
            size = max((size for size in sizes if size <= fraction), default=None)
            if size is None:
                continue
            replace(blocks.model, layer.name, fits.build(sizes[size]))
            found[:, row, column] = mean_divergence(blocks.run, answers), size
            replace(blocks.model, layer.name, layer.module)
    return found
