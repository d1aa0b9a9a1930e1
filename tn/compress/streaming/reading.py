"""A model of transformers whose tensors stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from bondwise.runs import UsageError, one_line
from bondwise.tn.compress.checkpoints import CONFIG, model_class, read_config, shards_of
from bondwise.tn.compress.streaming.skeleton import skeleton


class Source:
    """A folder with a model.

    Args:
        folder: Folder that `save_pretrained` wrote, with one file of safetensors or several and an index.

    Raises:
        UsageError: If it holds no whole model, or one with code of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_config(folder)
        self.kind = model_class(self.config, folder, "write the folder again")
        self.shards = shards_of(folder)
        self._places = {name: shard for shard, names in self.shards.items() for name in names}

    def skeleton(self) -> PreTrainedModel:
        """The model in evaluation mode, with parameters that take no memory."""
        model = skeleton(self.kind, self.config, self.folder)
        model.config.use_cache = False
        return model.requires_grad_(False).eval()

    def read(self, model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
        """Tensors of a model in the dtype of the file, by their names in the model.

        Those that are tied to others and not stored are left out.

        Raises:
            UsageError: If one is missing, of another shape than the model's, or not finite.
        """
        wanted: dict[str, list[tuple[str, str]]] = {}
        shared: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            shared.setdefault(id(parameter), []).append(name)
        others = {name: same for same in shared.values() for name in same}
        for name in names:
            stored = self._stored_as(model, name, others.get(name, ()))
            if stored is not None:
                wanted.setdefault(self._places[stored], []).append((name, stored))
        found = {}
        for shard, pairs in wanted.items():
            path = self.folder / shard
            try:
                with safe_open(path, framework="pt") as file:
                    for name, stored in pairs:
                        found[name] = _checked(file.get_slice(stored), _tensor(model, name), path, stored)
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{path} is damaged ({one_line(error)}); download it again") from error
        return found

    def _stored_as(self, model: nn.Module, name: str, tied: Iterable[str]) -> str | None:
        """The name of a tensor on disk, or of one tied to it: with or without the base model's in front."""
        prefix = f"{self.kind.base_model_prefix}."
        for one in (name, *tied):
            for stored in (one, one.removeprefix(prefix), prefix + one):
                if stored in self._places:
                    return stored
        ties = getattr(model.config, "tie_word_embeddings", True)
        if ties and name in (getattr(model, "_tied_weights_keys", None) or ()):
            return None
        raise UsageError(
            f"{self.folder} lacks the tensor {name}, which its {CONFIG} asks for; if it is stored by another "
            "name, as those of experts are, load the model, and use compress"
        )


def fill(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a model tensors, in float32."""
    for name, tensor in tensors.items():
        parent, _, last = name.rpartition(".")
        module = model.get_submodule(parent)
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        if last in module._parameters:
            module._parameters[last] = nn.Parameter(tensor, requires_grad=False)
        else:
            module._buffers[last] = tensor


def drop(module: nn.Module) -> None:
    """Free the memory of all parameters of a module."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(
                    torch.empty_like(parameter, device="meta"), requires_grad=False
                )


def _tensor(model: nn.Module, name: str) -> Tensor:
    parent, _, last = name.rpartition(".")
    found: Tensor = getattr(model.get_submodule(parent), last)
    return found


def _checked(part: Any, expected: Tensor, path: Path, name: str) -> Tensor:
    shape = tuple(part.get_shape())
    if shape != tuple(expected.shape):
        raise UsageError(
            f"{name} in {path} has the shape {shape}, but {CONFIG} asks for {tuple(expected.shape)}"
        )
    tensor: Tensor = part[...]
    if not torch.isfinite(tensor).all():
        raise UsageError(f"{name} in {path} holds NaN or infinite numbers; download it again")
    return tensor
