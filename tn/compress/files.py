"""The tensors of a model as they are written to `model.safetensors`, and the size of that file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

METADATA = {"format": "pt"}
_DTYPES = {  # in the order in which they lie in a file
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ORDER = list(_DTYPES)


class Entry(NamedTuple):
    """A tensor in a file: its type and its shape."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of its numbers."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def stored_tensors(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a model, each once, and for the names of tied ones the name that is kept."""
    tensors: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    owners: dict[tuple[object, ...], str] = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in owners:
            ties[name] = owners[place]
        else:
            owners[place] = name
            tensors[name] = tensor.detach()
    return tensors, ties


def entries_of(model: nn.Module) -> dict[str, Entry]:
    """What the file of a model will hold."""
    return {
        name: Entry(tensor.dtype, tuple(tensor.shape)) for name, tensor in stored_tensors(model)[0].items()
    }


def file_size(entries: Mapping[str, Entry]) -> int:
    """Bytes of a safetensors file, header included."""
    header: dict[str, object] = {"__metadata__": METADATA}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda one: (_ORDER.index(one[1].dtype), one[0])):
        start, end = end, end + entry.num_bytes
        header[name] = {"dtype": _DTYPES[entry.dtype], "shape": entry.shape, "data_offsets": [start, end]}
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8 + end
