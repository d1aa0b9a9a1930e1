"""True losses of single compressed layers, which correct what the metric predicts.

The prediction holds for small changes. Where a layer loses much of its weight, it is too small by factors
that differ from layer to layer, and an allocation that trusts it starves the wrong ones. So each layer alone
is compressed to a few sizes, the divergence of the model's answer is measured, and the logarithm of measured
over predicted is interpolated between these sizes.

Half of this correction is applied: the loss of a layer is the geometric mean of predicted and measured. The
whole of it would suit a model in which nothing else changes, and spends too much on layers whose loss the
layers after them, once fitted to what they will see, or a training make up for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.batches import Answer, mean_divergence
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.formats.formats import Fits
from bondwise.tn.compress.layers import Layer, replace

_FRACTIONS = (0.1, 0.3, 0.7)  # of a layer's dense size
_ROWS = 2048  # tokens or samples that are enough, as half of a correction does not need it exactly
_TRUST = 0.5  # in what is measured: the weight of its logarithm beside that of the prediction
_LEAST = 1e-7  # nats: below, a divergence is rounding


class Probes:
    """What single layers lose, measured on some batches.

    Args:
        blocks: The dense model with the batches; finished when the probes are.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._wanted: list[Answer] = []
        for index in range(len(blocks.batches)):
            if sum(len(one.rows) for one in self._wanted) < _ROWS:
                with torch.no_grad():
                    self._wanted.append(blocks.run(index))

    def correct(self, layer: Layer, choices: Sequence[Choice], fits: Fits) -> list[Choice]:
        """Choices of one format with losses between predicted and measured, never rising with the size.

        Layers are to be given in the order of the model.
        """
        self._blocks.advance(self._blocks.of(layer.name))
        probed: dict[float, float] = {}
        for fraction in _FRACTIONS:
            choice = min(choices, key=lambda one: abs(one.size - fraction * layer.num_params))
            if choice.size not in probed:
                replace(self._blocks.model, layer.name, fits.build(choice.rank))
                measured = max(mean_divergence(self._blocks.run, self._wanted), _LEAST)
                replace(self._blocks.model, layer.name, layer.module)
                probed[choice.size] = _TRUST * np.log(measured / max(choice.loss, _LEAST))
        corrections = np.interp([choice.size for choice in choices], list(probed), list(probed.values()))
        losses = np.minimum.accumulate(np.array([choice.loss for choice in choices]) * np.exp(corrections))
        return [choice._replace(loss=float(loss)) for choice, loss in zip(choices, losses, strict=True)]
