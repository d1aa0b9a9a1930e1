"""Options for several layers at once: a low rank with one factor that they share.

No probes are needed for these: what a layer loses beyond the prediction is interpolated, in the predicted
loss, from what probes say about its own low-rank factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.moments import Moments
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.formats.shared import SharedFits
from bondwise.tn.compress.layers import Layer

_LEAST = 1e-300


def joint_options(
    layers: Mapping[str, Layer], moments: Moments, options: Mapping[str, Sequence[Choice]]
) -> list[dict[str, Choice]]:
    """Ways to store the layers that are given the same input, with the losses to expect.

    Args:
        layers: All layers by name.
        moments: Of these layers.
        options: Of each layer on its own; among those of linear layers are low ranks.

    Returns:
        For each group and rank, the choice of every layer in the group. The shared factor counts for the
        first one.
    """
    groups: dict[str, list[str]] = {}
    for name, leader in moments.leaders.items():
        if layers[name].kind == "linear":
            groups.setdefault(leader, []).append(name)
    found = []
    for names in groups.values():
        if len(names) < 2:
            continue
        members = [layers[name] for name in names]
        metrics = [moments.metrics[name] for name in names]
        fits = SharedFits(members, [layer.weight for layer in members], metrics)
        losses = []
        for name, predicted in zip(names, fits.losses.cpu().numpy(), strict=True):
            own = LowRank.fits(layers[name], layers[name].weight, moments.metrics[name]).losses
            corrected = {one.rank: one.loss for one in options[name] if one.format == "lowrank"}
            logs = [np.log(np.maximum(one, _LEAST)) for one in (own, list(corrected.values()), predicted)]
            ratios = np.interp(logs[2], logs[0][::-1], (logs[1] - logs[0])[::-1])
            losses.append(np.minimum.accumulate(predicted * np.exp(ratios)))
        for index, rank in enumerate(fits.ranks):
            together = {}
            for name, layer, loss in zip(names, members, losses, strict=True):
                numbers = rank * (sum(layer.shape) if name == names[0] else layer.shape[0])
                together[name] = Choice("shared", rank, numbers, float(loss[index]))
            found.append(together)
    return found
