"""Nested data with arrays, tensors and circuits as JSON and a flat dictionary of real tensors.

The safetensors format has no nesting, complex numbers or circuits. Arrays are stored under their path in the
nesting, complex arrays as real ones with an extra last axis of length 2, and circuits as QPY bytes.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit, qpy

from bondwise.runs.errors import UsageError
from bondwise.runs.text import kind_of
from bondwise.runs.trial import try_apart


def pack(node: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Move the arrays of nested data into a flat dictionary.

    Args:
        node: Nested dictionaries (with strings or integers as keys), lists and tuples of None, booleans,
            numbers, strings, NumPy arrays, torch tensors and circuits.
        tensors: Dictionary to which the arrays are added.
        path: Prefix of their keys.

    Returns:
        The remaining data, ready for JSON.

    Raises:
        UsageError: If the data contains anything else.
    """
    if isinstance(node, np.generic):
        node = node.item()
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": repr(node)}  # JSON has neither NaN nor infinity
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if isinstance(node, list | tuple):
        items = [pack(item, tensors, f"{path}.{index}") for index, item in enumerate(node)]
        return items if isinstance(node, list) else {"tuple": items}
    if isinstance(node, dict) and all(isinstance(key, str | int) for key in node):
        return {"dict": [[key, pack(value, tensors, f"{path}.{key}")] for key, value in node.items()]}
    while path in tensors:  # a key with a dot in it
        path += "'"
    if isinstance(node, QuantumCircuit):
        tensors[path] = torch.from_numpy(np.frombuffer(qpy_bytes(node), np.uint8).copy())
        return {"circuit": path}
    if isinstance(node, torch.Tensor) or (isinstance(node, np.ndarray) and node.dtype.kind in "biufc"):
        kind = "numpy" if isinstance(node, np.ndarray) else "torch"
        tensor = torch.from_numpy(node.copy()) if isinstance(node, np.ndarray) else node.detach().cpu()
        if tensor.is_complex():
            kind, tensor = f"complex {kind}", torch.view_as_real(tensor.resolve_conj())
        tensors[path] = tensor.clone().contiguous()
        return {kind: path}
    raise UsageError(
        f"{path.lstrip('.') or 'it'} is {kind_of(node)}, which cannot be stored; "
        "give dicts, lists, numbers, strings, arrays, tensors or circuits."
    )


def qpy_bytes(circuit: QuantumCircuit) -> bytes:
    """Return a circuit as bytes in Qiskit's QPY format.

    Args:
        circuit: The circuit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.runs import qpy_bytes
        >>> qpy_bytes(QuantumCircuit(2))[:6]
        b'QISKIT'
    """
    buffer = BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def unpack(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Put the arrays back; the inverse of `pack`.

    Raises:
        UsageError: If a circuit is damaged.
    """
    if isinstance(node, list):
        return [unpack(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "dict":
        return {key: unpack(value, tensors) for key, value in content}
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in content)
    if kind == "float":
        return float(content)
    tensor = tensors[content]
    if kind == "circuit":
        content = tensor.numpy().tobytes()
        try_apart(lambda: qpy.load(BytesIO(content))[0], name="a circuit in it", size=len(content))
        return qpy.load(BytesIO(content))[0]
    if kind.startswith("complex"):
        tensor = torch.view_as_complex(tensor)
    return tensor.numpy() if kind.endswith("numpy") else tensor
