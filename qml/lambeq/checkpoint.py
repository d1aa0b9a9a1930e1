"""Reader of lambeq's checkpoints that runs no code from them.

They are pickles of a newer protocol than torch's weights-only loader accepts. This reader works in the same
way: it knows a handful of names, reads tensors with `torch.load(weights_only=True)`, and replaces every other
name with an object that does nothing.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lambeq.backend.symbol import Symbol

from bondwise.runs import UsageError, one_line, read_bytes


def read_lambeq_checkpoint(path: Path) -> tuple[list[Symbol], torch.Tensor]:
    """Read the symbols and weights of a quantum model from a file written by lambeq's `save` or `Trainer`.

    Args:
        path: File to read, conventionally with the extension `.lt`.

    Returns:
        The symbols and their weights (symbols,).

    Raises:
        UsageError: If the file is damaged or holds no quantum model.
    """
    stored = io.BytesIO(read_bytes(path, "array_bytes"))
    try:
        content = _Reader(stored).load()
        symbols, weights = content["model_symbols"], content["model_weights"]
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = one_line(f"{type(error).__name__}: {error}", 100)
        raise UsageError(f"{path} is not a checkpoint of lambeq, or it is damaged ({reason}).") from None
    if (
        not isinstance(weights, torch.Tensor)
        or not isinstance(symbols, list)
        or not all(isinstance(symbol, _Symbol) and symbol.is_whole() for symbol in symbols)
        or weights.shape != (len(symbols),)
        or not weights.is_floating_point()
    ):
        raise UsageError(
            f"{path} does not hold one weight per symbol of a quantum model; give a checkpoint of lambeq's "
            "PytorchQuantumModel."
        )
    return [Symbol(**symbol.fields) for symbol in symbols], weights.detach()


# A pickle can set attributes of any object that it names, unless the object defines how. It therefore gets
# these stand-ins instead of classes and functions that the process shares.


class _Skipped:
    """Anything but symbols and tensors: optimizers, metrics, code."""

    def __init__(self, *args: Any, **keywords: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def __call__(self, *args: Any) -> _Skipped:
        return _Skipped()

    def append(self, value: Any) -> None: ...

    def extend(self, values: Any) -> None: ...


class _Symbol:
    """A symbol of lambeq."""

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def is_whole(self) -> bool:
        """Whether the fields are those of a symbol."""
        fields = getattr(self, "fields", None)
        return (
            isinstance(fields, dict)
            and fields.keys() == _SYMBOL.keys()
            and all(isinstance(fields[name], kind) for name, kind in _SYMBOL.items())
        )


_SYMBOL = {"name": str, "directed_dom": int, "directed_cod": int, "scale": int | float}


class _Checkpoint:
    """lambeq's `Checkpoint`, a mapping that can be pickled as a whole."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._entries = state["entries"]

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]


class _Function:
    """A function that rebuilds tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state")


def _storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("lambeq.backend.symbol", "Symbol"): _Symbol,
    ("lambeq.training.checkpoint", "Checkpoint"): _Checkpoint,
    ("torch._utils", "_rebuild_parameter"): _Function(torch._utils._rebuild_parameter),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(torch._utils._rebuild_tensor_v2),
    ("torch.storage", "_load_from_bytes"): _Function(_storage),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), _Skipped)
