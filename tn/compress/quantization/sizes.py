"""Bytes that layers take in the file of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import nn

from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.files import Entry, entries_of, file_size
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.modules import packed_layouts

_PADDING = 8  # bytes that the header is filled up to a multiple of
_DTYPE = "BF16"  # no name of a type is longer, except that of truth values


def stored_size(layer: Layer, choice: Choice, largest: int) -> int:
    """Bytes of the weight or the factors of a layer, with what the header of the file says of them.

    Args:
        layer: The dense layer.
        choice: What it becomes.
        largest: Size of the file, or more: the header holds places in it.
    """
    module = layer.module
    if choice.format != "dense":
        with torch.device("meta"):
            module = FORMATS[choice.format].empty(layer, choice.rank)
    if choice.bits:
        layouts = packed_layouts(module, choice.bits)
        entries = {
            f"{name}.packed": Entry(torch.uint8, (layout.num_bytes,)) for name, layout in layouts.items()
        }
    else:
        dtype = layer.weight.dtype
        entries = {
            name: Entry(dtype, tuple(parameter.shape))
            for name, parameter in module.named_parameters()
            if parameter.ndim > 1
        }
    if choice.format != "dense":
        entries |= {name: Entry(buffer.dtype, tuple(buffer.shape)) for name, buffer in module.named_buffers()}
    return sum(
        entry.num_bytes + _said(f"{layer.name}.{name}", entry, largest) for name, entry in entries.items()
    )


def rest_size(model: nn.Module, layers: Mapping[str, Layer]) -> int:
    """Bytes of a file without the weights of some layers."""
    weights = {
        f"{name}.{own}"
        for name, layer in layers.items()
        for own, parameter in layer.module.named_parameters()
        if parameter.ndim > 1
    }
    entries = {name: entry for name, entry in entries_of(model).items() if name not in weights}
    return file_size(entries) + _PADDING


def _said(name: str, entry: Entry, largest: int) -> int:
    """Bytes of the header that describe a tensor, at most."""
    said = {"dtype": _DTYPE, "shape": entry.shape, "data_offsets": [largest, largest]}
    return len(json.dumps({name: said}, separators=(",", ":"), ensure_ascii=False).encode())
