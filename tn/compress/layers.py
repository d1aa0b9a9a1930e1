"""The layers of a model that can be compressed, and putting others in their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bondwise.runs import UsageError


@dataclass(frozen=True)
class Layer:
    """One linear layer of a model.

    Attributes:
        name: Path of the module, such as `model.layers.0.mlp.up_proj`.
        module: A `torch.nn.Linear`, or a `Conv1D` of transformers, whose weight is transposed.
    """

    name: str
    module: nn.Module = field(repr=False)

    @property
    def weight(self) -> Tensor:
        """Shape (out_features, in_features), detached."""
        weight = self.module.weight.detach()  # type: ignore[operator,union-attr]
        return weight.T if isinstance(self.module, Conv1D) else weight  # type: ignore[return-value]

    @property
    def bias(self) -> Tensor | None:
        """Shape (out_features,)."""
        return self.module.bias  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of outputs and inputs."""
        rows, columns = self.weight.shape
        return rows, columns

    @property
    def num_params(self) -> int:
        """Numbers in the weight."""
        return self.weight.numel()


def find_layers(model: nn.Module, skip: Iterable[str] = ()) -> dict[str, Layer]:
    """The linear layers of a model by name, in the order of its modules.

    Layers whose weight is used elsewhere too, such as an output head tied to the embedding, and the head of a
    model of transformers stay as they are.

    Args:
        model: Any module.
        skip: Names of layers to leave, also with wildcards (`*.q_proj`).

    Raises:
        UsageError: If no layer is left, if a name in `skip` fits none, or a weight is not finite.
    """
    skip = [skip] if isinstance(skip, str) else list(skip)
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name
    }
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) for name in linear):
            first = next(iter(linear), None)
            raise UsageError(f"skip={pattern!r} fits no linear layer of the model; one is called {first!r}")
    found = {}
    for name, module in linear.items():
        if module is head or owners[id(module.weight)] > 1 or any(fnmatchcase(name, one) for one in skip):
            continue
        layer = Layer(name, module)
        if not torch.isfinite(layer.weight).all():
            raise UsageError(f"the weight of {name} holds NaN or infinite numbers; load the model again")
        if min(layer.shape) > 1:
            found[name] = layer
    if not found:
        raise UsageError(
            "the model has no layer to compress: linear layers that are neither skipped nor tied to an "
            "embedding are needed"
        )
    return found


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one with this name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
