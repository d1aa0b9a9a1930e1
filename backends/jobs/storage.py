"""Results of primitives and devices as bytes, without pickle."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult, SamplerPubResult
from qiskit.result import Result
from safetensors.torch import load, save
from torch import Tensor

from bondwise.runs import UsageError
from bondwise.runs.nesting import pack, unpack


def pack_result(result: PrimitiveResult[Any]) -> bytes:
    """The bytes of a primitive's result: all data, and metadata as far as they are JSON or arrays.

    Args:
        result: Result with arrays and bits in its data, as those of Qiskit's estimators and samplers.
    """
    parts = []
    for part in result:
        fields = {}
        for name, value in part.data.items():
            bits = isinstance(value, BitArray)
            fields[name] = {"bits": value.num_bits, "array": value.array} if bits else np.asarray(value)
        sampled = isinstance(part, SamplerPubResult)
        parts.append(
            {
                "sampled": sampled,
                "shape": tuple(part.data.shape),
                "fields": fields,
                "metadata": _plain(part.metadata),
            }
        )
    tensors: dict[str, Tensor] = {}
    content = pack({"parts": parts, "metadata": _plain(result.metadata)}, tensors)
    return save(tensors | {"": _bytes_tensor(json.dumps(content))})


def unpack_result(data: bytes) -> PrimitiveResult[Any]:
    """The result that `pack_result` has made bytes of."""
    tensors = load(data)
    content = unpack(json.loads(tensors.pop("").numpy().tobytes()), tensors)
    parts = []
    for part in content["parts"]:
        fields = {
            name: BitArray(value["array"], value["bits"]) if isinstance(value, dict) else value
            for name, value in part["fields"].items()
        }
        kind = SamplerPubResult if part["sampled"] else PubResult
        parts.append(kind(DataBin(**fields, shape=part["shape"]), part["metadata"]))
    return PrimitiveResult(parts, metadata=content["metadata"])


def pack_counts(result: Result) -> bytes:
    """The bytes of the result of `BackendV2.run`."""
    return json.dumps(result.to_dict(), default=_json).encode()


def unpack_counts(data: bytes) -> Result:
    """The result that `pack_counts` has made bytes of."""
    return Result.from_dict(json.loads(data))


def _bytes_tensor(text: str) -> Tensor:
    import torch

    return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())


def _plain(node: Any) -> Any:
    """Metadata without what cannot be stored, such as the objects of a service."""
    if isinstance(node, dict):
        node = {str(key): _plain(value) for key, value in node.items()}
        return {key: value for key, value in node.items() if value is not _LOST}
    if type(node) in (list, tuple):
        items = [_plain(item) for item in node]
        return _LOST if any(item is _LOST for item in items) else type(node)(items)
    try:
        pack(node, {}, "x")
    except UsageError:
        return _LOST
    return node


def _json(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


_LOST = object()  # in place of what cannot be stored
