"""What else could be done with a model: the rows that a compressed one is compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from bondwise.tn import compress as room

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = ("int8", "int4", "int3", "int2")
_EVEN = {"lowrank": "SVD", "mpo": "MPO"}


def rivals(
    dense: nn.Module,
    fraction: float,
    *,
    data: Tensor,
    skip: list[str],
    width: str | None,
    progress: bool,
) -> dict[str, Callable[[], nn.Module]]:
    """Functions that make the models, by their names.

    Args:
        dense: The dense model.
        fraction: Of the parameters of its layers, that the compressed model keeps.
        data: What it was calibrated with.
        skip: Layers that stayed dense.
        width: What its numbers are stored as, or None.
        progress: Whether to show progress bars.
    """
    from bondwise.tn.compress.formats.formats import FORMATS

    def even(format: str, data: Tensor | None) -> nn.Module:
        model = room.compress_evenly(dense, fraction, format=format, data=data, skip=skip)
        return model if width is None else packed(model, width)

    def packed(model: nn.Module, bits: str) -> nn.Module:
        return room.quantize(model, bits, data=data, progress=progress)

    found: dict[str, Callable[[], nn.Module]] = {}
    ending = "" if width is None else f" in {width}"
    if 0 < fraction < 1:
        for format, name in _EVEN.items():
            if format in FORMATS:
                found[f"plain {name}{ending}"] = partial(even, format, None)
        found[f"whitened SVD{ending}"] = partial(even, "lowrank", data)
    for bits in WIDTHS:
        found[f"dense in {bits}"] = partial(packed, dense, bits)
    return found
