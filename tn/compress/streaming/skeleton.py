"""Models of transformers without the memory for their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from bondwise.runs import UsageError, one_line
from bondwise.tn.compress.checkpoints import CONFIG, ENTRY


def skeleton(kind: type[PreTrainedModel], config: dict[str, Any], folder: Path) -> PreTrainedModel:
    """A model as configured, whose parameters take no memory except for those of a few numbers.

    Raises:
        UsageError: If the configuration cannot be read.
    """
    settings = {name: value for name, value in config.items() if name != ENTRY}
    try:
        with _Numberless():
            return kind(kind.config_class.from_dict(settings))  # type: ignore[union-attr]
    except Exception as error:  # transformers raises all kinds
        raise UsageError(f"{folder / CONFIG} cannot be read ({one_line(error)})") from error


class _Numberless(TorchFunctionMode):
    """Tensors that are yet to be filled take no memory; those with values, such as frequencies, are real."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return function(*args, **kwargs)
